package wasmclient

import (
	"errors"

	"initgrace/grace/protocol"
	"initgrace/grace/protocol/codec"
)

// Version is the version of this client and of web/loader.js, which refuses to
// work with a binary of another one.
const Version = "0.1.0"

// Codes of errors that are made here and never travel. Those that servers and
// clients share are in package protocol.
const (
	CodeExpired      protocol.Code = "expired"      // the seat was given up
	CodeDisconnected protocol.Code = "disconnected" // the server told the client to stay away
	CodeUnreachable  protocol.Code = "unreachable"  // no connection within the time given
	CodeQueueFull    protocol.Code = "queue_full"   // too much waits for a connection
	CodePanic        protocol.Code = "panic"        // a fault in this package or in a handler
	CodeProtocol     protocol.Code = "protocol"     // the server said what it must not
)

// Events that a Client makes itself and hands to the same handlers, in order
// with the server's. A server's event of such a name is ignored.
const (
	EventReconnecting = "reconnecting" // Reconnecting
	EventRestored     = "restored"     // protocol.Session, of a connection after the first
	EventClose        = "close"        // protocol.Error: why; the last event of all
)

// Reconnecting says that the connection was lost and another will be tried.
type Reconnecting struct {
	Attempt int           `json:"attempt"` // from 1, since the last session that went on for 10 s
	DelayMS int64         `json:"delay_ms"`
	Code    protocol.Code `json:"code,omitempty"` // of a refusal; empty when the network failed
	Message string        `json:"message"`
}

func (r Reconnecting) encode() []byte {
	var w codec.Writer
	w.Int("attempt", int64(r.Attempt))
	w.Int("delay_ms", r.DelayMS)
	if r.Code != "" {
		w.Text("code", string(r.Code))
	}
	w.Text("message", r.Message)
	return w.JSON()
}

// Why a connection ended, if the server gave no reason.
var (
	errLost   = errors.New("the connection was lost")
	errMute   = errors.New("connected, but no session")
	errHidden = errors.New("the page is being left")
	errSilent = errors.New("the server has been silent for too long")
)

var (
	errClosed    = protocol.NewError(protocol.CodeClosed, "the session was closed")
	errReplaced  = protocol.NewError(protocol.CodeReplaced, "a newer connection of this participant has taken this one's place")
	errDismissed = protocol.NewError(CodeDisconnected, "the server has ended the connection and told the client to stay away")
	errQueueFull = protocol.NewError(CodeQueueFull, "too much waits for a connection already")
)

// final says whether an error ends a session for good: trying again would be
// refused again.
func final(err error) bool {
	e, ok := errors.AsType[*protocol.Error](err)
	if !ok {
		return false
	}
	switch e.Code {
	case protocol.CodeUnauthorized, protocol.CodeBadToken, protocol.CodeTokenRequired, protocol.CodeInvalidPayload,
		protocol.CodeUnknownExperiment, protocol.CodeTooLarge, protocol.CodeReplaced, protocol.CodeClosed,
		CodeExpired, CodeDisconnected, CodePanic:
		return true
	}
	return false
}

// A coded error is a protocol.Error to errors.As and its cause to errors.Is.
type coded struct {
	told  *protocol.Error
	cause error
}

func (e *coded) Error() string   { return e.told.Error() }
func (e *coded) Unwrap() []error { return []error{e.told, e.cause} }

func withCause(code protocol.Code, message string, cause error) error {
	return &coded{protocol.NewError(code, message), cause}
}

// lost is the loss of a connection, with its cause. Like the other errors here
// it does without fmt, which browsers would have to download.
func lost(cause error) error { return &because{errLost, cause} }

// because is an error and its cause; it is both to errors.Is and errors.As.
type because struct{ what, cause error }

func (e *because) Error() string   { return e.what.Error() + ": " + e.cause.Error() }
func (e *because) Unwrap() []error { return []error{e.what, e.cause} }

// AsError is err with a code, as it is told to pages.
func AsError(err error) *protocol.Error {
	if e, ok := errors.AsType[*protocol.Error](err); ok {
		return e
	}
	return protocol.NewError(protocol.CodeInternal, err.Error())
}
