package relay

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"initgrace/grace/protocol"
	"initgrace/server/socketio"
)

// patience is for what must happen.
const patience = 15 * time.Second

var silent = slog.New(slog.DiscardHandler)

// A study answers every event, and does not stand the one that is called "panic".
type study struct{ left chan socketio.Cause }

func (study) Authorize(socketio.Client, socketio.Handshake) *protocol.Error { return nil }
func (study) Connected(c socketio.Client)                                   { c.EmitFrame([]byte("hello")) }
func (study) PagePong(socketio.Client)                                      {}
func (study) BrowserPong(socketio.Client, time.Duration)                    {}
func (s study) Disconnected(c socketio.Client, why socketio.Cause)          { s.left <- why }
func (study) Event(c socketio.Client, e socketio.Event) {
	if e.Name == "panic" {
		panic("as it was told")
	}
	c.Ack(e.AckID, e.Args[0])
}

func lead(t *testing.T) (study, *httptest.Server) {
	s := study{make(chan socketio.Cause, 10)}
	l := NewLeader(s, []byte("secret"), silent)
	srv := httptest.NewServer(l.Unwrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == Path {
			l.ServeHTTP(w, r)
			return
		}
		fmt.Fprint(w, r.RemoteAddr)
	})))
	t.Cleanup(func() { l.Cut(); srv.Close() })
	return s, srv
}

// follow is a link without a Follower.
func follow(t *testing.T, srv *httptest.Server) *link {
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err == nil {
		err = greet(conn, "leader", keyOf([]byte("secret")))
	}
	if err != nil {
		t.Fatal(err)
	}
	l := newLink(conn)
	t.Cleanup(l.end)
	return l
}

// Nobody follows without the store's secret, or in another language, and one that
// has it and talks nonsense harms itself alone.
func TestStrangers(t *testing.T) {
	_, srv := lead(t)
	key := keyOf([]byte("secret"))
	for _, c := range []struct {
		key, language string
		want          int
	}{
		{"", language, http.StatusNotFound},
		{keyOf([]byte("another")), language, http.StatusNotFound},
		{key, "initgrace-relay-0", http.StatusUpgradeRequired},
		{key, language, http.StatusSwitchingProtocols},
	} {
		conn, err := net.Dial("tcp", srv.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		conn.SetDeadline(time.Now().Add(patience))
		fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: %s\r\n%s: %s\r\n\r\n", Path, c.language, keyHeader, c.key)
		var status int
		if _, err := fmt.Fscanf(conn, "HTTP/1.1 %d", &status); err != nil || status != c.want {
			t.Errorf("%s with key %.4q: %d %v, want %d", c.language, c.key, status, err, c.want)
		}
		if status == http.StatusSwitchingProtocols {
			conn.Write(slices.Repeat([]byte{0xff, 0x00, 0x7f}, 10_000))
			if _, err := io.Copy(io.Discard, conn); err != nil && strings.Contains(err.Error(), "timeout") {
				t.Error("nonsense is listened to")
			}
		}
		conn.Close()
	}

	// An address is believed with the key only.
	for key, want := range map[string]string{key: "203.0.113.9:0", "": "127.0.0.1:"} {
		r, _ := http.NewRequest(http.MethodGet, srv.URL, nil)
		r.Header.Set(clientHeader, "203.0.113.9/32")
		r.Header.Set(keyHeader, key)
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		got, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if !strings.HasPrefix(string(got), want) {
			t.Errorf("with key %.4q a request comes from %s", key, got)
		}
	}
}

// A fault in one client's event ends that client and nobody else; one that was not
// admitted has no say.
func TestFaults(t *testing.T) {
	s, srv := lead(t)
	l := follow(t, srv)
	got := make(chan message, 100)
	go l.write(func() message { return message{} })
	go l.read(func(m message) {
		if m.kind != beat {
			got <- m
		}
	})
	expect := func(want kind, client uint64) message {
		t.Helper()
		select {
		case m := <-got:
			if m.kind != want || m.client != client {
				t.Fatalf("got %+v, want kind %d for client %d", m, want, client)
			}
			return m
		case <-time.After(patience):
			t.Fatal("no message")
		}
		panic("unreachable")
	}
	for client := range uint64(2) {
		l.send(message{kind: authorize, client: client})
		expect(verdict, client)
		l.send(message{kind: connected, client: client})
		expect(frame, client)
	}
	l.send(message{kind: event, client: 7, name: "panic", args: [][]byte{[]byte("1")}}) // was never admitted
	l.send(message{kind: event, client: 0, name: "panic", args: [][]byte{[]byte("1")}})
	if m := expect(closing, 0); m.after != socketio.ComeBack {
		t.Errorf("told %+v", m)
	}
	l.send(message{kind: disconnected, client: 0, cause: socketio.Cause{Kind: socketio.ServerClosed}})
	l.send(message{kind: disconnected, client: 0, cause: socketio.Cause{Kind: socketio.BrowserClosed}}) // once is enough
	l.send(message{kind: event, client: 1, name: "e", args: [][]byte{[]byte("1")}, ackID: 5, ack: true})
	if m := expect(frame, 1); string(m.data) != "435[1]" {
		t.Errorf("answered %s", m.data)
	}
	l.send(message{kind: connected, client: 9}) // who came too late may come again
	expect(closing, 9)
	l.end()
	for _, want := range []socketio.CauseKind{socketio.ServerClosed, socketio.Lost} {
		select {
		case why := <-s.left:
			if why.Kind != want {
				t.Errorf("left because %+v, want %v", why, want)
			}
		case <-time.After(patience):
			t.Fatal("nobody left")
		}
	}
	if len(s.left) > 0 {
		t.Errorf("left again: %+v", <-s.left)
	}
}

// A link whose other side takes nothing ends before it costs too much memory, and
// has nobody wait for ever.
func TestNothingIsTaken(t *testing.T) {
	t.Parallel()
	one, two := net.Pipe()
	defer two.Close()
	l := newLink(one)
	big := message{kind: frame, data: make([]byte, 8<<20)}
	for range maxQueued>>23 + 1 {
		l.send(big)
	}
	select {
	case <-l.done:
	default:
		t.Error("it goes on")
	}
	l.wait(big) // returns
	if len(l.queue) > 0 {
		t.Errorf("%d bytes are kept", len(l.queue))
	}

	one, two = net.Pipe()
	defer two.Close()
	l = newLink(one)
	began := time.Now()
	go l.write(func() message { return message{} })
	for range 3 {
		l.wait(big) // until the one that does not read is given up
	}
	if took := time.Since(began); took > patience {
		t.Errorf("waited %v", took)
	}
}
