package socketio

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/zishang520/engine.io/v2/types"
	"github.com/zishang520/socket.io/v2/socket"
)

// The tests in this file show the module without the wall, hole by hole: the
// reason why this package is as it is. A test that finds a hole closed skips
// itself and says so; then a part of the wall may have become unnecessary.

// TestMain makes of the test binary the server of another process, when it is
// told so.
func TestMain(m *testing.M) {
	switch os.Getenv(childEnv) {
	case "":
		os.Exit(m.Run())
	case childBare:
		server, h := bareModule()
		server.On("connection", func(args ...any) {
			sock := args[0].(*socket.Socket)
			sock.On("e", func(args ...any) {
				ack := args[len(args)-1].(func([]any, error))
				ack(args[:1], nil)
			})
			sock.EmitWithAck("question")(func([]any, error) {})
		})
		serveChild(h)
	case childDefault:
		s, err := New(echo{}, nil)
		if err != nil {
			panic(err)
		}
		serveChild(s)
	case childWall:
		s, err := New(echo{}, &Options{PingInterval: 25 * time.Second, Limits: Limits{Events: -1, Bytes: -1, Handshakes: -1, Connections: -1, PerAddress: -1}})
		if err != nil {
			panic(err)
		}
		serveChild(s)
	}
}

// bareModule is the module as its documentation has it used.
func bareModule() (*socket.Server, http.Handler) {
	opts := socket.DefaultServerOptions()
	opts.SetTransports(types.NewSet("websocket", "polling"))
	io := socket.NewServer(nil, opts)
	mux := http.NewServeMux()
	mux.Handle(Path, io.ServeHandler(nil))
	return io, mux
}

func TestBareModuleCrashes(t *testing.T) {
	for _, tc := range refusals[:6] {
		t.Run(tc.name, func(t *testing.T) {
			c := startChild(t, childBare)
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			ws, _, err := websocket.Dial(ctx, "ws://"+c.addr+Path+"?EIO=4&transport=websocket", nil)
			if err != nil {
				t.Fatal(err)
			}
			defer ws.CloseNow()
			cl := &client{t: t, ws: ws}
			cl.lateConnect()
			cl.expect("42") // the question, for payloads that pretend to answer it
			for _, f := range tc.frames {
				if b, ok := strings.CutPrefix(f, "binary:"); ok {
					ws.Write(ctx, websocket.MessageBinary, []byte(b))
				} else {
					ws.Write(ctx, websocket.MessageText, []byte(f))
				}
			}
			if !c.died(3 * time.Second) {
				t.Skip("this version of the module survives it")
			}
			if !strings.Contains(c.stderr.String(), "panic:") {
				t.Errorf("the child died of something else:\n%s", c.stderr.String())
			}
		})
	}
	t.Run("early pong", func(t *testing.T) {
		if testing.Short() {
			t.Skip("takes up to some hundred connections")
		}
		c := startChild(t, childBare)
		for i := range 3_000 {
			nc, err := net.Dial("tcp", c.addr)
			if err != nil {
				break
			}
			earlyPongs(nc, c.addr)
			nc.Close()
			if c.died(0) {
				t.Logf("dead after %d connections", i+1)
				break
			}
		}
		if !c.died(time.Second) {
			t.Skip("this version of the module survives it, or was lucky")
		}
		if !strings.Contains(c.stderr.String(), "panic:") {
			t.Errorf("the child died of something else:\n%s", c.stderr.String())
		}
	})
}

// lateConnect waits before CONNECT: the bare module loses one that comes before
// it listens.
func (c *client) lateConnect() {
	c.t.Helper()
	c.expect("0{")
	time.Sleep(100 * time.Millisecond)
	c.send("40")
	c.expect("40{")
}

func startBare(t testing.TB) (*socket.Server, string) {
	server, h := bareModule()
	hs := httptest.NewUnstartedServer(h)
	hs.Config.ErrorLog = log.New(io.Discard, "", 0) // it writes to hijacked responses
	hs.Start()
	t.Cleanup(func() {
		server.Close(nil)
		hs.CloseClientConnections()
		hs.Close()
	})
	return server, strings.TrimPrefix(hs.URL, "http://")
}

func TestBareModuleReorders(t *testing.T) {
	const n = 2000
	server, addr := startBare(t)
	var mu sync.Mutex
	var order []int
	server.On("connection", func(args ...any) {
		args[0].(*socket.Socket).On("e", func(args ...any) {
			mu.Lock()
			defer mu.Unlock()
			order = append(order, int(args[0].(float64)))
		})
	})
	c := rawDial(t, addr)
	c.lateConnect()
	for i := range n {
		c.send(fmt.Sprintf(`42["e",%d]`, i))
	}
	waitFor(t, "the events", func() bool { mu.Lock(); defer mu.Unlock(); return len(order) == n })
	inversions := 0
	for i := 1; i < n; i++ {
		if order[i] < order[i-1] {
			inversions++
		}
	}
	if t.Logf("%d inversions in %d events", inversions, n); inversions == 0 {
		t.Skip("this version of the module keeps the order, or was lucky")
	}
}

func TestBareModuleLosesBroadcasts(t *testing.T) {
	const n = 1000
	server, addr := startBare(t)
	c := rawDial(t, addr)
	c.lateConnect()
	waitFor(t, "the socket", func() bool { return server.Sockets().Sockets().Len() == 1 })
	for i := range n {
		server.Emit("all", i)
	}
	server.Sockets().Sockets().Range(func(_ socket.SocketId, s *socket.Socket) bool {
		time.AfterFunc(200*time.Millisecond, func() { s.Emit("end") })
		return true
	})
	arrived := 0
	for {
		f, err := c.next()
		if err != nil || f == `42["end"]` {
			break
		}
		arrived++
	}
	if t.Logf("%d of %d arrived", arrived, n); arrived == n {
		t.Skip("this version of the module loses none, or was lucky")
	}
}

func TestBareModuleForgetsDisconnects(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some thousand connections")
	}
	server, addr := startBare(t)
	var connected, once, more atomic.Int64
	server.On("connection", func(args ...any) {
		connected.Add(1)
		var times atomic.Int64
		args[0].(*socket.Socket).On("disconnect", func(...any) {
			if times.Add(1) == 1 {
				once.Add(1)
			} else {
				more.Add(1)
			}
		})
	})
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			for i := 0; i < 40 && more.Load() == 0; i++ {
				leaveAtRandom(t, addr, i)
			}
		})
	}
	wg.Wait()
	time.Sleep(500 * time.Millisecond) // what is late is not never
	never := connected.Load() - once.Load()
	t.Logf("of %d connections, %d were told their end twice, %d never", connected.Load(), more.Load(), never)
	if more.Load() == 0 && never == 0 {
		t.Skip("this version of the module tells each end once, or was lucky")
	}
}

func TestBareModuleBuffersWithoutBound(t *testing.T) {
	const total = 8 << 20
	server, addr := startBare(t)
	slowly(dialTCP(t, addr))
	waitFor(t, "the socket", func() bool { return server.Sockets().Sockets().Len() == 1 })
	before := liveHeap()
	server.Sockets().Sockets().Range(func(_ socket.SocketId, s *socket.Socket) bool {
		text := strings.Repeat("x", 1<<20)
		for range total >> 20 {
			s.Emit("x", text)
		}
		return true
	})
	grown := liveHeap() - before
	if t.Logf("%d MB wait for a client that does not read", grown>>20); grown < total/4 {
		t.Skip("this version of the module bounds what waits")
	}
}

func TestBareModuleLosesHandshakes(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some thousand connections")
	}
	_, addr := startBare(t)
	lost, of := lostHandshakes(t, addr, 1000)
	if t.Logf("%d of %d handshakes were lost", lost, of); lost == 0 {
		t.Skip("this version of the module loses none, or was lucky")
	}
}

func TestNoHandshakeIsLost(t *testing.T) {
	_, addr := testServer(t, newRecorder(), nil)
	n := 400
	if os.Getenv("INITGRACE_LONG") != "" {
		n = 10_000
	}
	if lost, of := lostHandshakes(t, addr, n); lost != 0 {
		t.Errorf("%d of %d handshakes were lost", lost, of)
	}
}

// lostHandshakes counts the clients that are not answered when they send
// CONNECT at once. After the first of them it has seen enough.
func lostHandshakes(t *testing.T, addr string, n int) (lost, of int64) {
	var silent, all atomic.Int64
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			for i := 0; i < n/20 && silent.Load() == 0; i++ {
				all.Add(1)
				nc, err := net.Dial("tcp", addr)
				if err != nil {
					t.Error(err)
					return
				}
				upgradeRequest(nc, addr)
				var got []byte
				buf := make([]byte, 1024)
				nc.SetReadDeadline(time.Now().Add(3 * time.Second))
				for !bytes.Contains(got, []byte("40{")) {
					first := len(got) == 0
					m, err := nc.Read(buf)
					if got = append(got, buf[:m]...); err != nil {
						silent.Add(1)
						break
					}
					if first {
						nc.Write(frame(1, "40"))
					}
				}
				reset(nc)
			}
		})
	}
	wg.Wait()
	return silent.Load(), all.Load()
}
