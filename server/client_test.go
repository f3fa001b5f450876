package server

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"initgrace/grace"
	"initgrace/grace/protocol"
	"initgrace/grace/protocol/sio"
)

// quick is a policy scaled down so that a test takes seconds, with the
// proportions of the default one.
func quick() grace.Policy {
	return grace.Policy{
		ProbeInterval: 100 * time.Millisecond, SilenceTimeout: 1500 * time.Millisecond,
		BlockedAfter: 500 * time.Millisecond, BlockedTimeout: 2 * time.Second,
		LoadTimeout: 5 * time.Second, LoadCap: 15 * time.Second, LoadBudget: time.Minute,
		ReconnectTimeout: 2 * time.Second, LeaveTimeout: time.Second, PageTimeout: 2 * time.Second,
	}
}

// patience is how long a test waits for what must happen; only a failing test
// waits for it.
const patience = 15 * time.Second

// rig is a real server on a real listener, and what it observed.
type rig struct {
	*observed
	t       testing.TB
	srv     *Server
	http    *httptest.Server
	follows *Follower // whose http it is; nil: the server's own
}

type observed struct {
	mu      sync.Mutex
	changes []grace.Change
	signal  chan struct{}
}

func start(t testing.TB, cfg Config) *rig {
	t.Helper()
	r := &rig{t: t, observed: &observed{signal: make(chan struct{})}}
	cfg.Relay = cfg.Relay || *follower
	if cfg.Policy == (grace.Policy{}) && cfg.Study == nil {
		cfg.Policy = quick()
	}
	if cfg.PageInterval == 0 && cfg.Study == nil {
		cfg.PageInterval = 150 * time.Millisecond
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	cfg.Observe = func(c grace.Change) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.changes = append(r.changes, c)
		close(r.signal)
		r.signal = make(chan struct{})
	}
	var err error
	if r.srv, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	r.http = httptest.NewServer(r.srv)
	t.Cleanup(r.stop)
	if *follower {
		return r.follower(cfg)
	}
	return r
}

var follower = flag.Bool("follower", false, "have the clients of all tests connected to a server that follows")

// follower is another way to the same server: one that follows it. The Config is
// that of the one that leads.
func (r *rig) follower(cfg Config) *rig {
	r.t.Helper()
	if r.follows != nil {
		r.t.Skip("has followers of its own")
	}
	f, err := NewFollower(cfg, r.srv.loop.secret)
	if err != nil {
		r.t.Fatal(err)
	}
	f.Lead(r.http.Listener.Addr().String())
	r.reached(f)
	other := &rig{t: r.t, srv: r.srv, http: httptest.NewServer(f), observed: r.observed, follows: f}
	r.t.Cleanup(other.end)
	return other
}

// reached waits until a server that follows has a leader.
func (r *rig) reached(f *Follower) {
	r.t.Helper()
	for deadline := r.deadline(); f.relay.Leader() == ""; time.Sleep(time.Millisecond) {
		deadline.check("the leader is not reached")
	}
}

// end ends the server that follows.
func (r *rig) end() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := r.follows.Close(ctx); err != nil {
		r.t.Errorf("closing the server that follows: %v", err)
	}
	r.http.CloseClientConnections()
	r.http.Close()
}

func (r *rig) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := r.srv.Close(ctx); err != nil {
		r.t.Errorf("closing the server: %v", err)
	}
	r.http.Close()
}

// history is every presence that a participant went through.
func (r *rig) history(participant string) []protocol.Presence {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []protocol.Presence
	for _, c := range r.changes {
		if c.Participant == participant && c.From != c.To {
			out = append(out, c.To)
		}
	}
	return out
}

// await waits for the participant's n-th change to a presence (from 1).
func (r *rig) await(participant string, to protocol.Presence, n int) grace.Change {
	r.t.Helper()
	deadline := time.After(patience)
	for {
		r.mu.Lock()
		left, signal := n, r.signal
		for _, c := range r.changes {
			if c.Participant == participant && c.To == to && c.From != c.To {
				if left--; left == 0 {
					r.mu.Unlock()
					return c
				}
			}
		}
		r.mu.Unlock()
		select {
		case <-signal:
		case <-deadline:
			r.t.Fatalf("%s did not become %s for the %d. time; history %v", participant, to, n, r.history(participant))
		}
	}
}

// post sends a body and returns the status.
func (r *rig) post(path, body string) int {
	r.t.Helper()
	res, err := http.Post(r.http.URL+path, "text/plain", strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	res.Body.Close()
	return res.StatusCode
}

// plain is a Socket.IO client without any SDK: what an experiment page that
// follows the protocol by hand does.
type plain struct {
	t        testing.TB
	ws       *websocket.Conn
	line     *line
	frozen   bool         // the page's main thread is blocked
	asked    bool         // a ping arrived meanwhile
	answered atomic.Int64 // pings
	events   chan event
	closed   chan struct{}
	err      error // why, once closed
	mu       sync.Mutex
	next     uint64
	acks     map[uint64]chan json.RawMessage
}

type event struct {
	name string
	data json.RawMessage
}

// connect opens a connection and waits for its session event.
func (r *rig) connect(auth string) (*plain, protocol.Session) {
	r.t.Helper()
	p, err := r.dial(auth)
	if err != nil {
		r.t.Fatal(err)
	}
	var s protocol.Session
	p.expect(protocol.EventSession, &s)
	return p, s
}

// dial opens a connection; the error is the server's connect_error.
func (r *rig) dial(auth string) (*plain, error) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	l := &line{}
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		var err error
		l.Conn, err = (&net.Dialer{}).DialContext(ctx, network, addr)
		return l, err
	}}}
	ws, _, err := websocket.Dial(ctx, r.http.URL+"/socket.io/?EIO=4&transport=websocket", &websocket.DialOptions{HTTPClient: client})
	if err != nil {
		return nil, err
	}
	ws.SetReadLimit(-1)
	p := &plain{t: r.t, ws: ws, line: l, events: make(chan event, 10_000), closed: make(chan struct{}), acks: make(map[uint64]chan json.RawMessage)}
	r.t.Cleanup(func() { ws.CloseNow() })
	admitted := make(chan error, 1)
	go p.read(auth, admitted)
	select {
	case err = <-admitted:
		return p, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *plain) write(frame string) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	p.ws.Write(ctx, websocket.MessageText, []byte(frame)) // a failure shows in what the test waits for
}

func (p *plain) read(auth string, admitted chan<- error) {
	defer close(p.closed)
	for {
		_, frame, err := p.ws.Read(context.Background())
		if err != nil {
			p.err = err
			select {
			case admitted <- err:
			default:
			}
			return
		}
		typ, data, err := sio.DecodeEngine(frame)
		switch {
		case err != nil:
			p.t.Errorf("the server sent %q: %v", frame, err)
		case typ == sio.Open:
			p.write("40" + auth)
		case typ == sio.Ping:
			p.mu.Lock()
			frozen := p.frozen
			p.asked = p.asked || frozen
			p.mu.Unlock()
			if !frozen {
				p.write("3")
				p.answered.Add(1)
			}
		case typ == sio.Message:
			p.packet(data, admitted)
		}
	}
}

func (p *plain) packet(data []byte, admitted chan<- error) {
	pkt, err := sio.Decode(data)
	if err != nil {
		p.t.Errorf("the server sent %q: %v", data, err)
		return
	}
	switch pkt.Type {
	case sio.Connect:
		admitted <- nil
	case sio.ConnectError:
		admitted <- fmt.Errorf("%s", pkt.Data)
	case sio.Ack:
		args, _ := sio.SplitArgs(pkt.Data)
		p.mu.Lock()
		ch := p.acks[pkt.ID]
		delete(p.acks, pkt.ID)
		p.mu.Unlock()
		if ch == nil || len(args) != 1 {
			p.t.Errorf("unexpected ack %d %s", pkt.ID, pkt.Data)
			return
		}
		ch <- json.RawMessage(args[0])
	case sio.Event:
		name, args, _ := sio.SplitEvent(pkt.Data)
		e := event{name: name}
		if len(args) > 0 {
			e.data = json.RawMessage(args[0])
		}
		p.events <- e
	}
}

// emit sends an event with an ack and returns a channel for the answer.
func (p *plain) emit(name, payload string) <-chan json.RawMessage {
	p.mu.Lock()
	id := p.next
	p.next++
	ch := make(chan json.RawMessage, 1)
	p.acks[id] = ch
	p.mu.Unlock()
	args := [][]byte{[]byte(payload)}
	if payload == "" {
		args = nil
	}
	p.write("4" + string(sio.Append(nil, sio.Packet{Type: sio.Event, Namespace: "/", ID: id, HasID: true, Data: sio.AppendEvent(nil, name, args...)})))
	return ch
}

// call sends an event, waits for the answer and decodes it into reply.
func (p *plain) call(name, payload string, reply any) {
	p.t.Helper()
	select {
	case data := <-p.emit(name, payload):
		if reply != nil {
			if err := json.Unmarshal(data, reply); err != nil {
				p.t.Fatalf("%s answered %s: %v", name, data, err)
			}
		}
	case <-time.After(patience):
		p.t.Fatalf("%s %.100s: no ack", name, payload)
	}
}

// refused sends an event that must be refused with a code.
func (p *plain) refused(name, payload string, want protocol.Code) {
	p.t.Helper()
	var got protocol.Error
	got.OK = true
	p.call(name, payload, &got)
	if got.OK || got.Code != want || got.Message == "" {
		p.t.Errorf("%s %.60s: %+v, want %s", name, payload, got, want)
	}
}

// expect waits for an event, passing over others.
func (p *plain) expect(name string, into any) {
	p.t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case e := <-p.events:
			if e.name == name {
				if into != nil {
					if err := json.Unmarshal(e.data, into); err != nil {
						p.t.Fatalf("%s: %v in %s", name, err, e.data)
					}
				}
				return
			}
		case <-timeout:
			p.t.Fatalf("no event %s", name)
		}
	}
}

// expectState waits until a partner is in a state.
func (p *plain) expectState(partner string, want protocol.Presence) protocol.PartnerState {
	p.t.Helper()
	for {
		var s protocol.PartnerState
		p.expect(protocol.EventPartnerState, &s)
		if s.Participant == partner && s.State == want {
			return s
		}
	}
}

// freeze blocks the page's main thread: pings are left lying until thaw.
func (p *plain) freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.frozen = true
}

func (p *plain) thaw() {
	p.mu.Lock()
	asked := p.asked
	p.frozen, p.asked = false, false
	p.mu.Unlock()
	if asked {
		p.write("3")
	}
}

// die makes the participant vanish: the connection stays open, and nothing is
// ever heard from it again, not even by the browser.
func (p *plain) die() { p.line.dead.Store(true) }

// line is a network connection that can go dead without closing.
type line struct {
	net.Conn
	dead atomic.Bool
}

func (l *line) Read(b []byte) (int, error) {
	for {
		n, err := l.Conn.Read(b)
		if err != nil || !l.dead.Load() {
			return n, err
		}
	}
}

func (l *line) Write(b []byte) (int, error) {
	if l.dead.Load() {
		return len(b), nil
	}
	return l.Conn.Write(b)
}
