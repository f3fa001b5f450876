package grace_test

import (
	"fmt"
	"testing"
	"time"

	"initgrace/grace"
)

// A big study on one machine.
const benchSeats = 5000

// busyTracker is full of participants who connected one after the other within
// a second, a third of them loading.
func busyTracker(tb testing.TB) (tr *grace.Tracker, names []string, now time.Time) {
	tr, now = grace.New(grace.Policy{}), epochStart
	for i := range benchSeats {
		name := fmt.Sprintf("participant-%04d", i)
		names = append(names, name)
		at := tr.Attach(now, grace.Attachment{Participant: name, Group: "g", CanProbe: true})
		if i%3 == 0 {
			if _, err := tr.LoadStart(now, name, at.Epoch, grace.LoadRequest{ID: "x", Expected: 90 * time.Second}); err != nil {
				tb.Fatal(err)
			}
		}
		now = now.Add(time.Second / benchSeats)
	}
	tr.Take()
	return tr, names, now
}

// BenchmarkHeard is one sign of life among 5,000 participants.
func BenchmarkHeard(b *testing.B) {
	tr, names, now := busyTracker(b)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		now = now.Add(time.Microsecond)
		tr.Heard(now, names[i%len(names)], 1, grace.Page)
	}
}

// BenchmarkAdvanceIdle is a look when nothing is due, as after every event.
func BenchmarkAdvanceIdle(b *testing.B) {
	tr, _, now := busyTracker(b)
	b.ReportAllocs()
	for b.Loop() {
		tr.Advance(now)
		tr.Take()
	}
}

// BenchmarkSecond is one second of 5,000 participants who are quiet unless
// asked: each is, and answers.
func BenchmarkSecond(b *testing.B) {
	tr, _, now := busyTracker(b)
	tick := 5 * time.Millisecond
	answered := 0
	b.ReportAllocs()
	for b.Loop() {
		for range time.Second / tick {
			now = now.Add(tick)
			tr.Advance(now)
			_, probes := tr.Take()
			for _, p := range probes {
				tr.Heard(now, p.Participant, p.Epoch, grace.Page)
			}
			answered += len(probes)
		}
	}
	b.ReportMetric(float64(answered)/float64(b.N), "probes/op")
}

// BenchmarkLoad is a load from start to end.
func BenchmarkLoad(b *testing.B) {
	tr := grace.New(grace.Policy{LoadCount: -1, LoadBudget: -1})
	now := epochStart
	tr.Attach(now, grace.Attachment{Participant: "p", CanProbe: true})
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(time.Microsecond)
		lease, err := tr.LoadStart(now, "p", 1, grace.LoadRequest{})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := tr.LoadEnd(now, "p", 1, lease.ID, false); err != nil {
			b.Fatal(err)
		}
		tr.Take()
	}
}

// Evidence is by far the most frequent event, and a look follows each: neither
// allocates while nothing changes.
func TestNothingIsAllocatedForEvidence(t *testing.T) {
	tr, names, now := busyTracker(t)
	i := 0
	if n := testing.AllocsPerRun(2*benchSeats, func() {
		now = now.Add(time.Microsecond)
		tr.Heard(now, names[i%len(names)], 1, grace.Evidence(i%2))
		tr.Beat(now, names[(i+1)%len(names)], 1, 0)
		tr.Advance(now)
		tr.Next()
		i++
	}); n != 0 {
		t.Errorf("%v allocations for two signs of life and a look", n)
	}
	if changes, _ := tr.Take(); len(changes) > 0 {
		t.Errorf("something changed: %+v", changes[0])
	}
}
