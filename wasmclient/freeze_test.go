//go:build !js

package wasmclient

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"initgrace/grace/protocol"
	"initgrace/wasmclient/internal/siotest"
)

// probed is a server that can ask a client's browser and its page.
type probed struct {
	mu     sync.Mutex
	ws     *websocket.Conn
	pongs  int // Engine.IO
	events int
	conns  int
}

func (p *probed) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ws, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	ctx := context.Background()
	_ = ws.Write(ctx, websocket.MessageText, []byte(`0{"sid":"s","pingInterval":100,"pingTimeout":100000}`))
	for {
		_, frame, err := ws.Read(ctx)
		if err != nil {
			return
		}
		p.mu.Lock()
		switch {
		case strings.HasPrefix(string(frame), "40"):
			p.ws = ws
			p.conns++
			_ = ws.Write(ctx, websocket.MessageText, []byte(`42["session",{"participant":"p1"}]`))
		case string(frame) == "3":
			p.pongs++
		default:
			p.events++
			_ = ws.Write(ctx, websocket.MessageText, []byte(`42["pong",{}]`))
		}
		p.mu.Unlock()
	}
}

func (p *probed) write(t *testing.T, frame string) {
	t.Helper()
	if err := p.ws.Write(t.Context(), websocket.MessageText, []byte(frame)); err != nil {
		t.Fatal(err)
	}
}

func (p *probed) counts() (pongs, events, conns int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pongs, p.events, p.conns
}

// eventually is a helper of tests with a real network.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in 10 s: %s", what)
		}
	}
}

// A frozen client answers protocol pings and nothing else, and catches up when
// it thaws.
func TestFreeze(t *testing.T) {
	p := &probed{}
	var j journal
	c, err := Dial(t.Context(), newHTTPServer(t, p), &Options{
		Participant: "p1", Handlers: j.handlers("message"), Latency: 20 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	eventually(t, "a latency ping", func() bool { _, events, _ := p.counts(); return events > 0 })

	thaw := c.Freeze()
	if err := p.ws.Ping(within(t, 10*time.Second)); err != nil {
		t.Fatalf("a frozen client's browser: %v", err)
	}
	_, before, _ := p.counts() // what was under way has arrived: the pong came behind it
	p.write(t, "2")
	p.write(t, `42["message",1]`)
	p.write(t, `42["message",2]`)
	for range 5 {
		if err := p.ws.Ping(within(t, 10*time.Second)); err != nil {
			t.Fatalf("with something unread: %v", err)
		}
		time.Sleep(20 * time.Millisecond) // its own timers come due
	}
	if pongs, events, _ := p.counts(); pongs != 0 || events > before+1 || len(j.all()) != 0 {
		t.Errorf("frozen, and yet %d pongs, %d events sent, %v handled", pongs, events-before, j.all())
	}

	thaw()
	thaw() // does nothing
	eventually(t, "everything is handled after the thaw", func() bool {
		pongs, events, _ := p.counts()
		return pongs == 1 && events > before+1 && strings.Join(j.all(), " ") == "message 1 message 2"
	})
}

// As in Chromium: what a frozen page has not read stops even the pongs.
func TestFreezeReadsOnlySoMuch(t *testing.T) {
	p := &probed{}
	c, err := Dial(t.Context(), newHTTPServer(t, p), &Options{Participant: "p1", Latency: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	thaw := c.Freeze()
	p.write(t, `42["message","`+strings.Repeat("x", FreezeBuffer)+`"]`)
	p.write(t, `42["message",2]`)
	if err := p.ws.Ping(within(t, 100*time.Millisecond)); err == nil {
		t.Error("a pong from behind what was not read")
	}
	thaw()
	if err := p.ws.Ping(within(t, 10*time.Second)); err != nil {
		t.Errorf("after the thaw: %v", err)
	}
}

// A frozen page does not notice that its connection is gone, and comes back
// when it thaws. It can be closed.
func TestFreezeAndReconnect(t *testing.T) {
	p := &probed{}
	c, err := Dial(t.Context(), newHTTPServer(t, p), &Options{
		Participant: "p1", Latency: -1, Backoff: Backoff{Min: time.Millisecond, Max: time.Millisecond},
	})
	if err != nil {
		t.Fatal(err)
	}
	thaw := c.Freeze()
	p.ws.CloseNow()
	time.Sleep(100 * time.Millisecond)
	if _, _, conns := p.counts(); conns != 1 {
		t.Errorf("a frozen client has connected %d times", conns)
	}
	thaw()
	eventually(t, "a second connection", func() bool { _, _, conns := p.counts(); return conns == 2 })

	c.Freeze()
	if err := c.Close(within(t, 10*time.Second)); err != nil {
		t.Errorf("closing a frozen client: %v", err)
	}
	hasCode(t, c.Err(), protocol.CodeClosed)
}

// The server is silent while a page is blocked, since it waits for a pong. A
// block is no reason to give the connection up: not the first, and not another
// one right behind it, whether or not anything was heard in between.
func TestBlocksAreNotTheServersSilence(t *testing.T) {
	for _, between := range []string{"an ack", "nothing"} {
		bubble(t, func(c *siotest.Conn) {
			if c.Greet() {
				c.Echo()
			}
		}, func(t *testing.T, s *siotest.Server) {
			c := connect(t, s, Options{Silence: 10 * time.Second})
			for range 3 {
				thaw := c.Freeze()
				time.Sleep(30 * time.Second)
				thaw()
				if between == "nothing" {
					time.Sleep(time.Millisecond)
				} else if err := c.EmitAck(t.Context(), "between", nil, nil); err != nil {
					t.Fatal(err)
				}
			}
			if err := c.EmitAck(t.Context(), "x", nil, nil); err != nil {
				t.Fatal(err)
			}
			if s.Count() != 1 {
				t.Errorf("with %s between the blocks: %d connections", between, s.Count())
			}
		})
	}
}

// A block may hide that the network has gone: what had come before is read when
// it ends, and seems to be news. The server is asked then, and has not long.
func TestNetworkLostInABlock(t *testing.T) {
	for _, c := range []struct {
		name  string
		pongs bool // the server answers after the block
		want  int  // connections
	}{{"lost", false, 2}, {"kept", true, 1}} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(sc *siotest.Conn) {
				if !sc.Greet() {
					return
				}
				if sc.N == 1 && !c.pongs {
					time.Sleep(5 * time.Second)
					sc.Write("2") // while the page is blocked
					sc.Wait()
					return
				}
				sc.Echo()
			}, func(t *testing.T, s *siotest.Server) {
				cl := connect(t, s, Options{Silence: 20 * time.Second, Latency: time.Second})
				thaw := cl.Freeze()
				time.Sleep(10 * time.Second)
				thaw()
				time.Sleep(afterBlock + silenceLook + 2*time.Second)
				if s.Count() != c.want {
					t.Errorf("%d connections, want %d", s.Count(), c.want)
				}
			})
		})
	}
}
