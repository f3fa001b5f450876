"""Who was blocked for more than 5 seconds in trial-2?

    initgrace export --db study.db --out events.csv
    python3 exclude_pandas.py events.csv trial-2 5
"""

import sys

import pandas as pd

path, trial, limit = sys.argv[1], sys.argv[2], float(sys.argv[3])

# Ids are text, also "007" and "NA"; only what is empty is missing.
events = pd.read_csv(
    path,
    dtype={c: "string" for c in ["participant", "experiment", "group_id", "partner", "load_id", "phase", "scene", "detail"]},
    parse_dates=["at"],
    keep_default_na=False,
    na_values=[""],
)

blocks = events[events.from_presence.eq("blocked") & events.duration_ms.notna()]
blocks = pd.DataFrame({
    "participant": blocks.participant,
    "block_begins": blocks["at"] - pd.to_timedelta(blocks.duration_ms, unit="ms"),
    "block_ends": blocks["at"],
})

# A trial lasts from one save of the page's state to the next.
trials = events[events.kind.eq("state_saved")]
trials = pd.DataFrame({
    "participant": trials.participant,
    "scene": trials.scene,
    "begins": trials["at"],
    "ends": trials.groupby("participant")["at"].shift(-1).fillna(events["at"].max()),
})

both = trials[trials.scene.eq(trial)].merge(blocks, on="participant")
overlap = both[["ends", "block_ends"]].min(axis=1) - both[["begins", "block_begins"]].max(axis=1)
both["blocked_s"] = overlap.dt.total_seconds().clip(lower=0).round(3)
total = both.groupby("participant").blocked_s.sum()
total[total > limit].to_csv(sys.stdout, float_format="%.3f")
