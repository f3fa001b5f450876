"""What pandas makes of an exported CSV when it is told no types."""

import sys

import pandas as pd

events = pd.read_csv(sys.argv[1], parse_dates=["at"])
assert str(events["at"].dtype) == "datetime64[ns, UTC]", events.dtypes
for whole in ("id", "mono_ms", "seq"):
    assert events[whole].dtype == "int64", events.dtypes
assert events.duration_ms.dtype == "float64", events.dtypes  # there are missing ones
assert events.participant.notna().all() and events.load_id.isna().any()

stamp = lambda at: at.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
print("rows", len(events))
print("ids", events.id.sum())
print("durations", int(events.duration_ms.sum()))
print("away", events.to_presence.eq("away").sum())
print("loads", events.kind.eq("load_started").sum())
print("first", stamp(events["at"].min()))
print("last", stamp(events["at"].max()))
