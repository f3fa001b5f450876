package socketio

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
	"github.com/zishang520/engine.io-go-parser/packet"
	"github.com/zishang520/engine.io/v2/engine"
	"github.com/zishang520/engine.io/v2/transports"
)

// A Conn is one client's connection. Its methods may be called from anywhere,
// at any time, and never block; after its end they do nothing.
type Conn struct {
	srv       *Server
	addr      string
	network   netip.Prefix // that the connection counts for
	header    http.Header
	transport string // of the handshake
	out       outbox
	packets   pacer
	bytes     pacer
	polling   *polling      // nil if the handshake was a WebSocket's
	done      chan struct{} // closed when the end begins
	parts     atomic.Int32  // of it that still live; see release
	pinged    atomic.Bool   // an Engine.IO ping is unanswered
	asked     time.Time     // when it was sent; the wheel's
	spot      spot          // in the wheel
	alone     atomic.Bool   // the module has no part in it any more
	upgrading atomic.Bool   // a WebSocket is about to take over
	left      atomic.Bool   // the client has left the namespace

	// in is held while a packet is handled and while the Handler is told
	// anything: it makes the Handler's calls come one after the other.
	in     sync.Mutex
	state  state
	joined chan struct{} // of the CONNECT under way
	auth   []byte        // its object

	mu     sync.Mutex
	engine engine.Socket // the module's, while it has a part in it
	cause  *Cause
	id     string
	value  any
	timer  *time.Timer // ends a connection that the client has left
}

// state is how far a client has come. It only grows.
type state int

const (
	opened     state = iota // Engine.IO is open; nothing but CONNECT is allowed
	connecting              // the module and the Handler decide
	rejected                // the client was told why; it is to close
	connected               // the Handler was told
	over                    // the Handler was told, if it had to be
)

// After says what a client whose connection is closed should do.
type After bool

const (
	// StayAway: the client is told to disconnect. A Socket.IO client does not
	// reconnect by itself.
	StayAway After = false
	// ComeBack: the connection is closed with no such word, so that a
	// Socket.IO client reconnects by itself.
	ComeBack After = true
)

// ID is the Socket.IO session id: unique, and not secret.
func (c *Conn) ID() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.id
}

// RemoteAddr is the client's address without a port; behind a trusted proxy,
// the one that the proxy reports.
func (c *Conn) RemoteAddr() string { return c.addr }

// Value returns what SetValue stored last.
func (c *Conn) Value() any {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.value
}

// SetValue keeps something of the owner's with the connection.
func (c *Conn) SetValue(v any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.value = v
}

// Emit sends an event with at most one argument; see EncodeEvent. The error is
// that of encoding the payload.
func (c *Conn) Emit(event string, payload any) error {
	frame, err := EncodeEvent(event, payload)
	if err != nil {
		return err
	}
	c.EmitFrame(frame)
	return nil
}

// EmitFrame sends what EncodeEvent made. The frame may be shared with other
// connections and must not be changed any more.
func (c *Conn) EmitFrame(frame []byte) {
	if !c.left.Load() {
		c.put(frame)
	}
}

func (c *Conn) put(frame []byte) {
	if !c.out.put(frame) {
		c.slow(Refused, fmt.Sprintf("%d bytes are waiting", c.out.queued()))
	}
}

// Ack answers the event that had this AckID, with at most one argument. The
// error is that of encoding the payload.
func (c *Conn) Ack(id uint64, payload any) error {
	frame, err := EncodeAck(id, payload)
	if err != nil {
		return err
	}
	c.EmitFrame(frame)
	return nil
}

// CanProbe says whether the browser can be asked behind the page's back: over
// a WebSocket, not over long-polling.
func (c *Conn) CanProbe() bool { return c.out.onWebSocket() }

// Probe asks the browser for a sign of life; Handler.BrowserPong reports it.
// Probes that were not yet written are one.
func (c *Conn) Probe() { c.out.probe() }

// QueuedBytes is how much was emitted and is not yet written.
func (c *Conn) QueuedBytes() int { return c.out.queued() }

// Close ends the connection after what was emitted before is written, for at
// most Limits.WriteTimeout. The reason is for logs and for the close frame, of
// which it may fill 123 bytes.
func (c *Conn) Close(reason string, after After) {
	code := websocket.CloseNormalClosure
	if after == ComeBack {
		code = websocket.CloseGoingAway
	}
	c.end(Cause{Kind: ServerClosed, Detail: reason}, &closing{
		code: code, text: reason, flush: true, goodbye: after == StayAway,
		by: time.Now().Add(c.srv.limits.WriteTimeout),
	})
}

// refuse ends the connection because of what came over it.
func (c *Conn) refuse(r reason, detail string) {
	how := closing{code: r.closeCode(), text: r.String(), by: time.Now().Add(linger)}
	if c.end(Cause{Kind: Refused, Detail: r.String() + ": " + detail}, &how) {
		c.srv.count.refused[r].Add(1)
	}
}

// slow ends the connection because it does not take what is sent. There is no
// use in sending it more.
func (c *Conn) slow(kind CauseKind, detail string) {
	if c.end(Cause{Kind: kind, Detail: slowReader.String() + ": " + detail}, &closing{
		code: slowReader.closeCode(), text: slowReader.String(), by: time.Now().Add(linger),
	}) {
		c.srv.count.refused[slowReader].Add(1)
	}
}

// end begins the end; only the first call counts, and its cause. With a nil
// closing there is nobody left to be told.
func (c *Conn) end(cause Cause, how *closing) bool {
	c.mu.Lock()
	if c.cause != nil {
		c.mu.Unlock()
		return false
	}
	c.cause = &cause
	close(c.done)
	c.mu.Unlock()
	if how == nil {
		c.out.abandon()
	} else {
		c.out.close(*how)
	}
	c.srv.log.Debug("connection ends", "conn", c, "kind", cause.Kind, "detail", cause.Detail)
	// Not here: the caller may hold locks, the module's among them.
	go c.finish(cause)
	return true
}

// LogValue is how a connection appears in logs.
func (c *Conn) LogValue() slog.Value {
	return slog.GroupValue(slog.String("id", c.ID()), slog.String("addr", c.addr))
}

// wasRefused says whether the guard has ended the connection.
func (c *Conn) wasRefused() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cause != nil && c.cause.Kind == Refused
}

func (c *Conn) isEnding() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// finish tells the Handler, when the call that is under way has returned, and
// lets go of the module's half.
func (c *Conn) finish(cause Cause) {
	defer c.release()
	defer c.recovered("closing")
	c.in.Lock()
	c.conclude(cause)
	c.in.Unlock()
	c.srv.wheel.remove(c)
	if c.out.owesPoll() {
		select {
		case <-c.out.written():
		case <-time.After(linger): // a client that polls comes at once
		}
	}
	c.mu.Lock()
	e := c.engine
	if c.timer != nil {
		c.timer.Stop() // it would keep all this
	}
	c.mu.Unlock()
	if e != nil {
		e.Close(true)
	}
}

// conclude tells the Handler of the end, if it has to know and does not know yet.
// The caller holds c.in.
func (c *Conn) conclude(cause Cause) {
	was := c.state
	c.state = over
	if was == connected {
		c.srv.count.connected.Add(-1)
		c.call("Disconnected", func() { c.srv.handler.Disconnected(c, cause) })
	}
}

// retain adds a part, unless there is none left.
func (c *Conn) retain() bool {
	for {
		n := c.parts.Load()
		if n == 0 {
			return false
		}
		if c.parts.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// release counts the parts that hold the connection: the handshake, each of its
// sockets, and the one that tells of its end. The last one takes it off the
// server's books.
func (c *Conn) release() {
	if c.parts.Add(-1) == 0 {
		c.srv.forget(c)
	}
}

// attach is called when the module has made its half of the connection and
// listens to it.
func (c *Conn) attach(e engine.Socket) {
	c.mu.Lock()
	c.engine = e
	c.mu.Unlock()
	e.Once("close", func(args ...any) {
		words := "closed by the module"
		if len(args) > 0 {
			words = fmt.Sprint(args[0])
		}
		c.engineClosed(words)
	})
	switch { // what happened before there was a listener or an engine
	case e.ReadyState() == "closed":
		c.engineClosed("closed during the handshake")
	case c.isEnding():
		e.Close(true)
	}
}

// engineClosed is the end that the module found: the ceiling of a ping, or
// that of the time to be admitted. All other ends begin with ours.
func (c *Conn) engineClosed(words string) {
	switch {
	case c.alone.Load():
	case words == "forced close":
		c.refuse(connectTimeout, "not admitted in time")
	default:
		c.pingTimeout(words)
	}
}

// letGo closes the module's half of a connection that was admitted. The module
// has done its part: nothing that comes or leaves passes through it any more, and
// until the end it would keep a goroutine, a timer and 7 KB for its pings. A
// connection that began with long-polling may still be upgraded, and stays.
// The caller holds c.in, which finish waits for.
func (c *Conn) letGo(t *webSocket) {
	c.mu.Lock()
	e := c.engine
	c.engine = nil
	c.alone.Store(true)
	c.mu.Unlock()
	e.Close(true)
	t.Clear() // its listeners
	c.asked = time.Now()
	c.srv.wheel.add(c)
}

// carriedBy says whether the module regards t as the connection's transport.
func (c *Conn) carriedBy(t transports.Transport) bool {
	c.mu.Lock()
	e := c.engine
	c.mu.Unlock()
	return e != nil && e.Transport() == t
}

// send queues what the module sends.
func (c *Conn) send(packets []*packet.Packet) {
	for _, p := range packets {
		if p.Type == packet.PING {
			c.pinged.Store(true)
		}
		c.put(encodePacket(p))
	}
}

// recovered is deferred where our own goroutines run: a fault of the Handler's
// ends one connection.
func (c *Conn) recovered(doing string) {
	fault := recover()
	if fault == nil {
		return
	}
	c.srv.log.Error("panic", "conn", c, "while", doing, "panic", fault, "stack", string(debug.Stack()))
	c.srv.count.refused[panicked].Add(1)
	c.end(Cause{Kind: ServerClosed, Detail: fmt.Sprint("panic while ", doing, ": ", fault)}, &closing{
		code: panicked.closeCode(), text: "internal error", by: time.Now().Add(linger),
	})
}

// call runs a call of the Handler's. It reports false if that panicked.
func (c *Conn) call(name string, f func()) (ok bool) {
	defer c.recovered(name)
	f()
	return true
}

// browserPong tells the Handler that the browser has answered a probe.
func (c *Conn) browserPong(roundTrip time.Duration) {
	c.in.Lock()
	defer c.in.Unlock()
	if c.state == connected && !c.isEnding() {
		c.srv.count.pongs.Add(1)
		c.call("BrowserPong", func() { c.srv.handler.BrowserPong(c, roundTrip) })
	}
}
