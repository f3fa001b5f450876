package metrics

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"initgrace/grace/protocol"
	"initgrace/server/eventlog"
)

// The gauge follows every seat from its first record to its last, also one
// that an earlier run had left, and is never below zero.
func TestParticipants(t *testing.T) {
	m := New()
	change := func(from, to protocol.Presence, ms eventlog.Int) {
		m.Record(&eventlog.Record{Kind: eventlog.Presence, From: from, To: to, Reason: "evidence", Duration: ms})
	}
	check := func(what string, want map[protocol.Presence]float64) {
		t.Helper()
		for _, p := range []protocol.Presence{protocol.Active, protocol.Loading, protocol.Blocked, protocol.Away} {
			if got := testutil.ToFloat64(m.participants.WithLabelValues(string(p))); got != want[p] {
				t.Errorf("%s: %v %s, want %v", what, got, p, want[p])
			}
		}
	}
	ms := eventlog.Of[int]
	change("", protocol.Active, eventlog.Int{})
	change(protocol.Active, protocol.Loading, ms(100))
	change(protocol.Loading, protocol.Loading, ms(50)) // another phase
	check("a load", map[protocol.Presence]float64{protocol.Loading: 1})

	change(protocol.Blocked, protocol.Away, eventlog.Int{}) // of another run
	change(protocol.Away, protocol.Away, eventlog.Int{})    // of another run, away before and after
	check("restored", map[protocol.Presence]float64{protocol.Loading: 1, protocol.Away: 2})

	change(protocol.Loading, protocol.Active, ms(50))
	change(protocol.Away, protocol.Gone, ms(30))
	change(protocol.Away, protocol.Away, ms(10)) // another deadline
	check("gone", map[protocol.Presence]float64{protocol.Active: 1, protocol.Away: 1})

	if s := testutil.ToFloat64(m.spent.WithLabelValues("loading")); s != .1 {
		t.Errorf("%v s loading, want 0.1", s)
	}
	if n := testutil.ToFloat64(m.changes.WithLabelValues("away", "gone", "evidence")); n != 1 {
		t.Errorf("%v verdicts, want 1", n)
	}
}

func TestMetricsAreWellNamed(t *testing.T) {
	m := New()
	problems, err := testutil.GatherAndLint(m.registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// Who guesses is soon not listened to any more, and keeps nobody else out.
func TestTokenGuessing(t *testing.T) {
	served := 0
	h := RequireToken("secret", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served++ }))
	ask := func(address, token string) int {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = address
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Code
	}
	codes := map[int]int{}
	for i := range 50 {
		codes[ask(fmt.Sprintf("192.0.2.1:%d", i), fmt.Sprint("guess", i))]++
	}
	if n := codes[http.StatusUnauthorized]; n < guessBurst || n > guessBurst+2 || codes[http.StatusTooManyRequests] != 50-n {
		t.Errorf("answers %v", codes)
	}
	if code := ask("192.0.2.1:99", "secret"); code != http.StatusTooManyRequests || served != 0 {
		t.Errorf("the right one at last: %d", code)
	}
	if code := ask("192.0.2.2:1", "secret"); code != http.StatusOK || served != 1 {
		t.Errorf("somebody else: %d", code)
	}
	for i := range 2 * maxAddresses {
		ask(fmt.Sprintf("[2001:db8::%x]:1", i), "wrong")
	}
	if n := len(h.(*guarded).wrong); n > maxAddresses {
		t.Errorf("%d addresses are remembered", n)
	}
}
