package server

import (
	"fmt"
	"maps"
	"net"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"initgrace/grace/protocol"
	"initgrace/server/eventlog"
	"initgrace/server/store"
	"initgrace/server/store/sqlite"
	"initgrace/server/study"
)

// quickFile is quick as a study file has it.
const quickFile = `
page_interval: 150ms
policy:
  probe_interval: 100ms
  silence_timeout: 1500ms
  blocked_after: 500ms
  blocked_timeout: 2s
  load_timeout: 5s
  load_cap: 15s
  load_budget: 1m
  reconnect_timeout: 2s
  leave_timeout: 1s
  page_timeout: 2s
`

// plans is the study of some experiments, under quick.
func plans(t testing.TB, experiments string) *study.Study {
	t.Helper()
	s, err := study.Parse("test.yaml", []byte(quickFile+"experiments:\n"+experiments))
	if err != nil {
		t.Fatal(err)
	}
	if s.Policy != quick().WithDefaults() {
		t.Fatalf("quickFile is not quick: %+v", s.Policy)
	}
	return s
}

// lab is a server that can be restarted with the same database.
type lab struct {
	*rig
	path string
	file *study.Study
}

func startLab(t testing.TB, experiments string) *lab {
	l := &lab{path: filepath.Join(t.TempDir(), "s.db"), file: plans(t, experiments)}
	l.rig = start(t, Config{Study: l.file, Store: l.db(t)})
	return l
}

func (l *lab) db(t testing.TB) store.Store {
	t.Helper()
	db, err := sqlite.Open(l.path, nil)
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// restart ends the server and starts another one, at the same address.
func (l *lab) restart() {
	l.t.Helper()
	address := l.http.Listener.Addr().String()
	l.stop()
	l.rig.changes = nil
	srv, err := New(Config{Study: l.file, Store: l.db(l.t), Logger: l.srv.loop.log, Observe: l.srv.loop.observe})
	if err != nil {
		l.t.Fatal(err)
	}
	l.srv, l.http = srv, httptest.NewUnstartedServer(srv)
	l.http.Listener.Close()
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		if l.http.Listener, err = net.Listen("tcp", address); err == nil {
			break
		}
		if time.Now().After(deadline) {
			l.t.Fatal(err)
		}
	}
	l.http.Start()
}

// log is what the event log says of a participant and kind.
func (l *lab) log(participant string, kind eventlog.Kind) (out []eventlog.Record) {
	l.t.Helper()
	all, err := l.srv.loop.store.Records(l.t.Context(), 0, 100_000)
	if err != nil {
		l.t.Fatal(err)
	}
	for _, r := range all {
		if r.Kind == kind && (participant == "" || r.Participant == participant) {
			out = append(out, r)
		}
	}
	return out
}

func leave(p *plain) { p.ws.Close(websocket.StatusGoingAway, "") }

// Conditions are drawn once, balanced in blocks, and never again: not after a
// refresh, not when the seat was given up, not by another process.
func TestConditions(t *testing.T) {
	t.Parallel()
	l := startLab(t, `
  x:
    seed: 6
    block_size: 6
    conditions: [{name: a, weight: 2}, {name: b}]
    scenes: [{id: intro}, {id: s1, shuffled: true}, {id: s2, shuffled: true}, {id: s3, shuffled: true}]
    pyodide: {packages: [micropip]}
`)
	counts := map[string]int{}
	had := map[string]protocol.Session{}
	enter := func(who string) protocol.Session {
		t.Helper()
		p, s := l.connect(`{"participant":"` + who + `"}`)
		leave(p)
		return s
	}
	check := func(n int) {
		t.Helper()
		full := n / 6
		if counts["a"] < full*4 || counts["a"] > full*4+4 || counts["b"] < full*2 || counts["b"] > full*2+2 {
			t.Errorf("after %d participants: %v", n, counts)
		}
	}
	for i := range 15 {
		who := fmt.Sprint("p", i)
		s := enter(who)
		if s.Experiment != "x" || len(s.Scenes) != 4 || s.Scenes[0] != "intro" || !slices.Equal(s.Packages, []string{"micropip"}) {
			t.Fatalf("session %+v", s)
		}
		had[who] = s
		counts[s.Condition]++
		check(i + 1)
	}
	again := func() {
		t.Helper()
		for who, before := range had {
			if s := enter(who); s.Condition != before.Condition || !slices.Equal(s.Scenes, before.Scenes) {
				t.Errorf("%s was in %s, %v and is in %s, %v", who, before.Condition, before.Scenes, s.Condition, s.Scenes)
			}
		}
	}
	again()
	l.await("p3", protocol.Gone, 1)
	l.restart()
	again()
	for i := 15; i < 30; i++ {
		counts[enter(fmt.Sprint("p", i)).Condition]++
		check(i + 1)
	}
	if n := len(l.log("", eventlog.Assigned)); n != 30 {
		t.Errorf("%d draws in the log", n)
	}
}

func TestUnknownExperiment(t *testing.T) {
	t.Parallel()
	l := startLab(t, "  x:\n  y:\n")
	for auth, want := range map[string]string{
		`{"participant":"p"}`:                  "auth.experiment is missing: it must be one of x, y",
		`{"participant":"p","experiment":"z"}`: `there is no experiment \"z\": it must be one of x, y`,
	} {
		if _, err := l.dial(auth); err == nil || !strings.Contains(err.Error(), "unknown_experiment") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", auth, err, want)
		}
	}
	if _, s := l.connect(`{"participant":"p","experiment":"y"}`); s.Restored || s.Experiment != "y" {
		t.Errorf("the refusals left something behind: %+v", s)
	}
}

// The experiment is that of the first connection, also one without conditions.
func TestExperimentStays(t *testing.T) {
	t.Parallel()
	l := startLab(t, "  x:\n  y: {group: {size: 3}}\n")
	label := start(t, Config{}) // without a study file
	for _, r := range []*rig{l.rig, label} {
		for _, named := range []string{"x", "y"} {
			if _, s := r.connect(`{"participant":"p","experiment":"` + named + `"}`); s.Experiment != "x" {
				t.Errorf("names %s and is in %s", named, s.Experiment)
			}
		}
	}
}

// A scene with other times: a freeze that would cost the seat elsewhere.
func TestSceneHasItsOwnPolicy(t *testing.T) {
	t.Parallel()
	l := startLab(t, "  x:\n    scenes: [{id: easy}, {id: hard, policy: {blocked_timeout: 30s}}]\n")
	p, s := l.connect(`{"participant":"p","page_id":"1"}`)
	if s.Policy.BlockedMS != 2000 {
		t.Fatalf("policy %+v", s.Policy)
	}
	p.call(protocol.EventStateSave, `{"scene_id":"hard"}`, nil)
	var told protocol.Policy
	if p.expect(protocol.EventPolicy, &told); told.BlockedMS != 30_000 {
		t.Errorf("told %+v", told)
	}
	p.freeze()
	if c := l.await("p", protocol.Blocked, 1); c.Deadline.Sub(c.At) < 25*time.Second {
		t.Errorf("blocked until %v", c.Deadline.Sub(c.At))
	}
	p.thaw()
	l.await("p", protocol.Active, 2)
	// It is the scene's, not the connection's, and not the process's.
	if _, s := l.connect(`{"participant":"p","page_id":"2"}`); s.Policy.BlockedMS != 30_000 {
		t.Errorf("after a refresh %+v", s.Policy)
	}
	l.restart()
	q, s := l.connect(`{"participant":"p","page_id":"2"}`)
	if s.Policy.BlockedMS != 30_000 {
		t.Errorf("after a restart %+v", s.Policy)
	}
	q.call(protocol.EventStateSave, `{"scene_id":"easy","version":1}`, nil)
	if q.expect(protocol.EventPolicy, &told); told.BlockedMS != 2000 {
		t.Errorf("told %+v", told)
	}
}

// Waiting is over at its end, once, and every later page is told.
func TestWaitTimeout(t *testing.T) {
	t.Parallel()
	l := startLab(t, `
  x:
    group: {size: 2, wait_timeout: 700ms}
    compensation: {code: LATE, link: "https://pay.example/?cc={code}&who={participant}"}
`)
	p, _ := l.connect(`{"participant":"p"}`)
	var w protocol.Waiting
	p.call(protocol.EventJoin, `{}`, &w)
	if !w.OK || w.Position != 1 || w.Present != 1 || w.Size != 2 || w.TimeoutMS < 1 || w.TimeoutMS > 700 {
		t.Errorf("waiting %+v", w)
	}
	p.refused(protocol.EventJoin, `{"size":3}`, protocol.CodeInvalidPayload)
	want := protocol.Ended{OK: true, Outcome: protocol.WaitTimeout, Code: "LATE", Link: "https://pay.example/?cc=LATE&who=p"}
	var got protocol.Ended
	if p.expect(protocol.EventOutcome, &got); got != want {
		t.Errorf("outcome %+v", got)
	}
	p.refused(protocol.EventJoin, `{}`, protocol.CodeStudyOver)
	p.refused(protocol.EventFinish, `{}`, protocol.CodeStudyOver)
	for range 2 {
		p, s := l.connect(`{"participant":"p"}`)
		if s.Outcome == nil || *s.Outcome != want {
			t.Errorf("session says %+v", s.Outcome)
		}
		if p.expect(protocol.EventOutcome, &got); got != want {
			t.Errorf("told again %+v", got)
		}
		l.restart()
	}
	if n := len(l.log("p", eventlog.Outcome)); n != 1 {
		t.Errorf("%d outcomes in the log", n)
	}
}

// The place in the wait room survives a drop within the hold, and the server;
// it does not survive the end of the hold.
func TestPlaceInTheWaitRoom(t *testing.T) {
	t.Parallel()
	l := startLab(t, "  x: {group: {size: 3}}\n")
	a, _ := l.connect(`{"participant":"a"}`)
	a.call(protocol.EventJoin, ``, nil)
	b, _ := l.connect(`{"participant":"b"}`)
	b.call(protocol.EventJoin, ``, nil)
	leave(a)
	var w protocol.Waiting
	for b.expect(protocol.EventWaiting, &w); w.Position != 1; b.expect(protocol.EventWaiting, &w) {
	}
	if w.Present != 1 {
		t.Errorf("a has left the page: %+v", w)
	}
	a, _ = l.connect(`{"participant":"a"}`)
	if a.expect(protocol.EventWaiting, &w); w.Position != 1 || w.Present != 2 {
		t.Errorf("a is back: %+v", w)
	}
	l.restart()
	b, _ = l.connect(`{"participant":"b"}`) // the second comes back first
	if b.expect(protocol.EventWaiting, &w); w.Position != 1 || w.Present != 1 {
		t.Errorf("b is back: %+v", w)
	}
	a, _ = l.connect(`{"participant":"a"}`)
	if a.expect(protocol.EventWaiting, &w); w.Position != 1 || w.Present != 2 {
		t.Errorf("a is back after the restart: %+v", w)
	}
	for w.Position != 2 {
		b.expect(protocol.EventWaiting, &w)
	}
	leave(a)
	l.await("a", protocol.Gone, 1)
	for w.Position != 1 {
		b.expect(protocol.EventWaiting, &w)
	}
	if a, s := l.connect(`{"participant":"a"}`); !s.Expired {
		t.Errorf("session %+v", s)
	} else if a.call(protocol.EventJoin, ``, &w); w.Position != 2 {
		t.Errorf("a waits anew: %+v", w)
	}
}

// group makes a group of participants.
func (l *lab) group(names ...string) map[string]*plain {
	l.t.Helper()
	out := make(map[string]*plain)
	for _, n := range names {
		p, _ := l.connect(`{"participant":"` + n + `","page_id":"1"}`)
		p.call(protocol.EventJoin, ``, nil)
		out[n] = p
	}
	for _, n := range names {
		var g protocol.GroupReady
		if out[n].expect(protocol.EventGroupReady, &g); len(g.Members) != len(names) {
			l.t.Fatalf("group %+v", g)
		}
	}
	return out
}

const compensated = "    compensation: {code: SORRY}\n"

func TestExpiryEnd(t *testing.T) {
	t.Parallel()
	l := startLab(t, "  x:\n"+compensated)
	g := l.group("p", "q")
	leave(g["p"])
	g["q"].expect(protocol.EventGroupEnd, nil)
	want := protocol.Ended{OK: true, Outcome: protocol.PartnerGone, Code: "SORRY", Partner: "p"}
	var got protocol.Ended
	if g["q"].expect(protocol.EventOutcome, &got); got != want {
		t.Errorf("outcome %+v", got)
	}
	// Who left has none, and may come again.
	p, s := l.connect(`{"participant":"p"}`)
	if s.Outcome != nil || !s.Expired {
		t.Errorf("the one who left: %+v", s)
	}
	p.call(protocol.EventJoin, ``, nil)
	if n := len(l.log("", eventlog.Outcome)); n != 1 {
		t.Errorf("%d outcomes", n)
	}
}

// The outcome of somebody who is not there is told when the page can read, once
// on each connection.
func TestOutcomeIsHeld(t *testing.T) {
	t.Parallel()
	l := startLab(t, "  x:\n"+compensated)
	g := l.group("p", "q")
	g["q"].call(protocol.EventLoadStart, `{"id":"l"}`, nil)
	g["q"].freeze()
	leave(g["p"])
	l.await("p", protocol.Gone, 1)
	q, _ := l.connect(`{"participant":"q","page_id":"1"}`) // still loading
	q.call(protocol.EventLoadComplete, `{"id":"l"}`, nil)
	q.expect(protocol.EventOutcome, nil)
	q.call(protocol.EventPing, `{}`, nil) // everything before has arrived
	for len(q.events) > 0 {
		if e := <-q.events; e.name == protocol.EventOutcome {
			t.Error("told twice on one connection")
		}
	}
}

func TestExpiryContinue(t *testing.T) {
	t.Parallel()
	l := startLab(t, "  x:\n    group: {size: 3}\n    on_expiry: {do: continue, minimum: 2}\n"+compensated)
	g := l.group("p", "q", "r")
	leave(g["p"])
	var c protocol.GroupChanged
	for _, n := range []string{"q", "r"} {
		if g[n].expect(protocol.EventGroupChanged, &c); !slices.Equal(c.Members, []string{"q", "r"}) || c.Left != "p" || c.Missing != 0 {
			t.Errorf("%s is told %+v", n, c)
		}
	}
	g["q"].call(protocol.EventSend, `{"data":1}`, nil)
	g["r"].expect(protocol.EventMessage, nil)
	// Under the minimum it ends.
	leave(g["q"])
	g["r"].expect(protocol.EventOutcome, nil)
}

func TestExpiryRequeue(t *testing.T) {
	t.Parallel()
	l := startLab(t, "  x:\n    on_expiry: {do: requeue}\n"+compensated)
	g := l.group("p", "q")
	leave(g["p"])
	var end protocol.GroupEnd
	if g["q"].expect(protocol.EventGroupEnd, &end); !end.Requeued || end.Participant != "p" {
		t.Errorf("told %+v", end)
	}
	var w protocol.Waiting
	if g["q"].expect(protocol.EventWaiting, &w); w.Position != 1 {
		t.Errorf("waiting %+v", w)
	}
	r, _ := l.connect(`{"participant":"r"}`)
	r.call(protocol.EventJoin, ``, nil)
	var ready protocol.GroupReady
	if g["q"].expect(protocol.EventGroupReady, &ready); !slices.Equal(ready.Members, []string{"q", "r"}) {
		t.Errorf("group %+v", ready)
	}
	if n := len(l.log("", eventlog.Outcome)); n != 0 {
		t.Errorf("%d outcomes", n)
	}
}

// Of a group that waits again those do not who have finished, and are not told so.
func TestExpiryRequeueFinished(t *testing.T) {
	t.Parallel()
	l := startLab(t, "  x:\n    group: {size: 3}\n    on_expiry: {do: requeue}\n"+compensated)
	g := l.group("p", "q", "r")
	g["r"].call(protocol.EventFinish, ``, nil)
	leave(g["p"])
	for name, again := range map[string]bool{"q": true, "r": false} {
		var end protocol.GroupEnd
		if g[name].expect(protocol.EventGroupEnd, &end); end.Requeued != again {
			t.Errorf("%s is told %+v", name, end)
		}
	}
}

func TestExpiryReplace(t *testing.T) {
	t.Parallel()
	l := startLab(t, "  x:\n    on_expiry: {do: replace, delay: 20s}\n"+compensated)
	g := l.group("p", "q")
	leave(g["p"])
	var c protocol.GroupChanged
	if g["q"].expect(protocol.EventGroupChanged, &c); c.Missing != 1 || c.DeadlineMS < 15_000 || c.Left != "p" {
		t.Errorf("told %+v", c)
	}
	// The vacancy survives the server.
	l.restart()
	q, s := l.connect(`{"participant":"q","page_id":"1"}`)
	r, _ := l.connect(`{"participant":"r"}`)
	r.call(protocol.EventJoin, ``, nil)
	var ready protocol.GroupReady
	if r.expect(protocol.EventGroupReady, &ready); ready.Group != s.Group || !slices.Equal(ready.Members, []string{"q", "r"}) {
		t.Errorf("group %+v, want %s", ready, s.Group)
	}
	c = protocol.GroupChanged{}
	if q.expect(protocol.EventGroupChanged, &c); c.Joined != "r" || c.Missing != 0 || c.Group != s.Group {
		t.Errorf("told %+v", c)
	}
	q.expectState("r", protocol.Active)
	// Nothing is open any more: the next one waits.
	w := protocol.Waiting{}
	o, _ := l.connect(`{"participant":"o"}`)
	if o.call(protocol.EventJoin, ``, &w); w.Position != 1 {
		t.Errorf("waiting %+v", w)
	}
}

// Nobody is put to somebody who has finished meanwhile.
func TestExpiryReplaceFinished(t *testing.T) {
	t.Parallel()
	l := startLab(t, "  x:\n    on_expiry: {do: replace, delay: 20s}\n"+compensated)
	g := l.group("p", "q")
	leave(g["p"])
	g["q"].expect(protocol.EventGroupChanged, nil)
	g["q"].call(protocol.EventFinish, ``, nil)
	l.group("r", "s")
}

// A group that was told to wait is told when it can go on: with another partner,
// or without one, whether the plan says so or the members do.
func TestPauseEndsWithTheExpiry(t *testing.T) {
	t.Parallel()
	for name, expiry := range map[string]string{
		"replace":  "{do: replace, delay: 20s}",
		"continue": "{do: continue, minimum: 1}",
		"ask":      "{do: ask, delay: 20s, minimum: 1, choices: [end, continue]}",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := startLab(t, "  x:\n    on_expiry: "+expiry+"\n")
			g := l.group("p", "q")
			leave(g["p"])
			g["q"].expect(protocol.EventGroupPaused, nil)
			switch name {
			case "replace":
				l.await("p", protocol.Gone, 1)
				r, _ := l.connect(`{"participant":"r"}`)
				r.call(protocol.EventJoin, ``, nil)
			case "ask":
				g["q"].expect(protocol.EventAsk, nil)
				g["q"].call(protocol.EventAnswer, `{"choice":"continue"}`, nil)
			}
			var resumed protocol.GroupResumed
			if g["q"].expect(protocol.EventGroupResumed, &resumed); resumed.Group == "" {
				t.Errorf("%+v", resumed)
			}
		})
	}
}

// Nobody comes in time.
func TestExpiryReplaceInVain(t *testing.T) {
	t.Parallel()
	l := startLab(t, "  x:\n    on_expiry: {do: replace, delay: 200ms}\n"+compensated)
	g := l.group("p", "q")
	leave(g["p"])
	var got protocol.Ended
	if g["q"].expect(protocol.EventOutcome, &got); got.Outcome != protocol.PartnerGone || got.Partner != "p" {
		t.Errorf("outcome %+v", got)
	}
}

// Of two groups whose time is over at once, as after a restart, one gets the
// member of the other, and that is that.
func TestExpiryReplaceDueTogether(t *testing.T) {
	t.Parallel()
	l := startLab(t, "  x:\n    on_expiry: {do: replace, delay: 30s, otherwise: requeue}\n")
	g, h := l.group("a", "b"), l.group("c", "d")
	for _, left := range []map[string]*plain{g, h} {
		for _, n := range []string{"b", "d"} {
			if left[n] != nil {
				leave(left[n])
			}
		}
	}
	l.await("b", protocol.Gone, 1)
	l.await("d", protocol.Gone, 1)
	l.srv.loop.post(func(l *loop, now time.Time) {
		for _, v := range l.lobby.vacancies.Waiting(string(study.Replace)) {
			v.Until = now
		}
	})
	for deadline := l.deadline(); len(l.log("", eventlog.Decided)) < 3; time.Sleep(10 * time.Millisecond) {
		deadline.check("the decision")
	}
	ready := 0
	for _, p := range []*plain{g["a"], h["c"]} {
		p.call(protocol.EventPing, `{}`, nil) // everything before has arrived
		for len(p.events) > 0 {
			if e := <-p.events; e.name == protocol.EventGroupReady {
				ready++
			}
		}
	}
	if n := len(l.log("", eventlog.Decided)); ready != 1 || n != 3 {
		t.Errorf("%d were told of a new group, %d decisions", ready, n)
	}
}

func TestExpiryAsk(t *testing.T) {
	t.Parallel()
	l := startLab(t, "  x:\n    group: {size: 3}\n    on_expiry: {do: ask, delay: 20s, choices: [end, continue, requeue]}\n"+compensated)
	g := l.group("p", "q", "r")
	g["q"].refused(protocol.EventAnswer, `{"choice":"end"}`, protocol.CodeNotAsked)
	leave(g["p"])
	var a protocol.Ask
	for _, n := range []string{"q", "r"} {
		if g[n].expect(protocol.EventAsk, &a); a.Participant != "p" || a.Default != "end" || len(a.Choices) != 3 || a.DeadlineMS < 15_000 {
			t.Errorf("%s is asked %+v", n, a)
		}
	}
	g["q"].refused(protocol.EventAnswer, `{"choice":"replace"}`, protocol.CodeInvalidPayload)
	g["q"].call(protocol.EventAnswer, `{"choice":"continue"}`, nil)
	// A page that is refreshed, and one after a restart, is asked again.
	r, _ := l.connect(`{"participant":"r","page_id":"2"}`)
	r.expect(protocol.EventAsk, nil)
	l.restart()
	q, _ := l.connect(`{"participant":"q","page_id":"1"}`)
	q.expect(protocol.EventAsk, nil)
	r, _ = l.connect(`{"participant":"r","page_id":"2"}`)
	r.expect(protocol.EventAsk, nil)
	q.call(protocol.EventAnswer, `{"choice":"continue"}`, nil)
	r.call(protocol.EventAnswer, `{"choice":"continue"}`, nil)
	var c protocol.GroupChanged
	if q.expect(protocol.EventGroupChanged, &c); c.Missing != 0 || !slices.Equal(c.Members, []string{"q", "r"}) {
		t.Errorf("told %+v", c)
	}
	q.refused(protocol.EventAnswer, `{"choice":"end"}`, protocol.CodeNotAsked)
}

// Nobody answers: the default, once.
func TestExpiryAskInVain(t *testing.T) {
	t.Parallel()
	l := startLab(t, "  x:\n    on_expiry: {do: ask, delay: 300ms, otherwise: requeue}\n"+compensated)
	g := l.group("p", "q")
	leave(g["p"])
	g["q"].expect(protocol.EventAsk, nil)
	var end protocol.GroupEnd
	if g["q"].expect(protocol.EventGroupEnd, &end); !end.Requeued {
		t.Errorf("told %+v", end)
	}
	g["q"].expect(protocol.EventWaiting, nil)
	decided := l.log("", eventlog.Decided)
	if len(decided) != 2 || decided[0].Reason != "ask" || decided[1].Reason != "requeue" {
		t.Errorf("decided %+v", decided)
	}
}

// Who has finished strands nobody, and has one outcome whatever follows.
func TestFinish(t *testing.T) {
	t.Parallel()
	l := startLab(t, "  x:\n    completion: {code: THANKS}\n"+compensated)
	g := l.group("p", "q")
	want := protocol.Ended{OK: true, Outcome: protocol.Completed, Code: "THANKS"}
	for range 2 {
		var got protocol.Ended
		if g["p"].call(protocol.EventFinish, `{}`, &got); got != want {
			t.Errorf("finish: %+v", got)
		}
	}
	leave(g["p"])
	var c protocol.GroupChanged
	if g["q"].expect(protocol.EventGroupChanged, &c); c.Left != "p" || !slices.Equal(c.Members, []string{"q"}) {
		t.Errorf("told %+v", c)
	}
	var got protocol.Ended
	if g["q"].call(protocol.EventFinish, ``, &got); got != want {
		t.Errorf("q: %+v", got)
	}
	if n := len(l.log("", eventlog.Outcome)); n != 2 {
		t.Errorf("%d outcomes", n)
	}
}

// Only measured connections that are fast enough are put into a group.
func TestLatencyLimit(t *testing.T) {
	t.Parallel()
	l := startLab(t, "  x: {group: {max_latency: 100ms}}\n")
	names := []string{"slow", "fast", "unmeasured", "quick"}
	pages := map[string]*plain{}
	for _, n := range names {
		pages[n], _ = l.connect(`{"participant":"` + n + `"}`)
	}
	pages["slow"].call(protocol.EventPing, `{"latency_ms":150}`, nil)
	pages["slow"].refused(protocol.EventJoin, ``, protocol.CodeTooSlow)
	for _, n := range []string{"fast", "quick"} {
		pages[n].call(protocol.EventPing, `{"latency_ms":20}`, nil)
	}
	pages["unmeasured"].call(protocol.EventJoin, ``, nil)
	pages["fast"].call(protocol.EventJoin, ``, nil)
	pages["quick"].call(protocol.EventJoin, ``, nil)
	var g protocol.GroupReady
	if pages["fast"].expect(protocol.EventGroupReady, &g); !slices.Equal(g.Members, []string{"fast", "quick"}) {
		t.Errorf("group %+v", g)
	}
	// Once it is measured, it counts.
	pages["slow"].call(protocol.EventPing, `{"latency_ms":50}`, nil)
	pages["slow"].call(protocol.EventJoin, ``, nil)
	pages["unmeasured"].call(protocol.EventPing, `{"latency_ms":50}`, nil)
	pages["slow"].expect(protocol.EventGroupReady, nil)
}

// Who waits and was too slow for a while gets a group as soon as that is over.
func TestLatencyRecovers(t *testing.T) {
	t.Parallel()
	l := startLab(t, "  x: {group: {max_latency: 100ms}}\n")
	a, _ := l.connect(`{"participant":"a"}`)
	b, _ := l.connect(`{"participant":"b"}`)
	ping := func(p *plain, ms int) {
		t.Helper()
		p.call(protocol.EventPing, fmt.Sprintf(`{"latency_ms":%d}`, ms), nil)
	}
	ping(a, 20)
	ping(b, 20)
	a.call(protocol.EventJoin, ``, nil)
	for range 3 {
		ping(a, 500)
	}
	var w protocol.Waiting
	if b.call(protocol.EventJoin, ``, &w); w.Present != 1 {
		t.Errorf("waiting %+v", w)
	}
	for range 10 {
		ping(a, 20)
		ping(b, 20)
	}
	a.expect(protocol.EventGroupReady, nil)
	b.expect(protocol.EventGroupReady, nil)
}

// Who vanished a moment ago is not known to be away yet, and no group is made
// with somebody like that (Dallinger's phantom participants).
func TestNoGroupWithAPhantom(t *testing.T) {
	t.Parallel()
	l := startLab(t, "  x:\n")
	a, _ := l.connect(`{"participant":"a"}`)
	a.call(protocol.EventJoin, ``, nil)
	a.die()
	time.Sleep(3 * quick().SilenceTimeout / 5) // dead, and not away yet
	b, _ := l.connect(`{"participant":"b"}`)
	b.call(protocol.EventJoin, ``, nil)
	l.await("a", protocol.Away, 1)
	c, _ := l.connect(`{"participant":"c"}`)
	c.call(protocol.EventJoin, ``, nil)
	var g protocol.GroupReady
	if b.expect(protocol.EventGroupReady, &g); !slices.Equal(g.Members, []string{"b", "c"}) {
		t.Errorf("group %+v", g)
	}
}

// A handshake leads neither into a group of the wait room nor out of one.
func TestTwoGroups(t *testing.T) {
	t.Parallel()
	l := startLab(t, "  x:\n")
	g := l.group("p", "q")
	g["p"].refused(protocol.EventJoin, ``, protocol.CodeInGroup)
	_, s := l.connect(`{"participant":"p","page_id":"1","group":"mine"}`)
	if !madeHere(s.Group) || !slices.Equal(s.Partners, []string{"q"}) {
		t.Errorf("session %+v", s)
	}
	if _, s := l.connect(`{"participant":"stranger","group":"` + s.Group + `"}`); s.Group != "" || s.Partners != nil {
		t.Errorf("a stranger is in group %s with %v", s.Group, s.Partners)
	}
}

// With same_condition the groups are of one condition.
func TestSameCondition(t *testing.T) {
	t.Parallel()
	l := startLab(t, "  x:\n    group: {same_condition: true}\n    conditions: [{name: a}, {name: b}]\n    seed: 1\n")
	of := map[string]string{}
	pages := map[string]*plain{}
	for i := range 8 {
		who := fmt.Sprint("p", i)
		p, s := l.connect(`{"participant":"` + who + `"}`)
		of[who], pages[who] = s.Condition, p
		p.call(protocol.EventJoin, ``, nil)
	}
	for _, who := range slices.Sorted(maps.Keys(pages)) {
		var g protocol.GroupReady
		if pages[who].expect(protocol.EventGroupReady, &g); of[g.Members[0]] != of[g.Members[1]] {
			t.Errorf("group %v of %s and %s", g.Members, of[g.Members[0]], of[g.Members[1]])
		}
	}
}

// The log says by which times the study ran, overrides included.
func TestPolicyOfTheLog(t *testing.T) {
	t.Parallel()
	l := startLab(t, "  x:\n    policy: {load_cap: 20s, probe_interval: off}\n    scenes: [{id: a}, {id: b, policy: {leave_timeout: 3s}}]\n")
	l.connect(`{"participant":"p"}`)
	got := ""
	for _, r := range l.log("", eventlog.Plan) {
		got += r.Experiment + " " + r.Scene + " " + r.Detail + "\n"
	}
	if got != "x  {\"load_cap_ms\":20000,\"probe_interval_ms\":-1}\nx b {\"leave_timeout_ms\":3000}\n" {
		t.Errorf("the log says\n%s", got)
	}
	if runs := l.log("", eventlog.RunStarted); len(runs) != 1 || !strings.Contains(runs[0].Detail, `"silence_timeout_ms":1500`) {
		t.Errorf("the log says %+v", runs)
	}
}
