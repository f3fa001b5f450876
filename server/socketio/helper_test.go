package socketio

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"initgrace/grace/protocol"
)

// A recorder is a Handler that tells a test what it was told. Its functions,
// where set, are called too.
type recorder struct {
	authorize func(*Conn, Handshake) *protocol.Error
	connected func(*Conn)
	event     func(*Conn, Event)

	mu     sync.Mutex
	calls  []string // of all connections, in order
	joined map[Client]int
	left   map[Client]int
	causes []Cause
	conns  []*Conn
	pages  int
	pongs  []time.Duration
	early  int // calls for a connection that was not Connected, or is over
	news   chan struct{}
}

func newRecorder() *recorder {
	return &recorder{joined: map[Client]int{}, left: map[Client]int{}, news: make(chan struct{}, 1)}
}

func (r *recorder) note(call string, c Client, f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if call != "authorize" && call != "connected" && (r.joined[c] != 1 || r.left[c] != 0) {
		r.early++
	}
	r.calls = append(r.calls, call)
	f()
	select {
	case r.news <- struct{}{}:
	default:
	}
}

func (r *recorder) Authorize(c Client, h Handshake) *protocol.Error {
	r.note("authorize", c, func() {})
	if r.authorize != nil {
		return r.authorize(c.(*Conn), h)
	}
	return nil
}

func (r *recorder) Connected(c Client) {
	r.note("connected", c, func() { r.joined[c]++; r.conns = append(r.conns, c.(*Conn)) })
	if r.connected != nil {
		r.connected(c.(*Conn))
	}
}

func (r *recorder) Event(c Client, e Event) {
	r.note("event "+e.Name, c, func() {})
	if r.event != nil {
		r.event(c.(*Conn), e)
		return
	}
	if e.Ack { // an echo
		var first any
		if len(e.Args) > 0 {
			first = e.Args[0]
		}
		c.Ack(e.AckID, first)
	}
}

func (r *recorder) PagePong(c Client) { r.note("page", c, func() { r.pages++ }) }

func (r *recorder) BrowserPong(c Client, rtt time.Duration) {
	r.note("browser", c, func() { r.pongs = append(r.pongs, rtt) })
}

func (r *recorder) Disconnected(c Client, why Cause) {
	r.note("disconnected", c, func() { r.left[c]++; r.causes = append(r.causes, why) })
}

// wait waits until cond holds, which is asked after every call and, because
// some facts are not calls, every few milliseconds.
func (r *recorder) wait(t testing.TB, what string, cond func() bool) {
	t.Helper()
	waitFor(t, what, func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return cond()
	})
}

func waitFor(t testing.TB, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatalf("still waiting after 20 s: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// testServer starts a Server on a loopback port.
func testServer(t testing.TB, h Handler, o *Options) (*Server, string) {
	t.Helper()
	if o == nil {
		o = &Options{}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	if o.Limits.Handshakes == 0 {
		o.Limits.Handshakes = -1
	}
	s, err := New(h, o)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle(Path, s)
	hs := httptest.NewServer(mux)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			t.Errorf("Close: %v", err)
		}
		hs.CloseClientConnections()
		hs.Close()
	})
	return s, strings.TrimPrefix(hs.URL, "http://")
}

// A client is a bare WebSocket that speaks Engine.IO by hand.
type client struct {
	t  testing.TB
	ws *websocket.Conn
}

func rawDial(t testing.TB, addr string) *client {
	t.Helper()
	c, err := tryDial(t, addr)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func tryDial(t testing.TB, addr string) (*client, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	ws, _, err := websocket.Dial(ctx, "ws://"+addr+Path+"?EIO=4&transport=websocket", nil)
	if err != nil {
		return nil, err
	}
	ws.SetReadLimit(64 << 20)
	t.Cleanup(func() { ws.CloseNow() })
	return &client{t: t, ws: ws}, nil
}

// dial opens a connection and is admitted.
func dial(t testing.TB, addr string) *client {
	t.Helper()
	c := rawDial(t, addr)
	c.expect("0{")
	c.send("40{}")
	c.expect("40{")
	return c
}

func (c *client) send(frames ...string) {
	c.t.Helper()
	for _, f := range frames {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		err := c.ws.Write(ctx, websocket.MessageText, []byte(f))
		cancel()
		if err != nil {
			c.t.Fatalf("write %.40q: %v", f, err)
		}
	}
}

// next reads a frame, answering pings.
func (c *client) next() (string, error) {
	for {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		_, b, err := c.ws.Read(ctx)
		if err != nil {
			cancel()
			return "", err
		}
		if string(b) == "2" {
			err = c.ws.Write(ctx, websocket.MessageText, []byte("3"))
			cancel()
			if err != nil {
				return "", err
			}
			continue
		}
		cancel()
		return string(b), nil
	}
}

// expect reads a frame that begins with prefix.
func (c *client) expect(prefix string) string {
	c.t.Helper()
	f, err := c.next()
	if err != nil {
		c.t.Fatalf("want %q: %v", prefix, err)
	}
	if !strings.HasPrefix(f, prefix) {
		c.t.Fatalf("want %q, got %.200q", prefix, f)
	}
	return f
}

// closed reads on until the connection ends, and returns the close code, -1 if
// there was no close frame.
func (c *client) closed() (websocket.StatusCode, string) {
	c.t.Helper()
	for {
		if _, err := c.next(); err != nil {
			var ce websocket.CloseError
			if errors.As(err, &ce) {
				return ce.Code, ce.Reason
			}
			return -1, err.Error()
		}
	}
}

// reset breaks the connection with an RST.
func reset(nc net.Conn) {
	if tc, ok := nc.(*net.TCPConn); ok {
		tc.SetLinger(0)
	}
	nc.Close()
}

func mustJSON(t testing.TB, s string, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(s), v); err != nil {
		t.Fatalf("%q: %v", s, err)
	}
}
