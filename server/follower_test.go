package server

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"initgrace/grace/protocol"
)

// several is the Config of a server that others may follow, and theirs.
func several() Config {
	return Config{Relay: true, Policy: quick(), PageInterval: 150 * time.Millisecond}
}

// Partners at three servers: one that leads, and two that follow. What one of
// them says reaches the others in order and once, whoever they are connected to,
// and a freeze is a freeze everywhere.
func TestPartnersAtSeveralServers(t *testing.T) {
	t.Parallel()
	cfg := several()
	cfg.AdminToken = "open"
	r := start(t, cfg)
	servers := []*rig{r, r.follower(cfg), r.follower(cfg)}
	var people []*plain
	for i, s := range servers {
		p, hello := s.connect(fmt.Sprintf(`{"participant":"p%d","group":"g"}`, i))
		if hello.Restored || len(hello.Partners) != i {
			t.Errorf("p%d was greeted with %+v", i, hello)
		}
		people = append(people, p)
	}
	a, b, c := people[0], people[1], people[2]
	for i, p := range people {
		for j := i + 1; j < len(people); j++ {
			p.expectState(fmt.Sprint("p", j), protocol.Active)
		}
	}

	const n = 300
	for i := 1; i <= n; i++ { // both ways at once, nobody waits for acks
		b.emit(protocol.EventSend, fmt.Sprintf(`{"data":%d}`, i))
		c.emit(protocol.EventSend, fmt.Sprintf(`{"data":%d}`, i))
	}
	next := map[string]int{}
	for range 2 * n { // the two senders are concurrent: each is in order
		m := a.message()
		if next[m.From]++; string(m.Data) != fmt.Sprint(next[m.From]) {
			t.Fatalf("%s sent %s as its %d. message", m.From, m.Data, next[m.From])
		}
	}
	b.messages("p2", numbers(1, n)...)
	c.messages("p1", numbers(1, n)...)

	b.call(protocol.EventLoadStart, `{}`, nil)
	b.freeze()
	a.expectState("p1", protocol.Loading)
	c.expectState("p1", protocol.Loading)
	time.Sleep(quick().BlockedTimeout + quick().BlockedAfter) // the freeze itself
	b.thaw()
	var done protocol.CompleteAck
	if b.call(protocol.EventLoadComplete, `{}`, &done); !done.OK {
		t.Errorf("complete: %+v", done)
	}
	a.expectState("p1", protocol.Active)
	c.expectState("p1", protocol.Active)
	c.die() // no close frame, no answer to pings: only silence says so
	a.expectState("p2", protocol.Away)
	b.expectState("p2", protocol.Gone)

	// What a server that follows cannot answer by itself.
	request, _ := http.NewRequest(http.MethodGet, servers[1].http.URL+"/metrics", nil)
	if res, err := http.DefaultClient.Do(request); err != nil || res.StatusCode != http.StatusUnauthorized {
		t.Errorf("metrics without a token: %v %v", res, err)
	}
	request.Header.Set("Authorization", "Bearer open")
	for deadline := r.deadline(); ; time.Sleep(10 * time.Millisecond) {
		deadline.check("the followers' connections are not counted")
		res, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if strings.Contains(string(text), "initgrace_followers 2\n") && strings.Contains(string(text), "initgrace_sockets_admitted_total 3\n") {
			break
		}
	}
	if h := r.history("p1"); !slices.Equal(h, []protocol.Presence{protocol.Active, protocol.Loading, protocol.Active}) {
		t.Errorf("history %v", h)
	}
}

// A refusal crosses as it is, and a replaced connection is told wherever it was.
func TestFollowersAdmitAsTheLeaderSays(t *testing.T) {
	t.Parallel()
	cfg := several()
	r := start(t, cfg)
	one, two := r.follower(cfg), r.follower(cfg)
	if _, err := one.dial(`{"participant":"no spaces"}`); err == nil || !strings.Contains(err.Error(), string(protocol.CodeUnauthorized)) {
		t.Errorf("refused with %v", err)
	}
	p, hello := one.connect(`{"participant":"p","page_id":"1"}`)
	_, again := two.connect(fmt.Sprintf(`{"participant":"p","page_id":"2","token":%q}`, hello.Token))
	if !again.Restored || again.Epoch != hello.Epoch+1 {
		t.Errorf("greeted with %+v", again)
	}
	p.expect(protocol.EventReplaced, nil)
	<-p.closed
	for _, f := range []*rig{one, two} { // beats reach the one that leads
		body := fmt.Sprintf(`{"participant":"p","token":%q,"page_silent_ms":1}`, again.Token)
		if got := f.post(beatPath, body); got != http.StatusNoContent {
			t.Errorf("beat: %d", got)
		}
		if got := f.post(beatPath, `{"participant":"p","token":"1.x"}`); got != http.StatusUnauthorized {
			t.Errorf("beat with a wrong token: %d", got)
		}
	}
}

// A server that follows dies with its connections: their participants are cut
// off, not gone, come back at another server, and their partner never moves.
func TestFollowerDies(t *testing.T) {
	t.Parallel()
	cfg := several()
	r := start(t, cfg)
	dying, other := r.follower(cfg), r.follower(cfg)
	q, _ := other.connect(`{"participant":"q","group":"g"}`)
	p, hello := dying.connect(`{"participant":"p","group":"g","page_id":"1"}`)
	var lease protocol.LoadAck
	p.call(protocol.EventLoadStart, `{}`, &lease)
	q.expectState("p", protocol.Loading)
	dying.follows.relay.Close() // as if it had been killed: nothing is said
	q.expectState("p", protocol.Away)
	<-p.closed
	_, hello = other.connect(fmt.Sprintf(`{"participant":"p","page_id":"1","token":%q,"loads":[{"id":%q}]}`, hello.Token, lease.ID))
	if !hello.Restored {
		t.Errorf("greeted with %+v", hello)
	}
	q.expectState("p", protocol.Loading)
	if h := r.history("p"); !slices.Equal(h, []protocol.Presence{protocol.Active, protocol.Loading, protocol.Away, protocol.Loading}) {
		t.Errorf("history %v", h)
	}
	if _, err := dying.dial(`{"participant":"z"}`); err == nil { // until it has a leader
		t.Error("a server admits without one that leads")
	}
}

// A server that follows and leaves in order has nobody taken for away who comes
// back as it was told.
func TestFollowerLeaves(t *testing.T) {
	t.Parallel()
	cfg := several()
	r := start(t, cfg)
	leaving := r.follower(cfg)
	p, hello := leaving.connect(`{"participant":"p","page_id":"1"}`)
	leaving.end()
	p.expect(protocol.EventServerRestarting, nil)
	<-p.closed
	if code := websocket.CloseStatus(p.err); code != websocket.StatusGoingAway {
		t.Errorf("closed with %v: %v", code, p.err)
	}
	p, hello = r.connect(fmt.Sprintf(`{"participant":"p","page_id":"1","token":%q}`, hello.Token))
	p.call(protocol.EventPing, `{}`, nil)
	if h := r.history("p"); hello.Epoch != 2 || !slices.Equal(h, []protocol.Presence{protocol.Active}) {
		t.Errorf("epoch %d, history %v", hello.Epoch, h)
	}
}

// The one that leads leaves in order: who is connected elsewhere is told too, and
// comes back to the next one.
func TestLeaderLeaves(t *testing.T) {
	t.Parallel()
	cfg := several()
	r := start(t, cfg)
	f := r.follower(cfg)
	p, _ := f.connect(`{"participant":"p"}`)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := r.srv.Close(ctx); err != nil {
		t.Fatal(err)
	}
	p.expect(protocol.EventServerRestarting, nil)
	<-p.closed
	if h := r.history("p"); !slices.Equal(h, []protocol.Presence{protocol.Active}) {
		t.Errorf("history %v", h)
	}
	next := start(t, cfg)
	f.follows.relay.Close()
	if f, err := NewFollower(cfg, next.srv.loop.secret); err != nil {
		t.Fatal(err)
	} else {
		f.Lead("127.0.0.1:1") // nobody is there
		f.Lead(next.http.Listener.Addr().String())
		r.reached(f)
		f.Close(ctx)
	}
}
