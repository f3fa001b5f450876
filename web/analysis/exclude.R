# Who was blocked for more than 5 seconds in trial-2?
#
#   initgrace export --db study.db --out events.csv
#   Rscript exclude.R events.csv trial-2 5

library(readr)
library(dplyr, warn.conflicts = FALSE)

args <- commandArgs(trailingOnly = TRUE)
trial <- args[2]
limit <- as.numeric(args[3])

# Ids are text, also "007" and "NA"; only what is empty is missing.
events <- read_csv(args[1], na = "", col_types = cols(
  .default = col_character(), id = col_double(), at = col_datetime(), duration_ms = col_double()
))

blocks <- events |>
  filter(from_presence == "blocked", !is.na(duration_ms)) |>
  transmute(participant, block_begins = at - duration_ms / 1000, block_ends = at)

# A trial lasts from one save of the page's state to the next.
trials <- events |>
  filter(kind == "state_saved") |>
  group_by(participant) |>
  mutate(begins = at, ends = lead(at, default = max(events$at))) |>
  ungroup() |>
  select(participant, scene, begins, ends)

merge(filter(trials, scene == trial), blocks, by = "participant") |>
  mutate(blocked_s = pmax(0, as.numeric(pmin(ends, block_ends)) - as.numeric(pmax(begins, block_begins)))) |>
  group_by(participant) |>
  summarise(blocked_s = round(sum(blocked_s), 3)) |>
  filter(blocked_s > limit) |>
  mutate(blocked_s = sprintf("%.3f", blocked_s)) |>
  format_csv() |>
  cat()
