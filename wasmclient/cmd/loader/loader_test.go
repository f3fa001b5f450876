//go:build !js

package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"initgrace/grace/protocol"
	"initgrace/wasmclient"
	"initgrace/wasmclient/internal/siotest"
)

// journal is what the server saw, with the time.
type journal struct {
	mu      sync.Mutex
	entries []entry
}

type entry struct {
	at      time.Time
	name    string
	payload string
}

func (j *journal) add(e siotest.Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.entries = append(j.entries, entry{time.Now(), e.Name, string(e.Payload)})
}

func (j *journal) all() []entry {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.entries)
}

func (j *journal) find(name string) (found []entry) {
	for _, e := range j.all() {
		if e.name == name {
			found = append(found, e)
		}
	}
	return found
}

// study answers events as the real server does, as far as these tests need it.
func (j *journal) study(c *siotest.Conn) {
	c.Open(time.Hour, time.Hour)
	if !c.Connect() {
		return
	}
	c.Session(protocol.Session{
		Epoch: uint64(c.N), Restored: c.N > 1, Version: 3, Group: "g", Partners: []string{"p2"},
		State:  protocol.State{SceneID: "s", Globals: protocol.Raw(`{"a":[1]}`)},
		Policy: protocol.Policy{LoadMS: 60_000},
	})
	c.Emit("early", map[string]int{"n": 1})
	j.serve(c)
}

func (j *journal) serve(c *siotest.Conn) {
	for {
		e, ok := c.Next()
		if !ok {
			return
		}
		j.add(e)
		switch e.Name {
		case protocol.EventLoadStart:
			var l protocol.LoadStart
			_ = json.Unmarshal(e.Payload, &l)
			c.Ack(e, protocol.LoadAck{OK: true, ID: l.ID, LeaseMS: 60_000, CapMS: 180_000})
		case protocol.EventStateSave:
			c.Ack(e, protocol.StateSaved{OK: true, Version: 4})
		case protocol.EventSend:
			c.Ack(e, protocol.Sent{OK: true, Seq: 9})
		case protocol.EventJoin:
			c.Ack(e, protocol.NewError(protocol.CodeInGroup, "in g"))
		case "count":
			for n := range 4 {
				c.Emit("n", n)
			}
			c.Ack(e, siotest.OK)
		case "drop":
			return
		case "drop once":
			if c.N == 1 {
				return
			}
			c.Ack(e, siotest.OK)
		case "silence", "never acknowledged":
		default:
			c.Ack(e, siotest.OK)
		}
	}
}

// The whole of a session: properties, calls, events, the end.
func TestSession(t *testing.T) {
	var j journal
	code := make(chan int, 1)
	s := newSite(t, func(c *siotest.Conn) {
		j.study(c)
		<-c.Over()
		code <- int(c.Code)
	})
	p := s.open(t, "a listener's own fault")
	var now properties
	p.scene(&now, "open", nil)
	if now.Participant != "p1" || now.Token != "token" || now.Restored || now.Group != "g" || !now.Connected ||
		!slices.Equal(now.Partners, []string{"p2"}) || now.Version != 3 || now.Presence != "active" || now.Policy["load_ms"] != 60_000 ||
		now.State.SceneID != "s" || string(now.State.Globals) != `{"a":[1]}` || string(now.State.StagerState) != "null" {
		t.Errorf("properties %+v", now)
	}
	p.scene(&now, "until", "early")
	if now.names() != "session early" {
		t.Errorf("events before anybody could listen: %s", now.names())
	}

	var o outcome
	p.scene(&o, "emit", map[string]any{"event": "x", "payload": map[string]string{"text": "é\u2028😀"}})
	wantValue(t, "emit", o, `{"ok":true}`)
	if x := j.find("x"); len(x) != 1 || x[0].payload != "{\"text\":\"é\u2028😀\"}" {
		t.Errorf("the server saw %v", x)
	}
	o = outcome{}
	p.scene(&o, "send", []int{1, 2})
	wantValue(t, "send", o, `{"ok":true,"seq":9}`)
	if x := j.find("send"); len(x) != 1 || x[0].payload != `{"data":[1,2],"id":1}` {
		t.Errorf("the server saw %v", x)
	}
	o = outcome{}
	p.scene(&o, "join", nil)
	wantCode(t, "join", o, "in_group")
	o = outcome{}
	p.scene(&o, "save", map[string]any{"scene_id": "t", "globals": map[string]int{"b": 2}})
	wantValue(t, "saveState", o, "4")
	if o.Now.Version != 4 || o.Now.State.SceneID != "t" || string(o.Now.State.Globals) != `{"b":2}` {
		t.Errorf("after saving: %+v", o.Now)
	}
	if x := j.find("state_save"); len(x) != 1 || x[0].payload != `{"scene_id":"t","stager_state":null,"globals":{"b":2},"version":3}` {
		t.Errorf("the server saw %v", x)
	}
	o = outcome{}
	p.scene(&o, "emit", map[string]any{"event": "silence", "timeoutMs": 100})
	wantCode(t, "no ack", o, "ack_timeout")

	var seen []int
	p.scene(&seen, "listeners", nil)
	if !slices.Equal(seen, []int{0, 0, 1, -1, 2, -2, -3}) {
		t.Errorf("listeners saw %v", seen)
	}
	o = outcome{}
	p.scene(&o, "close", nil)
	wantCode(t, "after close", o, "closed")
	if o.Now.Connected || o.Now.Participant != "p1" || o.Now.Version != 4 || o.Now.names() != "session early close" {
		t.Errorf("after close: %+v", o.Now)
	}
	if c := <-code; c != 1000 {
		t.Errorf("close code %d", c)
	}
}

// The page says that it is being left, a refresh brings the token back, and is
// another page instance.
func TestRefresh(t *testing.T) {
	var j journal
	auths := make(chan protocol.Auth, 4)
	s := newSite(t, func(c *siotest.Conn) {
		j.study(c)
		auths <- c.Auth
	})
	p := s.open(t)
	var now properties
	p.scene(&now, "open", nil)
	p.goTo(s.url + "/elsewhere")
	first := <-auths
	if hides := len(j.find(protocol.EventPageHide)); host == protocol.HostPage && hides != 1 || hides > 1 {
		t.Errorf("pagehide: %v", j.all())
	}
	if host == protocol.HostWorker && s.hides.Load() != 1 { // the worker may be gone before it can say so
		t.Errorf("%d beacons", s.hides.Load())
	}
	p.scene(&now, "openAsInAnotherTab", nil)
	if !now.Restored {
		t.Errorf("%+v", now)
	}
	p.goTo("about:blank")
	second := <-auths
	if first.Token != "" || second.Token != "token" || first.PageID == "" || first.PageID == second.PageID || first.Host != host {
		t.Errorf("first %+v\nsecond %+v", first, second)
	}
}

// A token that the server does not know any more is thrown away, once.
func TestForgottenToken(t *testing.T) {
	var j journal
	var tokens []string
	s := newSite(t, func(c *siotest.Conn) {
		if c.N == 2 || c.N == 4 {
			c.Open(time.Hour, time.Hour)
			c.Refuse(protocol.CodeBadToken)
			c.Wait()
			return
		}
		j.study(c)
		tokens = append(tokens, c.Auth.Token)
	})
	p := s.open(t)
	var now properties
	p.scene(&now, "open", nil)
	p.goTo(s.url + "/elsewhere")
	p.scene(&now, "open", nil)
	p.goTo(s.url + "/elsewhere")
	if s.Count() != 3 {
		t.Errorf("%d connections", s.Count())
	}
	var o outcome
	p.scene(&o, "tryOpen", map[string]string{"token": "the page's own"})
	wantCode(t, "a token given by the page", o, "bad_token")
	if s.Count() != 4 {
		t.Errorf("%d connections", s.Count())
	}
	s.Close()
	if !slices.Equal(tokens, []string{"", ""}) {
		t.Errorf("tokens %q", tokens)
	}
}

// pings sends Engine.IO pings until the connection is over.
func pings(c *siotest.Conn, every time.Duration) {
	for tick := time.NewTicker(every); ; {
		select {
		case <-tick.C:
			c.Write("2")
		case <-c.Over():
			return
		}
	}
}

// The load runs when the server has acknowledged it and not before, and the
// page really is blocked: nothing of it reaches the server meanwhile.
func TestLoad(t *testing.T) {
	var j journal
	s := newSite(t, func(c *siotest.Conn) {
		go j.study(c)
		pings(c, 50*time.Millisecond)
	})
	p := s.open(t)
	var now properties
	p.scene(&now, "open", nil)
	var r struct {
		Same  bool
		Loads int
		Now   properties
	}
	const blockMS = 1500
	p.scene(&r, "loadTwice", map[string]int{"ms": blockMS})
	if !r.Same || r.Loads != 1 {
		t.Errorf("five calls made %d interpreters, one and the same: %t", r.Loads, r.Same)
	}
	start, complete := j.find(protocol.EventLoadStart), j.find(protocol.EventLoadComplete)
	if len(start) != 1 || len(complete) != 1 {
		t.Fatalf("the server saw %v", j.all())
	}
	if d := complete[0].at.Sub(start[0].at); d < blockMS*time.Millisecond {
		t.Errorf("completed %v after the start", d)
	}
	var told protocol.LoadComplete
	if err := json.Unmarshal([]byte(complete[0].payload), &told); err != nil || told.LongestBlockMS < blockMS-100 || told.BlockedMS < told.LongestBlockMS || told.Error {
		t.Errorf("complete %s", complete[0].payload)
	}
	l := r.Now.LastLoad
	if l == nil || !l.Protected || l.LeaseMS != 60_000 || l.CapMS != 180_000 || l.LongestMS < blockMS-100 || l.TookMS < blockMS || !strings.HasPrefix(l.ID, "pyodide-") {
		t.Errorf("lastLoad %+v", l)
	}
	if r.Now.names() != "session early load" {
		t.Errorf("events %s", r.Now.names())
	}
}

// No deadline that passes during a block wins over what has arrived meanwhile:
// neither an ack's nor that of the server's silence.
func TestDeadlinesBehindBlocks(t *testing.T) {
	if host == protocol.HostWorker {
		t.Skip("Go is not on the thread that the page blocks")
	}
	const silenceMS = 1000
	written := make(chan struct{}, 1) // the ack is
	s := newSite(t, func(c *siotest.Conn) {
		if !c.Greet() {
			return
		}
		go pings(c, silenceMS/4*time.Millisecond)
		for e, ok := c.Next(); ok; e, ok = c.Next() {
			c.Ack(e, siotest.OK)
			if e.Name == "x" {
				written <- struct{}{}
			}
		}
	})
	s.serve(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/written" {
			return false
		}
		select {
		case <-written:
		case <-time.After(patience):
		}
		return true
	})
	p := s.open(t)
	for _, c := range []struct {
		name                        string
		timeoutMS, blockMS, againMS int
	}{
		{"an ack", 200, 250, 0},
		{"an ack, and a block behind the block", 200, 250, 100},
		{"the server's silence", 60_000, silenceMS + 500, 0},
		{"the server's silence, and a block behind the block", 60_000, silenceMS + 500, silenceMS + 500},
	} {
		var now properties
		p.scene(&now, "open", map[string]int{"latencyMs": -1, "silenceMs": silenceMS})
		before := s.Count()
		var o outcome
		p.scene(&o, "emitBlocked", map[string]int{"timeoutMs": c.timeoutMS, "blockMs": c.blockMS, "againMs": c.againMS})
		wantValue(t, c.name, o, `{"ok":true}`)
		if n := s.Count() - before; n > 0 {
			t.Errorf("%s: %d more connections", c.name, n)
		}
		p.scene(&o, "close", nil)
	}
}

// Work of the page's own under a lease; what it throws comes back as it was.
func TestBlocking(t *testing.T) {
	var j journal
	s := newSite(t, j.study)
	p := s.open(t)
	var now properties
	p.scene(&now, "open", nil)
	var o outcome
	p.scene(&o, "blocking", map[string]any{"ms": 300, "expectedMs": 250})
	wantValue(t, "blocking", o, `"thought"`)
	if start := j.find(protocol.EventLoadStart); len(start) != 1 || !strings.Contains(start[0].payload, `"phase":"thinking","expected_ms":250`) {
		t.Errorf("start %v", start)
	}
	o = outcome{}
	p.scene(&o, "blocking", map[string]any{"ms": 0, "fail": true})
	if o.Name != "RangeError" || o.Code != "own" || o.Message != "own fault" {
		t.Errorf("the page's own error came back as %+v", o)
	}
	if c := j.find(protocol.EventLoadComplete); len(c) != 2 || !strings.Contains(c[1].payload, `"error":true,"reason":"RangeError: own fault"`) {
		t.Errorf("complete %v", c)
	}
}

// What starts Pyodide is asked for when the page has time. A network that is away
// just then costs a try, and not the page.
func TestStarterMissing(t *testing.T) {
	var j journal
	for _, file := range []string{"load.js", "start.js"} {
		s := newSite(t, j.study)
		s.serve(func(w http.ResponseWriter, r *http.Request) bool {
			missing := r.URL.Path == "/initgrace/pyodide/"+file
			if missing {
				http.NotFound(w, r)
			}
			return missing
		})
		p := s.open(t)
		var now properties
		p.scene(&now, "open", nil)
		var o outcome
		for range 2 {
			p.scene(&o, "loadOwn", map[string]string{"how": "works"})
			wantCode(t, file+" is missing", o, "load_failed")
		}
		s.serve(nil)
		o = outcome{}
		p.scene(&o, "loadOwn", map[string]string{"how": "works"})
		if o.Code != "" {
			t.Errorf("%s is back: %+v", file, o)
		}
	}
}

// A page that could not connect loads without a server, and only once.
func TestLoadUnprotected(t *testing.T) {
	var j journal
	p := newSite(t, j.study).open(t)
	var r struct {
		Same   bool
		Loads  int
		Phases []string
	}
	p.scene(&r, "loadAlone", nil)
	if !r.Same || r.Loads != 1 || strings.Join(r.Phases, " ") != "announced init ready" {
		t.Errorf("%+v", r)
	}
	if start := j.find(protocol.EventLoadStart); len(start) != 0 {
		t.Errorf("the server was told %v", start)
	}
}

// A load that is called as a preload ends has a lease of its own, and does what it
// is called for.
func TestLoadBehindPreload(t *testing.T) {
	var j journal
	s := newSite(t, func(c *siotest.Conn) {
		if !c.Greet() {
			return
		}
		for e, ok := c.Next(); ok; e, ok = c.Next() {
			j.add(e)
			switch e.Name {
			case protocol.EventLoadStart:
				c.Ack(e, protocol.LoadAck{OK: true, LeaseMS: 60_000})
			case protocol.EventLoadComplete:
				time.AfterFunc(500*time.Millisecond, func() { c.Ack(e, siotest.OK) })
			default:
				c.Ack(e, siotest.OK)
			}
		}
	})
	p := s.open(t)
	var r struct {
		Ready bool
		Loads int
	}
	p.scene(&r, "loadBehindPreload", nil)
	if !r.Ready || r.Loads != 1 {
		t.Errorf("%+v", r)
	}
	if start := j.find(protocol.EventLoadStart); len(start) != 2 {
		t.Errorf("leases %v", start)
	}
}

// A load goes on when its session ends, and the page has what comes of it.
func TestSessionEndsInLoad(t *testing.T) {
	var j journal
	p := newSite(t, j.study).open(t)
	var r struct {
		Same   bool
		Loads  int
		Closed outcome
	}
	p.scene(&r, "endInLoad", nil)
	if !r.Same || r.Loads != 1 {
		t.Errorf("%+v", r)
	}
	wantCode(t, "a call after the end", r.Closed, "closed")
}

// A connect that was given up opens no session behind the page's back: it would
// replace the one that the page has.
func TestConnectTwice(t *testing.T) {
	var sessions atomic.Int32
	s := newSite(t, func(c *siotest.Conn) {
		c.Open(time.Hour, time.Hour)
		if c.Connect() {
			sessions.Add(1)
			c.Session(protocol.Session{})
			c.Echo()
		}
	})
	p := s.open(t)
	var r struct {
		First outcome
		properties
	}
	p.scene(&r, "connectTwice", nil)
	if r.First.Message != "the page's own reason" || !r.Connected || r.names() != "session" || sessions.Load() != 1 {
		t.Errorf("%+v, %d sessions", r, sessions.Load())
	}
}

// A server that refuses a lease lets the load run, and the page knows.
func TestUnprotected(t *testing.T) {
	s := newSite(t, func(c *siotest.Conn) {
		c.Greet()
		for e, ok := c.Next(); ok; e, ok = c.Next() {
			c.Ack(e, protocol.NewError(protocol.CodeLoadBudget, "used up"))
		}
	})
	p := s.open(t)
	var now properties
	p.scene(&now, "open", nil)
	var o outcome
	p.scene(&o, "blocking", map[string]any{"ms": 0})
	wantValue(t, "unprotected", o, `"thought"`)
	if l := o.Now.LastLoad; l == nil || l.Protected || l.Unprotected == nil || l.Unprotected.Code != protocol.CodeLoadBudget {
		t.Errorf("lastLoad %+v", l)
	}
	o = outcome{}
	p.scene(&o, "blocking", map[string]any{"ms": 0, "unprotected": false})
	wantCode(t, "protected or not at all", o, "load_budget")
}

// Failures of the page's own loadPyodide end the load with an error, and the
// next try is another load.
func TestLoadFails(t *testing.T) {
	var j journal
	s := newSite(t, j.study)
	p := s.open(t)
	var now properties
	p.scene(&now, "open", nil)
	fail := func(code, reason string, args map[string]any) {
		t.Helper()
		var o outcome
		p.scene(&o, "loadOwn", args)
		if o.Code != code || !strings.Contains(o.Message, reason) {
			t.Errorf("%v: %s %q %s", args, o.Name, o.Code, o.Message)
		}
		complete := j.find(protocol.EventLoadComplete)
		if last := complete[len(complete)-1]; !strings.Contains(last.payload, `"error":true`) || !strings.Contains(last.payload, reason) {
			t.Errorf("%v: complete %s", args, last.payload)
		}
	}
	fail("load_failed", "not a function, say", map[string]any{"how": "throws"})
	fail("load_failed", "rejected", map[string]any{"how": "rejects"})
	fail("load_stalled", "nothing has been loaded for 2 s", map[string]any{"how": "never", "stallMs": 2000})
	fail("package_failed", "No known package", map[string]any{"how": "works", "packages": "x"})
	fail("", "in init", map[string]any{"how": "init"})
	var o outcome
	p.scene(&o, "loadOwn", map[string]any{"how": "works"})
	if o.Message != "" || o.Value == nil {
		t.Errorf("after the failures: %+v", o)
	}
	ids := map[string]bool{}
	for _, e := range j.find(protocol.EventLoadStart) {
		var l protocol.LoadStart
		_ = json.Unmarshal([]byte(e.payload), &l)
		ids[l.ID] = true
	}
	if len(ids) != 6 {
		t.Errorf("6 loads had %d ids", len(ids))
	}
}

// The original system: the fallback ended grace before packages and environment
// were there, and did not end it at all when they failed.
func TestFallbackHoldsTheLeaseToItsEnd(t *testing.T) {
	var j journal
	s := newSite(t, j.study)
	p := s.open(t)
	var now properties
	p.scene(&now, "open", nil)
	for _, fail := range []bool{true, false} {
		before := len(j.all())
		var r struct{ Preloaded, Loaded outcome }
		p.scene(&r, "fallback", map[string]bool{"fail": fail})
		if r.Preloaded.Code != "load_failed" || fail != (r.Loaded.Message == "no environment") {
			t.Errorf("%+v", r)
		}
		var told []string
		for _, e := range j.all()[before:] {
			switch {
			case e.name == protocol.EventLoadComplete && strings.Contains(e.payload, `"error":true`):
				told = append(told, "failed")
			case e.name == protocol.EventLoadComplete:
				told = append(told, "complete")
			case e.name == protocol.EventLoadStart:
				told = append(told, "start")
			case e.name == "environment":
				told = append(told, e.name)
			}
		}
		end := "complete"
		if fail {
			end = "failed"
		}
		if want := []string{"start", "failed", "start", "environment", end}; !slices.Equal(told, want) {
			t.Errorf("fail %t: the server was told %q, want %q", fail, told, want)
		}
	}
}

// The original system: a page that registered again during a preload started a
// second interpreter.
func TestReconnectDuringPreloadLoadsOnce(t *testing.T) {
	var j journal
	var declared atomic.Int32 // when it came back
	s := newSite(t, func(c *siotest.Conn) {
		j.study(c)
		declared.Add(int32(len(c.Auth.Loads)))
	})
	p := s.open(t)
	var now properties
	p.scene(&now, "open", nil)
	var loads int
	p.scene(&loads, "preloadReconnects", nil)
	s.Close()
	if n := len(j.find(protocol.EventLoadStart)); loads != 1 || n != 1 || declared.Load() != 1 || len(j.find(protocol.EventLoadComplete)) != 1 {
		t.Errorf("%d interpreters; the server saw %d starts, %d loads declared again: %v", loads, n, declared.Load(), j.all())
	}
}

// A lost connection comes back by itself; what was under way is sent again.
func TestReconnect(t *testing.T) {
	var j journal
	s := newSite(t, func(c *siotest.Conn) {
		if c.N > 1 {
			time.Sleep(200 * time.Millisecond)
		}
		j.study(c)
	})
	p := s.open(t)
	var now properties
	p.scene(&now, "open", nil)
	var o outcome
	p.scene(&o, "emit", map[string]any{"event": "drop", "timeoutMs": 1000}) // never acknowledged: each one drops
	wantCode(t, "drop", o, "ack_timeout")
	p.scene(&now, "until", "restored")
	if !strings.HasPrefix(now.names(), "session early reconnecting session restored") || !now.Restored {
		t.Errorf("events %s", now.names())
	}
	if len(j.find("drop")) < 2 {
		t.Error("not sent again")
	}
}

// When the browser says that the network is back, or the participant is, no pause
// is waited for.
func TestRetryAtOnce(t *testing.T) {
	for _, event := range []string{"online", "visibilitychange"} {
		var j journal
		s := newSite(t, func(c *siotest.Conn) {
			if c.N > 1 {
				j.study(c)
				return
			}
			c.Greet()
			c.Next() // and then the connection is lost
		})
		p := s.open(t)
		var took float64
		p.scene(&took, "lostThen", map[string]string{"event": event})
		if took > 5000 {
			t.Errorf("%s: back after %.0f ms", event, took)
		}
	}
}

// What ends a session ends it, with its code, and properties stay readable.
func TestReplaced(t *testing.T) {
	s := newSite(t, func(c *siotest.Conn) {
		c.Greet()
		c.Next()
		c.Emit(protocol.EventReplaced, map[string]any{})
		c.Wait()
	})
	p := s.open(t)
	var now properties
	p.scene(&now, "open", nil)
	var o outcome
	p.scene(&o, "emit", map[string]any{"event": "x"})
	wantCode(t, "a call under way", o, "replaced")
	p.scene(&now, "until", "close")
	if now.Connected || now.Participant != "p1" || s.Count() != 1 {
		t.Errorf("%+v, %d connections", now, s.Count())
	}
}

// A panic in Go reaches the page as the end of the session, and the socket is
// closed.
func TestPanic(t *testing.T) {
	over := make(chan int, 1)
	s := newSite(t, func(c *siotest.Conn) {
		c.Greet()
		c.Next()
		c.Emit("presence", nil)
		c.Wait()
		over <- int(c.Code)
	})
	p := s.open(t)
	var now properties
	p.scene(&now, "open", nil)
	p.scene(&now, "panic", nil)
	if last := string(now.Events[len(now.Events)-1][1]); !strings.Contains(last, `"panic"`) || !strings.Contains(last, map[string]string{"page": "no JSON today", "worker": "no messages today"}[host]) {
		t.Errorf("events %s, the last %s", now.names(), last)
	}
	if code := <-over; code != 1000 {
		t.Errorf("close code %d", code)
	}
}

// When Go's program itself dies, loader.js closes the socket, ends the session
// with an error, and can start another program.
func TestCrash(t *testing.T) {
	var j journal
	over := make(chan int, 4)
	s := newSite(t, func(c *siotest.Conn) {
		j.study(c)
		<-c.Over()
		over <- int(c.Code)
	})
	p := s.open(t, "unreachable")
	var r struct {
		properties
		Call, Pending outcome
	}
	p.scene(&r, "trapped", nil)
	wantCode(t, "a call under way", r.Pending, "crashed")
	if r.Connected || r.Participant != "p1" || !strings.HasSuffix(r.names(), "close") {
		t.Errorf("%+v", r.properties)
	}
	if code := <-over; code != 4001 {
		t.Errorf("close code %d", code)
	}
	var now properties
	p.scene(&now, "open", nil)
	if !now.Connected {
		t.Errorf("after another start: %+v", now)
	}
}

// A worker that ends without a word, out of memory say, ends the session too. So
// does one that is silent for 20 s, caught in a loop, with its socket open: the
// page watches ten times as fast here.
func TestWorkerDies(t *testing.T) {
	if host != protocol.HostWorker {
		t.Skip("no Go in a worker")
	}
	var j journal
	s := newSite(t, j.study)
	p := s.open(t)
	for how, why := range map[string]string{"die": "the worker has ended", "loop": "the worker has been silent for 20 s"} {
		var r struct {
			properties
			Pending outcome
		}
		p.scene(&r, "died", map[string]any{"how": how})
		wantCode(t, "a call under way", r.Pending, "crashed")
		if r.Connected || !strings.HasSuffix(r.names(), "close") || !strings.Contains(r.Pending.Message, why) {
			t.Errorf("%s: %+v", how, r)
		}
	}
	var now properties
	p.scene(&now, "open", nil)
	if !now.Connected {
		t.Errorf("after another start: %+v", now)
	}
}

// Where a policy forbids workers, or WASM in them, the loader runs on the page;
// where it forbids WASM altogether, that is said.
func TestPolicyForbids(t *testing.T) {
	const here = "script-src 'self' 'unsafe-inline'"
	for _, c := range []struct {
		what, page, worker string // policies of the page and of the worker's script
		host, code         string // of host "auto", and of host "worker"
	}{
		{"workers", here + " 'wasm-unsafe-eval'; worker-src 'none'", "", protocol.HostPage, "worker_unavailable"},
		{"WASM in a worker", "", "script-src 'self'", protocol.HostPage, "wasm_unavailable"},
		{"WASM on the page", here, "", protocol.HostWorker, ""},
		{"WASM", here, "script-src 'self'", "", "wasm_unavailable"},
	} {
		t.Run(c.what, func(t *testing.T) {
			var j journal
			s := newSite(t, j.study)
			s.serve(func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path == "/" && c.page != "" {
					w.Header().Set("Content-Security-Policy", c.page)
				}
				if r.URL.Path == "/initgrace/worker.js" && c.worker != "" {
					w.Header().Set("Content-Security-Policy", c.worker)
				}
				return false
			})
			p := s.open(t)
			for _, kind := range []string{"auto", protocol.HostWorker} {
				var o outcome
				p.scene(&o, "tryOpen", map[string]any{"host": kind})
				var now properties
				if _ = json.Unmarshal(o.Value, &now); c.code == "" || kind == "auto" && c.host != "" {
					if now.Host != c.host || !now.Connected {
						t.Errorf("host %q: runs in %q, %q %s", kind, now.Host, o.Code, o.Message)
					}
					continue
				}
				wantCode(t, kind, o, c.code)
				if c.code == "wasm_unavailable" && !strings.Contains(o.Message, "'wasm-unsafe-eval'") {
					t.Errorf("host %q: no remedy in %q", kind, o.Message)
				}
			}
		})
	}
}

// The program's files: what is wrong is said with a code, and trying again
// works when it has been put right.
func TestProgramUnavailable(t *testing.T) {
	var j journal
	s := newSite(t, j.study)
	p := s.open(t)
	var o outcome
	attempt := func(what, code string, override func(w http.ResponseWriter, r *http.Request) bool) {
		t.Helper()
		s.serve(override)
		o = outcome{}
		p.scene(&o, "tryOpen", nil)
		wantCode(t, what, o, code)
	}
	at := func(path string, h http.HandlerFunc) func(w http.ResponseWriter, r *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != path {
				return false
			}
			h(w, r)
			return true
		}
	}
	attempt("no wasm_exec.js", "wasm_unavailable", at("/initgrace/wasm_exec.js", http.NotFound))
	attempt("no loader.wasm", "wasm_unavailable", at("/initgrace/loader.wasm", http.NotFound))
	attempt("no WASM in loader.wasm", "wasm_unavailable", at("/initgrace/loader.wasm", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/wasm")
		fmt.Fprint(w, "<html>")
	}))
	attempt("a connection that breaks off", "wasm_unavailable", at("/initgrace/loader.wasm", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "1000000")
		fmt.Fprint(w, "\x00asm")
	}))
	b, err := os.ReadFile(wasm)
	if err != nil {
		t.Fatal(err)
	}
	s.serve(at("/initgrace/loader.wasm", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/octet-stream")
		_, _ = w.Write(b)
	}))
	var now properties
	p.scene(&now, "open", nil)
	if !now.Connected {
		t.Error("with a wrong MIME type")
	}
	var globals map[string]string
	p.scene(&globals, "globalsNow", nil)
	if globals["process"] != "undefined" || globals["path"] != "undefined" || globals["Go"] != "undefined" || globals["factory"] != "undefined" || !strings.Contains(globals["WebSocket"], "native code") {
		t.Errorf("left on globalThis: %v", globals)
	}
}

// Script and binary must be of one version, and loader.js is of this one.
func TestVersions(t *testing.T) {
	src, err := os.ReadFile(root + "/web/loader.js")
	if err != nil {
		t.Fatal(err)
	}
	own := regexp.MustCompile(`export const version = "([^"]+)"`).FindSubmatch(src)
	if own == nil || string(own[1]) != wasmclient.Version {
		t.Fatalf("loader.js is version %s, the client %s", own, wasmclient.Version)
	}
	s := newSite(t, func(c *siotest.Conn) {
		if frame, ok := c.Read(); ok {
			t.Errorf("the client said %q all the same", frame)
		}
	})
	s.serve(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/initgrace/loader.js" {
			return false
		}
		w.Header().Set("Content-Type", "text/javascript")
		_, _ = w.Write([]byte(strings.Replace(string(src), string(own[0]), `export const version = "0.0.0"`, 1)))
		return true
	})
	p := s.open(t)
	var o outcome
	p.scene(&o, "tryOpen", nil)
	wantCode(t, "another version", o, "version_mismatch")
	if n := s.Count(); n > 1 || n > 0 && host == protocol.HostPage { // a worker opens one ahead
		t.Errorf("%d connections", n)
	}
}

// connect gives up when it is told to, and leaves no socket open.
func TestConnectGivesUp(t *testing.T) {
	var open atomic.Int32 // attempts may still begin when the page has given up
	s := newSite(t, func(c *siotest.Conn) {
		open.Add(1)
		defer open.Add(-1)
		c.Wait() // says nothing
	})
	p := s.open(t)
	var o outcome
	p.scene(&o, "abort", nil)
	if o.Message != "the page's own reason" {
		t.Errorf("aborted: %+v", o)
	}
	o = outcome{}
	p.scene(&o, "tryOpen", map[string]any{"timeoutMs": 3000, "connectTimeoutMs": 400})
	wantCode(t, "a silent server", o, "unreachable")
	if n := s.Count(); n < 3 {
		t.Errorf("%d attempts", n)
	}
	s.serve(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/initgrace/loader.wasm" {
			<-r.Context().Done() // a download that stands still
		}
		return false
	})
	other := map[string]any{"wasmURL": "/initgrace/loader.wasm?another", "timeoutMs": 500}
	o = outcome{}
	p.scene(&o, "tryOpen", other)
	wantCode(t, "a download that stands still", o, "unreachable")
	o = outcome{}
	other["timeoutMs"] = 60_000
	p.scene(&o, "abort", other)
	if o.Message != "the page's own reason" {
		t.Errorf("aborted while downloading: %+v", o)
	}
	s.serve(nil)
	o = outcome{}
	p.scene(&o, "tryOpen", map[string]any{"participant": ""})
	wantCode(t, "no participant", o, "unauthorized")
	for deadline := time.Now().Add(patience); open.Load() > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d sockets of given-up attempts stay open", open.Load())
		}
	}
}

// While the program is downloaded the worker opens a WebSocket for it. One that
// leads elsewhere, or does not live any more, is not used, and closed.
func TestAhead(t *testing.T) {
	if host != protocol.HostWorker {
		t.Skip("the page opens none")
	}
	for _, c := range []struct {
		what, url string
		drop      bool // the socket, before there is the program
		sockets   int  // in all
	}{
		{what: "it is the session's", url: "/", sockets: 1},
		{what: "behind a prefix", url: "/lab", sockets: 1},
		{what: "an address that only the program makes", url: "/?study=1", sockets: 2},
		{what: "one that has ended", url: "/", drop: true, sockets: 2},
	} {
		t.Run(c.what, func(t *testing.T) {
			var j journal
			opened, closed := make(chan struct{}), make(chan struct{})
			s := newSite(t, func(conn *siotest.Conn) {
				if conn.N == 1 {
					close(opened)
					defer close(closed)
				}
				if conn.N == 1 && c.drop {
					return
				}
				j.study(conn)
			})
			s.serve(func(w http.ResponseWriter, r *http.Request) bool {
				switch r.URL.Path {
				case "/initgrace/loader.wasm": // not before there is a socket
					within := time.After(patience)
					select {
					case <-opened:
					case <-within:
						t.Error("no socket was opened")
					}
					if c.drop {
						<-closed
					}
				case "/lab/":
					s.Server.ServeHTTP(w, r)
					return true
				}
				return false
			})
			p := s.open(t)
			var now properties
			p.scene(&now, "open", map[string]any{"url": c.url})
			if !now.Connected || now.Restored != (c.sockets > 1) {
				t.Errorf("%+v", now)
			}
			var o outcome
			p.scene(&o, "emit", map[string]any{"event": "echo"})
			wantValue(t, "an event", o, `{"ok":true}`)
			if s.Count() != c.sockets {
				t.Errorf("%d sockets", s.Count())
			}
			if c.sockets > 1 {
				select {
				case <-closed:
				case <-time.After(patience):
					t.Error("the first socket stays open")
				}
			}
		})
	}
}
