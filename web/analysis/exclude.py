"""Who was blocked for more than 5 seconds in trial-2?

    initgrace export --db study.db --out events.csv
    python3 exclude.py events.csv trial-2 5

Needs nothing but Python 3. exclude_pandas.py is the same with pandas.
"""

import csv
import sys
from collections import defaultdict
from datetime import datetime, timedelta


def instant(text):
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ")  # UTC


def blocked_in(trial, events):
    """Time blocked within a trial, by participant."""
    trials = defaultdict(list)  # [begins, ends, scene]
    blocks = defaultdict(list)  # (begins, ends)
    for e in events:
        who, at = e["participant"], instant(e["at"])
        if e["kind"] == "state_saved":  # the page says where it is in the study
            if trials[who]:
                trials[who][-1][1] = at
            trials[who].append([at, datetime.max, e["scene"]])
        if e["from_presence"] == "blocked" and e["duration_ms"]:
            blocks[who].append((at - timedelta(milliseconds=int(e["duration_ms"])), at))
    total = defaultdict(timedelta)
    for who, stretches in trials.items():
        for begins, ends, scene in stretches:
            if scene == trial:
                for b, e in blocks[who]:
                    total[who] += max(timedelta(0), min(e, ends) - max(b, begins))
    return total


if __name__ == "__main__":
    path, trial, limit = sys.argv[1], sys.argv[2], timedelta(seconds=float(sys.argv[3]))
    with open(path, newline="", encoding="utf-8") as f:
        total = blocked_in(trial, csv.DictReader(f))
    print("participant,blocked_s")
    for who in sorted(total):
        if total[who] > limit:
            print(f"{who},{total[who].total_seconds():.3f}")
