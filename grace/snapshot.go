package grace

import (
	"time"

	"initgrace/grace/protocol"
)

// A Snapshot is what must be stored of a participant, so that another process
// can hold the seat. Durations count from the moment of the snapshot.
type Snapshot struct {
	Participant string
	Group       string
	PageID      string
	Epoch, Seq  uint64
	Presence    protocol.Presence
	Since       time.Time
	Deadline    time.Time // when Presence ends by itself; zero for active and gone
	Connected   bool
	Phase       string
	Expected    time.Duration
	Loads       []SnapshotLoad
	LoadCount   int
	LoadTime    time.Duration // spent loading, up to the snapshot
}

// SnapshotLoad is one open load of a Snapshot.
type SnapshotLoad struct {
	LoadRequest
	Anonymous          bool
	Elapsed, Remaining time.Duration
}

// Snapshot describes a participant who is not gone.
func (t *Tracker) Snapshot(now time.Time, participant string) (Snapshot, bool) {
	s := t.seats[participant]
	if s == nil {
		return Snapshot{}, false
	}
	snap := Snapshot{
		Participant: s.id, Group: s.group, PageID: s.page, Epoch: s.epoch, Seq: s.seq,
		Presence: s.presence, Since: s.since, Deadline: s.stateDeadline(&t.policy), Connected: s.attached,
		LoadCount: s.loadCount, LoadTime: s.loadTime,
	}
	if len(s.loads) > 0 {
		snap.LoadTime += now.Sub(s.stretch)
	}
	for _, l := range s.loads {
		snap.Loads = append(snap.Loads, SnapshotLoad{
			LoadRequest: l.LoadRequest, Anonymous: l.anonymous,
			Elapsed: now.Sub(l.start), Remaining: l.deadline.Sub(now),
		})
	}
	if l := s.load(""); l != nil {
		snap.Phase, snap.Expected = l.Phase, l.Expected
	}
	return snap, true
}

// Participants calls f for every participant who is not gone, in no order.
func (t *Tracker) Participants(f func(id string)) {
	for id := range t.seats {
		f(id)
	}
}
