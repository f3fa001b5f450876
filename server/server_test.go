package server

import (
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"initgrace/grace"
	"initgrace/grace/protocol"
	"initgrace/server/store/sqlite"
)

func pair(r *rig) (p, q *plain) {
	p, _ = r.connect(`{"participant":"p","group":"g"}`)
	q, _ = r.connect(`{"participant":"q","group":"g"}`)
	q.expectState("p", protocol.Active)
	return p, q
}

// The main job, by a client that uses no SDK: it says {} before and after, and
// is silent in between for longer than the policy tolerates without a lease.
func TestDeclaredFreezeIsSurvived(t *testing.T) {
	t.Parallel()
	r := start(t, Config{})
	p, q := pair(r)
	var lease protocol.LoadAck
	p.call(protocol.EventLoadStart, `{}`, &lease)
	if !lease.OK || lease.ID == "" || lease.LeaseMS != quick().LoadTimeout.Milliseconds() || lease.CapMS != quick().LoadCap.Milliseconds() {
		t.Fatalf("lease %+v", lease)
	}
	p.freeze()
	state := q.expectState("p", protocol.Loading)
	if state.DeadlineMS <= 0 || state.Reason != protocol.ReasonLoadStarted {
		t.Errorf("partner was told %+v", state)
	}
	time.Sleep(quick().BlockedTimeout + quick().BlockedAfter) // the freeze itself
	p.thaw()
	var done protocol.CompleteAck
	p.call(protocol.EventLoadComplete, `{}`, &done)
	// On a starved machine the policy's time stands still now and then.
	if want := quick().BlockedTimeout.Milliseconds() / 2; !done.OK || done.DurationMS < want {
		t.Errorf("complete: %+v, want at least %d ms", done, want)
	}
	q.expectState("p", protocol.Active)
	if h := r.history("p"); !slices.Equal(h, []protocol.Presence{protocol.Active, protocol.Loading, protocol.Active}) {
		t.Errorf("history %v", h)
	}
}

// The control: the same freeze without a word.
func TestUndeclaredFreezeIsNot(t *testing.T) {
	t.Parallel()
	r := start(t, Config{})
	p, q := pair(r)
	p.freeze()
	q.expectState("p", protocol.Blocked)
	if s := q.expectState("p", protocol.Gone); s.Reason != protocol.ReasonBlockedTimeout {
		t.Errorf("gone because of %s", s.Reason)
	}
	p.expect(protocol.EventExpired, nil)
	<-p.closed
}

func TestShortUndeclaredFreeze(t *testing.T) {
	t.Parallel()
	r := start(t, Config{})
	p, q := pair(r)
	p.freeze()
	q.expectState("p", protocol.Blocked)
	p.thaw()
	q.expectState("p", protocol.Active)
}

// Who dies during a load is noticed within SilenceTimeout and a probe, not at
// the end of the lease.
func TestDeathDuringALoad(t *testing.T) {
	t.Parallel()
	r := start(t, Config{})
	p, q := pair(r)
	p.call(protocol.EventLoadStart, `{"expected_ms":4000}`, nil)
	p.die()
	died := time.Now()
	r.await("p", protocol.Loading, 1)
	q.expectState("p", protocol.Loading)
	away := q.expectState("p", protocol.Away)
	if away.Reason != protocol.ReasonSilence {
		t.Errorf("away because of %s", away.Reason)
	}
	// The policy's own tests are exact; here a machine may be late, but not by a lease.
	limit := quick().SilenceTimeout + quick().ProbeInterval + time.Second
	if took := r.await("p", protocol.Away, 1).At.Sub(died); took > limit || limit >= quick().LoadTimeout {
		t.Errorf("noticed after %v, want at most %v", took, limit)
	}
	if gone := q.expectState("p", protocol.Gone); gone.Reason != protocol.ReasonReconnectTimeout {
		t.Errorf("gone because of %s", gone.Reason)
	}
	<-p.closed // only now is the silent socket closed
}

func TestReconnectKeepsTheLeaseOfTheSamePage(t *testing.T) {
	t.Parallel()
	r := start(t, Config{})
	_, q := pair(r)
	a, s := r.connect(`{"participant":"p","page_id":"page-1"}`)
	if !s.Restored || s.Group != "g" || !slices.Equal(s.Partners, []string{"q"}) {
		t.Fatalf("session %+v", s)
	}
	a.call(protocol.EventLoadStart, `{"id":"l1","phase":"python"}`, nil)
	q.expectState("p", protocol.Loading)
	a.line.Conn.Close() // no close frame
	q.expectState("p", protocol.Away)
	b, s2 := r.connect(`{"participant":"p","page_id":"page-1","token":"` + s.Token + `"}`)
	if s2.Epoch != s.Epoch+1 || s2.Token == s.Token {
		t.Errorf("epoch %d after %d, token changed: %v", s2.Epoch, s.Epoch, s2.Token != s.Token)
	}
	if st := q.expectState("p", protocol.Loading); st.Phase != "python" || st.Reason != protocol.ReasonReconnected {
		t.Errorf("partner was told %+v", st)
	}
	b.call(protocol.EventLoadComplete, `{"id":"l1"}`, nil)
	q.expectState("p", protocol.Active)
}

func TestRefreshEndsTheLease(t *testing.T) {
	t.Parallel()
	r := start(t, Config{})
	_, q := pair(r)
	a, _ := r.connect(`{"participant":"p","page_id":"page-1"}`)
	a.call(protocol.EventLoadStart, `{"id":"l1"}`, nil)
	q.expectState("p", protocol.Loading)
	b, _ := r.connect(`{"participant":"p","page_id":"page-2"}`)
	if st := q.expectState("p", protocol.Active); st.Reason != protocol.ReasonRefreshed {
		t.Errorf("partner was told %+v", st)
	}
	a.expect(protocol.EventReplaced, nil)
	<-a.closed
	b.refused(protocol.EventLoadComplete, `{"id":"l1"}`, protocol.CodeLoadEnded)
	if h := r.history("p"); slices.Contains(h, protocol.Away) {
		t.Errorf("the replaced socket's close counted: %v", h)
	}
}

func TestClosedTabIsKnownFast(t *testing.T) {
	t.Parallel()
	r := start(t, Config{})
	p, q := pair(r)
	p.call(protocol.EventLoadStart, `{"expected_ms":7000}`, nil)
	p.ws.Close(1001, "")
	if s := q.expectState("p", protocol.Away); s.Reason != protocol.ReasonPageClosed {
		t.Errorf("away because of %s", s.Reason)
	}
	if s := q.expectState("p", protocol.Gone); s.Reason != protocol.ReasonLeaveTimeout {
		t.Errorf("gone because of %s", s.Reason)
	}
	away, gone := r.await("p", protocol.Away, 1), r.await("p", protocol.Gone, 1)
	if held := gone.At.Sub(away.At); held < quick().LeaveTimeout || held > quick().LeaveTimeout+time.Second {
		t.Errorf("held for %v, want %v", held, quick().LeaveTimeout)
	}
}

func TestStateIsRestored(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "study.db")
	db, err := sqlite.Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := start(t, Config{Store: db})
	p, s := r.connect(`{"participant":"p","group":"g"}`)
	if s.Restored || s.Version != 0 {
		t.Fatalf("new session %+v", s)
	}
	var saved protocol.StateSaved
	p.call(protocol.EventStateSave, `{"scene_id":"play","stager_state":{"trial":3},"globals":[1,2],"version":0}`, &saved)
	if !saved.OK || saved.Version != 1 {
		t.Fatalf("saved %+v", saved)
	}
	p.call(protocol.EventStateSave, `{"scene_id":"play","stager_state":{"trial":3},"globals":[1,2],"version":0}`, &saved)
	if !saved.OK || saved.Version != 1 { // its ack might have been lost
		t.Fatalf("sent again: %+v", saved)
	}
	p.refused(protocol.EventStateSave, `{"scene_id":"old","version":0}`, protocol.CodeStaleVersion)
	p.call(protocol.EventLoadStart, `{"id":"l1","phase":"numpy"}`, nil)

	check := func(s protocol.Session) {
		t.Helper()
		if !s.Restored || s.SceneID != "play" || string(s.StagerState) != `{"trial":3}` || string(s.Globals) != `[1,2]` || s.Version != 1 || s.Group != "g" {
			t.Errorf("restored %+v", s)
		}
	}
	q, s := r.connect(`{"participant":"p"}`)
	check(s)
	q.expect(protocol.EventSessionRestored, nil)

	// Another process: everybody is away with a hold, and comes back.
	r.stop()
	if db, err = sqlite.Open(path, nil); err != nil {
		t.Fatal(err)
	}
	r2 := start(t, Config{Store: db})
	if c := r2.await("p", protocol.Away, 1); c.Reason != protocol.ReasonRestart {
		t.Errorf("away because of %s", c.Reason)
	}
	_, s = r2.connect(`{"participant":"p","token":"` + s.Token + `"}`) // the secret survived too
	check(s)
}

// A large state comes back as it is, whatever its letters, and locks nobody out.
func TestLargeStateOfMarkup(t *testing.T) {
	t.Parallel()
	r := start(t, Config{})
	state := `"` + strings.Repeat("<&>", 250<<10/3) + `"`
	p, _ := r.connect(`{"participant":"p","page_id":"1"}`)
	var saved protocol.StateSaved
	if p.call(protocol.EventStateSave, `{"scene_id":"s","globals":`+state+`}`, &saved); !saved.OK {
		t.Fatalf("saved %+v", saved)
	}
	for range 5 { // what is written at once is not too much, only what waits
		p, s := r.connect(`{"participant":"p","page_id":"1"}`)
		if string(s.Globals) != state {
			t.Fatalf("the state came back as %d bytes, was %d", len(s.Globals), len(state))
		}
		p.expect(protocol.EventSessionRestored, nil)
	}
}

func TestBadInputChangesNothing(t *testing.T) {
	t.Parallel()
	r := start(t, Config{})
	p, _ := pair(r)
	for _, c := range []struct {
		event, payload string
		code           protocol.Code
	}{
		{"no_such_event", `{}`, protocol.CodeUnknownEvent},
		{strings.Repeat("x", 500), ``, protocol.CodeUnknownEvent},
		{protocol.EventLoadStart, `"yes"`, protocol.CodeInvalidPayload},
		{protocol.EventLoadStart, `[]`, protocol.CodeInvalidPayload},
		{protocol.EventLoadStart, `{"expected_ms":-1}`, protocol.CodeInvalidPayload},
		{protocol.EventLoadStart, `{"expected_ms":86400001}`, protocol.CodeInvalidPayload},
		{protocol.EventLoadStart, `{"expected_ms":1e300}`, protocol.CodeInvalidPayload},
		{protocol.EventLoadStart, `{"expected_ms":"soon"}`, protocol.CodeInvalidPayload},
		{protocol.EventLoadStart, `{"id":7}`, protocol.CodeInvalidPayload},
		{protocol.EventLoadStart, fmt.Sprintf(`{"id":%q}`, strings.Repeat("i", 65)), protocol.CodeInvalidPayload},
		{protocol.EventLoadStart, fmt.Sprintf(`{"phase":%q}`, strings.Repeat("p", 65)), protocol.CodeInvalidPayload},
		{protocol.EventLoadProgress, `{"id":"none"}`, protocol.CodeUnknownLoad},
		{protocol.EventLoadProgress, `{"fraction":2}`, protocol.CodeInvalidPayload},
		{protocol.EventLoadComplete, `{"id":"none"}`, protocol.CodeUnknownLoad},
		{protocol.EventLoadComplete, ``, protocol.CodeUnknownLoad},
		{protocol.EventLoadComplete, `{"blocked_ms":-5}`, protocol.CodeInvalidPayload},
		{protocol.EventLoadComplete, fmt.Sprintf(`{"reason":%q}`, strings.Repeat("r", 501)), protocol.CodeInvalidPayload},
		{protocol.EventStateSave, `{"version":-1}`, protocol.CodeInvalidPayload},
		{protocol.EventStateSave, `{"scene_id":5}`, protocol.CodeInvalidPayload},
		{protocol.EventStateSave, fmt.Sprintf(`{"globals":%q}`, strings.Repeat("g", maxState)), protocol.CodeTooLarge},
		{protocol.EventStateSave, `{"version":9}`, protocol.CodeStaleVersion},
		{protocol.EventJoin, `{"size":1}`, protocol.CodeInvalidPayload},
		{protocol.EventJoin, `{"size":1000000}`, protocol.CodeInvalidPayload},
		{protocol.EventJoin, `{}`, protocol.CodeInGroup},
		{protocol.EventSend, `{}`, protocol.CodeInvalidPayload},
		{protocol.EventSend, fmt.Sprintf(`{"data":%q}`, strings.Repeat("d", maxMessage)), protocol.CodeTooLarge},
		{protocol.EventPing, `{"latency_ms":-1}`, protocol.CodeInvalidPayload},
	} {
		p.refused(c.event, c.payload, c.code)
	}
	if h := r.history("p"); !slices.Equal(h, []protocol.Presence{protocol.Active}) {
		t.Errorf("history %v", h)
	}
	for _, auth := range []string{``, `{}`, `{"participant":"no spaces"}`, `{"participant":"p","token":"1.x"}`} {
		if _, err := r.dial(auth); err == nil || !strings.Contains(err.Error(), `"code":"`) {
			t.Errorf("auth %s: %v, want a connect_error with a code", auth, err)
		}
	}
}

func TestRepeatedStartIsTheSameLease(t *testing.T) {
	t.Parallel()
	r := start(t, Config{})
	p, _ := r.connect(`{"participant":"p"}`)
	var first, again, other protocol.LoadAck
	p.call(protocol.EventLoadStart, `{"id":"a"}`, &first)
	p.call(protocol.EventLoadStart, `{"id":"a","expected_ms":15000}`, &again)
	if !again.OK || again.ID != "a" || again.LeaseMS > first.LeaseMS {
		t.Errorf("repeated: %+v after %+v", again, first)
	}
	p.call(protocol.EventLoadComplete, `{"id":"a"}`, nil)
	p.refused(protocol.EventLoadStart, `{"id":"a"}`, protocol.CodeLoadEnded)
	p.call(protocol.EventLoadStart, `{"id":"b"}`, &other)
	if !other.OK || other.ID != "b" {
		t.Errorf("another load: %+v", other)
	}
}

func TestMessagesAreHeldForAFrozenPage(t *testing.T) {
	t.Parallel()
	r := start(t, Config{})
	p, q := pair(r)
	p.call(protocol.EventLoadStart, `{}`, nil)
	p.freeze()
	const n = 100
	for i := range n {
		q.call(protocol.EventSend, fmt.Sprintf(`{"data":%d}`, i), nil)
	}
	for len(p.events) > 0 {
		if e := <-p.events; e.name == protocol.EventMessage {
			t.Fatalf("a frozen page was sent %s", e.data)
		}
	}
	p.thaw()
	p.call(protocol.EventLoadComplete, `{}`, nil)
	for i := range n {
		var m protocol.Message
		p.expect(protocol.EventMessage, &m)
		if m.From != "q" || m.Seq != uint64(i+1) || string(m.Data) != fmt.Sprint(i) {
			t.Fatalf("message %d is %+v", i, m)
		}
	}
}

// Who comes back is told the state twice and then all that was held, in one go,
// and is not taken for one who does not read.
func TestAllThatIsHeldFitsTheConnection(t *testing.T) {
	t.Parallel()
	r := start(t, Config{})
	p, q := pair(r)
	p.call(protocol.EventStateSave, `{"scene_id":"s","globals":"`+strings.Repeat("x", 250<<10)+`"}`, nil)
	p.call(protocol.EventLoadStart, `{"id":"l"}`, nil)
	p.line.Conn.Close()
	r.await("p", protocol.Away, 1)
	const n = 60
	data := strings.Repeat("y", 16_000)
	for i := range n {
		q.call(protocol.EventSend, fmt.Sprintf(`{"data":%q,"volatile":true,"latest":"%d"}`, data, i), nil)
	}
	p, _ = r.connect(`{"participant":"p"}`)
	for range n {
		p.expect(protocol.EventMessage, nil)
	}
}

func TestWaitRoom(t *testing.T) {
	t.Parallel()
	r := start(t, Config{})
	a, _ := r.connect(`{"participant":"a"}`)
	b, _ := r.connect(`{"participant":"b"}`)
	c, _ := r.connect(`{"participant":"c"}`)
	var w protocol.Waiting
	a.call(protocol.EventJoin, `{}`, &w)
	if !w.OK || w.Present != 1 || w.Size != 2 {
		t.Fatalf("waiting %+v", w)
	}
	a.die()
	r.await("a", protocol.Away, 1) // keeps the place, but no group starts with somebody who is not there
	b.call(protocol.EventJoin, `{"size":2}`, nil)
	b.call(protocol.EventLoadStart, `{}`, nil) // loading counts as present
	c.call(protocol.EventJoin, `{"size":2}`, nil)
	var g protocol.GroupReady
	c.expect(protocol.EventGroupReady, &g)
	if !slices.Equal(g.Members, []string{"b", "c"}) {
		t.Fatalf("group %+v", g)
	}
	b.call(protocol.EventLoadComplete, `{}`, nil)
	var g2 protocol.GroupReady
	b.expect(protocol.EventGroupReady, &g2)
	if g2.Group != g.Group {
		t.Fatalf("b is in %q, c in %q", g2.Group, g.Group)
	}
	b.call(protocol.EventSend, `{"data":"hello"}`, nil)
	var m protocol.Message
	c.expect(protocol.EventMessage, &m)
	if m.From != "b" || string(m.Data) != `"hello"` {
		t.Errorf("message %+v", m)
	}
	b.ws.Close(1001, "")
	var end protocol.GroupEnd
	c.expect(protocol.EventGroupEnd, &end)
	if end.Group != g.Group || end.Participant != "b" || end.Reason != protocol.ReasonLeaveTimeout {
		t.Errorf("group end %+v", end)
	}
	c.refused(protocol.EventSend, `{"data":1}`, protocol.CodeNotInGroup)
	c.call(protocol.EventJoin, `{}`, &w) // may wait again
	if !w.OK {
		t.Errorf("waiting again %+v", w)
	}
}

func TestLatency(t *testing.T) {
	t.Parallel()
	r := start(t, Config{})
	p, q := pair(r)
	q.call(protocol.EventPing, `{"id":1,"latency_ms":80}`, nil)
	p.emit(protocol.EventPing, `{"id":2,"latency_ms":20.5}`)
	var pong protocol.Pong
	p.expect(protocol.EventPong, &pong)
	if pong.ID != 2 || pong.MaxLatency != 80 {
		t.Errorf("pong %+v", pong)
	}
}

// A seat that was given up leaves the study's state behind, and a new seat.
func TestReturnAfterGone(t *testing.T) {
	t.Parallel()
	r := start(t, Config{})
	p, q := pair(r)
	p.call(protocol.EventStateSave, `{"scene_id":"play"}`, nil)
	p.line.Conn.Close()
	q.expectState("p", protocol.Gone)
	_, s := r.connect(`{"participant":"p"}`)
	if !s.Restored || !s.Expired || s.SceneID != "play" || s.Group != "" || s.Epoch != 2 {
		t.Errorf("session %+v", s)
	}
	if c := r.await("p", protocol.Active, 2); c.Seq != 4 || c.From != "" {
		t.Errorf("change %+v", c)
	}
}

func TestContradictionsAreRefused(t *testing.T) {
	for _, c := range []struct {
		cfg  Config
		want []string
	}{
		{Config{Policy: grace.Policy{ProbeInterval: 5 * time.Second}}, []string{"ProbeInterval 5s", "SilenceTimeout 4s"}},
		{Config{Policy: grace.Policy{LoadTimeout: 4 * time.Minute}}, []string{"LoadTimeout 4m0s", "LoadCap 3m0s"}},
		{Config{PageInterval: 3 * time.Second}, []string{"PageInterval 3s", "BlockedAfter 3s"}},
	} {
		_, err := New(c.cfg)
		if err == nil {
			t.Errorf("%+v was accepted", c.cfg)
			continue
		}
		for _, w := range c.want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%v does not name %s", err, w)
			}
		}
	}
}

// What answers pings need not be the participant's browser. Once a worker has
// beaten in a silence of the page, its beats decide.
func TestBeatsDecideWhenAProxyAnswersPings(t *testing.T) {
	t.Parallel()
	r := start(t, Config{})
	_, q := pair(r)
	p, s := r.connect(`{"participant":"p","group":"g"}`)
	p.call(protocol.EventLoadStart, `{}`, nil)
	p.freeze() // the WebSocket library goes on answering pings, as a proxy would
	began := time.Now()
	beat := func() {
		body := fmt.Sprintf(`{"participant":"p","token":%q,"page_silent_ms":%d}`, s.Token, time.Since(began).Milliseconds())
		if got := r.post("/initgrace/beat", body); got != http.StatusNoContent {
			t.Fatalf("beat: %d", got)
		}
	}
	for time.Since(began) < 2*quick().SilenceTimeout {
		beat()
		time.Sleep(quick().ProbeInterval)
	}
	if h := r.history("p"); slices.Contains(h, protocol.Away) {
		t.Fatalf("away while the worker beat: %v", h)
	}
	if away := q.expectState("p", protocol.Away); away.Reason != protocol.ReasonProxy {
		t.Errorf("away because of %s", away.Reason)
	}
	beat()
	q.expectState("p", protocol.Loading)
	p.thaw()
	p.call(protocol.EventLoadComplete, `{}`, nil)
	q.expectState("p", protocol.Active)
}
