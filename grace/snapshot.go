package grace

import (
	"slices"
	"time"

	"initgrace/grace/protocol"
)

// A Snapshot is what must be stored of a participant, so that another process
// can hold the seat. Elapsed and Remaining count from the moment of the
// snapshot; who restores later corrects them by the time that has passed.
type Snapshot struct {
	Participant string
	Group       string
	PageID      string
	Epoch, Seq  uint64
	Presence    protocol.Presence
	Reason      protocol.Reason // why Presence is away; empty otherwise
	Since       time.Time
	Deadline    time.Time // when Presence ends by itself; zero for active and gone
	Connected   bool
	Phase       string
	Expected    time.Duration
	Loads       []SnapshotLoad // open, in the order of their start
	Ended       []string       // ids of the latest ended loads, oldest first
	LoadCount   int
	LoadTime    time.Duration // spent loading before the first of Loads began
	Policy      *Policy       // nil: the tracker's
}

// SnapshotLoad is one open load of a Snapshot. Its lease has run out if
// nothing remains; it is then kept as ended.
type SnapshotLoad struct {
	LoadRequest
	Anonymous          bool
	Elapsed, Remaining time.Duration
}

// Snapshot describes a participant who is not gone.
func (t *Tracker) Snapshot(now time.Time, participant string) (Snapshot, bool) {
	snap, ok := t.State(now, participant)
	if ok {
		snap.Ended = slices.Clone(t.seats[participant].ended)
	}
	return snap, ok
}

// State is Snapshot without Ended, which only Restore needs and which is most of
// it once there were many loads.
func (t *Tracker) State(now time.Time, participant string) (Snapshot, bool) {
	s := t.seats[participant]
	if s == nil {
		return Snapshot{}, false
	}
	d := s.details()
	snap := Snapshot{
		Participant: s.id, Group: s.group, PageID: s.page, Epoch: s.epoch, Seq: s.seq,
		Presence: s.presence, Since: s.since, Connected: s.attached,
		Deadline: d.deadline, Phase: d.phase, Expected: d.expected,
		LoadCount: s.loadCount, LoadTime: s.loadTime,
	}
	if s.away {
		snap.Reason = s.why
	}
	if s.policy != &t.policy {
		p := *s.policy
		snap.Policy = &p
	}
	if len(s.loads) > 0 {
		snap.LoadTime += s.loads[0].start.Sub(s.stretch)
	}
	for _, l := range s.loads {
		snap.Loads = append(snap.Loads, SnapshotLoad{
			LoadRequest: l.LoadRequest, Anonymous: l.anonymous,
			Elapsed: now.Sub(l.start), Remaining: l.deadline.Sub(now),
		})
	}
	return snap, true
}

// Participants calls f for every participant who is not gone, in no order.
func (t *Tracker) Participants(f func(id string)) {
	for id := range t.seats {
		f(id)
	}
}
