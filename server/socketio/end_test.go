package socketio

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"initgrace/grace/protocol"
)

// A tcpClient is a WebSocket on a TCP connection that a test can break as it
// likes.
type tcpClient struct {
	t  testing.TB
	nc net.Conn
	in []byte
}

func dialTCP(t testing.TB, addr string) *tcpClient {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	upgradeRequest(nc, addr)
	return &tcpClient{t: t, nc: nc}
}

func upgradeRequest(nc net.Conn, addr string) {
	fmt.Fprintf(nc, "GET %s?EIO=4&transport=websocket HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\n"+
		"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", Path, addr)
}

// frame masks a client's frame with zeros, which leaves it readable.
func frame(opcode byte, payload string) []byte {
	b := []byte{0x80 | opcode}
	if len(payload) < 126 {
		b = append(b, 0x80|byte(len(payload)))
	} else {
		b = append(b, 0x80|126, byte(len(payload)>>8), byte(len(payload)))
	}
	return append(append(b, 0, 0, 0, 0), payload...)
}

func (c *tcpClient) send(opcode byte, payload string) { c.nc.Write(frame(opcode, payload)) }

// await reads until the stream contains s.
func (c *tcpClient) await(s string) {
	c.t.Helper()
	c.nc.SetReadDeadline(time.Now().Add(10 * time.Second))
	b := make([]byte, 4096)
	for !strings.Contains(string(c.in), s) {
		n, err := c.nc.Read(b)
		if err != nil {
			c.t.Fatalf("want %q, got %q: %v", s, c.in, err)
		}
		c.in = append(c.in, b[:n]...)
	}
	c.in = c.in[strings.Index(string(c.in), s)+len(s):]
}

func (c *tcpClient) admitted() *tcpClient {
	c.await("0{")
	c.send(1, "40")
	c.await("40{")
	return c
}

const closeFrame = 8

func closePayload(code int) string { return string([]byte{byte(code >> 8), byte(code)}) }

func TestCauses(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		leave  func(*tcpClient)
		kind   CauseKind
		detail string
	}{
		{"closed normally", func(c *tcpClient) { c.send(closeFrame, closePayload(1000)) }, BrowserClosed, "close 1000"},
		{"went away", func(c *tcpClient) { c.send(closeFrame, closePayload(1001)) }, BrowserClosed, "close 1001"},
		{"close frame without a code", func(c *tcpClient) { c.send(closeFrame, "") }, BrowserClosed, "close 1005"},
		{"a code of the page's own", func(c *tcpClient) { c.send(closeFrame, closePayload(4001)+"bye") }, BrowserClosed, "close 4001 bye"},
		{"a client tries again", func(c *tcpClient) { c.send(closeFrame, closePayload(4000)) }, Retrying, "close 4000"},
		{"a proxy restarts", func(c *tcpClient) { c.send(closeFrame, closePayload(1012)) }, Lost, "close 1012"},
		{"Engine.IO close", func(c *tcpClient) { c.send(1, "1") }, BrowserClosed, "Engine.IO close"},
		{"Socket.IO disconnect", func(c *tcpClient) { c.send(1, "41"); c.nc.Close() }, ClientLeft, "client namespace disconnect"},
		{"FIN", func(c *tcpClient) { c.nc.Close() }, Lost, "EOF"},
		{"RST", func(c *tcpClient) { reset(c.nc) }, Lost, "reset"},
		{"close frame, then RST", func(c *tcpClient) {
			c.send(closeFrame, closePayload(1001))
			c.await("\x88\x02\x03\xe9") // answered
			reset(c.nc)
		}, BrowserClosed, "close 1001"},
		{"half a frame", func(c *tcpClient) { c.nc.Write(frame(1, `42["x"]`)[:5]); c.nc.Close() }, Lost, "EOF"},
		{"not a frame", func(c *tcpClient) { c.nc.Write([]byte("GET / HTTP/1.1\r\n\r\n")) }, Refused, "malformed"},
		{"an unmasked frame", func(c *tcpClient) { c.nc.Write([]byte{0x81, 1, '1'}) }, Refused, "malformed"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel() // some wait for linger
			r := newRecorder()
			s, addr := testServer(t, r, nil)
			c := dialTCP(t, addr).admitted()
			tc.leave(c)
			r.wait(t, "Disconnected", func() bool { return len(r.causes) == 1 })
			if got := r.causes[0]; got.Kind != tc.kind || !strings.Contains(got.Detail, tc.detail) {
				t.Errorf("cause %v %q, want %v %q", got.Kind, got.Detail, tc.kind, tc.detail)
			}
			waitFor(t, "the connection to go", func() bool { return s.Stats().Connections == 0 })
			if n := s.module.Engine().ClientsCount(); n != 0 {
				t.Errorf("the module keeps %d clients", n)
			}
		})
	}
}

// The module's ceiling ends a connection whose page never answers.
func TestPingCeiling(t *testing.T) {
	r := newRecorder()
	_, addr := testServer(t, r, &Options{PingInterval: 20 * time.Millisecond, PingTimeout: 50 * time.Millisecond})
	dialTCP(t, addr).admitted()
	r.wait(t, "Disconnected", func() bool { return len(r.causes) == 1 })
	if r.causes[0].Kind != Lost || r.causes[0].Detail != "ping timeout" {
		t.Errorf("cause %+v", r.causes[0])
	}
}

func TestPongsAndProbes(t *testing.T) {
	r := newRecorder()
	s, addr := testServer(t, r, &Options{PingInterval: 20 * time.Millisecond})
	c := dialTCP(t, addr).admitted()
	for range 3 {
		c.await("\x81\x012")
		c.send(1, "3")
	}
	r.wait(t, "three page pongs", func() bool { return r.pages == 3 })

	conn := r.conns[0]
	if !conn.CanProbe() {
		t.Error("a WebSocket that cannot be probed")
	}
	c.send(10, "\x00\x00\x00\x00\x00\x00\x00\x01") // a pong for nothing
	conn.Probe()
	c.await("\x89\x08")
	for len(c.in) < 8 {
		b := make([]byte, 64)
		n, _ := c.nc.Read(b)
		c.in = append(c.in, b[:n]...)
	}
	payload := string(c.in[:8])
	time.Sleep(30 * time.Millisecond)
	c.send(10, payload)
	c.send(10, payload) // answers count once
	c.send(9, "ours")   // and our own pings are answered
	c.await("\x8a\x04ours")
	r.wait(t, "one browser pong", func() bool { return len(r.pongs) == 1 })
	if rtt := r.pongs[0]; rtt < 30*time.Millisecond || rtt > 5*time.Second {
		t.Errorf("round trip %v", rtt)
	}
	if st := s.Stats(); st.Probes != 1 || st.BrowserPong != 1 {
		t.Errorf("%+v", st)
	}
}

// Many probes at once are few, and an answer to the last answers all.
func TestProbesCoalesce(t *testing.T) {
	r := newRecorder()
	s, addr := testServer(t, r, nil)
	c := dial(t, addr)
	r.wait(t, "connected", func() bool { return len(r.conns) == 1 })
	go c.next() // answers pings
	start := time.Now()
	for range 100_000 {
		r.conns[0].Probe()
	}
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("100,000 calls of Probe took %v", d)
	}
	waitFor(t, "answers", func() bool { return s.Stats().BrowserPong > 0 })
	if n := s.Stats().Probes; n == 0 || n > 50_000 {
		t.Errorf("%d probes were written", n)
	}
}

func TestConnClose(t *testing.T) {
	for _, after := range []After{StayAway, ComeBack} {
		t.Run(fmt.Sprintf("come back %v", after), func(t *testing.T) {
			r := newRecorder()
			r.event = func(c *Conn, e Event) {
				for i := range 100 {
					c.Emit("last words", strings.Repeat("x", i*50))
				}
				c.Close("replaced by another tab", after)
				c.Close("twice", !after)
				c.Emit("too late", nil)
			}
			_, addr := testServer(t, r, nil)
			c := dial(t, addr)
			c.send(`42["go"]`, `42["not handled any more"]`)
			for range 100 {
				c.expect(`42["last words"`)
			}
			want := websocket.StatusGoingAway
			if after == StayAway {
				c.expect("41")
				want = websocket.StatusNormalClosure
			}
			if code, why := c.closed(); code != want || why != "replaced by another tab" {
				t.Errorf("%d %s", code, why)
			}
			r.wait(t, "Disconnected", func() bool { return len(r.causes) == 1 })
			if r.causes[0] != (Cause{ServerClosed, "replaced by another tab"}) {
				t.Errorf("%+v", r.causes[0])
			}
		})
	}
}

func TestServerClose(t *testing.T) {
	r := newRecorder()
	s, addr := testServer(t, r, nil)
	var clients []*client
	for range 20 {
		clients = append(clients, dial(t, addr))
	}
	waiting := rawDial(t, addr) // not admitted
	waiting.expect("0{")
	r.wait(t, "connected", func() bool { return len(r.conns) == 20 })
	for _, c := range r.conns {
		c.Emit("server_restarting", nil)
	}
	done := make(chan error, 1)
	go func() { done <- s.Close(context.Background()) }()
	for _, c := range clients {
		c.expect(`42["server_restarting"]`)
		if code, why := c.closed(); code != websocket.StatusGoingAway || why != "server shutting down" {
			t.Errorf("%d %s", code, why)
		}
	}
	if code, _ := waiting.closed(); code != websocket.StatusGoingAway {
		t.Errorf("%d", code)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if len(r.causes) != 20 || s.Stats().Connections != 0 {
		t.Errorf("%d ends, %d connections", len(r.causes), s.Stats().Connections)
	}
	for _, c := range r.causes {
		if c.Kind != ServerClosed {
			t.Errorf("%+v", c)
		}
	}
	if resp := request(t, addr, "EIO=4&transport=websocket", "", true); resp.StatusCode != 503 {
		t.Errorf("status %d after Close", resp.StatusCode)
	}
}

// A peer that takes nothing does not hold up Close for longer than ctx.
func TestServerCloseCuts(t *testing.T) {
	r := newRecorder()
	s, addr := testServer(t, r, &Options{Limits: Limits{Outbound: 64 << 20}})
	dialTCP(t, addr).admitted()
	r.wait(t, "connected", func() bool { return len(r.conns) == 1 })
	big, _ := EncodeEvent("x", strings.Repeat("x", 1<<20))
	for range 30 {
		r.conns[0].EmitFrame(big)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := s.Close(ctx); err != context.DeadlineExceeded {
		t.Errorf("Close: %v", err)
	}
	waitFor(t, "the connection to go", func() bool { return s.Stats().Connections == 0 })
}

// A client that does not read is closed: at once when too much waits, in time
// when it takes nothing. What waits stays bounded.
func TestSlowReader(t *testing.T) {
	t.Run("too much", func(t *testing.T) {
		r := newRecorder()
		s, addr := testServer(t, r, nil)
		dialTCP(t, addr).admitted()
		r.wait(t, "connected", func() bool { return len(r.conns) == 1 })
		c := r.conns[0]
		big, _ := EncodeEvent("x", strings.Repeat("x", 100<<10))
		for i := 0; s.Stats().Refused["slow_reader"] == 0; i++ {
			if c.EmitFrame(big); c.QueuedBytes() > 2<<20 {
				t.Fatalf("%d bytes wait", c.QueuedBytes())
			}
			if i == 1000 {
				t.Fatal("100 MB were emitted to a client that does not read")
			}
		}
		r.wait(t, "Disconnected", func() bool { return len(r.causes) == 1 })
		if r.causes[0].Kind != Refused || !strings.HasPrefix(r.causes[0].Detail, "slow_reader") {
			t.Errorf("%+v", r.causes[0])
		}
		waitFor(t, "the connection to go", func() bool { return s.Stats().Connections == 0 })
	})
	t.Run("too long", func(t *testing.T) {
		r := newRecorder()
		s, addr := testServer(t, r, &Options{Limits: Limits{Outbound: 64 << 20, WriteTimeout: 100 * time.Millisecond}})
		dialTCP(t, addr).admitted()
		r.wait(t, "connected", func() bool { return len(r.conns) == 1 })
		big, _ := EncodeEvent("x", strings.Repeat("x", 1<<20))
		for range 30 {
			r.conns[0].EmitFrame(big)
		}
		r.wait(t, "Disconnected", func() bool { return len(r.causes) == 1 })
		if r.causes[0].Kind != Lost || !strings.HasPrefix(r.causes[0].Detail, "slow_reader") {
			t.Errorf("%+v", r.causes[0])
		}
		if n := s.Stats().Refused["slow_reader"]; n != 1 {
			t.Errorf("counted %d times", n)
		}
		waitFor(t, "the connection to go", func() bool { return s.Stats().Connections == 0 })
	})
}

// A burst over the rate loses nothing; a flood that does not end is closed.
func TestFlood(t *testing.T) {
	r := newRecorder()
	s, addr := testServer(t, r, &Options{Limits: Limits{Events: 200, EventBurst: 10, Flood: 500 * time.Millisecond}})
	c := dialTCP(t, addr).admitted()
	for i := range 60 {
		c.send(1, fmt.Sprintf(`42%d["e"]`, i))
	}
	for i := range 60 {
		c.await(fmt.Sprintf("43%d[", i))
	}
	for i := 0; i < 5_000; i++ {
		c.send(9, "ping") // control frames count too
	}
	r.wait(t, "Disconnected", func() bool { return len(r.causes) == 1 })
	if r.causes[0].Kind != Refused || !strings.HasPrefix(r.causes[0].Detail, "flood") {
		t.Errorf("%+v", r.causes[0])
	}
	if n := s.Stats().Refused["flood"]; n != 1 {
		t.Errorf("counted %d times", n)
	}
}

// 10,000 clients leave at random moments of their connection, in every way
// there is. Each that was told Connected is told Disconnected once, in turn,
// and nothing stays behind: not here, not in the module, not in the runtime.
func TestLeaveAtRandom(t *testing.T) {
	n := 1_000
	if os.Getenv("INITGRACE_LONG") != "" {
		n = 10_000
	} else if testing.Short() {
		n = 500
	}
	r := newRecorder()
	r.authorize = func(_ *Conn, h Handshake) *protocol.Error {
		if h.Auth != nil && rand.IntN(10) == 0 {
			return protocol.NewError(protocol.CodeUnauthorized, "unlucky")
		}
		return nil
	}
	r.connected = func(c *Conn) { c.Emit("session", map[string]int{"epoch": 1}) }
	// Many pings, for the module's timers to race with the end. When they do,
	// one of them stays behind, but not for longer than PingTimeout.
	s, addr := testServer(t, r, &Options{PingInterval: 3 * time.Millisecond, PingTimeout: 2 * time.Second})
	stays := rawDial(t, addr)
	stays.expect("0{")
	stays.send("40")
	stays.expect("40{")
	go stays.closed() // answers pings
	before := runtime.NumGoroutine()

	var wg sync.WaitGroup
	work := make(chan int)
	for range 50 {
		wg.Go(func() {
			for i := range work {
				leaveAtRandom(t, addr, i)
			}
		})
	}
	for i := range n {
		work <- i
	}
	close(work)
	wg.Wait()

	waitFor(t, "no connection but one", func() bool { return s.Stats().Connections == 1 })
	waitFor(t, "the module to forget", func() bool {
		return s.module.Engine().ClientsCount() == 0 && s.module.Sockets().Sockets().Len() == 0
	})
	waitFor(t, "nobody to be asked but one", func() bool { return s.wheel.size() == 1 })
	waitFor(t, "goroutines to end", func() bool { return runtime.NumGoroutine() <= before+5 })
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.joined) < n/10 || len(r.joined)-1 != len(r.left) || r.early != 0 {
		t.Errorf("%d connected, %d disconnected, %d calls out of turn", len(r.joined), len(r.left), r.early)
	}
	for c, times := range r.left {
		if times != 1 || r.joined[c] != 1 {
			t.Errorf("connected %d times, disconnected %d times", r.joined[c], times)
		}
	}
	if st := s.Stats(); st.Swept != 0 || st.Connected != 1 || st.Refused["panic"] != 0 {
		t.Errorf("%+v", st)
	}
}

func leaveAtRandom(t *testing.T, addr string, i int) {
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Error(err)
		return
	}
	c := &tcpClient{t: t, nc: nc}
	upgradeRequest(nc, addr)
	step := rand.IntN(8)
	buf := make([]byte, 512)
	read := func() {
		nc.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		nc.Read(buf)
	}
	for at := range step {
		switch at {
		case 0:
			read() // 101, and perhaps the open packet
		case 1:
			c.send(1, "40{}")
		case 2:
			read()
		case 3:
			c.send(1, `42["e"]`)
		case 4:
			read()
		case 5:
			c.send(1, "41")
		default:
			read()
		}
		if rand.IntN(3) == 0 {
			time.Sleep(time.Duration(rand.IntN(2000)) * time.Microsecond)
		}
	}
	switch i % 4 {
	case 0:
		reset(nc)
	case 1:
		nc.Close()
	case 2:
		c.send(closeFrame, closePayload(1001))
		nc.Close()
	case 3:
		c.send(closeFrame, closePayload(1000))
		read()
		reset(nc)
	}
}
