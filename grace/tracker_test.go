package grace_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"initgrace/grace"
	"initgrace/grace/protocol"
)

// The browser is asked at ProbeInterval after the last sign of life and no
// earlier; then again and again, as long as an answer could reach us.
func TestProbes(t *testing.T) {
	const asked = "p is probed"
	for _, c := range []struct {
		name, story string
		at          string // the next probe, counted from the beginning; empty: never
	}{
		{"after a connection", "attach p probe", "1s"},
		{"after the page", "attach p probe; +300ms; pong p", "1.3s"},
		{"after the browser", "attach p probe; +300ms; browser p", "1.3s"},
		{"after a beat", "attach p probe; +300ms; beat p silent=1h", "1.3s"},
		{"after a load event", "attach p probe; +300ms; load p id=x", "1.3s"},
		{"unanswered", "attach p probe; +1s", "2s"},
		{"answered late", "attach p probe; +1.7s; browser p", "2.7s"},
		{"while loading", "attach p probe; load p id=x; freezes p; +30.5s", "31s"},
		{"while blocked", "attach p probe; freezes p; +10.5s", "11s"},
		{"while away, the socket open", "attach p probe; +10.5s", "11s"},
		{"after pagehide", "attach p probe; pagehide p", "1s"},
		{"on a second connection", "attach p probe; +900ms; attach p probe", "1.9s"},
		{"a second connection owes nothing for the first", "attach p probe; +5s; attach p probe; cut p", "6s"},
		{"not for an older epoch's pong", "attach p probe; attach p probe; +500ms; browser p epoch=1", "1s"},
		{"not after a close", "attach p probe; close p transport_lost", ""},
		{"not when gone", "attach p probe; end p", ""},
		{"not on long-polling", "attach p", ""},
		{"not on long-polling, while loading", "attach p; load p id=x", ""},
		{"not after a restart", "attach p probe; restart 1s", ""},
		{"not if ProbeInterval is negative", "policy ProbeInterval=-1s; attach p probe", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := mustPlay(t, c.story)
			w.showing = true
			w.said()
			if c.at == "" {
				w.pass(20 * second)
				if said := w.said(); strings.Contains(said, asked) {
					t.Errorf("asked:\n%s", said)
				}
				return
			}
			at, err := time.ParseDuration(c.at)
			if err != nil {
				t.Fatal(err)
			}
			w.pass(w.start.Add(at - 1).Sub(w.now))
			if said := w.said(); said != "" {
				t.Errorf("1 ns before: %s", said)
			}
			w.pass(1)
			if said, want := w.said(), fmt.Sprintf("%-8s %s\n", seconds(at), asked); said != want {
				t.Errorf("at %s: got %q, want %q", c.at, said, want)
			}
		})
	}
}

// Any number of ended loads is remembered as 64, so that a session cannot grow
// without bound where the policy sets no limit.
func TestEndedLoadsAreForgotten(t *testing.T) {
	tr := grace.New(grace.Policy{LoadCount: -1, LoadBudget: -1})
	now := epochStart
	epoch := tr.Attach(now, grace.Attachment{Participant: "p"}).Epoch
	for i := range 1000 {
		id := fmt.Sprint(i)
		if _, err := tr.LoadStart(now, "p", epoch, grace.LoadRequest{ID: id}); err != nil {
			t.Fatal(err)
		}
		if _, err := tr.LoadEnd(now, "p", epoch, id, false); err != nil {
			t.Fatal(err)
		}
	}
	s, _ := tr.Snapshot(now, "p")
	if len(s.Ended) != 64 || s.Ended[0] != "936" || s.Ended[63] != "999" {
		t.Errorf("%d are remembered: %v", len(s.Ended), s.Ended)
	}
	if _, err := tr.LoadStart(now, "p", epoch, grace.LoadRequest{ID: "936"}); err == nil {
		t.Error("a remembered load began again")
	}
	if _, err := tr.LoadStart(now, "p", epoch, grace.LoadRequest{ID: "935"}); err != nil {
		t.Error(err)
	}
}

// What a caller does with a snapshot or with reports must not reach the
// tracker, nor the other way round.
func TestSnapshotIsACopy(t *testing.T) {
	tr := grace.New(grace.Policy{})
	epoch := tr.Attach(epochStart, grace.Attachment{Participant: "p", Group: "g"}).Epoch
	for _, id := range []string{"a", "b"} {
		if _, err := tr.LoadStart(epochStart, "p", epoch, grace.LoadRequest{ID: id}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := tr.LoadEnd(epochStart, "p", epoch, "a", false); err != nil {
		t.Fatal(err)
	}
	mine, _ := tr.Snapshot(epochStart, "p")
	mine.Loads[0].ID, mine.Ended[0] = "mine", "mine"
	if s, _ := tr.Snapshot(epochStart, "p"); s.Loads[0].ID != "b" || s.Ended[0] != "a" {
		t.Errorf("the tracker has %+v, %v", s.Loads, s.Ended)
	}
	second := grace.New(grace.Policy{})
	mine.Ended[0] = "a"
	second.Restore(epochStart, mine)
	mine.Ended[0] = "mine"
	if s, _ := second.Snapshot(epochStart, "p"); s.Ended[0] != "a" {
		t.Errorf("the restored tracker has %v", s.Ended)
	}
}

func TestSetGroupAndParticipants(t *testing.T) {
	tr := grace.New(grace.Policy{})
	tr.SetGroup("nobody", "g") // is not there, and stays so
	epoch := tr.Attach(epochStart, grace.Attachment{Participant: "p", Group: "g1"}).Epoch
	tr.Attach(epochStart, grace.Attachment{Participant: "q"})
	tr.SetGroup("p", "g2")
	tr.Close(epochStart, "p", epoch, protocol.ReasonTransport)
	changes, _ := tr.Take()
	if len(changes) != 3 || changes[0].Group != "g1" || changes[1].Group != "" || changes[2].Group != "g2" {
		t.Errorf("reported %+v", changes)
	}
	tr.Attach(epochStart, grace.Attachment{Participant: "p"}) // says nothing of a group
	if s, _ := tr.Snapshot(epochStart, "p"); s.Group != "g2" {
		t.Errorf("the group is %q", s.Group)
	}
	var names []string
	tr.Participants(func(id string) { names = append(names, id) })
	slices.Sort(names)
	if !slices.Equal(names, []string{"p", "q"}) {
		t.Errorf("participants are %q", names)
	}
}

// What happens at the same instant is reported in a fixed order, so that logs
// and replays agree.
func TestSimultaneousDeadlines(t *testing.T) {
	var names, want []string
	for i := range 100 {
		names = append(names, fmt.Sprintf("p%03d", (i*37)%100))
	}
	want = append(want, names...)
	slices.Sort(want)
	tr := grace.New(grace.Policy{})
	for _, name := range names {
		tr.Attach(epochStart, grace.Attachment{Participant: name})
	}
	tr.Take()
	tr.Advance(epochStart.Add(16 * second))
	changes, _ := tr.Take()
	var got []string
	for _, c := range changes {
		got = append(got, c.Participant)
	}
	if !slices.Equal(got, want) {
		t.Errorf("away in the order %v", got)
	}
}

// Whoever is about to be found silent is not fresh any more, loading or not;
// being asked again and again keeps one fresh.
func TestFresh(t *testing.T) {
	for _, c := range []struct {
		story string
		want  bool
	}{
		{"attach p probe", true},
		{"attach p probe; runs p; freezes p; +2500ms", true},
		{"attach p probe; runs p; load p; freezes p; +20s", true},
		{"attach p probe; runs p; cut p; +1999999999ns", true},
		{"attach p probe; runs p; cut p; +2s", false},
		{"attach p probe; runs p; load p; cut p; +2s", false},
		{"attach p probe; runs p; cut p; +5s", false},
		{"attach p probe; close p transport_lost", false},
		{"attach p; load p; +20s", true},
		{"attach p; +17s", false},
	} {
		w := newWorld(grace.Policy{})
		if err := w.script(c.story); err != nil {
			t.Fatal(err)
		}
		if got := w.tracker.Fresh(w.now, "p"); got != c.want {
			t.Errorf("%s: %v", c.story, got)
		}
	}
	if grace.New(grace.Policy{}).Fresh(epochStart, "nobody") {
		t.Error("nobody is fresh")
	}
}
