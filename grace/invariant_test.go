package grace_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"initgrace/grace"
	"initgrace/grace/protocol"
)

// One test for each numbered invariant of the package. The fuzzer holds them
// too, on sequences that nobody thought of; these say what they mean.

const second = time.Second

// mustPlay tells a story in the language of world.
func mustPlay(t *testing.T, story string) *world {
	t.Helper()
	w := newWorld(grace.Policy{})
	if err := w.script(story); err != nil {
		t.Fatal(err)
	}
	return w
}

// presence is what the tracker says about a participant now.
func (w *world) presence(name string) protocol.Presence {
	if s, ok := w.tracker.Snapshot(w.now, name); ok {
		return s.Presence
	}
	return protocol.Gone
}

// A granted lease is never cut short while evidence arrives: whatever kind it
// is, and even if it comes at the last moment every time.
func TestInvariant1(t *testing.T) {
	last := grace.Policy{}.WithDefaults().SilenceTimeout - 1
	for _, evidence := range []string{"pong p", "browser p", "beat p silent=1000h", "load p id=x", "load p id=y", "progress p id=x", "complete p id=unknown", "attach p page=a probe"} {
		for _, begin := range []struct {
			story string
			lease time.Duration
		}{
			{"attach p page=a probe; load p id=x", 60 * second},
			{"attach p page=a probe; load p id=x expected=89s", 178 * second},
			{"attach p page=a; beat p silent=0s; load p id=x", 60 * second},
			{"attach p page=a probe; freezes p; +10s; cut p; load p id=x", 60 * second},
		} {
			w := mustPlay(t, begin.story)
			deadline := w.now.Add(begin.lease)
			w.said()
			for step := min(last, deadline.Sub(w.now)-1); step > 0; step = min(last, deadline.Sub(w.now)-1) {
				w.pass(step)
				if err := w.script(evidence); err != nil {
					t.Fatal(err)
				}
				if got := w.presence("p"); got != protocol.Loading {
					t.Errorf("%s; then %q every %v: %s at %v", begin.story, evidence, last, got, w.clock(w.now))
					break
				}
			}
			if said := w.said(); strings.Contains(said, "->") && !strings.Contains(evidence, "id=y") {
				t.Errorf("%s; then %q every %v: reported\n%s", begin.story, evidence, last, said)
			}
		}
	}
}

// A dead connection is noticed within SilenceTimeout and one probe, also
// during a lease, whenever it dies and however it was heard until then.
func TestInvariant2(t *testing.T) {
	p := grace.Policy{}.WithDefaults()
	limit := p.SilenceTimeout + p.ProbeInterval
	for _, life := range []string{
		"attach p probe; runs p",
		"attach p probe; freezes p",
		"attach p probe; runs p; +1m",
		"attach p probe; runs p; +1m; freezes p",
		"attach p probe; load p id=x expected=90s; runs p",
		"attach p probe; load p id=x expected=90s; freezes p",
		"attach p page=a probe; load p id=x; +1s; close p transport_lost; +1s; attach p page=a probe; freezes p",
	} {
		for alive := time.Duration(0); alive < 15*second; alive += 313 * time.Millisecond {
			w := mustPlay(t, life)
			w.pass(alive)
			if err := w.script("cut p"); err != nil {
				t.Fatal(err)
			}
			w.pass(limit)
			if got := w.presence("p"); got != protocol.Away {
				t.Errorf("%s; dead at %v: still %s %v later", life, alive, got, limit)
			}
		}
	}
	// The beats of a worker do the same where nobody can be probed.
	for beats := range 50 {
		w := mustPlay(t, "attach p; load p id=x")
		for range beats + 1 {
			w.pass(second)
			w.tracker.Beat(w.now, "p", 1, w.now.Sub(w.start))
		}
		w.pass(limit)
		if got := w.presence("p"); got != protocol.Away {
			t.Errorf("long-polling, dead after %d beats: still %s %v later", beats+1, got, limit)
		}
	}
}

// A session ends exactly once, whoever notices it first and whatever is said
// afterwards, and also if the process dies around the end.
func TestInvariant3(t *testing.T) {
	ends := func(said string) int { return strings.Count(said, "-> gone") }

	afterwards := []string{
		"advance", "+1h", "pong p", "browser p", "beat p silent=1s", "pagehide p", "close p transport_lost",
		"close p page_closed", "end p", "load p id=x", "progress p id=x", "complete p id=x", "restart 1s; +1h",
	}
	for _, ending := range []string{
		"attach p probe; +1h",
		"attach p probe; stall 1h; advance; stall 1h; advance",
		"attach p probe; freezes p; +1h",
		"attach p probe; load p id=x; freezes p; +1h",
		"attach p probe; load p id=x; close p transport_lost; +1h",
		"attach p probe; load p id=x; pagehide p; close p page_closed; +1h",
		"attach p probe; load p id=x; end p",
		"attach p probe; restart 1h; +1h",
		"attach p probe; +10s; restart 1h; +1h",
	} {
		for _, event := range afterwards {
			w := mustPlay(t, ending)
			if err := w.script(event); err != nil {
				t.Fatal(err)
			}
			if said := w.said(); ends(said) != 1 || w.tracker.Len() != 0 {
				t.Errorf("%s; %s: ended %d times, %d seats\n%s", ending, event, ends(said), w.tracker.Len(), said)
			}
			if at, ok := w.tracker.Next(); ok {
				t.Errorf("%s; %s: still something to do at %s", ending, event, w.clock(at))
			}
		}
	}

	// A reconnect at the deadline itself either finds the seat or begins
	// another session, which ends once as well.
	const lost = "attach p page=a probe; +1s; close p transport_lost; +29.999999999s; stall 1ns; "
	for story, want := range map[string]int{
		lost + "attach p page=a probe; advance":         0,
		lost + "advance; attach p page=a probe epoch=1": 1,
	} {
		w := mustPlay(t, story)
		if said := w.said(); ends(said) != want || w.tracker.Len() != 1 {
			t.Errorf("%s: ended %d times, want %d\n%s", story, ends(said), want, said)
		}
		w.pass(time.Hour)
		if said := w.said(); ends(said) != 1 {
			t.Errorf("%s: then ended %d times\n%s", story, ends(said), said)
		}
	}

	// A process that finds a seat held by itself, or stored as gone, leaves it.
	w := mustPlay(t, "attach p page=a probe")
	seat, _ := w.tracker.Snapshot(w.now, "p")
	w.tracker.Restore(w.now, seat)
	seat.Participant, seat.Presence = "q", protocol.Gone
	w.tracker.Restore(w.now, seat)
	if w.pass(time.Hour); ends(w.said()) != 1 {
		t.Error("restoring a seat that is here, or gone, made another session")
	}
}

// An event of an older epoch changes nothing: no presence, no deadline, no
// lease, no report, in any state.
func TestInvariant4(t *testing.T) {
	states := map[string]string{
		"active":          "attach p page=a probe; load p id=old; +1s; attach p page=b probe",
		"active, polling": "attach p page=a probe; +1s; attach p page=a",
		"loading":         "attach p page=a probe; load p id=x; +1s; attach p page=a probe",
		"blocked":         "attach p page=a probe; +1s; attach p page=a probe; freezes p; +4s",
		"silent":          "attach p page=a probe; +1s; attach p page=a probe; +5s",
		"closed":          "attach p page=a probe; +1s; attach p page=a probe; load p id=x; +1s; close p transport_lost",
		"pagehide said":   "attach p page=a probe; +1s; attach p page=a probe; pagehide p",
		"refreshed":       "attach p page=a probe; load p id=x; +1s; attach p page=b probe; load p id=x2",
	}
	events := []string{
		"pong p", "browser p", "beat p silent=0s", "beat p silent=1h", "pagehide p",
		"close p transport_lost", "close p page_closed", "close p disconnected", "close p refused",
		"load p id=new", "load p", "load p id=x", "progress p id=x expected=100s", "progress p expected=100s phase=late",
		"complete p id=x", "complete p id=x failed", "complete p",
	}
	for state, story := range states {
		for _, event := range events {
			epochs := []int{1, 3} // the older one, and one that never was
			if state == "closed" {
				epochs = append(epochs, 2)
			}
			for _, epoch := range epochs {
				touched, twin := mustPlay(t, story), mustPlay(t, story)
				for _, w := range []*world{touched, twin} {
					w.said()
					w.now = w.now.Add(500 * time.Millisecond)
				}
				if err := touched.script(fmt.Sprintf("%s epoch=%d", event, epoch)); err != nil {
					t.Fatal(err)
				}
				if said := touched.said(); said != "" && !strings.HasSuffix(said, "is refused: replaced\n") {
					t.Errorf("%s: %s of epoch %d: %s", state, event, epoch, said)
				}
				compare(t, fmt.Sprintf("%s: after %s of epoch %d", state, event, epoch), touched, twin)
			}
		}
	}
}

// compare fails the test unless two worlds look the same now and live on in
// the same way.
func compare(t *testing.T, what string, a, b *world) {
	t.Helper()
	look := func(w *world) any {
		s, ok := w.tracker.Snapshot(w.now, "p")
		next, due := w.tracker.Next()
		return []any{s, ok, next, due}
	}
	for range 2 {
		if x, y := look(a), look(b); !reflect.DeepEqual(x, y) {
			t.Errorf("%s:\n%+v\nwithout it:\n%+v", what, x, y)
			return
		}
		a.said()
		b.said()
		a.pass(200 * second)
		b.pass(200 * second)
		if x, y := a.said(), b.said(); x != y {
			t.Errorf("%s:\n%s\nwithout it:\n%s", what, x, y)
			return
		}
	}
}

// A lease belongs to a page instance, not to a socket: it survives every kind
// of reconnect to its own deadline, and ends with every kind of refresh.
func TestInvariant5(t *testing.T) {
	for _, lost := range []string{"", "close p transport_lost; ", "close p refused; ", "close p page_closed; ", "+6s; ", "+6s; close p transport_lost; ", "restart 3s; "} {
		for _, declared := range []string{"", " loads=x", " loads=x,y"} {
			const begin = "attach p page=a probe; load p id=x; +1s; "
			w := mustPlay(t, begin+lost+"+7s; attach p page=a probe"+declared)
			s, _ := w.tracker.Snapshot(w.now, "p")
			deadline := w.start.Add(60 * second)
			if s.Presence != protocol.Loading || s.Loads[0].ID != "x" || !w.now.Add(s.Loads[0].Remaining).Equal(deadline) {
				t.Errorf("%s%s: the same page is %s, with %+v", lost, declared, s.Presence, s.Loads)
			}
			for _, page := range []string{"page=b", ""} {
				w := mustPlay(t, begin+lost+"+7s; attach p probe "+page+declared)
				s, _ := w.tracker.Snapshot(w.now, "p")
				for _, l := range s.Loads {
					if l.ID == "x" {
						t.Errorf("%s%s: another page (%q) took the lease over", lost, declared, page)
					}
				}
				if !strings.Contains(declared, "y") && s.Presence != protocol.Active {
					t.Errorf("%s%s: another page (%q) is %s", lost, declared, page, s.Presence)
				}
			}
		}
	}
	// What the page says it has finished meanwhile is over.
	w := mustPlay(t, "attach p page=a probe; load p id=x; load p id=y; load p; close p transport_lost; attach p page=a probe loads=y")
	if s, _ := w.tracker.Snapshot(w.now, "p"); len(s.Loads) != 1 || s.Loads[0].ID != "y" {
		t.Errorf("loads=y left %+v", s.Loads)
	}
	// A load without an id is re-declared without one, and goes on.
	w = mustPlay(t, "attach p page=a probe; load p; +20s")
	w.tracker.Attach(w.now, grace.Attachment{Participant: "p", PageID: "a", CanProbe: true, Loads: []grace.LoadRequest{{}}})
	if s, _ := w.tracker.Snapshot(w.now, "p"); len(s.Loads) != 1 || s.Loads[0].Remaining != 40*second || s.LoadCount != 1 {
		t.Errorf("an anonymous load, re-declared, became %+v (load %d)", s.Loads, s.LoadCount)
	}
}

// A refused, expired or repeated LoadStart extends nothing, and sending the
// same id again gives the same lease.
func TestInvariant6(t *testing.T) {
	for _, c := range []struct{ story, repeat, want string }{
		{"attach p probe; runs p; load p id=x; +59.999999999s", "load p id=x expected=1h", "granted x until 60s, at most 180s"},
		{"attach p probe; runs p; load p; +30s", "load p phase=other expected=1h", "granted load-1 until 60s, at most 180s"},
		{"attach p probe; runs p; load p id=x; +30s; progress p id=x expected=40s", "load p id=x", "granted x until 110s, at most 180s"},
		{"attach p probe; runs p; load p id=x; +30s; load p id=y", "load p id=x", "granted x until 60s, at most 180s"},
		{"attach p page=a probe; load p id=x; +2s; attach p page=a probe loads=x", "load p id=x", "granted x until 60s, at most 180s"},
		{"attach p page=a probe; load p id=x; restart 20s; attach p page=a probe", "load p id=x", "granted x until 60s, at most 180s"},
		{"attach p probe; runs p; load p id=x; +60s", "load p id=x", "refused: load_ended"},
		{"attach p probe; load p id=x; stall 60s", "load p id=x", "refused: load_ended"},
		{"attach p probe; load p id=x; complete p id=x", "load p id=x", "refused: load_ended"},
		{"attach p page=a probe; load p id=x; attach p page=b probe", "load p id=x", "refused: load_ended"},
		{"attach p page=a probe; load p id=x; attach p page=b probe loads=x", "load p id=x", "refused: load_ended"},
		{"attach p page=a probe; load p id=x; attach p page=a probe loads=none", "load p id=x", "refused: load_ended"},
		{"attach p page=a probe; load p id=x; complete p; restart 1s; attach p page=a probe loads=x", "load p id=x", "refused: load_ended"},
		{"policy LoadCount=1; attach p probe; load p id=x; complete p; +1s", "load p id=y", "refused: load_budget"},
		{"policy LoadCount=1; attach p probe; load p id=x; +1s", "load p id=y", "refused: load_budget"},
		{"policy LoadBudget=60s LoadCap=60s; attach p probe; runs p; load p id=x; +60s", "load p id=y", "refused: load_budget"},
		{"attach p probe; load p id=1; load p id=2; load p id=3; load p id=4; load p id=5; load p id=6; load p id=7; load p id=8; +1s", "load p id=9", "refused: load_limit"},
	} {
		asked, twin := mustPlay(t, c.story), mustPlay(t, c.story)
		asked.said()
		if err := asked.script(c.repeat); err != nil {
			t.Fatal(err)
		}
		if said := asked.said(); !strings.Contains(said, c.want) {
			t.Errorf("%s; %s:\ngot  %swant %s", c.story, c.repeat, said, c.want)
		}
		if err := twin.script("pong p"); err != nil { // asking shows that the page runs, and no more
			t.Fatal(err)
		}
		twin.said()
		compare(t, c.story+"; "+c.repeat, asked, twin)
	}
}

// Every presence change is reported once, in order, with a sequence number:
// after any number of events the last report is the truth.
func TestInvariant7(t *testing.T) {
	words := strings.Split("pong p|browser p|beat p silent=2s|pagehide p|close p transport_lost|close p page_closed|load p id=a|load p id=b|"+
		"progress p id=a expected=70s|complete p id=a|complete p|attach p page=a probe|attach p page=b|freezes p|cut p|runs p|end p|"+
		"+1s|+3s|+4s|+20s|+61s|stall 5s|stall 40s|advance|restart 3s", "|")
	rng := rand.New(rand.NewPCG(7, 7))
	for range 300 {
		w := mustPlay(t, "attach p page=a probe")
		var told protocol.Presence
		var epoch, seq uint64
		story := "attach p page=a probe"
		for range 60 {
			event := words[rng.IntN(len(words))]
			if strings.HasPrefix(event, "attach") && told == protocol.Gone {
				event += fmt.Sprintf(" epoch=%d seq=%d", epoch, seq)
			}
			story += "; " + event
			if err := w.script(event); err != nil {
				t.Fatal(err)
			}
			said := w.said()
			if strings.Contains(said, "!!!") {
				t.Fatalf("%s\n%s", story, said)
			}
			p := w.people["p"]
			if told, epoch, seq = p.presence, p.epoch, p.seq; told == "" {
				told = protocol.Gone
			}
			if got := w.presence("p"); got != told {
				t.Fatalf("%s: is %s, last reported %s", story, got, told)
			}
			if s, ok := w.tracker.Snapshot(w.now, "p"); ok && s.Seq != seq {
				t.Fatalf("%s: has #%d, last reported #%d", story, s.Seq, seq)
			}
		}
	}
}

// Every state but gone and an evidenced active has a deadline: left alone, or
// with a browser that answers for ever behind a page that never does, every
// story ends.
func TestInvariant8(t *testing.T) {
	for _, story := range []string{
		"attach p probe",
		"attach p",
		"attach p; beat p silent=0s",
		"attach p; beat p silent=4s",
		"attach p probe; load p id=x expected=1000h",
		"attach p; load p id=x expected=1000h",
		"attach p probe; runs p; load p id=x; +50s; progress p id=x expected=1000h",
		"attach p probe; load p id=x; +300ms; browser p", // no probe falls on the deadline
		"attach p probe; +300ms; browser p",
		"attach p probe; freezes p; +5s",
		"attach p probe; +5s",
		"attach p probe; pagehide p",
		"attach p probe; close p transport_lost",
		"attach p probe; load p id=x; close p transport_lost",
		"attach p probe; close p page_closed",
		"attach p page=a probe; load p id=x; attach p page=a probe",
		"attach p probe; load p id=x; restart 1s",
	} {
		for _, then := range []string{"cut p", "freezes p"} {
			w := mustPlay(t, story+"; "+then)
			limit := w.now.Add(5 * time.Minute) // over LoadCap, BlockedTimeout and every hold
			for w.tracker.Len() > 0 {
				next, ok := w.tracker.Next()
				if !ok || !next.After(w.now) || next.After(limit) {
					t.Errorf("%s; %s: %s at %s, and next look at %s (%v)", story, then, w.presence("p"), w.clock(w.now), w.clock(next), ok)
					break
				}
				s, _ := w.tracker.Snapshot(w.now, "p")
				if s.Presence != protocol.Active && (s.Deadline.IsZero() || next.After(s.Deadline)) {
					t.Errorf("%s; %s: %s until %s, and next look at %s", story, then, s.Presence, w.clock(s.Deadline), w.clock(next))
				}
				w.pass(next.Sub(w.now))
			}
		}
	}
}
