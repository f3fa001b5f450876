package protocol

// Code is a stable, machine-readable error code. Every refusal is an object
// {ok: false, code, message}; the message is for people and may change.
type Code string

const (
	// The client's mistake; sending the same again is refused again.
	CodeUnauthorized      Code = "unauthorized"       // no participant id, or a malformed one
	CodeBadToken          Code = "bad_token"          // the token is not this participant's
	CodeTokenRequired     Code = "token_required"     // the session is there, and nothing but its token leads to it
	CodeUnknownEvent      Code = "unknown_event"      // no such event
	CodeInvalidPayload    Code = "invalid_payload"    // wrong type, missing or out of range
	CodeTooLarge          Code = "too_large"          // over the documented size
	CodeUnknownLoad       Code = "unknown_load"       // no open load of that id
	CodeLoadEnded         Code = "load_ended"         // the load has completed, expired or was abandoned
	CodeStaleVersion      Code = "stale_version"      // state_save from an older version
	CodeNotInGroup        Code = "not_in_group"       // a group event without a group
	CodeInGroup           Code = "in_group"           // join while in a group
	CodeUnknownExperiment Code = "unknown_experiment" // the study file has no such experiment
	CodeStudyOver         Code = "study_over"         // the participant has an outcome
	CodeNotAsked          Code = "not_asked"          // an answer without a question
	CodeTooSlow           Code = "too_slow"           // the connection is slower than the experiment allows
	CodeBarrierTimeout    Code = "barrier_timeout"    // not every member has reached the barrier in time
	CodeReplaced          Code = "replaced"           // a newer connection took this one's place

	// The experimenter's mistake; see package admin.
	CodeOrigin             Code = "foreign_origin"      // asked by a page of another site
	CodeUnknownParticipant Code = "unknown_participant" // nobody of that id holds a seat
	CodeNoDeadline         Code = "no_deadline"         // neither loading nor away: there is nothing to extend

	// The policy's answer; the page may go on, unprotected.
	CodeLoadBudget Code = "load_budget" // the session's budget of loads or loading time is used up
	CodeLoadLimit  Code = "load_limit"  // too many loads open at once

	// The server's trouble; trying again later may work.
	CodeStore      Code = "store"       // the fact could not be stored
	CodeRateLimit  Code = "rate_limit"  // too many events
	CodeRestarting Code = "restarting"  // the server is shutting down
	CodeInternal   Code = "internal"    // a fault of the server's
	CodeOverloaded Code = "overloaded"  // too many connections
	CodeTimeout    Code = "ack_timeout" // made by clients: no ack within the deadline
	CodeClosed     Code = "closed"      // made by clients: the session was closed
)

// Error is a refusal on the wire. It is never sent with OK true.
type Error struct {
	OK      bool   `json:"ok"`
	Code    Code   `json:"code"`
	Message string `json:"message"`
}

// NewError makes a refusal; fmt stays out of this package, which browsers download.
func NewError(code Code, message string) *Error {
	return &Error{Code: code, Message: message}
}

func (e *Error) Error() string { return string(e.Code) + ": " + e.Message }

// CloseRetry is the WebSocket close code of a client that gives up a connection
// because it hears nothing on it, and will make another: to the server that is
// a lost network, not a page that has ended.
const CloseRetry = 4000

// Reason says why a presence changed.
type Reason string

const (
	// Back to active, or into loading and blocked.
	ReasonConnected    Reason = "connected"     // first connection of the session
	ReasonReconnected  Reason = "reconnected"   // a newer connection of the same page
	ReasonRefreshed    Reason = "refreshed"     // a newer page instance: the old one's loads ended
	ReasonEvidence     Reason = "evidence"      // a silent one answered again
	ReasonLoadStarted  Reason = "load_started"  // a lease was granted
	ReasonLoadProgress Reason = "load_progress" // another phase or deadline of the same load
	ReasonLoadEnded    Reason = "load_ended"    // completed
	ReasonLoadFailed   Reason = "load_failed"   // completed with an error
	ReasonLeaseExpired Reason = "lease_expired" // the lease ran out
	ReasonExtended     Reason = "extended"      // the experimenter gave a lease or a hold more time
	ReasonPageSilent   Reason = "page_silent"   // blocked: only the browser answers
	ReasonPolicy       Reason = "policy"        // another scene, where other times apply

	// Into away.
	ReasonSilence    Reason = "silence"        // no evidence of any kind
	ReasonTransport  Reason = "transport_lost" // reset, or closed with no close frame
	ReasonProxy      Reason = "suspect_proxy"  // pings are answered, but the worker's beats have stopped
	ReasonPageHide   Reason = "pagehide"       // the page said that it is being left
	ReasonPageClosed Reason = "page_closed"    // the browser closed the socket: tab closed, crashed, navigated
	ReasonDisconnect Reason = "disconnected"   // the client said goodbye
	ReasonRestart    Reason = "server_restart" // the server was restarted
	ReasonRefused    Reason = "refused"        // the guard closed the connection

	// Into gone.
	ReasonReconnectTimeout Reason = "reconnect_timeout" // away after a lost network for too long
	ReasonLeaveTimeout     Reason = "leave_timeout"     // away after the page ended for too long
	ReasonBlockedTimeout   Reason = "blocked_timeout"   // blocked without a lease for too long
	ReasonEnded            Reason = "ended"             // the study or the experimenter ended it
	ReasonPartner          Reason = "partner_gone"      // of a group that was decided about some time after a member was gone

	// Of messages that were dropped; also the reasons into gone.
	ReasonQueueFull Reason = "queue_full" // more waits for the partner than the bound allows
)
