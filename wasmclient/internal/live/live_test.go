//go:build !js

package live

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"initgrace/grace"
	"initgrace/grace/protocol"
	"initgrace/server"
	"initgrace/server/faultproxy"
	"initgrace/server/store/sqlite"
	"initgrace/wasmclient"
)

// The client against the real server, over a network that can fail. The
// policy's proportions are the default's, its times a fraction.
const patience = 20 * time.Second

type lab struct {
	t       *testing.T
	addr    string
	db      string
	srv     *server.Server
	http    *http.Server
	network *faultproxy.Proxy

	mu      sync.Mutex
	changes []grace.Change
}

func newLab(t *testing.T) *lab {
	t.Helper()
	l := &lab{t: t, addr: "127.0.0.1:0", db: filepath.Join(t.TempDir(), "lab.db")}
	l.start()
	t.Cleanup(l.stop)
	var err error
	if l.network, err = faultproxy.Listen(l.addr); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.network.Close() })
	return l
}

func (l *lab) start() {
	l.t.Helper()
	store, err := sqlite.Open(l.db, nil)
	if err != nil {
		l.t.Fatal(err)
	}
	l.srv, err = server.New(server.Config{
		Store: store, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), PageInterval: 150 * time.Millisecond,
		Policy: grace.Policy{
			ProbeInterval: 100 * time.Millisecond, SilenceTimeout: 600 * time.Millisecond,
			BlockedAfter: 500 * time.Millisecond, BlockedTimeout: 3 * time.Second,
			LoadTimeout: 10 * time.Second, LoadCap: 30 * time.Second, LoadBudget: time.Minute,
			ReconnectTimeout: 10 * time.Second, LeaveTimeout: 5 * time.Second, PageTimeout: 10 * time.Second,
		},
		Observe: func(c grace.Change) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.changes = append(l.changes, c)
		},
	})
	if err != nil {
		l.t.Fatal(err)
	}
	listener, err := net.Listen("tcp", l.addr)
	if err != nil {
		l.t.Fatal(err)
	}
	l.addr = listener.Addr().String()
	l.http = &http.Server{Handler: l.srv}
	go l.http.Serve(listener)
}

func (l *lab) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := l.srv.Close(ctx); err != nil {
		l.t.Error(err)
	}
	l.http.Close()
}

// dial connects a participant through the network that can fail.
func (l *lab) dial(o wasmclient.Options) (*wasmclient.Client, error) {
	if o.Backoff.Min == 0 {
		o.Backoff = wasmclient.Backoff{Min: 50 * time.Millisecond, Max: 100 * time.Millisecond}
	}
	ctx, cancel := context.WithTimeout(l.t.Context(), patience)
	defer cancel()
	return wasmclient.Dial(ctx, "http://"+l.network.Addr(), &o)
}

func (l *lab) connect(o wasmclient.Options) *wasmclient.Client {
	l.t.Helper()
	c, err := l.dial(o)
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

// history is what the server believed about a participant, with the reasons.
func (l *lab) history(participant string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []string
	for _, c := range l.changes {
		if c.Participant == participant && c.From != c.To {
			out = append(out, string(c.To)+"/"+string(c.Reason))
		}
	}
	return strings.Join(out, " ")
}

// await waits until the participant's history ends so.
func (l *lab) await(participant, suffix string) {
	l.t.Helper()
	for deadline := time.Now().Add(patience); !strings.HasSuffix(l.history(participant), suffix); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			l.t.Fatalf("%s: %s; want …%s", participant, l.history(participant), suffix)
		}
	}
}

// inbox hands out the payloads of one event.
func inbox[T any](t *testing.T) (func([]byte), func() T) {
	t.Helper()
	queue := make(chan T, 100)
	put := func(data []byte) {
		var v T
		if err := json.Unmarshal(data, &v); err != nil {
			t.Error(err)
		}
		queue <- v
	}
	return put, func() (v T) {
		t.Helper()
		select {
		case v = <-queue:
		case <-time.After(patience):
			t.Fatalf("no %T", v)
		}
		return v
	}
}

func code(err error) protocol.Code {
	var e *protocol.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// A page that freezes under a lease, far beyond what an undeclared block may
// last: the partner sees it load, and nothing else happens.
func TestLoad(t *testing.T) {
	l := newLab(t)
	put, next := inbox[protocol.PartnerState](t)
	l.connect(wasmclient.Options{Participant: "b", Group: "g", Handlers: map[string]func([]byte){protocol.EventPartnerState: put}})
	a := l.connect(wasmclient.Options{Participant: "a", Group: "g", Latency: 100 * time.Millisecond})
	l.await("a", "active/connected")
	r, err := wasmclient.NewLoader(a).Load(t.Context(), wasmclient.LoadOptions{ID: "py", Phase: "interpreter", Run: func(ctx context.Context, load *wasmclient.Load) error {
		thaw := a.Freeze()
		time.Sleep(5 * time.Second)
		thaw()
		return load.Progress(ctx, "packages", 0.5, time.Second)
	}})
	if err != nil || !r.Protected || r.Lease != 10*time.Second || r.Cap != 30*time.Second {
		t.Errorf("%+v, %v", r, err)
	}
	l.await("a", "loading/load_started active/load_ended")
	for _, want := range []string{"active ", "loading interpreter", "loading packages", "active "} {
		if s := next(); s.Participant != "a" || string(s.State)+" "+s.Phase != want {
			t.Errorf("the partner saw %+v, want %q", s, want)
		}
	}
	if latency := a.State().Latency; latency <= 0 || latency > time.Second {
		t.Errorf("latency %v", latency)
	}
}

// The network goes in each way it can, during a load: the load survives, and
// so does a call that was under way.
func TestReconnect(t *testing.T) {
	for name, damage := range map[string]func(c *faultproxy.Conn){
		"reset":     func(c *faultproxy.Conn) { c.Reset() },
		"cut":       func(c *faultproxy.Conn) { c.Cut(faultproxy.Both) },
		"half open": func(c *faultproxy.Conn) { c.Cut(faultproxy.Down) },
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			put, restored := inbox[protocol.Session](t)
			c := l.connect(wasmclient.Options{
				Participant: "a", Silence: 800 * time.Millisecond,
				Handlers: map[string]func([]byte){wasmclient.EventRestored: put},
			})
			first := c.State().Session
			r, err := wasmclient.NewLoader(c).Load(t.Context(), wasmclient.LoadOptions{Run: func(ctx context.Context, load *wasmclient.Load) error {
				for _, conn := range l.network.Conns() {
					damage(conn)
				}
				if v, err := c.SaveState(ctx, protocol.State{SceneID: "s"}); err != nil || v != 1 {
					t.Errorf("version %d, %v", v, err)
				}
				return nil
			}})
			if err != nil || !r.Protected {
				t.Errorf("%+v, %v", r, err)
			}
			if s := restored(); !s.Restored || s.Epoch <= first.Epoch || s.Token == first.Token {
				t.Errorf("session %+v after %+v", s, first)
			}
			l.await("a", "loading/reconnected active/load_ended")
			if c.State().Session.Version != 1 {
				t.Errorf("%+v", c.State().Session)
			}
		})
	}
}

// A restarted server is found again, with everything it had acknowledged.
func TestRestart(t *testing.T) {
	l := newLab(t)
	putRestarting, restarting := inbox[protocol.Restarting](t)
	putRestored, restored := inbox[protocol.Session](t)
	c := l.connect(wasmclient.Options{Participant: "a", Group: "g", Handlers: map[string]func([]byte){
		protocol.EventServerRestarting: putRestarting, wasmclient.EventRestored: putRestored,
	}})
	if _, err := c.SaveState(t.Context(), protocol.State{SceneID: "s", Globals: protocol.Raw(`{"a":1}`)}); err != nil {
		t.Fatal(err)
	}
	l.stop()
	if r := restarting(); r.DelayMS <= 0 {
		t.Errorf("%+v", r)
	}
	l.start()
	if s := restored(); !s.Restored || s.Expired || s.SceneID != "s" || string(s.Globals) != `{"a":1}` || s.Group != "g" {
		t.Errorf("%+v", s)
	}
	if v, err := c.SaveState(t.Context(), protocol.State{}); err != nil || v != 2 {
		t.Errorf("version %d, %v", v, err)
	}
}

// Refusals, and the end of a session by another page.
func TestRefusals(t *testing.T) {
	l := newLab(t)
	a := l.connect(wasmclient.Options{Participant: "a"})
	if err := a.EmitAck(t.Context(), "nonsense", nil, nil); code(err) != protocol.CodeUnknownEvent {
		t.Errorf("an unknown event: %v", err)
	}
	if err := a.EmitAck(t.Context(), protocol.EventSend, protocol.Send{Data: protocol.Raw("1")}, nil); code(err) != protocol.CodeNotInGroup {
		t.Errorf("send without a group: %v", err)
	}
	if err := a.EmitAck(t.Context(), protocol.EventLoadStart, protocol.LoadStart{ExpectedMS: -1}, nil); code(err) != protocol.CodeInvalidPayload {
		t.Errorf("a negative expectation: %v", err)
	}
	if _, err := l.dial(wasmclient.Options{Participant: "a", Token: "1.forged"}); code(err) != protocol.CodeBadToken {
		t.Errorf("a forged token: %v", err)
	}
	if _, err := l.dial(wasmclient.Options{Participant: "a b"}); code(err) != protocol.CodeUnauthorized {
		t.Errorf("a malformed id: %v", err)
	}
	l.connect(wasmclient.Options{Participant: "a", Token: a.State().Session.Token})
	select {
	case <-a.Done():
	case <-time.After(patience):
		t.Fatal("not replaced")
	}
	if code(a.Err()) != protocol.CodeReplaced {
		t.Errorf("ended by %v", a.Err())
	}
}

// Two meet in the wait room, and their messages arrive in order.
func TestGroup(t *testing.T) {
	l := newLab(t)
	var clients []*wasmclient.Client
	putReady, ready := inbox[protocol.GroupReady](t)
	putMessage, message := inbox[protocol.Message](t)
	for _, id := range []string{"a", "b"} {
		clients = append(clients, l.connect(wasmclient.Options{Participant: id, Handlers: map[string]func([]byte){
			protocol.EventGroupReady: putReady, protocol.EventMessage: putMessage,
		}}))
		var w protocol.Waiting
		if err := clients[len(clients)-1].EmitAck(t.Context(), protocol.EventJoin, protocol.Join{Size: 2}, &w); err != nil || !w.OK || w.Size != 2 {
			t.Errorf("%+v, %v", w, err)
		}
	}
	first, second := ready(), ready()
	if first.Group == "" || first.Group != second.Group || strings.Join(first.Members, " ") != "a b" {
		t.Errorf("%+v, %+v", first, second)
	}
	for i, c := range clients {
		if s := c.State().Session; s.Group != first.Group || len(s.Partners) != 1 || s.Partners[0] != first.Members[1-i] {
			t.Errorf("%+v", s)
		}
	}
	for i := range 100 {
		if err := clients[0].Emit(t.Context(), protocol.EventSend, map[string]int{"data": i}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 100 {
		if m := message(); m.From != "a" || m.Seq != uint64(i+1) || string(m.Data) != toJSON(t, i) {
			t.Fatalf("message %d is %+v", i, m)
		}
	}
}

func toJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// A page that is left is known to be left, and known again when it comes back.
func TestHide(t *testing.T) {
	l := newLab(t)
	c := l.connect(wasmclient.Options{Participant: "a"})
	l.await("a", "active/connected")
	c.Hide(true)
	l.await("a", "away/pagehide")
	c.Show()
	l.await("a", "active/reconnected")
	if err := c.Close(context.Background()); err != nil {
		t.Error(err)
	}
	l.await("a", "away/disconnected")
}

// Loads that are begun while there is no connection never cost the session: they
// go into the handshake, and what a server would refuse there is not said.
func TestLoadsInTheHandshake(t *testing.T) {
	hold := func(context.Context, *wasmclient.Load) error { time.Sleep(time.Second); return nil }
	run := func(o wasmclient.LoadOptions) func(l *wasmclient.Loader) {
		return func(l *wasmclient.Loader) { go l.Load(context.Background(), o) }
	}
	for name, begin := range map[string]func(l *wasmclient.Loader){
		"a long phase":    run(wasmclient.LoadOptions{Phase: strings.Repeat("x", 65), Run: hold}),
		"a long estimate": run(wasmclient.LoadOptions{Expected: 25 * time.Hour, Run: hold}),
		"nine at once": func(l *wasmclient.Loader) {
			for range 9 {
				run(wasmclient.LoadOptions{Run: hold})(l)
			}
		},
		"nine in a row": func(l *wasmclient.Loader) {
			for range 9 {
				l.Load(context.Background(), wasmclient.LoadOptions{
					AckTimeout: 10 * time.Millisecond, Run: func(context.Context, *wasmclient.Load) error { return nil },
				})
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			var down atomic.Bool
			restored := make(chan struct{}, 1)
			c := l.connect(wasmclient.Options{
				Participant: "a",
				DialWebSocket: func(ctx context.Context, url string) (*websocket.Conn, error) {
					if down.Load() {
						return nil, errors.New("no network")
					}
					ws, _, err := websocket.Dial(ctx, url, nil)
					return ws, err
				},
				Handlers: map[string]func([]byte){wasmclient.EventRestored: func([]byte) { restored <- struct{}{} }},
			})
			down.Store(true)
			l.network.Reset()
			for c.State().Connected {
				time.Sleep(5 * time.Millisecond)
			}
			begin(wasmclient.NewLoader(c))
			time.Sleep(100 * time.Millisecond)
			down.Store(false)
			select {
			case <-restored:
			case <-c.Done():
				t.Errorf("the session has ended: %v", c.Err())
			}
		})
	}
}
