# What R makes of an exported CSV when it is told no types: readr, and R itself.

suppressPackageStartupMessages(library(readr))

path <- commandArgs(trailingOnly = TRUE)[1]
# Many columns are empty in most rows: all rows have to be looked at, not a thousand.
events <- read_csv(path, guess_max = Inf, show_col_types = FALSE)
stopifnot(nrow(problems(events)) == 0)
stopifnot(inherits(events$at, "POSIXct"), attr(events$at, "tzone") == "UTC")
stopifnot(is.numeric(events$id), is.numeric(events$mono_ms), is.numeric(events$duration_ms), is.character(events$participant))
stopifnot(!anyNA(events$participant), anyNA(events$load_id))

base <- read.csv(path, na.strings = "")
at <- as.POSIXct(base$at, format = "%Y-%m-%dT%H:%M:%OSZ", tz = "UTC")
stopifnot(identical(dim(base), dim(events)), !anyNA(at), max(abs(as.numeric(at) - as.numeric(events$at))) < 1e-5)
stopifnot(sum(base$duration_ms, na.rm = TRUE) == sum(events$duration_ms, na.rm = TRUE))

stamp <- function(at) format(at + 5e-5, "%Y-%m-%d %H:%M:%OS3") # OS3 cuts, it does not round
say <- function(what, value) cat(sprintf("%s %s\n", what, if (is.numeric(value)) sprintf("%.0f", value) else value))
say("rows", nrow(events))
say("ids", sum(events$id))
say("durations", sum(events$duration_ms, na.rm = TRUE))
say("away", sum(events$to_presence == "away", na.rm = TRUE))
say("loads", sum(events$kind == "load_started"))
say("first", stamp(min(events$at)))
say("last", stamp(max(events$at)))
