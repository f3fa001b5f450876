package socketio

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"initgrace/grace/protocol"
)

// refusals lists what a client may send at which point, and the reason for
// which it is closed. "binary:" marks a binary frame.
var refusals = []struct {
	name      string
	connected bool
	frames    []string
	reason    reason
	code      websocket.StatusCode
}{
	// FACTS: each of these once killed the bare module's process.
	{"event without data", true, []string{"42"}, malformed, 1002},
	{"event with an id for data", true, []string{"4212"}, malformed, 1002},
	{"binary event of no attachments", true, []string{"450-"}, binaryFrame, 1003},
	{"binary event and its attachment", true, []string{"451-", "binary:\x01"}, binaryFrame, 1003},
	{"ack without data", true, []string{"431"}, malformed, 1002},
	{"binary ack", true, []string{"461-1", "binary:\x01"}, binaryFrame, 1003},
	{"early pong", false, []string{"3"}, unexpectedPong, 1008},

	{"event before CONNECT", false, []string{`42["x"]`}, beforeConnect, 1008},
	{"DISCONNECT before CONNECT", false, []string{"41"}, beforeConnect, 1008},
	{"binary frame before CONNECT", false, []string{"binary:4"}, binaryFrame, 1003},
	{"empty frame", false, []string{""}, malformed, 1002},
	{"no such Engine.IO type", false, []string{"9"}, malformed, 1002},
	{"open from a client", false, []string{"0{}"}, unexpectedPacket, 1008},
	{"noop from a client", false, []string{"6"}, unexpectedPacket, 1008},
	{"ping from a client", false, []string{"2"}, unexpectedProbe, 1008},
	{"probe outside an upgrade", false, []string{"2probe"}, unexpectedProbe, 1008},
	{"upgrade outside an upgrade", false, []string{"5"}, unexpectedProbe, 1008},
	{"base64", false, []string{"bAQID"}, binaryFrame, 1003},
	{"CONNECT with a number", false, []string{"4012"}, malformed, 1002},
	{"CONNECT with broken JSON", false, []string{"40{"}, malformed, 1002},
	{"CONNECT nested too deeply", false, []string{"40" + strings.Repeat(`{"a":`, 100) + "1" + strings.Repeat("}", 100)}, malformed, 1002},

	{"second CONNECT", true, []string{"40"}, unexpectedPacket, 1008},
	{"pong for no ping", true, []string{"3"}, unexpectedPong, 1008},
	{"pong with data", true, []string{"3probe"}, unexpectedPong, 1008},
	{"ack for nothing", true, []string{`430["x"]`}, unexpectedAck, 1008},
	{"connect error from a client", true, []string{`44{"message":"x"}`}, unexpectedPacket, 1008},
	{"event for another namespace", true, []string{`42/x,["e"]`}, unexpectedPacket, 1008},
	{"event without a name", true, []string{"42[]"}, malformed, 1002},
	{"event named by a number", true, []string{"42[1]"}, malformed, 1002},
	{"event with trailing bytes", true, []string{`42["x"]]`}, malformed, 1002},
	{"event of invalid UTF-8", true, []string{"42[\"\xff\"]"}, malformed, 1002},
	{"event nested too deeply", true, []string{`42["x",` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + "]"}, malformed, 1002},
	{"packet of more than the limit", true, []string{`42["x","` + strings.Repeat("x", 70<<10) + `"]`}, tooLarge, 1009},
}

func TestRefusals(t *testing.T) {
	for _, tc := range refusals {
		t.Run(tc.name, func(t *testing.T) {
			r := newRecorder()
			s, addr := testServer(t, r, &Options{PingInterval: time.Hour, Limits: Limits{Packet: 64 << 10}})
			other := dial(t, addr)
			c := rawDial(t, addr)
			c.expect("0{")
			if tc.connected {
				c.send("40")
				c.expect("40{")
			}
			for _, f := range tc.frames {
				ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
				defer cancel()
				if b, ok := strings.CutPrefix(f, "binary:"); ok {
					c.ws.Write(ctx, websocket.MessageBinary, []byte(b))
				} else {
					c.ws.Write(ctx, websocket.MessageText, []byte(f))
				}
			}
			code, why := c.closed()
			if code != tc.code || why != tc.reason.String() {
				t.Errorf("closed with %d %q, want %d %q", code, why, tc.code, tc.reason)
			}
			waitFor(t, "the connection to go", func() bool { return s.Stats().Connections == 1 })
			for name, n := range s.Stats().Refused {
				if want := name == tc.reason.String(); want != (n == 1) {
					t.Errorf("%s counted %d times", name, n)
				}
			}
			ends := 0
			if tc.connected {
				ends = 1
				r.wait(t, "Disconnected", func() bool { return len(r.causes) > 0 })
				if r.causes[0].Kind != Refused {
					t.Errorf("cause %+v", r.causes[0])
				}
			}
			if len(r.causes) != ends || r.early != 0 {
				t.Errorf("%d ends, %d calls out of turn", len(r.causes), r.early)
			}
			other.send(`421["still here"]`)
			other.expect(`431[]`)
		})
	}
}

// A CONNECT for another namespace is answered, and changes nothing.
func TestOtherNamespace(t *testing.T) {
	_, addr := testServer(t, newRecorder(), nil)
	c := rawDial(t, addr)
	c.expect("0{")
	c.send(`40/admin,{"a":1}`)
	c.expect(`44/admin,{"message":"Invalid namespace"}`)
	c.send("40")
	c.expect("40{")
}

func TestAuthTooLarge(t *testing.T) {
	r := newRecorder()
	s, addr := testServer(t, r, nil)
	c := rawDial(t, addr)
	c.expect("0{")
	c.send(`40{"participant":"` + strings.Repeat("x", 17<<10) + `"}`)
	if e := c.expect("44"); !strings.Contains(e, string(protocol.CodeTooLarge)) {
		t.Errorf("%s", e)
	}
	if n := s.Stats().Refused["too_large"]; n != 1 || len(r.calls) != 0 {
		t.Errorf("counted %d, calls %v", n, r.calls)
	}
}

// A client that is never admitted is closed in time.
func TestConnectTimeout(t *testing.T) {
	s, addr := testServer(t, newRecorder(), &Options{Limits: Limits{ConnectTimeout: 50 * time.Millisecond}})
	c := rawDial(t, addr)
	c.expect("0{")
	if code, why := c.closed(); code != websocket.StatusPolicyViolation || why != "connect_timeout" {
		t.Errorf("%d %s", code, why)
	}
	waitFor(t, "no connection", func() bool { return s.Stats().Connections == 0 })
	if n := s.Stats().Refused["connect_timeout"]; n != 1 {
		t.Errorf("counted %d", n)
	}
}

// Pongs sent in the same packet as the end of the upgrade request, or right
// after it, reach a bare module before its timer exists. INITGRACE_LONG=1 does
// as many as the module's crash was measured with.
func TestEarlyPongs(t *testing.T) {
	n := 500
	if os.Getenv("INITGRACE_LONG") != "" {
		n = 30_000
	} else if testing.Short() {
		n = 300
	}
	s, addr := testServer(t, newRecorder(), nil)
	before, heap := runtime.NumGoroutine(), liveHeap()
	for i := range n {
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		earlyPongs(nc, addr)
		if i%2 == 0 {
			reset(nc)
		} else {
			nc.Close()
		}
	}
	waitFor(t, "no connection", func() bool { return s.Stats().Connections == 0 })
	waitFor(t, "goroutines to end", func() bool { return runtime.NumGoroutine() <= before+2 })
	if clients := s.module.Engine().ClientsCount(); clients != 0 {
		t.Errorf("the module keeps %d clients", clients)
	}
	// A connection that stays behind would hold some 20 KiB.
	if grown := liveHeap() - heap; grown > 4<<20 {
		t.Errorf("the heap has grown by %d KiB", grown>>10)
	}
	c := dial(t, addr)
	c.send(`421["alive"]`)
	c.expect(`431[]`)
}

func liveHeap() int64 {
	runtime.GC()
	runtime.GC() // what sync.Pool keeps outlives one
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// earlyPongs asks for an upgrade and sends pongs before the answer can be
// there, and then after it.
func earlyPongs(nc net.Conn, addr string) {
	const pong = "\x81\x81\x00\x00\x00\x003" // a masked text frame
	upgradeRequest(nc, addr)
	b := make([]byte, 1)
	nc.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := nc.Read(b); err == nil {
		nc.Write(bytes.Repeat([]byte(pong), 20))
	}
}

func TestRequestsRefused(t *testing.T) {
	s, addr := testServer(t, newRecorder(), &Options{Origins: []string{"https://lab.example.org"}})
	for _, tc := range []struct {
		name, query, origin string
		upgrade             bool
		status              int
		reason              reason
	}{
		{"polling is off", "EIO=4&transport=polling", "", false, 400, badRequest},
		{"no transport", "EIO=4", "", false, 400, badRequest},
		{"Engine.IO 3", "EIO=3&transport=websocket", "", true, 400, badVersion},
		{"no version", "transport=websocket", "", true, 400, badVersion},
		{"JSONP", "EIO=4&transport=polling&j=0", "", false, 400, badVersion},
		{"two transports", "EIO=4&transport=websocket&transport=polling", "", true, 400, badRequest},
		{"webtransport", "EIO=4&transport=webtransport", "", true, 400, badRequest},
		{"unknown sid", "EIO=4&transport=websocket&sid=x", "", true, 400, badRequest},
		{"websocket without an upgrade", "EIO=4&transport=websocket", "", false, 400, badRequest},
		{"another origin", "EIO=4&transport=websocket", "https://evil.example.org", true, 403, badOrigin},
		{"a null origin", "EIO=4&transport=websocket", "null", true, 403, badOrigin},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before := s.Stats().Refused[tc.reason.String()]
			if got := request(t, addr, tc.query, tc.origin, tc.upgrade).StatusCode; got != tc.status {
				t.Errorf("status %d, want %d", got, tc.status)
			}
			if n := s.Stats().Refused[tc.reason.String()] - before; n != 1 {
				t.Errorf("%s counted %d times", tc.reason, n)
			}
		})
	}
	for _, origin := range []string{"", "https://lab.example.org", "https://LAB.example.org", "http://" + addr} {
		if got := request(t, addr, "EIO=4&transport=websocket", origin, true).StatusCode; got != 101 {
			t.Errorf("origin %q: status %d", origin, got)
		}
	}
}

func request(t testing.TB, addr, query, origin string, upgrade bool) *http.Response {
	t.Helper()
	req, _ := http.NewRequest("GET", "http://"+addr+Path+"?"+query, nil)
	if origin != "" {
		req.Header.Set("Origin", origin)
	}
	if upgrade {
		req.Header.Set("Connection", "Upgrade")
		req.Header.Set("Upgrade", "websocket")
		req.Header.Set("Sec-WebSocket-Version", "13")
		req.Header.Set("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp
}

func TestConnectionLimits(t *testing.T) {
	for _, tc := range []struct {
		name   string
		limits Limits
		status int
		reason reason
	}{
		{"in total", Limits{Connections: 3}, 503, tooManyConnections},
		{"per address", Limits{PerAddress: 3}, 429, tooManyFromAddress},
		{"handshakes", Limits{Handshakes: 0.001, HandshakeBurst: 3}, 503, tooManyHandshakes},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, addr := testServer(t, newRecorder(), &Options{Limits: tc.limits})
			var last *client
			for range 3 {
				last = dial(t, addr)
			}
			resp := request(t, addr, "EIO=4&transport=websocket", "", true)
			if resp.StatusCode != tc.status || resp.Header.Get("Retry-After") == "" {
				t.Errorf("status %d", resp.StatusCode)
			}
			if n := s.Stats().Refused[tc.reason.String()]; n != 1 {
				t.Errorf("counted %d times", n)
			}
			if tc.reason == tooManyHandshakes {
				return
			}
			last.ws.Close(1000, "")
			waitFor(t, "room", func() bool { return s.Stats().Connections == 2 })
			dial(t, addr)
		})
	}
}

func TestClientAddr(t *testing.T) {
	s := &Server{}
	s.proxies, _ = parseProxies([]string{"10.0.0.0/8", "::1"})
	for _, tc := range []struct{ remote, forwarded, addr, network string }{
		{"192.0.2.1:99", "", "192.0.2.1", "192.0.2.1/32"},
		{"192.0.2.1:99", "203.0.113.9", "192.0.2.1", "192.0.2.1/32"}, // not a proxy of ours
		{"10.1.2.3:99", "203.0.113.9", "203.0.113.9", "203.0.113.9/32"},
		{"10.1.2.3:99", "198.51.100.1, 203.0.113.9, 10.9.9.9", "203.0.113.9", "203.0.113.9/32"},
		{"10.1.2.3:99", "", "10.1.2.3", "10.1.2.3/32"},
		{"10.1.2.3:99", "nonsense", "10.1.2.3", "10.1.2.3/32"},
		{"[::1]:99", "2001:db8:1:2:3:4:5:6", "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"},
		{"[::ffff:10.0.0.1]:99", "203.0.113.9", "203.0.113.9", "203.0.113.9/32"},
	} {
		r := &http.Request{RemoteAddr: tc.remote, Header: http.Header{}}
		if tc.forwarded != "" {
			r.Header.Set("X-Forwarded-For", tc.forwarded)
		}
		addr, network := s.clientAddr(r)
		if addr != tc.addr || network.String() != tc.network {
			t.Errorf("%s for %q: %s %s, want %s %s", tc.remote, tc.forwarded, addr, network, tc.addr, tc.network)
		}
	}
}

func TestOptionsRefused(t *testing.T) {
	for _, o := range []*Options{
		{Origins: []string{"lab.example.org"}},
		{Origins: []string{"https://lab.example.org/path"}},
		{TrustedProxies: []string{"proxy"}},
	} {
		if s, err := New(newRecorder(), o); err == nil {
			t.Errorf("%+v accepted: %v", o, s)
		}
	}
}

// A panic in any call closes that connection and no other.
func TestPanics(t *testing.T) {
	for _, where := range []string{"authorize", "connected", "event"} {
		t.Run(where, func(t *testing.T) {
			r := newRecorder()
			boom := func(c *Conn, at string) {
				if at == where && c.Value() == true {
					panic("a fault in " + at)
				}
			}
			r.authorize = func(c *Conn, h Handshake) *protocol.Error {
				c.SetValue(len(h.Auth) > 2)
				boom(c, "authorize")
				return nil
			}
			r.connected = func(c *Conn) { boom(c, "connected") }
			r.event = func(c *Conn, e Event) { boom(c, "event"); c.Ack(e.AckID, nil) }
			s, addr := testServer(t, r, nil)
			other := dial(t, addr)
			c := rawDial(t, addr)
			c.expect("0{")
			c.send(`40{"victim":1}`)
			if where == "event" {
				c.expect("40{")
				c.send(`42["x"]`)
			}
			if code, why := c.closed(); code != websocket.StatusInternalError {
				t.Errorf("%d %s", code, why)
			}
			waitFor(t, "the connection to go", func() bool { return s.Stats().Connections == 1 })
			if where != "authorize" {
				r.wait(t, "Disconnected", func() bool { return len(r.causes) == 1 })
				if r.causes[0].Kind != ServerClosed || !strings.Contains(r.causes[0].Detail, "a fault in "+where) {
					t.Errorf("cause %+v", r.causes[0])
				}
			}
			if n := s.Stats().Refused["panic"]; n != 1 {
				t.Errorf("counted %d times", n)
			}
			other.send(`421["still here"]`)
			other.expect(`431`)
		})
	}
}
