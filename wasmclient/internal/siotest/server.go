//go:build !js

// Package siotest is a tiny Engine.IO and Socket.IO server for tests of the
// client. What it does with a connection is a script in the test; it can do
// what a good server never does.
package siotest

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"initgrace/grace/protocol"
	"initgrace/grace/protocol/sio"
)

// Server serves WebSockets at URL.
type Server struct {
	URL string
	// HTTPClient reaches the server; nil: any client does.
	HTTPClient *http.Client

	t      testing.TB
	script func(*Conn)
	http   *http.Server
	count  atomic.Int64
	wg     sync.WaitGroup
	mu     sync.Mutex
	conns  []*Conn
}

// Pipe starts a server on in-memory connections, which a synctest bubble can
// see through.
func Pipe(t testing.TB, script func(*Conn)) *Server {
	l := &pipes{accept: make(chan net.Conn), done: make(chan struct{})}
	s := New(t, script)
	s.URL = "http://pipe"
	tr := &http.Transport{DialContext: l.dial, DisableKeepAlives: true}
	s.HTTPClient = &http.Client{Transport: tr}
	s.serve(l)
	return s
}

// Listen starts a server on a loopback port.
func Listen(t testing.TB, script func(*Conn)) *Server {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := New(t, script)
	s.URL = "http://" + l.Addr().String()
	s.serve(l)
	return s
}

// New returns a server that is an http.Handler and does not listen.
func New(t testing.TB, script func(*Conn)) *Server {
	s := &Server{t: t, script: script}
	t.Cleanup(s.Close)
	return s
}

func (s *Server) serve(l net.Listener) {
	s.http = &http.Server{Handler: s, ConnContext: func(ctx context.Context, c net.Conn) context.Context {
		return context.WithValue(ctx, stallingKey{}, c)
	}}
	s.wg.Go(func() { _ = s.http.Serve(l) })
}

// Close drops every connection and waits until the scripts have ended.
func (s *Server) Close() {
	if s.http != nil {
		_ = s.http.Close()
	}
	s.Drop()
	s.wg.Wait()
}

// Drop ends every connection without a close frame.
func (s *Server) Drop() {
	s.mu.Lock()
	conns := s.conns
	s.mu.Unlock()
	for _, c := range conns {
		c.Drop()
	}
}

// Count is how many connections there have been.
func (s *Server) Count() int { return int(s.count.Load()) }

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if q := r.URL.Query(); q.Get("EIO") != "4" || q.Get("transport") != "websocket" {
		http.Error(w, "not Engine.IO 4 over WebSocket", http.StatusBadRequest)
		return
	}
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
	if err != nil {
		return
	}
	ws.SetReadLimit(-1)
	ctx, drop := context.WithCancel(context.Background())
	stalling, _ := r.Context().Value(stallingKey{}).(*stalling)
	c := &Conn{
		N: int(s.count.Add(1)), s: s, net: stalling, ws: ws, ctx: ctx, drop: drop,
		in: make(chan string, 4096), over: make(chan struct{}),
	}
	s.mu.Lock()
	s.conns = append(s.conns, c)
	s.mu.Unlock()
	s.wg.Go(c.read)
	s.wg.Go(func() {
		defer c.Drop()
		s.script(c)
	})
}

// Conn is one connection as its script sees it. When it ends, Read and what
// builds on it return false and writes do nothing.
type Conn struct {
	N    int           // from 1
	Auth protocol.Auth // from Connect on

	s    *Server
	ws   *websocket.Conn
	ctx  context.Context
	drop context.CancelFunc
	in   chan string
	over chan struct{}
	net  *stalling
	// Code is the close code that the client sent, -1 if none; set when Over
	// is closed.
	Code websocket.StatusCode
}

// Event is one event of the client.
type Event struct {
	Name    string
	Payload json.RawMessage
	ID      uint64
	Ack     bool
}

// read feeds the script. It goes on while the script does not listen.
func (c *Conn) read() {
	defer close(c.over)
	defer close(c.in)
	for {
		_, data, err := c.ws.Read(c.ctx)
		if err != nil {
			c.Code = websocket.CloseStatus(err)
			return
		}
		c.in <- string(data)
	}
}

// Drop ends the connection without a close frame.
func (c *Conn) Drop() {
	c.drop()
	_ = c.ws.CloseNow() // between two reads the context alone closes nothing
}

// Close ends the connection with a close frame.
func (c *Conn) Close(code websocket.StatusCode) { _ = c.ws.Close(code, "") }

// Over is closed when the client has gone.
func (c *Conn) Over() <-chan struct{} { return c.over }

// Wait keeps the connection open, listening to nothing, until the client goes.
func (c *Conn) Wait() { <-c.over }

// Stall stops reading from the network: what the client sends piles up, and
// nothing is answered, not even a close frame. In-memory connections only.
func (c *Conn) Stall() { c.net.stall() }

// Write sends a raw frame.
func (c *Conn) Write(frame string) {
	_ = c.ws.Write(c.ctx, websocket.MessageText, []byte(frame))
}

// WriteBinary sends a raw binary frame.
func (c *Conn) WriteBinary(frame []byte) {
	_ = c.ws.Write(c.ctx, websocket.MessageBinary, frame)
}

// Read returns the next frame.
func (c *Conn) Read() (string, bool) {
	frame, ok := <-c.in
	return frame, ok
}

// Open sends the Engine.IO handshake.
func (c *Conn) Open(interval, timeout time.Duration) {
	data, _ := json.Marshal(map[string]any{
		"sid": "s", "upgrades": []string{}, "maxPayload": 1 << 20,
		"pingInterval": interval.Milliseconds(), "pingTimeout": timeout.Milliseconds(),
	})
	c.Write("0" + string(data))
}

// Connect waits for the CONNECT packet and answers it.
func (c *Conn) Connect() bool {
	frame, ok := c.Read()
	if !ok {
		return false
	}
	p, err := sio.Decode([]byte(frame[1:]))
	if err != nil || frame[0] != byte(sio.Message) || p.Type != sio.Connect {
		c.s.t.Errorf("connection %d: %q instead of a CONNECT packet (%v)", c.N, frame, err)
		return false
	}
	if err := json.Unmarshal(p.Data, &c.Auth); err != nil {
		c.s.t.Errorf("connection %d: auth: %v", c.N, err)
		return false
	}
	c.Write(`40{"sid":"s"}`)
	return true
}

// Refuse waits for the CONNECT packet and answers it with a refusal.
func (c *Conn) Refuse(code protocol.Code) {
	if frame, ok := c.Read(); ok && frame[:2] == "40" {
		data, _ := json.Marshal(map[string]any{"message": "no", "data": protocol.NewError(code, "no")})
		c.Write("44" + string(data))
	}
}

// Session sends the session event; the participant and a token are filled in.
func (c *Conn) Session(s protocol.Session) {
	s.Participant = c.Auth.Participant
	if s.Token == "" {
		s.Token = "token"
	}
	c.Emit(protocol.EventSession, s)
}

// Greet does all that comes before events: Open with a ping interval that no
// test waits for, Connect, Session.
func (c *Conn) Greet() bool {
	c.Open(time.Hour, time.Hour)
	if !c.Connect() {
		return false
	}
	c.Session(protocol.Session{Epoch: uint64(c.N), Restored: c.N > 1})
	return true
}

// Next returns the next event, answering latency pings meanwhile.
func (c *Conn) Next() (Event, bool) {
	for {
		frame, ok := c.Read()
		if !ok {
			return Event{}, false
		}
		if len(frame) < 2 || frame[:2] != "42" {
			continue
		}
		p, err := sio.Decode([]byte(frame[1:]))
		if err != nil {
			c.s.t.Errorf("connection %d: %q: %v", c.N, frame, err)
			return Event{}, false
		}
		name, args, err := sio.SplitEvent(p.Data)
		if err != nil {
			c.s.t.Errorf("connection %d: %q: %v", c.N, frame, err)
			return Event{}, false
		}
		e := Event{Name: name, ID: p.ID, Ack: p.HasID}
		if len(args) > 0 {
			e.Payload = args[0]
		}
		if name == protocol.EventPing {
			var ping protocol.Ping
			_ = json.Unmarshal(e.Payload, &ping)
			c.Emit(protocol.EventPong, protocol.Pong{ID: ping.ID, MaxLatency: 7})
			continue
		}
		return e, true
	}
}

// Emit sends an event.
func (c *Conn) Emit(event string, payload any) {
	data, err := json.Marshal(payload)
	if err != nil {
		c.s.t.Error(err)
		return
	}
	c.Write("42" + string(sio.AppendEvent(nil, event, data)))
}

// Ack answers an event; one that asked for no ack gets none.
func (c *Conn) Ack(e Event, reply any) {
	if !e.Ack {
		return
	}
	data, err := json.Marshal(reply)
	if err != nil {
		c.s.t.Error(err)
		return
	}
	c.Write("4" + string(sio.Append(nil, sio.Packet{Type: sio.Ack, ID: e.ID, HasID: true, Data: sio.AppendArgs(nil, data)})))
}

// OK is the simplest ack.
var OK = map[string]any{"ok": true}

// Echo answers every event with OK until the client goes.
func (c *Conn) Echo() {
	for {
		e, ok := c.Next()
		if !ok {
			return
		}
		c.Ack(e, OK)
	}
}

// pipes is a listener of in-memory connections.
type pipes struct {
	accept chan net.Conn
	done   chan struct{}
	once   sync.Once
}

func (l *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case l.accept <- &stalling{Conn: server, closed: make(chan struct{})}:
		return client, nil
	case <-l.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-l.accept:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipes) Close() error   { l.once.Do(func() { close(l.done) }); return nil }
func (l *pipes) Addr() net.Addr { return pipeAddr{} }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }

// stalling is a connection that can stop reading.
type stalling struct {
	net.Conn
	stalled atomic.Bool
	once    sync.Once
	closed  chan struct{}
}

type stallingKey struct{}

func (c *stalling) stall() {
	c.stalled.Store(true)
	_ = c.SetReadDeadline(time.Now()) // wakes the reader
}

func (c *stalling) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if !c.stalled.Load() {
		return n, err
	}
	<-c.closed
	return 0, net.ErrClosed
}

func (c *stalling) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}
