package tidy

import (
	"time"

	"initgrace/server/eventlog"
)

// A Load is one load. All durations are milliseconds.
type Load struct {
	Participant, Experiment, Group string
	ID, Phase, LastPhase           string
	Started, Ended                 time.Time
	Result, Detail                 string
	Expected, Lease, Duration      eventlog.Int
	Late                           eventlog.Int
	Extensions                     int64
	PageBlocked, LongestBlock      eventlog.Int
	Loading, Away, Grace           int64
	Drops                          int64
	PartnerWait                    int64
}

// LoadOpen is the result of a load that the log does not end.
const LoadOpen = "open"

// Loads is one row for each load.
var Loads = eventlog.Table[Load]{
	Name:    "loads",
	Meaning: "One row for each load that was granted a lease, in the order in which they ended; at last those that did not.",
	Columns: []eventlog.Column[Load]{
		{Name: "participant", Type: eventlog.Text, Required: true, Names: eventlog.Participant, Meaning: "whose page loaded",
			Field: func(l *Load) any { return &l.Participant }},
		{Name: "experiment", Type: eventlog.Text, Meaning: "the experiment's name, as the page gave it",
			Field: func(l *Load) any { return &l.Experiment }},
		{Name: "group_id", Type: eventlog.Text, Names: eventlog.Group, Meaning: "the participant's group when it began",
			Field: func(l *Load) any { return &l.Group }},
		{Name: "load_id", Type: eventlog.Text, Required: true, Names: eventlog.LoadID, Free: true, Meaning: "the load, by the page's id or one that the server chose; distinct within a seat",
			Field: func(l *Load) any { return &l.ID }},
		{Name: "phase", Type: eventlog.Text, Free: true, Meaning: "what was being loaded at first, as the page said",
			Field: func(l *Load) any { return &l.Phase }},
		{Name: "last_phase", Type: eventlog.Text, Free: true, Meaning: "what was being loaded at last",
			Field: func(l *Load) any { return &l.LastPhase }},
		{Name: "started_at", Type: eventlog.Time, Required: true, Meaning: "when the lease was granted",
			Field: func(l *Load) any { return &l.Started }},
		{Name: "ended_at", Type: eventlog.Time, Meaning: "when it ended; missing for an open one",
			Field: func(l *Load) any { return &l.Ended }},
		{Name: "result", Type: eventlog.Text, Required: true, Meaning: "ok, failed, expired (the lease ran out), abandoned (ended with the page or the seat), or open",
			Field: func(l *Load) any { return &l.Result }},
		{Name: "detail", Type: eventlog.Text, Free: true, Private: func(*Load) bool { return true }, Meaning: "the page's words on a failure, or why it was abandoned",
			Field: func(l *Load) any { return &l.Detail }},
		{Name: "expected_s", Type: eventlog.Seconds, Unit: "s", Meaning: "how long the page expected it to take, as it said last",
			Field: func(l *Load) any { return &l.Expected }},
		{Name: "lease_s", Type: eventlog.Seconds, Unit: "s", Meaning: "how long it might take, as granted last",
			Field: func(l *Load) any { return &l.Lease }},
		{Name: "duration_s", Type: eventlog.Seconds, Unit: "s", Meaning: "how long it took, until it ended in whatever way; of an open one: so far",
			Field: func(l *Load) any { return &l.Duration }},
		{Name: "late_s", Type: eventlog.Seconds, Unit: "s", Meaning: "how long after the end of its lease the page completed it; missing if it never did",
			Field: func(l *Load) any { return &l.Late }},
		{Name: "extensions", Type: eventlog.Integer, Required: true, Meaning: "times that it reached another phase or was granted another lease",
			Field: func(l *Load) any { return &l.Extensions }},
		{Name: "page_blocked_s", Type: eventlog.Seconds, Unit: "s", Meaning: "time that the page was frozen, as the page measured it",
			Field: func(l *Load) any { return &l.PageBlocked }},
		{Name: "longest_block_s", Type: eventlog.Seconds, Unit: "s", Meaning: "longest freeze, as the page measured it",
			Field: func(l *Load) any { return &l.LongestBlock }},
		{Name: "loading_s", Type: eventlog.Seconds, Unit: "s", Required: true, Meaning: "time during the load in which the participant's presence was loading",
			Field: func(l *Load) any { return &l.Loading }},
		{Name: "away_s", Type: eventlog.Seconds, Unit: "s", Required: true, Meaning: "time during the load in which it was away",
			Field: func(l *Load) any { return &l.Away }},
		{Name: "grace_s", Type: eventlog.Seconds, Unit: "s", Required: true, Meaning: "grace used: loading_s + away_s (with a lease nobody is blocked)",
			Field: func(l *Load) any { return &l.Grace }},
		{Name: "drops", Type: eventlog.Integer, Required: true, Meaning: "times away during the load",
			Field: func(l *Load) any { return &l.Drops }},
		{Name: "partner_wait_s", Type: eventlog.Seconds, Unit: "s", Required: true, Meaning: "waiting that it caused: grace_s, times the partners whose seats were held meanwhile. Loads at the same time each have all of it",
			Field: func(l *Load) any { return &l.PartnerWait }},
	},
}
