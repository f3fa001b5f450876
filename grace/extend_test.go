package grace_test

import (
	"errors"
	"testing"
	"time"

	"initgrace/grace"
	"initgrace/grace/protocol"
)

// TestExtend: what the experimenter gives is given, from where the lease or the
// hold would have ended, no further than LoadCap from now, and ends on time.
func TestExtend(t *testing.T) {
	const by = 30 * time.Second
	at := func(d time.Duration) time.Time { return epochStart.Add(d) }
	for _, c := range []struct {
		name   string
		away   bool
		by     time.Duration
		when   time.Duration // of the call
		want   time.Duration // the deadline
		refuse protocol.Code
	}{
		{"a lease", false, by, 10 * time.Second, 90 * time.Second, ""},
		{"a lease, at its last moment", false, by, 60*time.Second - 1, 90 * time.Second, ""},
		{"a lease that has run out", false, by, 60 * time.Second, 0, protocol.CodeNoDeadline},
		{"a lease, by far too much", false, time.Hour, 10 * time.Second, 190 * time.Second, ""},
		{"a lease, by less than nothing", false, -by, 10 * time.Second, 60 * time.Second, ""},
		{"a hold", true, by, 20 * time.Second, 60 * time.Second, ""},
		{"a hold that has run out", true, by, 30 * time.Second, 0, protocol.CodeUnknownParticipant},
	} {
		tr := grace.New(grace.Policy{})
		epoch := tr.Attach(epochStart, grace.Attachment{Participant: "p", CanProbe: true}).Epoch
		if c.away {
			tr.Close(epochStart, "p", epoch, protocol.ReasonTransport)
		} else {
			if _, err := tr.LoadStart(epochStart, "p", epoch, grace.LoadRequest{ID: "a"}); err != nil {
				t.Fatal(err)
			}
			tr.Heard(at(c.when), "p", epoch, grace.Page) // so that silence decides nothing
		}
		tr.Take()
		got, err := tr.Extend(at(c.when), "p", c.by)
		changes, _ := tr.Take()
		if c.refuse != "" {
			if codeOf(err) != c.refuse {
				t.Errorf("%s: %v, want %v", c.name, err, c.refuse)
			}
			continue
		}
		if err != nil || !got.Equal(at(c.want)) {
			t.Errorf("%s: %v, %v; want %v", c.name, got.Sub(epochStart), err, c.want)
		}
		told := c.by > 0
		if (len(changes) == 1) != told || told && (changes[0].Reason != protocol.ReasonExtended || !changes[0].Deadline.Equal(got) || changes[0].From != changes[0].To) {
			t.Errorf("%s: reported %+v", c.name, changes)
		}
		for _, edge := range []struct {
			now  time.Time
			ends bool
		}{{got.Add(-1), false}, {got, true}} {
			if !c.away {
				tr.Heard(edge.now, "p", epoch, grace.Page)
			}
			tr.Advance(edge.now)
			snap, seated := tr.Snapshot(edge.now, "p")
			if ended := !seated || !c.away && len(snap.Loads) == 0; ended != edge.ends {
				t.Errorf("%s, %v before the deadline: ended %v", c.name, got.Sub(edge.now), ended)
			}
		}
	}
	if _, err := grace.New(grace.Policy{}).Extend(epochStart, "nobody", by); codeOf(err) != protocol.CodeUnknownParticipant {
		t.Errorf("nobody: %v", err)
	}
}

func codeOf(err error) protocol.Code {
	var e *protocol.Error
	if !errors.As(err, &e) {
		return ""
	}
	return e.Code
}
