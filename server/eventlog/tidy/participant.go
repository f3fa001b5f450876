package tidy

import (
	"time"

	"initgrace/server/eventlog"
)

// A Participant sums up the log of one participant in one experiment. All
// durations are milliseconds.
type Participant struct {
	Participant, Experiment, Group, Partners string

	First, Last                   time.Time
	Seats, Connections, Refreshes int64

	Present, Active, Loading, Blocked, Away, Grace int64
	LongestBlocked, LongestAway                    int64
	Drops, Blocks                                  int64

	Loads, Failed, Expired, Abandoned int64
	LongestLoad                       int64
	PageBlocked, LongestBlock         eventlog.Int // as the page measured them

	PartnerWait, WaitRoom   int64
	Sent, Received, Dropped int64
	Refused, Saves          int64
	Scene                   string
	Condition, SceneOrder   string
	StudyOutcome            string
	Outcome, OutcomeReason  string
}

// Participants is one row for each participant and experiment.
var Participants = eventlog.Table[Participant]{
	Name: "participants",
	Meaning: "One row for each participant and experiment, summed up from the log. " +
		"Times in a presence that a killed server cut short count up to the last thing that its log says.",
	Columns: []eventlog.Column[Participant]{
		{Name: "participant", Type: eventlog.Text, Required: true, Names: eventlog.Participant, Meaning: "the participant's id, as the study's page gave it",
			Field: func(p *Participant) any { return &p.Participant }},
		{Name: "experiment", Type: eventlog.Text, Meaning: "the experiment's name, as the page gave it",
			Field: func(p *Participant) any { return &p.Experiment }},
		{Name: "group_id", Type: eventlog.Text, Names: eventlog.Group, Meaning: "the last group",
			Field: func(p *Participant) any { return &p.Group }},
		{Name: "partner_ids", Type: eventlog.Text, Names: eventlog.Participants, Meaning: "everybody who was in a group with the participant, separated by spaces; missing for more than 20",
			Field: func(p *Participant) any { return &p.Partners }},
		{Name: "first_at", Type: eventlog.Time, Required: true, Meaning: "when the log first names the participant",
			Field: func(p *Participant) any { return &p.First }},
		{Name: "last_at", Type: eventlog.Time, Required: true, Meaning: "when it last does",
			Field: func(p *Participant) any { return &p.Last }},
		{Name: "seats", Type: eventlog.Integer, Required: true, Meaning: "seats taken; more than one: came back after a seat was given up",
			Field: func(p *Participant) any { return &p.Seats }},
		{Name: "connections", Type: eventlog.Integer, Required: true, Meaning: "connections, reconnects included",
			Field: func(p *Participant) any { return &p.Connections }},
		{Name: "refreshes", Type: eventlog.Integer, Required: true, Meaning: "connections of another page instance while the seat was held",
			Field: func(p *Participant) any { return &p.Refreshes }},
		{Name: "present_s", Type: eventlog.Seconds, Unit: "s", Required: true, Meaning: "time in a seat: active_s + loading_s + blocked_s + away_s",
			Field: func(p *Participant) any { return &p.Present }},
		{Name: "active_s", Type: eventlog.Seconds, Unit: "s", Required: true, Meaning: "time active",
			Field: func(p *Participant) any { return &p.Active }},
		{Name: "loading_s", Type: eventlog.Seconds, Unit: "s", Required: true, Meaning: "time loading: declared, and protected by a lease",
			Field: func(p *Participant) any { return &p.Loading }},
		{Name: "blocked_s", Type: eventlog.Seconds, Unit: "s", Required: true, Meaning: "time blocked: the page was silent without a declared load, the browser answered",
			Field: func(p *Participant) any { return &p.Blocked }},
		{Name: "away_s", Type: eventlog.Seconds, Unit: "s", Required: true, Meaning: "time away: nothing answered, and the seat was held",
			Field: func(p *Participant) any { return &p.Away }},
		{Name: "grace_s", Type: eventlog.Seconds, Unit: "s", Required: true, Meaning: "grace used: loading_s + blocked_s + away_s",
			Field: func(p *Participant) any { return &p.Grace }},
		{Name: "longest_blocked_s", Type: eventlog.Seconds, Unit: "s", Required: true, Meaning: "longest single time blocked, as the server saw it",
			Field: func(p *Participant) any { return &p.LongestBlocked }},
		{Name: "longest_away_s", Type: eventlog.Seconds, Unit: "s", Required: true, Meaning: "longest single time away",
			Field: func(p *Participant) any { return &p.LongestAway }},
		{Name: "drops", Type: eventlog.Integer, Required: true, Meaning: "times away, those after a restart of the server left out",
			Field: func(p *Participant) any { return &p.Drops }},
		{Name: "blocks", Type: eventlog.Integer, Required: true, Meaning: "times blocked",
			Field: func(p *Participant) any { return &p.Blocks }},
		{Name: "loads", Type: eventlog.Integer, Required: true, Meaning: "loads that were granted a lease",
			Field: func(p *Participant) any { return &p.Loads }},
		{Name: "loads_failed", Type: eventlog.Integer, Required: true, Meaning: "of these, completed with an error",
			Field: func(p *Participant) any { return &p.Failed }},
		{Name: "loads_expired", Type: eventlog.Integer, Required: true, Meaning: "of these, not completed before the lease ran out",
			Field: func(p *Participant) any { return &p.Expired }},
		{Name: "loads_abandoned", Type: eventlog.Integer, Required: true, Meaning: "of these, ended with the page or the seat",
			Field: func(p *Participant) any { return &p.Abandoned }},
		{Name: "longest_load_s", Type: eventlog.Seconds, Unit: "s", Required: true, Meaning: "longest of these",
			Field: func(p *Participant) any { return &p.LongestLoad }},
		{Name: "page_blocked_s", Type: eventlog.Seconds, Unit: "s", Meaning: "time that the page was frozen during loads, as the page measured it; missing if it never said",
			Field: func(p *Participant) any { return &p.PageBlocked }},
		{Name: "longest_block_s", Type: eventlog.Seconds, Unit: "s", Meaning: "longest freeze during a load, as the page measured it; missing if it never said",
			Field: func(p *Participant) any { return &p.LongestBlock }},
		{Name: "partner_wait_s", Type: eventlog.Seconds, Unit: "s", Required: true,
			Meaning: "waiting that the participant caused: time loading, blocked or away, times the partners whose seats were held meanwhile",
			Field:   func(p *Participant) any { return &p.PartnerWait }},
		{Name: "wait_room_s", Type: eventlog.Seconds, Unit: "s", Required: true, Meaning: "time in the wait room for the groups that came about",
			Field: func(p *Participant) any { return &p.WaitRoom }},
		{Name: "messages_sent", Type: eventlog.Integer, Required: true, Meaning: "messages to the group, in connections that have ended",
			Field: func(p *Participant) any { return &p.Sent }},
		{Name: "messages_received", Type: eventlog.Integer, Required: true, Meaning: "messages of partners, in connections that have ended",
			Field: func(p *Participant) any { return &p.Received }},
		{Name: "events_dropped", Type: eventlog.Integer, Required: true, Meaning: "messages and other events that never reached the page",
			Field: func(p *Participant) any { return &p.Dropped }},
		{Name: "refused", Type: eventlog.Integer, Required: true, Meaning: "the page's events that were refused",
			Field: func(p *Participant) any { return &p.Refused }},
		{Name: "saves", Type: eventlog.Integer, Required: true, Meaning: "times that the page saved its state",
			Field: func(p *Participant) any { return &p.Saves }},
		{Name: "last_scene", Type: eventlog.Text, Free: true, Meaning: "scene saved last",
			Field: func(p *Participant) any { return &p.Scene }},
		{Name: "condition", Type: eventlog.Text, Meaning: "experimental condition that was drawn",
			Field: func(p *Participant) any { return &p.Condition }},
		{Name: "scene_order", Type: eventlog.Text, Meaning: "scenes in the order that was drawn, separated by blanks",
			Field: func(p *Participant) any { return &p.SceneOrder }},
		{Name: "study_outcome", Type: eventlog.Text, Meaning: "how the study ended: completed, partner_gone or wait_timeout",
			Field: func(p *Participant) any { return &p.StudyOutcome }},
		{Name: "outcome", Type: eventlog.Text, Meaning: "gone, or the presence in which the log leaves the participant",
			Field: func(p *Participant) any { return &p.Outcome }},
		{Name: "outcome_reason", Type: eventlog.Text, Meaning: "why",
			Field: func(p *Participant) any { return &p.OutcomeReason }},
	},
}
