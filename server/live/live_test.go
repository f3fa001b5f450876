package live

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"initgrace/grace/protocol"
	"initgrace/server/eventlog"
)

var start = time.Date(2026, 11, 3, 9, 0, 0, 0, time.UTC)

func at(ms int64) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }

// story is one participant's log.
func story(who string, from int64) []eventlog.Record {
	r := func(ms int64, kind eventlog.Kind, more eventlog.Record) eventlog.Record {
		more.At, more.Kind, more.Participant = at(from+ms), kind, who
		more.Experiment, more.Group = "grid", "g-"+who
		if !more.Epoch.Known {
			more.Epoch = eventlog.Of(1)
		}
		return more
	}
	return []eventlog.Record{
		r(0, eventlog.Connected, eventlog.Record{Reason: "connected"}),
		r(0, eventlog.Presence, eventlog.Record{To: protocol.Active, Reason: "connected"}),
		r(100, eventlog.Presence, eventlog.Record{From: protocol.Active, To: protocol.Loading, Reason: "load_started", Phase: "python", Lease: eventlog.Of(60_000), Expected: eventlog.Of(5000)}),
		r(100, eventlog.LoadStarted, eventlog.Record{LoadID: "a", Phase: "python", Lease: eventlog.Of(60_000)}),
		r(900, eventlog.LoadProgress, eventlog.Record{LoadID: "a", Phase: "packages", Lease: eventlog.Of(70_000)}),
		r(900, eventlog.Presence, eventlog.Record{From: protocol.Loading, To: protocol.Loading, Reason: "load_progress", Phase: "packages", Lease: eventlog.Of(69_200)}),
		r(2600, eventlog.LoadEnded, eventlog.Record{LoadID: "a", Phase: "packages", Reason: eventlog.LoadOK, Duration: eventlog.Of(2500)}),
		r(2600, eventlog.Presence, eventlog.Record{From: protocol.Loading, To: protocol.Active, Reason: "load_ended"}),
		r(5000, eventlog.Gap, eventlog.Record{Reason: "silence", Duration: eventlog.Of(1500)}),
		r(5000, eventlog.Disconnected, eventlog.Record{Reason: "transport_lost"}),
		r(5000, eventlog.Presence, eventlog.Record{From: protocol.Active, To: protocol.Away, Reason: "transport_lost", Lease: eventlog.Of(30_000)}),
		r(6000, eventlog.Connected, eventlog.Record{Reason: "reconnected", Epoch: eventlog.Of(2)}),
		r(6000, eventlog.Presence, eventlog.Record{From: protocol.Away, To: protocol.Active, Reason: "reconnected", Epoch: eventlog.Of(2)}),
		r(6500, eventlog.Refused, eventlog.Record{Reason: "load_budget", Epoch: eventlog.Of(2)}),
		r(7000, eventlog.StateSaved, eventlog.Record{Scene: "round 2", Epoch: eventlog.Of(2)}),
		r(8000, eventlog.Assigned, eventlog.Record{Detail: "treatment", Scene: "a b", Epoch: eventlog.Of(2)}),
		r(8500, eventlog.Outcome, eventlog.Record{Reason: "completed", Detail: "CODE", Epoch: eventlog.Of(2)}),
		r(9000, eventlog.Presence, eventlog.Record{From: protocol.Active, To: protocol.Gone, Reason: "ended", Epoch: eventlog.Of(2)}),
		r(9000, eventlog.GroupLeft, eventlog.Record{Reason: "ended", Epoch: eventlog.Of(2)}),
		r(9000, eventlog.Gone, eventlog.Record{Reason: "ended", Epoch: eventlog.Of(2)}),
	}
}

func TestLane(t *testing.T) {
	f := newFold()
	for _, r := range story("p", 0) {
		f.add(&r)
	}
	ms := func(n int64) int64 { return at(n).UnixMilli() }
	want := Lane{
		Participant: "p", Experiment: "grid", Group: "g-p", Presence: protocol.Gone, Reason: "ended", Since: ms(9000),
		Connected: true, Scene: "round 2", Condition: "treatment", Outcome: "completed", Epoch: 2, Drops: 1, LoadCount: 1, Refused: 1,
		Sections: []Section{
			{ms(0), "", true, "connected"}, {ms(0), protocol.Active, true, "connected"}, {ms(100), protocol.Loading, true, "load_started"},
			{ms(2600), protocol.Active, true, "load_ended"}, {ms(5000), protocol.Active, false, "transport_lost"},
			{ms(5000), protocol.Away, false, "transport_lost"}, {ms(6000), protocol.Away, true, "reconnected"},
			{ms(6000), protocol.Active, true, "reconnected"}, {ms(9000), protocol.Gone, true, "ended"},
		},
		Gaps:  []Gap{{ms(3500), ms(5000), "silence"}},
		Loads: []Load{{ID: "a", Phase: "packages", Start: ms(100), Lease: ms(100) + 70_000, End: ms(2600), Result: eventlog.LoadOK}},
	}
	if got := f.lanes["p"].whole(); !reflect.DeepEqual(got, want) {
		t.Errorf("the lane is\n%+v, want\n%+v", got, want)
	}
	tot := &f.totals
	if tot.Drops != 1 || tot.Connections != 2 || tot.Gone["ended"] != 1 || tot.Loads["ok"] != 1 || tot.Refused != 1 || tot.LoadTimes["ok"][3] != 1 {
		t.Errorf("totals %+v", tot)
	}
}

func TestLoadTimesAreCountedAtTheirBounds(t *testing.T) {
	for _, c := range []struct {
		ms   int64
		into int
	}{{0, 0}, {500, 0}, {501, 1}, {180_000, len(bounds) - 1}, {180_001, len(bounds)}} {
		f := newFold()
		f.add(&eventlog.Record{Kind: eventlog.LoadEnded, Participant: "p", Reason: "ok", Duration: eventlog.Of(c.ms)})
		if f.totals.LoadTimes["ok"][c.into] != 1 {
			t.Errorf("%d ms: %v", c.ms, f.totals.LoadTimes["ok"])
		}
	}
}

// drain applies what a viewer is told until nothing is queued.
func drain(t *testing.T, v *Viewer, view *View) {
	t.Helper()
	for {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		v.feed.out.Lock()
		idle := !v.lost && len(v.queue) == 0
		v.feed.out.Unlock()
		if idle && len(v.first) == 0 {
			cancel()
			return
		}
		text, err := v.Next(ctx)
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		if err := view.Apply(text); err != nil {
			t.Fatal(err)
		}
	}
}

// TestViewersAgree: whenever a viewer joins, however records are cut into
// batches, and also when it was so slow that it had to begin anew, it ends up
// with what the fold of the whole log is.
func TestViewersAgree(t *testing.T) {
	f := New()
	defer f.Close()
	rng := rand.New(rand.NewPCG(1, 2))
	var records []eventlog.Record
	for i := range 2 * chunk {
		records = append(records, story(fmt.Sprint("p", i), int64(i))...)
	}
	watch := func() *Viewer {
		v, err := f.Watch()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	early, slow := watch(), watch()
	var views [3]View
	drain(t, early, &views[0])
	drain(t, slow, &views[1])
	var late *Viewer
	for n := 0; len(records) > 0; n++ {
		k := min(1+rng.IntN(20), len(records))
		f.Stored(records[:k])
		records = records[k:]
		f.Pong("p0", time.Duration(n)*time.Millisecond)
		f.out.Lock()
		f.flush()
		f.sum(int64(n))
		f.out.Unlock()
		drain(t, early, &views[0])
		if late == nil && len(records) < 700 {
			late = watch()
		}
		if late != nil && n%3 == 0 {
			drain(t, late, &views[2])
		}
	}
	f.out.Lock()
	if !slow.lost {
		t.Error("the slow viewer has kept up: the test is too short")
	}
	if len(slow.queue) != queue {
		t.Errorf("%d messages wait for the slow viewer", len(slow.queue))
	}
	f.out.Unlock()
	for i, v := range []*Viewer{early, slow, late} {
		drain(t, v, &views[i])
		got := views[i]
		if len(got.Lanes) != len(f.fold.lanes) || !got.Complete {
			t.Fatalf("viewer %d has %d lanes of %d, complete %v", i, len(got.Lanes), len(f.fold.lanes), got.Complete)
		}
		for name, l := range f.fold.lanes {
			a, _ := json.Marshal(got.Lanes[name])
			b, _ := json.Marshal(l.whole())
			if string(a) != string(b) {
				t.Fatalf("viewer %d sees\n%s, and it is\n%s", i, a, b)
			}
		}
		if !reflect.DeepEqual(got.Totals, f.fold.totals) {
			t.Errorf("viewer %d has counted %+v, and it is %+v", i, got.Totals, f.fold.totals)
		}
	}
}

func TestBounds(t *testing.T) {
	f := newFold()
	for i := range maxLanes + 10 {
		who := fmt.Sprint("p", i)
		f.add(&eventlog.Record{Kind: eventlog.Presence, At: at(int64(i)), Participant: who, To: protocol.Active})
		f.add(&eventlog.Record{Kind: eventlog.Presence, At: at(int64(i)), Participant: who, From: protocol.Active, To: protocol.Gone})
		f.changes(0)
	}
	if len(f.lanes) != maxLanes || f.lanes["p9"] != nil || f.lanes["p10"] == nil {
		t.Errorf("%d lanes; p9: %v", len(f.lanes), f.lanes["p9"])
	}
	for i := range 3 * KeepSections {
		f.add(&eventlog.Record{Kind: eventlog.Connected, At: at(int64(i)), Participant: "busy", Epoch: eventlog.Of(i)})
		f.add(&eventlog.Record{Kind: eventlog.LoadStarted, At: at(int64(i)), Participant: "busy", LoadID: fmt.Sprint(i)})
	}
	if l := f.lanes["busy"]; len(l.Sections) != KeepSections || len(l.Loads) != KeepLoads || l.take().Sections[0].At == at(0).UnixMilli() {
		t.Errorf("%d sections, %d loads", len(l.Sections), len(l.Loads))
	}
	feed := New()
	for range MaxViewers {
		if _, err := feed.Watch(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := feed.Watch(); err != ErrTooMany {
		t.Errorf("one more viewer: %v", err)
	}
	feed.Close()
	if _, err := feed.Watch(); err != ErrClosed {
		t.Errorf("a viewer of a closed feed: %v", err)
	}
}

// shelf is a log whose ids begin behind some that are gone.
type shelf struct {
	records []eventlog.Record
	first   int64
}

func (s shelf) Records(ctx context.Context, after int64, limit int) ([]eventlog.Record, error) {
	from := min(max(after+1-s.first, 0), int64(len(s.records)))
	page := slices.Clone(s.records[from:min(from+int64(limit), int64(len(s.records)))])
	for i := range page {
		page[i].ID = s.first + from + int64(i)
	}
	return page, ctx.Err()
}

func TestLastID(t *testing.T) {
	for _, first := range []int64{1, 2, 1000} {
		for _, n := range []int{0, 1, 2, 3, 4, 5, 63, 64, 65, 1000} {
			want := first + int64(n) - 1
			if n == 0 {
				want = 0
			}
			if got, err := lastID(t.Context(), shelf{make([]eventlog.Record, n), first}); got != want || err != nil {
				t.Errorf("%d records from %d on: the last is %d, %v", n, first, got, err)
			}
		}
	}
}

// TestRefill: after a restart the lanes are those of the log, as far back as is
// bounded, with the time between the runs left open; totals begin anew.
func TestRefill(t *testing.T) {
	var log []eventlog.Record
	add := func(ms int64, r eventlog.Record) {
		r.At = at(ms)
		log = append(log, r)
	}
	active := func(ms int64, who string) {
		add(ms, eventlog.Record{Kind: eventlog.Presence, Participant: who, To: protocol.Active, Reason: "connected"})
	}
	active(-refillTime.Milliseconds(), "too old")
	add(0, eventlog.Record{Kind: eventlog.RunStarted, Run: "one"})
	for i := range refillEvents - 10 {
		active(int64(i), "busy")
	}
	active(60_000, "kept")
	add(61_000, eventlog.Record{Kind: eventlog.Suspended, Participant: "kept", From: protocol.Active})
	active(70_000, "killed")
	active(70_500, "gone")
	add(70_700, eventlog.Record{Kind: eventlog.Presence, Participant: "gone", From: protocol.Active, To: protocol.Gone})
	f := New()
	defer f.Close()
	if err := f.Refill(t.Context(), shelf{append(make([]eventlog.Record, 500), log...), 1}, at(90_000)); err != nil {
		t.Fatal(err)
	}
	f.Stored([]eventlog.Record{{At: at(90_000), Kind: eventlog.RunStarted, Run: "two"}})
	v, err := f.Watch()
	if err != nil {
		t.Fatal(err)
	}
	var view View
	drain(t, v, &view)
	ms := func(n int64) int64 { return at(n).UnixMilli() }
	open := Section{ms(70_700), "", false, "server_restart"} // when something was heard of that run for the last time
	for who, want := range map[string][]Section{
		"kept":   {{ms(60_000), protocol.Active, false, "connected"}, {ms(61_000), "", false, "server_restart"}},
		"killed": {{ms(70_000), protocol.Active, false, "connected"}, open},
		"gone":   {{ms(70_500), protocol.Active, false, "connected"}, {ms(70_700), protocol.Gone, false, ""}},
	} {
		if l := view.Lanes[who]; l == nil || !reflect.DeepEqual(l.Sections, want) {
			t.Errorf("the lane of %s is %+v", who, l)
		}
	}
	if view.Lanes["too old"] != nil || view.Lanes["busy"] == nil || view.Run != "two" || view.Totals.Records != 1 || view.Totals.Drops != 0 {
		t.Errorf("%d lanes, run %s, totals %+v", len(view.Lanes), view.Run, view.Totals)
	}
	if err := New().Refill(t.Context(), shelf{}, at(0)); err != nil {
		t.Errorf("of an empty log: %v", err)
	}
}

// A server that stops lets its viewers go.
func TestClose(t *testing.T) {
	f := New()
	v, err := f.Watch()
	if err != nil {
		t.Fatal(err)
	}
	go f.Close()
	for {
		if _, err := v.Next(t.Context()); err != nil {
			if err != ErrClosed {
				t.Error(err)
			}
			return
		}
	}
}
