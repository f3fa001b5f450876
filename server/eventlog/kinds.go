package eventlog

import (
	"slices"

	"initgrace/grace/protocol"
)

// Kind says what happened.
type Kind string

const (
	RunStarted       Kind = "run_started"
	RunStopped       Kind = "run_stopped"
	Plan             Kind = "plan"
	HandshakeRefused Kind = "handshake_refused"
	Connected        Kind = "connected"
	Disconnected     Kind = "disconnected"
	Presence         Kind = "presence"
	Gap              Kind = "gap"
	Suspended        Kind = "suspended"
	Gone             Kind = "gone"
	LoadStarted      Kind = "load_started"
	LoadProgress     Kind = "load_progress"
	LoadEnded        Kind = "load_ended"
	LoadLate         Kind = "load_late"
	Refused          Kind = "refused"
	MessagesSent     Kind = "messages_sent"
	MessagesReceived Kind = "messages_received"
	Released         Kind = "released"
	Dropped          Kind = "dropped"
	StateSaved       Kind = "state_saved"
	Waiting          Kind = "waiting"
	GroupJoined      Kind = "group_joined"
	GroupLeft        Kind = "group_left"
	Assigned         Kind = "assigned"
	Vacancy          Kind = "vacancy"
	Decided          Kind = "decided"
	Outcome          Kind = "outcome"
	Notice           Kind = "notice"
)

// A Definition explains one kind.
type Definition struct {
	Kind    Kind
	Meaning string
	// Fills lists the columns that may hold a value, besides those that every
	// record has and participant, experiment, group_id and epoch.
	Fills []string
	// PageWrites: the detail is the page's own text, and may say who it is.
	PageWrites bool
}

// Kinds defines every kind, in the order in which a session meets them.
var Kinds = []Definition{
	{RunStarted, "The server started. detail: the policy in force, as JSON.", []string{"detail"}, false},
	{Plan, "Follows run_started, for each experiment of the study file, and each scene with other times. detail: where its policy differs from that of the server, or of the experiment, as JSON; -1 is off.",
		[]string{"scene", "detail"}, false},
	{HandshakeRefused, "Connections that were not admitted. participant is whom they claimed to be, if that was well-formed. At most one row a second for each reason.",
		[]string{"reason", "count", "detail"}, false},
	{Connected, "A connection of the participant was admitted. detail: the page's id of this page instance.", []string{"reason", "detail"}, true},
	{Disconnected, "A connection ended. duration_ms: how long it had lasted. detail: how it ended, in the server's words.", []string{"reason", "duration_ms", "detail"}, true},
	{Presence, "The presence changed, or what is known within one (from and to are the same then: another phase, another deadline). " +
		"lease_ms: until to_presence ends by itself.",
		[]string{"presence_seq", "from_presence", "to_presence", "reason", "phase", "expected_ms", "lease_ms", "duration_ms", "count"}, false},
	{Gap, "Signs of life had been missing for duration_ms when the presence changed, which the next row tells. " +
		"reason: silence, of every kind; page_silent or suspect_proxy, of the page's main thread.", []string{"reason", "duration_ms"}, false},
	{Suspended, "The server stopped in an orderly way while the participant was in from_presence.", []string{"from_presence", "reason", "duration_ms"}, false},
	{Gone, "The outcome: the seat was given up. Once for each seat. duration_ms: how long the seat was held in this run.", []string{"reason", "duration_ms"}, false},
	{LoadStarted, "A load was granted a lease.", []string{"load_id", "phase", "expected_ms", "lease_ms"}, false},
	{LoadProgress, "A load reached another phase or got another lease.", []string{"load_id", "phase", "expected_ms", "lease_ms", "count"}, false},
	{LoadEnded, "A load ended, whatever it came to. duration_ms: from its start. detail: the page's words on a failure, or why it was abandoned.",
		[]string{"load_id", "phase", "expected_ms", "lease_ms", "duration_ms", "blocked_ms", "longest_block_ms", "reason", "detail"}, true},
	{LoadLate, "The page completed a load that had ended before, such as by an expired lease; the page's own measurements of it.",
		[]string{"load_id", "blocked_ms", "longest_block_ms", "count"}, false},
	{Refused, "The participant's events that were refused. detail: the event. The first of each reason in a connection at once, the others in one row when it ends.",
		[]string{"reason", "count", "detail"}, true},
	{MessagesSent, "Messages to the group since the last such row, written when a connection ends.", []string{"count", "bytes"}, false},
	{MessagesReceived, "Messages of partners since the last such row, written when a connection ends; held and dropped ones included.", []string{"count", "bytes"}, false},
	{Released, "Events that had been held back while the page could not read were sent to it. Of states of partners and of the participant itself only the latest is ever kept; those are not counted.", []string{"count", "bytes"}, false},
	{Dropped, "Events that never reached the page, since the last such row. Written when the page reads again or the seat is given up.", []string{"reason", "count", "bytes"}, false},
	{StateSaved, "The page saved its state. scene: where the participant is in the study. bytes: size of the state.", []string{"scene", "version", "bytes", "count"}, false},
	{Waiting, "The participant entered the wait room. count: size of the group wanted.", []string{"count"}, false},
	{GroupJoined, "The participant became a member of group_id. count: members now. duration_ms: time in the wait room, if it was the wait room that made the group.",
		[]string{"count", "duration_ms"}, false},
	{GroupLeft, "The participant is no longer a member of group_id. partner: who ended the group by leaving it.", []string{"reason", "partner"}, false},
	{Assigned, "The participant was drawn into a condition. Once for each participant. detail: the condition. scene: the scenes in their order.", []string{"detail", "scene"}, false},
	{Vacancy, "A member of group_id is gone and the group waits. reason: for what. partner: who is gone. count: places that are open. lease_ms: for how long.",
		[]string{"reason", "partner", "count", "lease_ms"}, false},
	{Decided, "What became of group_id after a member was gone. reason: that. partner: who is gone.", []string{"reason", "partner"}, false},
	{Outcome, "How the study ended for the participant. Once for each participant. partner: whose leaving it is due to. detail: the payment code.", []string{"reason", "partner", "detail"}, false},
	{Notice, "The experimenter sent the participant's page a text. detail: the text.", []string{"detail"}, true},
	{RunStopped, "The server ended in an orderly way. A run without this row was killed.", nil, false},
}

func pageWrites(r *Record) bool {
	i := slices.IndexFunc(Kinds, func(d Definition) bool { return d.Kind == r.Kind })
	return i < 0 || Kinds[i].PageWrites
}

// What a load came to: the reasons of LoadEnded.
const (
	LoadOK        = "ok"
	LoadFailed    = "failed"
	LoadExpired   = "expired"
	LoadAbandoned = "abandoned"
)

// Reasons that are neither the policy's nor error codes.
const (
	ReasonNewGroup  = "new_group"
	ReasonRequeued  = "requeued"
	ReasonQueueFull = "queue_full"
)

// A Value explains one value of a column.
type Value struct{ Value, Meaning string }

// Presences are the values of from_presence and to_presence.
var Presences = []Value{
	{string(protocol.Active), "the page's main thread runs"},
	{string(protocol.Loading), "a declared load is under way; the page may be frozen"},
	{string(protocol.Blocked), "the page is silent without a declared load; the browser answers"},
	{string(protocol.Away), "nothing answers; the seat is held"},
	{string(protocol.Gone), "the seat was given up"},
}

// Reasons are the values of reason.
var Reasons = []Value{
	{string(protocol.ReasonConnected), "first connection of a seat"},
	{string(protocol.ReasonReconnected), "another connection of the same page"},
	{string(protocol.ReasonRefreshed), "another page instance took over: the earlier one's loads ended"},
	{string(protocol.ReasonEvidence), "a silent participant answered again"},
	{string(protocol.ReasonLoadStarted), "a load was granted a lease"},
	{string(protocol.ReasonLoadProgress), "another phase or deadline of the same load"},
	{string(protocol.ReasonLoadEnded), "the load completed; refused: it had ended before"},
	{string(protocol.ReasonLoadFailed), "the load completed with an error"},
	{string(protocol.ReasonLeaseExpired), "the lease ran out"},
	{string(protocol.ReasonExtended), "the experimenter gave the lease, or the hold of somebody away, more time"},
	{string(protocol.ReasonPageSilent), "the page is silent, only the browser answers"},
	{string(protocol.ReasonSilence), "no sign of life of any kind"},
	{string(protocol.ReasonProxy), "pings were answered, perhaps by a proxy, but the worker's beats had stopped"},
	{string(protocol.ReasonTransport), "the connection was reset, or closed without a close frame"},
	{string(protocol.ReasonPageHide), "the page said that it is being left"},
	{string(protocol.ReasonPageClosed), "the browser closed the connection: tab closed, crashed, navigated away or refreshed"},
	{string(protocol.ReasonDisconnect), "the page said goodbye"},
	{string(protocol.ReasonRestart), "the server was restarted"},
	{string(protocol.ReasonRefused), "the server's guard closed the connection"},
	{string(protocol.ReasonReconnectTimeout), "away for too long after a lost network"},
	{string(protocol.ReasonLeaveTimeout), "away for too long after the page had ended"},
	{string(protocol.ReasonBlockedTimeout), "blocked without a declared load for too long"},
	{string(protocol.ReasonEnded), "the study or the experimenter ended it"},

	{LoadOK, "load: completed"},
	{LoadFailed, "load: completed with an error"},
	{LoadExpired, "load: the lease ran out before the page said anything"},
	{LoadAbandoned, "load: the page that had declared it ended, or no longer names it"},

	{ReasonNewGroup, "group: the participant's page named another group"},
	{ReasonQueueFull, "events: more was held back than the bound allows"},

	{ReasonRequeued, "group: its members wait for new partners"},
	{string(protocol.Completed), "outcome: the page said that the study is finished"},
	{string(protocol.PartnerGone), "outcome, group: the seat of a partner was given up"},
	{string(protocol.WaitTimeout), "outcome: there was no group in time"},
	{"end", "group: it ended for everybody"},
	{"continue", "group: it went on without the one who is gone"},
	{"requeue", "group: its members wait for new partners"},
	{"replace", "group: somebody from the wait room takes the place"},
	{"ask", "group: its members were asked"},
	{string(protocol.ReasonPolicy), "the participant is in a scene with other times"},
	{string(protocol.CodeUnknownExperiment), "refused: no such experiment in the study file"},
	{string(protocol.CodeStudyOver), "refused: the study is over for the participant"},
	{string(protocol.CodeNotAsked), "refused: an answer without a question"},
	{string(protocol.CodeTooSlow), "refused: the connection is slower than the experiment allows"},

	{string(protocol.CodeUnauthorized), "refused: no participant id, or a malformed handshake"},
	{string(protocol.CodeBadToken), "refused: the token is not this participant's"},
	{string(protocol.CodeTokenRequired), "refused: the session is there, and nothing but its token leads to it"},
	{string(protocol.CodeUnknownEvent), "refused: no such event"},
	{string(protocol.CodeInvalidPayload), "refused: a field has the wrong type or is out of range"},
	{string(protocol.CodeTooLarge), "refused: over the documented size"},
	{string(protocol.CodeUnknownLoad), "refused: no open load of that id"},
	{string(protocol.CodeStaleVersion), "refused: the state was made from an older version"},
	{string(protocol.CodeNotInGroup), "refused: a message without partners"},
	{string(protocol.CodeBarrierTimeout), "refused: not every member of the group has reached the barrier in time"},
	{string(protocol.CodeInGroup), "refused: asked for a group while in one"},
	{string(protocol.CodeReplaced), "a newer connection took this one's place"},
	{string(protocol.CodeLoadBudget), "refused: the budget of loads is used up; the page may load, unprotected"},
	{string(protocol.CodeLoadLimit), "refused: too many loads open at once"},
	{string(protocol.CodeStore), "refused: the fact could not be stored"},
	{string(protocol.CodeRateLimit), "refused: too many events"},
	{string(protocol.CodeRestarting), "refused: the server is shutting down"},
	{string(protocol.CodeInternal), "refused: a fault of the server's"},
	{string(protocol.CodeOverloaded), "refused: too many connections"},
}
