package server

import (
	"context"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"initgrace/grace/protocol"
	"initgrace/server/eventlog"
	"initgrace/server/store/sqlite"
)

// An orderly end tells everybody to come back, closes with a close frame, and
// leaves everybody's seat as it was.
func TestClose(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "study.db")
	db, err := sqlite.Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := start(t, Config{Store: db})
	p, q := pair(r)
	p.call(protocol.EventLoadStart, `{"id":"l1"}`, nil)
	p.freeze()
	if err := r.srv.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, c := range []*plain{p, q} {
		var word protocol.Restarting
		c.expect(protocol.EventServerRestarting, &word)
		if word.DelayMS < 1 || word.DelayMS > comeBack.Milliseconds() {
			t.Errorf("delay %d ms", word.DelayMS)
		}
		<-c.closed
		if code := websocket.CloseStatus(c.err); code != websocket.StatusGoingAway {
			t.Errorf("closed with %v: %v", code, c.err)
		}
	}
	if _, err := r.dial(`{"participant":"late"}`); err == nil {
		t.Error("a closed server let somebody in")
	}
	if res, err := http.Get(r.http.URL + "/healthz"); r.follows == nil && (err != nil || res.StatusCode != http.StatusServiceUnavailable) {
		t.Errorf("healthz: %v %v", res, err)
	}

	if db, err = sqlite.Open(path, nil); err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for who, want := range map[string]protocol.Presence{"p": protocol.Loading, "q": protocol.Active} {
		s, ok, err := db.Session(context.Background(), who)
		if err != nil || !ok || s.Presence != want {
			t.Errorf("%s is stored as %s (%v, %v), want %s", who, s.Presence, ok, err, want)
		}
		if who == "p" && (len(s.Loads) != 1 || s.Loads[0].ID != "l1") {
			t.Errorf("the open load is stored as %+v", s.Loads)
		}
	}
}

// A store that fails for ever does not keep a server from ending: what it did
// not take is counted, and nothing goes on in the background.
func TestCloseWithABrokenStore(t *testing.T) {
	t.Parallel()
	db, err := sqlite.Open(filepath.Join(t.TempDir(), "study.db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	r := start(t, Config{Store: db})
	p, _ := r.connect(`{"participant":"p"}`)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	p.refused(protocol.EventLoadStart, `{"id":"l1"}`, protocol.CodeStore)
	full := make(chan struct{})
	r.srv.loop.post(func(l *loop, now time.Time) { // as much waits as may
		for range maxPending + 1 {
			l.record(now, eventlog.Record{Kind: eventlog.Connected})
		}
		close(full)
	})
	<-full
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	began := time.Now()
	err = r.srv.Close(ctx)
	if err == nil || !strings.Contains(err.Error(), "could not be stored") {
		t.Errorf("error %v", err)
	}
	if took := time.Since(began); took > closeTimeout {
		t.Errorf("it took %v", took)
	}
	select {
	case <-r.srv.loop.done:
	default:
		t.Error("the loop goes on")
	}
}

// Whoever comes back after a restart finds the lease that was open.
func TestLeaseSurvivesARestart(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "study.db")
	db, err := sqlite.Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := start(t, Config{Store: db})
	p, _ := r.connect(`{"participant":"p","page_id":"page-1"}`)
	p.call(protocol.EventLoadStart, `{"id":"l1","expected_ms":6000}`, nil)
	r.stop()
	if db, err = sqlite.Open(path, nil); err != nil {
		t.Fatal(err)
	}
	r = start(t, Config{Store: db})
	p, s := r.connect(`{"participant":"p","page_id":"page-1","loads":[{"id":"l1"}]}`)
	if !s.Restored || s.Epoch != 2 {
		t.Errorf("session %+v", s)
	}
	r.await("p", protocol.Loading, 1)
	var again protocol.LoadAck
	p.call(protocol.EventLoadStart, `{"id":"l1"}`, &again)
	if !again.OK || again.LeaseMS >= 12_000 {
		t.Errorf("the lease began anew: %+v", again)
	}
	var done protocol.CompleteAck
	p.call(protocol.EventLoadComplete, `{"id":"l1"}`, &done)
	if !done.OK {
		t.Errorf("complete: %+v", done)
	}
}

func TestBeatsAreAuthenticated(t *testing.T) {
	t.Parallel()
	r := start(t, Config{})
	_, s := r.connect(`{"participant":"p"}`)
	_, other := r.connect(`{"participant":"q"}`)
	for _, c := range []struct {
		path, body string
		want       int
	}{
		{"beat", `{"participant":"p","token":"` + s.Token + `","page_silent_ms":5}`, 204},
		{"beat", `{"participant":"p","token":"` + other.Token + `"}`, 401},
		{"beat", `{"participant":"p"}`, 401},
		{"beat", `{"participant":"p","token":"` + s.Token + `","page_silent_ms":-5}`, 400},
		{"beat", `{"participant":"p p"}`, 400},
		{"beat", `nonsense`, 400},
		{"beat", `{"participant":"p","token":"` + string(make([]byte, 2*maxBeat)) + `"}`, 400},
		{"pagehide", `{"participant":"p","token":"` + other.Token + `"}`, 401},
		{"pagehide", `{"participant":"p","token":"` + s.Token + `"}`, 204},
	} {
		if got := r.post("/initgrace/"+c.path, c.body); got != c.want {
			t.Errorf("POST %s %.60s: %d, want %d", c.path, c.body, got, c.want)
		}
	}
	if res, err := http.Get(r.http.URL + "/initgrace/beat"); err != nil || res.StatusCode == 204 {
		t.Errorf("GET beat: %v %v", res.Status, err)
	}
	// The page said goodbye, which ends its connection.
	if c := r.await("p", protocol.Away, 1); c.Reason != protocol.ReasonPageHide {
		t.Errorf("away because of %s", c.Reason)
	}
	if c := r.await("p", protocol.Gone, 1); c.Reason != protocol.ReasonLeaveTimeout {
		t.Errorf("gone because of %s", c.Reason)
	}
}
