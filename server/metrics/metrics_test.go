package metrics

import (
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
