package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"initgrace/grace/protocol"
	"initgrace/server/eventlog"
	"initgrace/server/store"
)

// full returns a session in which every field, at any depth, differs from its
// zero value; testEveryField checks that, so that a new field cannot be
// forgotten here.
func full(participant string) store.Session {
	at := time.Date(2026, 11, 3, 4, 5, 6, 789e6, time.UTC)
	return store.Session{
		Participant: participant, Experiment: "grid world", Group: "g1", PageID: "page-1",
		Epoch: 3, Seq: 17, Presence: protocol.Loading, Reason: protocol.ReasonLoadStarted, Since: at,
		Loads: []store.Load{
			{ID: "a", Phase: "pyodide", Expected: 1500 * time.Millisecond, Anonymous: true, StartedAt: at, DeadlineAt: at.Add(time.Minute)},
			{ID: "b", Phase: "packages", Expected: time.Hour, Anonymous: true, StartedAt: at.Add(1), DeadlineAt: at.Add(time.Hour)},
		},
		State: protocol.State{
			SceneID:     "play",
			StagerState: protocol.Raw(`{"at": [1,2.50, -0, 1e400], "s":"<&>\u0000\ud800"}`),
			Globals:     protocol.Raw(` {"b":1,"a":12345678901234567890,"b":2} `),
		},
		Version: 5, Sent: 42,
		Totals: store.Totals{
			Connections: 3, Drops: 2, Loads: 4, LoadFailures: 1,
			LoadTime: 61 * time.Second, BlockedTime: 123 * time.Millisecond,
			AwayTime: 30 * time.Hour, LongestBlock: 35801 * time.Millisecond,
		},
		Part: store.Part{
			Condition: "slow", Scenes: []string{"intro", "game <1>"},
			Waiting: &store.Waiting{Size: 3, Turn: -7, Since: at, Until: at.Add(time.Minute)},
			Vacancy: &store.Vacancy{Action: "ask", Size: 3, Partner: "p9", Until: at.Add(time.Hour)},
			Outcome: store.Outcome{Kind: "partner_gone", Code: "C 1", Link: "https://pay.example/?a=1&b=<2>", Partner: "p9", At: at},
		},
		Created: at.Add(-time.Hour), Updated: at.Add(time.Second),
	}
}

// stored is what must come back of a full session: its times are cut to
// milliseconds.
func stored(s store.Session) store.Session {
	for _, at := range []*time.Time{&s.Since, &s.Created, &s.Updated} {
		*at = at.UTC().Truncate(time.Millisecond)
	}
	s.Loads = slices.Clone(s.Loads)
	for i := range s.Loads {
		l := &s.Loads[i]
		l.StartedAt, l.DeadlineAt = l.StartedAt.UTC().Truncate(time.Millisecond), l.DeadlineAt.UTC().Truncate(time.Millisecond)
	}
	cut := func(t *time.Time) { *t = t.UTC().Truncate(time.Millisecond) }
	if s.Part.Waiting != nil {
		w := *s.Part.Waiting
		cut(&w.Since)
		cut(&w.Until)
		s.Part.Waiting = &w
	}
	if s.Part.Vacancy != nil {
		v := *s.Part.Vacancy
		cut(&v.Until)
		s.Part.Vacancy = &v
	}
	cut(&s.Part.Outcome.At)
	return s
}

func testEveryField(t *testing.T, s store.Store) {
	want := full("p1")
	if path := zeroField(reflect.ValueOf(want), "Session"); path != "" {
		t.Fatalf("the suite's example leaves %s zero", path)
	}
	put(t, s, want)
	same(t, get(t, s, "p1"), stored(want))
}

// zeroField finds a field that has its zero value.
func zeroField(v reflect.Value, path string) string {
	if v.IsZero() {
		return path
	}
	switch v.Type() {
	case reflect.TypeFor[time.Time](), reflect.TypeFor[protocol.Raw]():
		return ""
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if p := zeroField(v.Field(i), path+"."+v.Type().Field(i).Name); p != "" {
				return p
			}
		}
	case reflect.Slice:
		return zeroField(v.Index(0), path+"[0]")
	case reflect.Pointer:
		return zeroField(v.Elem(), path)
	}
	return ""
}

func testZero(t *testing.T, s store.Store) {
	want := store.Session{Participant: "p1"}
	put(t, s, want)
	same(t, get(t, s, "p1"), want)
	// Over a full one: nothing of the earlier version may shine through.
	put(t, s, full("p1"))
	put(t, s, want)
	same(t, get(t, s, "p1"), want)
	// Empty is nil.
	put(t, s, store.Session{
		Participant: "p1", Loads: []store.Load{}, Part: store.Part{Scenes: []string{}},
		State: protocol.State{StagerState: protocol.Raw{}, Globals: protocol.Raw("null")},
	})
	want.State.Globals = protocol.Raw("null")
	same(t, get(t, s, "p1"), want)
	put(t, s, store.Session{Participant: "p2", Loads: []store.Load{{}}})
	same(t, get(t, s, "p2"), store.Session{Participant: "p2", Loads: []store.Load{{}}})
}

func testText(t *testing.T, s store.Store) {
	for i, text := range []string{
		"ä ö ü", "日本語", "😀👩‍👩‍👧‍👦", "\u202eright to left", "e\u0301 is not \u00e9", "\ufeffbom",
		"a\x00b", "\x00", "line\nbreak\r\n\t", `'; DROP TABLE sessions; --`, `"quoted" \ back`, "%_*?#&=", " spaces ", "null", "0",
		strings.Repeat("long ", 2000),
	} {
		want := full("p-" + text)
		want.Experiment, want.Group, want.PageID = text, text, text
		want.Presence, want.Reason = protocol.Active, protocol.Reason(text)
		want.State.SceneID = text
		want.Loads[0].ID, want.Loads[0].Phase = text, text
		put(t, s, want)
		if got := get(t, s, "p-"+text); !reflect.DeepEqual(got, stored(want)) {
			t.Errorf("text %d %q came back as\n%+v", i, text, got)
		}
	}
	// What looks alike is not the same participant.
	put(t, s, store.Session{Participant: "\u00e9", Epoch: 1}, store.Session{Participant: "e\u0301", Epoch: 2},
		store.Session{Participant: "E", Epoch: 3}, store.Session{Participant: "e", Epoch: 4}, store.Session{Participant: "e ", Epoch: 5})
	for i, p := range []string{"\u00e9", "e\u0301", "E", "e", "e "} {
		if got := get(t, s, p); got.Epoch != uint64(i+1) {
			t.Errorf("participant %q has epoch %d, want %d", p, got.Epoch, i+1)
		}
	}
	// Not UTF-8.
	bad := full("bad\xff")
	bad.Experiment, bad.Loads[0].Phase, bad.State.Globals = "\xc3(", "ph\xfe", protocol.Raw("\"\xed\xa0\x80\"")
	put(t, s, bad)
	want := stored(bad)
	want.Participant, want.Experiment, want.Loads[0].Phase = "bad\ufffd", "\ufffd(", "ph\ufffd"
	got := get(t, s, "bad\xff")
	if g := string(got.State.Globals); g != `"`+"\ufffd"+`"` && g != `"`+strings.Repeat("\ufffd", 3)+`"` {
		t.Errorf("globals that are not UTF-8 came back as %q", g)
	}
	want.State.Globals = got.State.Globals
	same(t, got, want)
}

func testTimes(t *testing.T, s store.Store) {
	for _, at := range []time.Time{
		time.Date(2026, 3, 29, 2, 30, 0, 123_999_999, time.FixedZone("far", 14*3600)),
		time.Date(1969, 12, 31, 23, 59, 59, 999e6, time.UTC),
		time.Date(9999, 12, 31, 23, 59, 59, 999e6, time.UTC),
		time.Now(), // with a monotonic reading
	} {
		want := full("p")
		want.Since, want.Created, want.Updated, want.Loads[1].DeadlineAt = at, at, at, at
		put(t, s, want)
		got := get(t, s, "p")
		same(t, got, stored(want))
		if got.Since.Location() != time.UTC {
			t.Errorf("the location is %v", got.Since.Location())
		}
	}
	want := full("p")
	want.Totals.LoadTime, want.Totals.AwayTime = time.Duration(math.MaxInt64).Truncate(time.Millisecond), -time.Second
	want.Totals.BlockedTime = 1_600_000
	put(t, s, want)
	if got := get(t, s, "p").Totals; got.BlockedTime.Round(2*time.Millisecond) != 2*time.Millisecond ||
		got.LoadTime != want.Totals.LoadTime || got.AwayTime != want.Totals.AwayTime {
		t.Errorf("durations came back as %+v", got)
	}
}

func testUnknown(t *testing.T, s store.Store) {
	put(t, s, full("p1"))
	for _, p := range []string{"p2", "", "P1", "p1 ", "p%", "p*"} {
		if got, ok, err := s.Session(t.Context(), p); err != nil || ok || !reflect.DeepEqual(got, store.Session{}) {
			t.Errorf("Session(%q) = %+v, %v, %v", p, got, ok, err)
		}
	}
}

func testReplace(t *testing.T, s store.Store) {
	a, b := full("a"), full("b")
	put(t, s, a, b)
	a.Epoch, a.Seq, a.Presence, a.Loads, a.Updated = 4, 18, protocol.Away, nil, a.Updated.Add(time.Second)
	put(t, s, a)
	same(t, get(t, s, "a"), stored(a))
	same(t, get(t, s, "b"), stored(b))
}

// refused are sessions that Put must refuse.
func refused() map[string]store.Session {
	r := map[string]store.Session{}
	add := func(name string, change func(*store.Session)) {
		s := full("refused")
		change(&s)
		r[name] = s
	}
	add("no name", func(s *store.Session) { s.Participant = "" })
	add("broken stager state", func(s *store.Session) { s.State.StagerState = protocol.Raw(`{"a":`) })
	add("broken globals", func(s *store.Session) { s.State.Globals = protocol.Raw(`{} {}`) })
	add("epoch", func(s *store.Session) { s.Epoch = math.MaxInt64 + 1 })
	add("seq", func(s *store.Session) { s.Seq = math.MaxUint64 })
	add("version", func(s *store.Session) { s.Version = math.MaxUint64 })
	add("sent", func(s *store.Session) { s.Sent = math.MaxUint64 })
	return r
}

func testAtomic(t *testing.T, s store.Store) {
	before := full("a")
	put(t, s, before)
	after := before
	after.Epoch++
	for name, bad := range refused() {
		for _, batch := range [][]store.Session{{after, full("new"), bad}, {bad, after, full("new")}} {
			if err := s.Put(t.Context(), store.Batch{Sessions: batch, Records: []eventlog.Record{fullRecord()}}); err == nil {
				t.Errorf("%s: stored", name)
			}
		}
		same(t, get(t, s, "a"), stored(before))
		for _, p := range []string{"new", "refused"} {
			if _, ok, err := s.Session(t.Context(), p); ok || err != nil {
				t.Errorf("%s: %q is there: %v, %v", name, p, ok, err)
			}
		}
		if log := records(t, s); len(log) != 0 {
			t.Errorf("%s: %d records were stored all the same", name, len(log))
		}
	}
	limits := full("limits")
	limits.Epoch, limits.Seq, limits.Version, limits.Sent = math.MaxInt64, math.MaxInt64, math.MaxInt64, math.MaxInt64
	put(t, s, limits)
	same(t, get(t, s, "limits"), stored(limits))
}

func testPutNothing(t *testing.T, s store.Store) {
	if err := errors.Join(s.Put(t.Context(), store.Batch{}), s.Put(t.Context(), store.Batch{Sessions: []store.Session{}})); err != nil {
		t.Error(err)
	}
}

func testTwice(t *testing.T, s store.Store) {
	first, second := full("p"), full("p")
	second.Epoch = 99
	put(t, s, first, full("q"), second)
	same(t, get(t, s, "p"), stored(second))
}

func testCopies(t *testing.T, s store.Store) {
	in := full("p")
	in.State.Globals = bytes.Clone(in.State.Globals)
	put(t, s, in)
	in.Loads[0].ID, in.State.Globals[2] = "changed", 'X'
	out := get(t, s, "p")
	same(t, out, stored(full("p")))
	out.Loads[0].ID, out.State.Globals[2] = "changed", 'X'
	same(t, get(t, s, "p"), stored(full("p")))
}

func testSeated(t *testing.T, s store.Store) {
	if got := seated(t, s); len(got) != 0 {
		t.Fatalf("an empty store has %v", got)
	}
	want := map[string]store.Session{}
	presences := []protocol.Presence{protocol.Active, protocol.Loading, protocol.Blocked, protocol.Away, protocol.Gone}
	var all []store.Session
	for i := range 500 { // more than any implementation reads at once
		p := full(fmt.Sprintf("p%03d", i))
		p.Presence = presences[i%len(presences)]
		if p.Presence != protocol.Gone {
			want[p.Participant] = stored(p)
		}
		all = append(all, p)
	}
	put(t, s, all...)
	if got := seated(t, s); !reflect.DeepEqual(got, want) {
		t.Errorf("%d seated of %d wanted, or with wrong values", len(got), len(want))
	}
	// Gone and back again.
	gone, back := full("p000"), full("p004")
	gone.Presence, back.Presence = protocol.Gone, protocol.Active
	put(t, s, gone, back)
	delete(want, "p000")
	want["p004"] = stored(back)
	if got := seated(t, s); !reflect.DeepEqual(got, want) {
		t.Errorf("after a change: %d seated of %d wanted, or with wrong values", len(got), len(want))
	}
}

// testAssigned: everybody counts who was ever drawn, gone or not.
func testAssigned(t *testing.T, s store.Store) {
	n := 0
	draw := func(experiment, condition string, presence protocol.Presence, times int) {
		for range times {
			n++
			put(t, s, store.Session{
				Participant: fmt.Sprintf("p%d", n), Experiment: experiment, Presence: presence, Part: store.Part{Condition: condition},
			})
		}
	}
	draw("x", "a", protocol.Active, 3)
	draw("x", "a", protocol.Gone, 2)
	draw("x", "b", protocol.Gone, 1)
	draw("y", "a", protocol.Away, 4)
	draw("", "a", protocol.Away, 1)
	draw("x", "", protocol.Active, 9)
	got, err := s.Assigned(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(got, func(a, b store.Assigned) int {
		return strings.Compare(a.Experiment+a.Condition, b.Experiment+b.Condition)
	})
	if text := fmt.Sprint(got); text != "[{ a 1} {x a 5} {x b 1} {y a 4}]" {
		t.Errorf("assigned %s", text)
	}
}

func testSeatedStops(t *testing.T, s store.Store) {
	put(t, s, full("a"), full("b"), full("c"))
	stop, calls := errors.New("stop"), 0
	err := s.Seated(t.Context(), func(store.Session) error { calls++; return stop })
	if !errors.Is(err, stop) || calls != 1 {
		t.Errorf("%d calls, error %v", calls, err)
	}
}

func testSeatedReentrant(t *testing.T, s store.Store) {
	put(t, s, full("a"), full("b"), full("c"))
	calls := 0
	err := s.Seated(t.Context(), func(p store.Session) error {
		calls++
		same(t, get(t, s, p.Participant), p)
		p.Presence = protocol.Gone
		put(t, s, p)
		return nil
	})
	if err != nil || calls != 3 {
		t.Errorf("%d calls, error %v", calls, err)
	}
	if left := seated(t, s); len(left) != 0 {
		t.Errorf("still seated: %v", left)
	}
}

func testBigState(t *testing.T, s store.Store) {
	big := full("big")
	big.State.Globals = protocol.Raw(`"` + strings.Repeat("0123456789abcdef", 1<<16) + `"`) // 1 MiB
	put(t, s, full("small"), big)
	same(t, get(t, s, "big"), stored(big))
	big.State.Globals = protocol.Raw("1")
	put(t, s, big)
	same(t, get(t, s, "big"), stored(big))
	same(t, get(t, s, "small"), stored(full("small")))
}

func put(t testing.TB, s store.Store, sessions ...store.Session) {
	t.Helper()
	if err := s.Put(t.Context(), store.Batch{Sessions: sessions}); err != nil {
		t.Errorf("put: %v", err)
	}
}

func get(t testing.TB, s store.Store, participant string) store.Session {
	t.Helper()
	got, ok, err := s.Session(t.Context(), participant)
	if err != nil || !ok {
		t.Errorf("session %q: %v, %v", participant, ok, err)
	}
	return got
}

func seated(t testing.TB, s store.Store) map[string]store.Session {
	t.Helper()
	all := map[string]store.Session{}
	err := s.Seated(t.Context(), func(p store.Session) error {
		if _, twice := all[p.Participant]; twice {
			t.Errorf("%s was seen twice", p.Participant)
		}
		all[p.Participant] = p
		return nil
	})
	if err != nil {
		t.Errorf("seated: %v", err)
	}
	return all
}

func same(t testing.TB, got, want store.Session) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%.2000s\nwant\n%.2000s", fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want))
	}
}
