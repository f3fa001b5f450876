package socketio

import (
	"encoding/json"
	"net/http"
	"time"

	"initgrace/grace/protocol"
)

// A Handler is told what happens on the connections of a Server. For one
// connection the calls come one after the other, in this order: Authorize
// once, Connected once if it was admitted, then Event, PagePong and
// BrowserPong, then Disconnected exactly once. A panic in a call is logged and
// closes that connection; the process lives.
type Handler interface {
	// Authorize admits a client by returning nil; otherwise the client
	// receives a connect_error that carries the refusal as its data.
	Authorize(c Client, h Handshake) *protocol.Error
	// Connected may emit: the client has been told that it is connected
	// before anything emitted here reaches it.
	Connected(c Client)
	// Event hands over one event. It must not keep the connection waiting for
	// long: the next event is read when it returns. e's bytes are the callee's.
	Event(c Client, e Event)
	// PagePong reports an Engine.IO pong: the code that owns the client's
	// socket ran.
	PagePong(c Client)
	// BrowserPong reports a WebSocket protocol pong that answers Client.Probe.
	BrowserPong(c Client, roundTrip time.Duration)
	// Disconnected reports the end of a connection that was Connected. What is
	// emitted from here on goes nowhere.
	Disconnected(c Client, why Cause)
}

// A Client is a connection as a Handler knows it: a *Conn, or what stands for one
// that another server has. Its methods may be called from anywhere, at any time,
// and never block; after its end they do nothing.
type Client interface {
	// ID is unique, and not secret.
	ID() string
	// RemoteAddr is the client's address without a port.
	RemoteAddr() string
	// Value returns what SetValue stored last: something of the Handler's.
	Value() any
	SetValue(any)
	// EmitFrame sends what EncodeEvent made.
	EmitFrame(frame []byte)
	// Ack answers the event that had this AckID, with at most one argument.
	Ack(id uint64, payload any) error
	// CanProbe says whether the browser can be asked behind the page's back.
	CanProbe() bool
	// Probe asks it; Handler.BrowserPong reports the answer.
	Probe()
	// Close ends the connection when what was emitted before is written.
	Close(reason string, after After)
}

// Handshake is what is known of a client that asks to be admitted.
type Handshake struct {
	Auth       json.RawMessage // the CONNECT packet's object; nil when absent
	RemoteAddr string          // address without port, behind trusted proxies the client's
	Header     http.Header
	Transport  string // "websocket" or "polling"
}

// Event is one event of a client.
type Event struct {
	Name  string
	Args  []json.RawMessage // without the name
	AckID uint64
	Ack   bool // the client asked for an acknowledgement: Client.Ack(AckID, …)
}

// Cause says how a connection ended.
type Cause struct {
	Kind   CauseKind
	Detail string // for the log: the close code, the refusal, the module's words
}

// CauseKind groups the ends by what they say about the participant.
type CauseKind int

const (
	// Lost: reset, FIN without a close frame, write timeout, ping ceiling, or
	// a close frame that only a proxy sends (1012 and its neighbours).
	Lost CauseKind = iota
	// BrowserClosed: the browser sent a close frame by itself (1000, 1001,
	// 1005, or a code of the page's own): tab closed, navigated away, crashed,
	// refreshed.
	BrowserClosed
	// ClientLeft: the client disconnected the namespace (Socket.IO 41).
	ClientLeft
	// Refused: the guard closed it; Detail says for what.
	Refused
	// ServerClosed: Conn.Close or Server.Close was called, or a Handler's call
	// panicked.
	ServerClosed
	// Retrying: the client heard nothing from us for too long, and makes
	// another connection (protocol.CloseRetry), or its server has told it to.
	Retrying
)

func (k CauseKind) String() string {
	switch k {
	case Lost:
		return "lost"
	case BrowserClosed:
		return "browser_closed"
	case ClientLeft:
		return "client_left"
	case Refused:
		return "refused"
	case ServerClosed:
		return "server_closed"
	case Retrying:
		return "retrying"
	}
	return "unknown"
}
