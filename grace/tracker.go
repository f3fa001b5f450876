// Package grace decides whether a participant is there.
//
// A participant's page can be frozen (a declared load, or an undeclared block),
// its network can be cut, or the person can be gone. The package keeps what was
// heard of each participant and from whom (see Evidence), holds the leases that
// declared loads were granted, and derives each participant's presence from
// them:
//
//	         LoadStart (granted)                 page silent, browser answers
//	active ───────────────────────► loading          active ─────────► blocked
//	  ▲ ▲ LoadEnd / lease runs out      │                ▲                 │
//	  │ └── and the page answers ───────┘                └── page answers ─┘
//	  │
//	  │  evidence on the same socket,      no evidence at all for SilenceTimeout,
//	  └─ or Attach (a newer epoch) ─────── away ◄── or the socket closed
//	     back to where it was               │
//	                                        │ hold runs out       blocked too long, without a lease
//	                                        ▼                     or since one ran out: ─► gone
//	                                      gone  (exactly once; the participant is then forgotten)
//
// The package is pure: no I/O, no goroutines, no timers and no clock. Every
// method takes now, which must not go backwards; Next says when Advance is due.
// What happened is collected until Take. A Tracker is not safe for concurrent
// use.
//
// The invariants, each with a test of its number:
//
//  1. A granted lease is never cut short while evidence arrives.
//  2. A dead connection is noticed (away) within SilenceTimeout and one probe, also during a lease.
//  3. A session ends exactly once.
//  4. An event of an older epoch changes nothing.
//  5. A lease belongs to a page instance, not to a socket: it survives a reconnect, it ends with a refresh.
//  6. A refused, expired or repeated LoadStart extends nothing; sending the same id again is idempotent.
//  7. Every presence change is reported once, in order, with a sequence number.
//  8. Every state but gone and an evidenced active has a deadline.
package grace

import (
	"container/heap"
	"slices"
	"time"

	"initgrace/grace/protocol"
)

// Evidence is a sign of life and says whose it is.
type Evidence int

const (
	// Page: the page's main thread ran (Engine.IO pong or any packet of the page).
	Page Evidence = iota
	// Browser: network path and browser process are alive, the main thread
	// possibly blocked (WebSocket protocol pong).
	Browser
)

// A Change is one step of a participant's presence, or an update of what is
// known within one (From equals To: another phase, another deadline).
type Change struct {
	Participant string
	Group       string
	Epoch       uint64 // connection that was current
	Seq         uint64 // counts the participant's changes, from 1
	At          time.Time
	From, To    protocol.Presence // From is empty for the first change of a session
	Reason      protocol.Reason
	Phase       string        // of the open load
	Expected    time.Duration // of the open load
	Deadline    time.Time     // when the state ends by itself; zero for active and gone
	Connected   bool          // the current connection's socket is open
}

// A Probe asks the caller to send a protocol ping on a connection.
type Probe struct {
	Participant string
	Epoch       uint64
}

// Tracker holds every participant that is not gone.
type Tracker struct {
	policy  Policy
	seats   map[string]*seat
	due     deadlines
	changes []Change
	probes  []Probe
}

// New returns an empty tracker. The policy must be valid.
func New(p Policy) *Tracker {
	return &Tracker{policy: p.WithDefaults(), seats: make(map[string]*seat)}
}

// Policy returns the policy in force, defaults in place.
func (t *Tracker) Policy() Policy { return t.policy }

// Len is the number of participants who are not gone.
func (t *Tracker) Len() int { return len(t.seats) }

// An Attachment describes a new connection of a participant.
type Attachment struct {
	Participant string
	Group       string // replaces the earlier one unless empty
	PageID      string // page instance; empty: unlike any other
	CanProbe    bool   // the browser can be asked on this connection
	// Policy is the participant's from now on. Nil: the same as before, and
	// the tracker's for a new participant.
	Policy *Policy
	// Loads re-declares the loads still open on the page. Nil: the client
	// does not say. Otherwise loads that are not listed have ended.
	Loads []LoadRequest
	// LastEpoch and LastSeq continue the counters of a session that the
	// tracker has forgotten (gone, or stored by an earlier process).
	LastEpoch, LastSeq uint64
}

// Attached tells what became of an Attachment.
type Attached struct {
	Epoch    uint64
	Known    bool   // the seat was held, that is: not gone
	Replaced uint64 // epoch of the connection that was still open, or 0
}

// Attach makes a new connection the participant's current one.
func (t *Tracker) Attach(now time.Time, a Attachment) Attached {
	s, known := t.seats[a.Participant]
	if !known {
		s = &seat{id: a.Participant, policy: &t.policy, epoch: a.LastEpoch, seq: a.LastSeq, index: -1}
		t.seats[s.id] = s
	}
	if a.Policy != nil {
		p := a.Policy.WithDefaults()
		s.policy = &p
	}
	res := Attached{Known: known}
	if s.attached {
		res.Replaced = s.epoch
	}
	samePage := known && a.PageID != "" && a.PageID == s.page
	s.expireLoads(now)
	s.epoch++
	res.Epoch = s.epoch
	s.page = a.PageID
	if a.Group != "" {
		s.group = a.Group
	}
	s.connected(now, a.CanProbe)

	reason := protocol.ReasonConnected
	switch {
	case samePage:
		reason = protocol.ReasonReconnected
	case known:
		reason = protocol.ReasonRefreshed
	}
	if !samePage {
		s.endAllLoads(now)
	} else if a.Loads != nil {
		s.endLoadsExcept(now, a.Loads)
	}
	for _, r := range a.Loads {
		t.grant(now, s, r) // a refusal only means that the load goes on unprotected
	}
	t.settle(now, s, reason)
	return res
}

// Restore puts back a participant of an earlier process: away, with a hold that
// begins anew. A page that had ended before the restart gets LeaveTimeout again,
// not the time of one that may still be there.
func (t *Tracker) Restore(now time.Time, snap Snapshot) {
	if _, ok := t.seats[snap.Participant]; ok || snap.Presence == protocol.Gone {
		return
	}
	s := &seat{
		id: snap.Participant, group: snap.Group, page: snap.PageID, policy: &t.policy,
		epoch: snap.Epoch, seq: snap.Seq, presence: snap.Presence, since: now, index: -1,
		ended: slices.Clone(snap.Ended), loadCount: snap.LoadCount, loadTime: snap.LoadTime,
	}
	if snap.Policy != nil {
		p := snap.Policy.WithDefaults()
		s.policy = &p
	}
	for _, l := range snap.Loads {
		s.openLoad(load{
			LoadRequest: l.LoadRequest,
			start:       now.Add(-l.Elapsed),
			deadline:    now.Add(l.Remaining),
			anonymous:   l.Anonymous,
		})
	}
	t.seats[s.id] = s
	why := protocol.ReasonRestart
	if snap.Presence == protocol.Away && pageEnded(snap.Reason) {
		why = snap.Reason
	}
	s.goAway(now, why)
	t.settle(now, s, protocol.ReasonRestart)
}

// Heard records evidence. Evidence of an older epoch is ignored. A browser's
// pong proves nothing while a worker's beats are followed; see followsBeats.
func (t *Tracker) Heard(now time.Time, participant string, epoch uint64, e Evidence) {
	s := t.current(participant, epoch)
	switch {
	case s == nil:
		return
	case e == Page:
		s.hearPage(now)
	case s.followsBeats():
		s.heard = now
	default:
		s.hear(now)
	}
	t.settle(now, s, protocol.ReasonEvidence)
}

// Beat records a worker's sign of life, which also tells how long the page has
// been silent as the worker measures it.
func (t *Tracker) Beat(now time.Time, participant string, epoch uint64, pageSilent time.Duration) {
	s := t.current(participant, epoch)
	if s == nil {
		return
	}
	s.hear(now)
	s.beatHeard = now
	if at := now.Add(-max(pageSilent, 0)); at.After(s.pageHeard) {
		s.pageRan(at)
	}
	t.settle(now, s, protocol.ReasonEvidence)
}

// PageHide records that the page said it is being left. When its connection
// closes or falls silent, in whatever way, what follows is a LeaveTimeout.
func (t *Tracker) PageHide(now time.Time, participant string, epoch uint64) {
	if s := t.current(participant, epoch); s != nil {
		s.hear(now)
		s.hidden = true
		t.settle(now, s, protocol.ReasonEvidence)
	}
}

// Close records that a connection's socket closed. Why is one of
// ReasonTransport, ReasonPageClosed, ReasonDisconnect and ReasonRefused.
func (t *Tracker) Close(now time.Time, participant string, epoch uint64, why protocol.Reason) {
	s := t.current(participant, epoch)
	if s == nil {
		return
	}
	if s.hidden {
		why = protocol.ReasonPageHide
	}
	s.attached = false
	if s.away && (pageEnded(s.why) || !pageEnded(why)) {
		t.settle(now, s, why) // already held for this or for more; the hold is not prolonged
		return
	}
	before := s.seq
	s.goAway(now, why)
	if t.settle(now, s, why); s.seq == before { // away as before, with another hold
		t.report(now, s, s.presence, why)
	}
}

// End gives up a seat at once. It reports whether there was one.
func (t *Tracker) End(now time.Time, participant string, why protocol.Reason) bool {
	s := t.seats[participant]
	if s == nil {
		return false
	}
	t.end(now, s, why)
	return true
}

// Extend gives a lease, or the hold of a participant who is away, more time, on
// the word of a person who knows more than the policy. What a client asks for is
// held to LoadCap from the load's start; this, to LoadCap from now. It returns
// the new deadline. The error is a *protocol.Error and nothing has changed then.
func (t *Tracker) Extend(now time.Time, participant string, by time.Duration) (time.Time, error) {
	s := t.seats[participant]
	if s == nil {
		return time.Time{}, errNoSeat
	}
	t.settle(now, s, "") // what has run out has run out
	if s = t.seats[participant]; s == nil {
		return time.Time{}, errNoSeat
	}
	var end *time.Time
	if s.away {
		end = &s.hold
	} else {
		for i := range s.loads {
			if l := &s.loads[i]; end == nil || l.deadline.After(*end) {
				end = &l.deadline
			}
		}
	}
	if end == nil {
		return time.Time{}, errNoLease
	}
	deadline := latest(*end, earliest(end.Add(max(by, 0)), now.Add(s.policy.LoadCap)))
	if *end = deadline; s.details() != s.told {
		t.report(now, s, s.presence, protocol.ReasonExtended)
	}
	t.settle(now, s, "")
	return deadline, nil
}

// LoadStart asks for a lease. The error is a *protocol.Error and nothing has
// changed then, except that the page was heard.
func (t *Tracker) LoadStart(now time.Time, participant string, epoch uint64, r LoadRequest) (Lease, error) {
	s := t.current(participant, epoch)
	if s == nil {
		return Lease{}, errReplaced
	}
	s.hearPage(now)
	before, reason := s.loadCount, protocol.ReasonEvidence
	l, err := t.grant(now, s, r)
	if s.loadCount > before {
		reason = protocol.ReasonLoadStarted
	}
	t.settle(now, s, reason)
	if err != nil {
		return Lease{}, err
	}
	return Lease{ID: l.ID, Start: l.start, Deadline: l.deadline, Cap: s.capOf(l)}, nil
}

// LoadProgress records that an open load reached another phase. An expected
// remainder may extend its lease, up to the cap and the budget.
func (t *Tracker) LoadProgress(now time.Time, participant string, epoch uint64, r LoadRequest) (Lease, error) {
	s := t.current(participant, epoch)
	if s == nil {
		return Lease{}, errReplaced
	}
	s.hearPage(now)
	s.expireLoads(now)
	l := s.load(r.ID)
	if l == nil {
		t.settle(now, s, protocol.ReasonEvidence)
		return Lease{}, s.unknownLoad(r.ID)
	}
	reason := protocol.ReasonEvidence
	if r.Phase != "" && r.Phase != l.Phase {
		l.Phase, reason = r.Phase, protocol.ReasonLoadProgress
	}
	if r.Expected > 0 {
		limit := earliest(l.start.Add(s.policy.LoadCap), now.Add(t.budgetLeft(now, s)))
		if d := earliest(now.Add(s.policy.lease(r.Expected)), limit); d.After(l.deadline) {
			l.deadline, reason = d, protocol.ReasonLoadProgress
		}
		if e := now.Sub(l.start) + r.Expected; e != l.Expected {
			l.Expected, reason = e, protocol.ReasonLoadProgress
		}
	}
	lease := Lease{ID: l.ID, Start: l.start, Deadline: l.deadline, Cap: s.capOf(l)}
	if reason == protocol.ReasonLoadProgress {
		s.ranOut = false
	}
	t.settle(now, s, reason)
	return lease, nil
}

// LoadEnd ends a load and returns how long it took. An empty id means the load
// that began last.
func (t *Tracker) LoadEnd(now time.Time, participant string, epoch uint64, id string, failed bool) (EndedLoad, error) {
	s := t.current(participant, epoch)
	if s == nil {
		return EndedLoad{}, errReplaced
	}
	s.hearPage(now)
	s.expireLoads(now)
	l := s.load(id)
	if l == nil {
		t.settle(now, s, protocol.ReasonEvidence)
		return EndedLoad{}, s.unknownLoad(id)
	}
	ended := EndedLoad{ID: l.ID, Phase: l.Phase, Took: now.Sub(l.start)}
	s.endLoad(now, l.ID)
	reason := protocol.ReasonLoadEnded
	if failed {
		reason = protocol.ReasonLoadFailed
	}
	t.settle(now, s, reason)
	return ended, nil
}

// SetGroup names the group that the participant's changes are reported with.
func (t *Tracker) SetGroup(participant, group string) {
	if s := t.seats[participant]; s != nil {
		s.group = group
	}
}

// SetPolicy puts a participant under another policy, which must be valid. What
// was due by now is judged by the old one, and promises that were made under it
// are kept: the deadline of an open lease, and the hold of who is away.
func (t *Tracker) SetPolicy(now time.Time, participant string, p Policy) {
	s := t.seats[participant]
	if s == nil {
		return
	}
	if p = p.WithDefaults(); p == *s.policy {
		return
	}
	if t.settle(now, s, ""); t.seats[participant] == nil {
		return
	}
	s.policy = &p
	s.canProbe = s.asked && p.ProbeInterval > 0
	before := s.seq
	if t.settle(now, s, protocol.ReasonPolicy); t.seats[participant] == s && s.seq == before && s.details() != s.told {
		t.report(now, s, s.presence, protocol.ReasonPolicy) // a blocked one has another deadline
	}
}

// PolicyOf is the policy that a participant is under: the tracker's for who has
// no seat.
func (t *Tracker) PolicyOf(participant string) Policy {
	if s := t.seats[participant]; s != nil {
		return *s.policy
	}
	return t.policy
}

// Fresh says whether a participant can be counted on now: not away, and heard of
// within the time in which the browser of somebody silent has been asked and has
// answered. Where the browser cannot be asked, not away must do.
func (t *Tracker) Fresh(now time.Time, participant string) bool {
	s := t.seats[participant]
	if s == nil || s.away || !s.attached {
		return false
	}
	return !s.canProbe || now.Sub(s.heard) < s.policy.ProbeInterval+s.policy.SilenceTimeout/4
}

// Next is when Advance is due, if ever.
func (t *Tracker) Next() (time.Time, bool) {
	if len(t.due) == 0 {
		return time.Time{}, false
	}
	return t.due[0].deadline, true
}

// Advance judges every deadline up to now.
func (t *Tracker) Advance(now time.Time) {
	for len(t.due) > 0 && !t.due[0].deadline.After(now) {
		s := t.due[0]
		if s.attached && s.canProbe && !now.Before(s.probeAt()) {
			s.probed = now
			t.probes = append(t.probes, Probe{s.id, s.epoch})
		}
		t.settle(now, s, "")
	}
}

// Take returns what happened since the last Take, in order.
func (t *Tracker) Take() ([]Change, []Probe) {
	c, p := t.changes, t.probes
	t.changes, t.probes = nil, nil
	return c, p
}

// current is the participant's seat if epoch is its open connection.
func (t *Tracker) current(participant string, epoch uint64) *seat {
	if s := t.seats[participant]; s != nil && s.attached && s.epoch == epoch {
		return s
	}
	return nil
}

// settle derives a participant's presence from the facts, reports it if it is
// another one, or if a load's details are others, and schedules the next look.
// It is the only place where a presence changes. Why is the cause, or empty if
// only time has passed.
func (t *Tracker) settle(now time.Time, s *seat, why protocol.Reason) {
	s.expireLoads(now)
	to, byTime := s.judge(now)
	if byTime != "" {
		why = byTime
	}
	if s.ranOut && s.presence == protocol.Loading && !s.away {
		why = protocol.ReasonLeaseExpired
	}
	s.ranOut = false
	if to == protocol.Gone {
		t.end(now, s, why)
		return
	}
	if to != s.presence || to == protocol.Loading && s.details() != s.told {
		t.report(now, s, to, why)
	}
	s.deadline = s.next()
	if s.index < 0 {
		heap.Push(&t.due, s)
	} else {
		heap.Fix(&t.due, s.index)
	}
}

// end forgets a participant. It runs once for each seat, since afterwards the
// seat cannot be found.
func (t *Tracker) end(now time.Time, s *seat, why protocol.Reason) {
	s.endAllLoads(now)
	t.report(now, s, protocol.Gone, why)
	delete(t.seats, s.id)
	if s.index >= 0 {
		heap.Remove(&t.due, s.index)
	}
}

func (t *Tracker) report(now time.Time, s *seat, to protocol.Presence, why protocol.Reason) {
	from := s.presence
	if from != to {
		s.presence, s.since = to, now
	}
	s.seq++
	s.told = s.details()
	t.changes = append(t.changes, Change{
		Participant: s.id, Group: s.group, Epoch: s.epoch, Seq: s.seq, At: now,
		From: from, To: to, Reason: why, Connected: s.attached,
		Phase: s.told.phase, Expected: s.told.expected, Deadline: s.told.deadline,
	})
}

// deadlines is a heap of seats by deadline, then by id so that what happens at
// the same instant happens in a fixed order.
type deadlines []*seat

func (d deadlines) Len() int { return len(d) }
func (d deadlines) Less(i, j int) bool {
	if c := d[i].deadline.Compare(d[j].deadline); c != 0 {
		return c < 0
	}
	return d[i].id < d[j].id
}
func (d deadlines) Swap(i, j int) {
	d[i], d[j] = d[j], d[i]
	d[i].index, d[j].index = i, j
}
func (d *deadlines) Push(x any) {
	s := x.(*seat)
	s.index = len(*d)
	*d = append(*d, s)
}
func (d *deadlines) Pop() any {
	old := *d
	s := old[len(old)-1]
	old[len(old)-1] = nil
	*d = old[:len(old)-1]
	s.index = -1
	return s
}
