package socketio

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
	"github.com/zishang520/engine.io-go-parser/packet"
	"github.com/zishang520/engine.io/v2/transports"
	"github.com/zishang520/engine.io/v2/types"

	"initgrace/grace/protocol"
)

// A webSocket is our transport for one WebSocket, in the place of the
// module's. It reads with gorilla/websocket, on which the module upgraded, and
// writes frames itself: everything that leaves goes through the connection's
// outbox, in one order, with one deadline, several frames in one system call.
type webSocket struct {
	transports.Transport

	c   *Conn
	ws  *websocket.Conn
	net *guardedConn

	// carrying is false on an upgrade until the client has said that it is
	// complete; until then only its read loop writes, and only the probe.
	carrying atomic.Bool
	probed   bool // the read loop's

	mu     sync.Mutex
	probes []probe // protocol pings under way, the oldest first
}

// A probe is a protocol ping under way. Its number, which is not to be guessed,
// is its payload, so that a pong that answers nothing counts for nothing.
type probe struct {
	number uint64
	at     time.Time
}

// maxProbes is how many probes may be under way; older ones are forgotten.
const maxProbes = 16

const (
	// linger is how long a closed connection is still read, for the peer's
	// close frame: closing at once would reset it, and what was written last
	// would be lost.
	linger = 2 * time.Second
	// chunk is how much is written under one deadline. It is what
	// Limits.WriteTimeout calls progress.
	chunk = 64 << 10
)

// newWebSocket is called by the module, between its upgrade of the request and
// its own use of the transport. Nothing is read before throughModule says so.
func newWebSocket(h *handshake, ctx *types.HttpContext) *webSocket {
	t := &webSocket{
		Transport: transports.MakeTransport(),
		c:         h.c,
		ws:        ctx.Websocket.Conn,
		net:       ctx.Websocket.NetConn().(*guardedConn),
	}
	t.Prototype(t)
	t.Construct(ctx)
	t.SetWritable(true)
	t.net.owned.Store(true)
	// The limit is kept by message, so that gorilla does not write a close
	// frame of its own; the module has set it.
	t.ws.SetReadLimit(0)
	t.ws.SetPingHandler(t.onPing)
	t.ws.SetPongHandler(t.onPong)
	t.ws.SetCloseHandler(func(int, string) error { return nil })
	if !h.upgrade {
		t.carrying.Store(true)
		t.c.out.carry(t)
	}
	t.c.parts.Add(1) // until read returns
	h.ws = t
	return t
}

// Name, HandlesUpgrades, Send, DoClose: what the module asks of a transport.

func (t *webSocket) Name() string          { return transports.WEBSOCKET }
func (t *webSocket) HandlesUpgrades() bool { return true }
func (t *webSocket) conn() *Conn           { return t.c }

// Send never blocks and never fails: the module may call it from anywhere.
func (t *webSocket) Send(packets []*packet.Packet) {
	if t.carrying.Load() || t.c.carriedBy(t) {
		t.c.send(packets)
	} else {
		for _, p := range packets { // the answer to a probe; the read loop is here
			frame := encodePacket(p)
			t.net.writeFor(t.c.srv.limits.WriteTimeout)
			t.net.Conn.Write(append(appendHeader(nil, websocket.TextMessage, len(frame)), frame...))
		}
	}
	// The module keeps one entry per Send until this. "ready" would have it
	// flush again, inside the flush that called.
	t.Emit("drain")
}

// DoClose does not close: the end of a connection begins in Conn.end, which
// knows what the client is to be told. Only an upgrade that came to nothing
// ends here.
func (t *webSocket) DoClose(done types.Callable) {
	if !t.carrying.Load() && !t.c.carriedBy(t) {
		t.net.Close()
	}
	if done != nil {
		done()
	}
}

// read reads until the end, or until enough says so after a message: then it
// reports that there is more to read. It is a connection's one permanent
// goroutine.
func (t *webSocket) read(enough func() bool) (more bool) {
	defer func() {
		if !more {
			t.net.Close()
			t.c.release()
		}
	}()
	defer t.c.recovered("reading")
	for {
		kind, r, err := t.ws.NextReader()
		if err != nil {
			t.ended(err)
			return false
		}
		if kind != websocket.TextMessage {
			t.c.refuse(binaryFrame, "a binary frame")
			continue // until the peer has seen why, or has had its time
		}
		if err := t.message(r); err != nil {
			t.ended(err)
			return false
		}
		if enough() {
			return true
		}
	}
}

var readBuffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// message reads one message and hands it on.
func (t *webSocket) message(r io.Reader) error {
	buf := readBuffers.Get().(*bytes.Buffer)
	defer func() {
		if buf.Cap() <= 4*chunk { // a message of 64 KiB needs 128: buffers double
			buf.Reset()
			readBuffers.Put(buf)
		}
	}()
	limit := t.c.srv.limits.Packet
	if _, err := buf.ReadFrom(io.LimitReader(r, int64(limit)+1)); err != nil {
		return err
	}
	if buf.Len() > limit {
		t.c.refuse(tooLarge, "a packet of more than "+strconv.Itoa(limit)+" bytes")
		return nil
	}
	t.c.receive(t, buf.Bytes())
	return nil
}

// ended tells what the end of the inbound stream means.
func (t *webSocket) ended(err error) {
	var ce *websocket.CloseError
	errors.As(err, &ce)
	failed := t.net.failed()
	switch {
	case failed == nil && ce == nil:
		t.c.refuse(malformed, err.Error())
		t.net.SetReadDeadline(time.Now().Add(linger))
		io.Copy(io.Discard, t.net.Conn) // gorilla has lost its place in the stream
	case !t.carrying.Load():
		// It came to nothing; long-polling goes on, and may try again when the
		// module has forgotten this one.
		defer t.c.upgrading.Store(false)
	case failed != nil:
		t.c.end(Cause{Kind: Lost, Detail: failed.Error()}, nil)
	default:
		t.closed(ce.Code, ce.Text)
	}
	t.OnClose()
}

// closed ends the connection after the peer's close frame, which is answered.
func (t *webSocket) closed(code int, text string) {
	cause := Cause{Kind: kindOf(code), Detail: strings.TrimSpace("close " + strconv.Itoa(code) + " " + text)}
	t.c.end(cause, &closing{code: code, by: time.Now().Add(linger)})
	select {
	case <-t.c.out.written():
	case <-time.After(linger):
	}
}

// kindOf says what a close code tells. Those of the first two cases were chosen
// by the browser or the page. 1012 to 1014 come from what stands between, the
// rest from libraries in trouble: the person behind them has not left.
func kindOf(code int) CauseKind {
	switch {
	case code == protocol.CloseRetry:
		return Retrying
	case code == websocket.CloseNormalClosure, code == websocket.CloseGoingAway, code == websocket.CloseNoStatusReceived,
		3000 <= code && code <= 4999:
		return BrowserClosed
	}
	return Lost
}

// onPing and onPong run in the read loop, inside NextReader.

func (t *webSocket) onPing(payload string) error {
	if t.c.pace(&t.c.packets, 1); t.carrying.Load() {
		t.c.out.answer([]byte(payload))
	}
	return nil
}

func (t *webSocket) onPong(payload string) error {
	if t.c.pace(&t.c.packets, 1); len(payload) == 8 {
		if rtt, ok := t.answered(binary.BigEndian.Uint64([]byte(payload))); ok {
			t.c.browserPong(rtt)
		}
	}
	return nil
}

// answered finds the probe of that number and forgets it and those before it:
// a browser may answer only the last of several.
func (t *webSocket) answered(number uint64) (roundTrip time.Duration, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, p := range t.probes {
		if p.number == number {
			t.probes = append(t.probes[:0], t.probes[i+1:]...)
			return time.Since(p.at), true
		}
	}
	return 0, false
}

// write drains the outbox. There is one at a time, started by outbox.wake.
func (t *webSocket) write() {
	defer t.c.recovered("writing")
	buf := writeBuffers.Get().(*[]byte)
	defer writeBuffers.Put(buf)
	for {
		b, ok := t.c.out.take()
		if !ok {
			return
		}
		if err := t.writeBatch(*buf, b); err != nil {
			t.unwritable(err)
			return
		}
	}
}

// unwritable ends the writing. If the peer takes nothing, the connection ends;
// if it is gone, the read loop finds out why it went: a close frame may still
// be on its way in.
func (t *webSocket) unwritable(err error) {
	t.c.out.abandon()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.c.slow(Lost, "no byte was accepted for "+t.c.srv.limits.WriteTimeout.String())
		t.net.Close()
		return
	}
	t.net.SetReadDeadline(time.Now().Add(linger))
}

var writeBuffers = sync.Pool{New: func() any {
	b := make([]byte, 0, 4<<10)
	return &b
}}

// writeBatch gathers small frames into few system calls. A large frame is not
// copied.
func (t *webSocket) writeBatch(buf []byte, b batch) error {
	buf = append(buf[:0], t.net.response...)
	t.net.response = nil
	if b.pong != nil {
		buf = append(appendHeader(buf, websocket.PongMessage, len(b.pong)), b.pong...)
	}
	if b.ping {
		buf = t.appendProbe(buf)
	}
	for _, f := range b.frames {
		if len(buf)+len(f)+maxHeader <= cap(buf) {
			buf = append(appendHeader(buf, websocket.TextMessage, len(f)), f...)
			continue
		}
		if len(buf) > 0 {
			if err := t.writeAll(buf); err != nil {
				return err
			}
		}
		if buf = appendHeader(buf[:0], websocket.TextMessage, len(f)); len(buf)+len(f) <= cap(buf) {
			buf = append(buf, f...)
			continue
		}
		// The header travels with the head of the frame: alone it would be a
		// packet of its own.
		head := cap(buf) - len(buf)
		if err := t.writeAll(append(buf, f[:head]...)); err != nil {
			return err
		}
		if err := t.writeAll(f[head:]); err != nil {
			return err
		}
		buf = buf[:0]
	}
	if c := b.closer; c != nil {
		buf = appendClose(buf, c.code, c.text)
	}
	if len(buf) > 0 {
		if err := t.writeAll(buf); err != nil {
			return err
		}
	}
	if b.closer != nil {
		t.net.SetReadDeadline(time.Now().Add(linger))
	}
	return nil
}

// writeAll writes p, a chunk at a time, each under a new deadline.
func (t *webSocket) writeAll(p []byte) error {
	for len(p) > 0 {
		n := min(len(p), chunk)
		t.net.writeFor(t.c.srv.limits.WriteTimeout)
		if _, err := t.net.Conn.Write(p[:n]); err != nil {
			return err
		}
		t.c.out.wrote(n)
		p = p[n:]
	}
	return nil
}

// appendProbe appends a protocol ping and remembers when it was written.
func (t *webSocket) appendProbe(buf []byte) []byte {
	t.c.srv.count.probes.Add(1)
	p := probe{number: rand.Uint64(), at: time.Now()}
	t.mu.Lock()
	if len(t.probes) == maxProbes {
		t.probes = append(t.probes[:0], t.probes[1:]...)
	}
	t.probes = append(t.probes, p)
	t.mu.Unlock()
	return binary.BigEndian.AppendUint64(appendHeader(buf, websocket.PingMessage, 8), p.number)
}

// maxHeader is the longest header of an unmasked frame.
const maxHeader = 10

// appendHeader appends the header of a final, unmasked frame.
func appendHeader(dst []byte, opcode, n int) []byte {
	const final = 0x80
	switch {
	case n < 126:
		return append(dst, final|byte(opcode), byte(n))
	case n < 1<<16:
		return binary.BigEndian.AppendUint16(append(dst, final|byte(opcode), 126), uint16(n))
	default:
		return binary.BigEndian.AppendUint64(append(dst, final|byte(opcode), 127), uint64(n))
	}
}

// appendClose appends a close frame. A code that must not be sent becomes an
// empty payload, and the text is cut to what a control frame holds.
func appendClose(dst []byte, code int, text string) []byte {
	if code < 1000 || code == websocket.CloseNoStatusReceived || code == websocket.CloseAbnormalClosure {
		return appendHeader(dst, websocket.CloseMessage, 0)
	}
	text = strings.ToValidUTF8(text[:min(len(text), 123)], "")
	dst = appendHeader(dst, websocket.CloseMessage, 2+len(text))
	return append(binary.BigEndian.AppendUint16(dst, uint16(code)), text...)
}

// A guardedConn is the network connection that the module and gorilla are given
// in the place of the real one. Reads are only as fast as the limits allow,
// whatever they bring: fragments and control frames too. Writes pass until our
// transport owns the connection; then gorilla has nothing to say any more.
type guardedConn struct {
	net.Conn // the real one
	c        *Conn
	addr     textAddr
	owned    atomic.Bool

	// together keeps what is written before our transport owns the connection, so
	// that the response to the request costs no packet of its own.
	together bool
	response []byte

	mu      sync.Mutex
	readErr error
	by      time.Time // no write deadline is later than this
	until   time.Time // the write deadline that is set
}

func (s *guardedConn) Read(p []byte) (int, error) {
	n, err := s.Conn.Read(p[:min(len(p), chunk)])
	if err != nil {
		s.mu.Lock()
		s.readErr = err
		s.mu.Unlock()
		return n, err
	}
	s.c.pace(&s.c.bytes, n)
	return n, nil
}

// failed is the error that ended the inbound stream, or nil if what came over
// it is at fault.
func (s *guardedConn) failed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.readErr
}

func (s *guardedConn) Write(p []byte) (int, error) {
	switch {
	case s.owned.Load():
		return len(p), nil
	case s.together:
		s.response = append(s.response, p...)
		return len(p), nil
	}
	return s.Conn.Write(p)
}

// RemoteAddr is what the request had: the module wants it as a text, which is
// costly to make.
func (s *guardedConn) RemoteAddr() net.Addr { return s.addr }

type textAddr string

func (textAddr) Network() string  { return "tcp" }
func (a textAddr) String() string { return string(a) }

// endBy bounds what is left of the connection's life: the writing, and the wait
// for the peer's close frame.
func (s *guardedConn) endBy(by time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.by.IsZero() || by.Before(s.by) {
		s.by = by
	}
	s.Conn.SetWriteDeadline(by)
	s.Conn.SetReadDeadline(by.Add(linger))
}

// writeFor sets the deadline of the next write, so long after now or up to half
// as long again: the deadline of an earlier write may still do, and setting one
// costs a tenth of a write.
func (s *guardedConn) writeFor(d time.Duration) {
	t := time.Now().Add(d)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.by.IsZero() {
		if s.until.Before(t) {
			s.until = t.Add(d / 2)
			s.Conn.SetWriteDeadline(s.until)
		}
		return
	}
	if s.by.Before(t) {
		t = s.by
	}
	s.Conn.SetWriteDeadline(t)
}

// SetWriteDeadline is for gorilla, which sets one with each of its writes.
func (s *guardedConn) SetWriteDeadline(t time.Time) error {
	if s.owned.Load() {
		return nil
	}
	return s.Conn.SetWriteDeadline(t)
}
