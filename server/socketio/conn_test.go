package socketio

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/coder/websocket"
	"initgrace/grace/protocol"
)

func TestConnectEventAckLeave(t *testing.T) {
	r := newRecorder()
	var got Handshake
	r.authorize = func(c *Conn, h Handshake) *protocol.Error { got = h; return nil }
	r.connected = func(c *Conn) { c.Emit("hello", map[string]int{"n": 1}) }
	s, addr := testServer(t, r, nil)

	c := rawDial(t, addr)
	var open struct {
		SID, PingTimeout any
		PingInterval     int
		Upgrades         []string
	}
	mustJSON(t, c.expect("0{")[1:], &open)
	if open.PingInterval != 2000 || len(open.Upgrades) != 0 {
		t.Errorf("open packet: %+v", open)
	}
	c.send(`40{"participant":"p1"}`)
	c.expect(`40{"sid":"`)
	c.expect(`42["hello",{"n":1}]`)
	if string(got.Auth) != `{"participant":"p1"}` || got.RemoteAddr != "127.0.0.1" || got.Transport != "websocket" {
		t.Errorf("handshake: %+v", got)
	}
	c.send(`427["echo",{"a":[1,"ü"]},true]`)
	c.expect(`437[{"a":[1,"ü"]}]`)
	c.send(`41`)
	r.wait(t, "Disconnected", func() bool { return len(r.causes) == 1 })
	r.conns[0].Emit("too late", nil)
	c.send(`42["too late"]`)
	if code, why := c.closed(); code != websocket.StatusPolicyViolation || why != "before_connect" {
		t.Errorf("%d %s", code, why)
	}
	want := "authorize connected event echo disconnected"
	if calls := strings.Join(r.calls, " "); calls != want {
		t.Errorf("calls %q, want %q", calls, want)
	}
	if r.causes[0].Kind != ClientLeft {
		t.Errorf("cause %+v", r.causes[0])
	}
	waitFor(t, "no connection", func() bool { return s.Stats().Connections == 0 })
}

func TestAuthorizeRefuses(t *testing.T) {
	r := newRecorder()
	r.authorize = func(*Conn, Handshake) *protocol.Error {
		return protocol.NewError(protocol.CodeUnauthorized, "no participant")
	}
	_, addr := testServer(t, r, nil)
	c := rawDial(t, addr)
	c.expect("0{")
	c.send("40")
	var refusal struct {
		Message string
		Data    protocol.Error
	}
	mustJSON(t, c.expect("44")[2:], &refusal)
	if refusal.Message != "no participant" || refusal.Data.Code != protocol.CodeUnauthorized || refusal.Data.OK {
		t.Errorf("%+v", refusal)
	}
	c.send("40") // once is enough
	if code, why := c.closed(); code != websocket.StatusPolicyViolation || why != "unexpected_packet" {
		t.Errorf("%d %s", code, why)
	}
	if calls := strings.Join(r.calls, " "); calls != "authorize" {
		t.Errorf("calls %q", calls)
	}
}

// Events and the acks to them keep their order, and each emit to everybody,
// followed by another one, arrives.
func TestOrderAndBroadcast(t *testing.T) {
	const n = 2000
	r := newRecorder()
	next := 0
	r.event = func(c *Conn, e Event) {
		var i int
		if err := json.Unmarshal(e.Args[0], &i); err != nil || i != next {
			t.Errorf("event %s, want %d", e.Args[0], next)
		}
		next++
		c.Ack(e.AckID, i)
		frame, _ := EncodeEvent("all", i)
		c.EmitFrame(frame)
		c.Emit("one", i)
	}
	_, addr := testServer(t, r, &Options{Limits: Limits{Events: -1, Bytes: -1}})
	c := dial(t, addr)
	go func() {
		for i := range n {
			c.ws.Write(context.Background(), websocket.MessageText, fmt.Appendf(nil, `42%d["e",%d]`, i, i))
		}
	}()
	for i := range n {
		c.expect(fmt.Sprintf(`43%d[%d]`, i, i))
		c.expect(fmt.Sprintf(`42["all",%d]`, i))
		c.expect(fmt.Sprintf(`42["one",%d]`, i))
	}
}

// The answer to the request and the open packet are one packet on the wire.
// What a frame holds is as long as it was, markup included.
func TestMarkupIsNotEscaped(t *testing.T) {
	text := json.RawMessage(`"<b>\u2028 & more</b>"`)
	for want, encode := range map[string]func() ([]byte, error){
		`42["e",{"of":"<p>","text":` + string(text) + `}]`: func() ([]byte, error) {
			return EncodeEvent("e", map[string]any{"of": "<p>", "text": text})
		},
		`437[` + string(text) + `]`: func() ([]byte, error) { return EncodeAck(7, text) },
	} {
		if got, err := encode(); err != nil || string(got) != want {
			t.Errorf("got %s, %v, want %s", got, err, want)
		}
	}
}

func TestOpensAtOnce(t *testing.T) {
	_, addr := testServer(t, newRecorder(), nil)
	c := dialTCP(t, addr)
	b := make([]byte, 4096)
	n, err := c.nc.Read(b)
	if got := string(b[:n]); err != nil || !strings.HasPrefix(got, "HTTP/1.1 101 ") || !strings.Contains(got, "\r\n\r\n\x81") || !strings.Contains(got, `0{"`) {
		t.Errorf("%q, %v", got, err)
	}
}
