package grace

import (
	"slices"
	"strconv"
	"time"

	"initgrace/grace/protocol"
)

// A LoadRequest declares one blocking stretch. An empty ID lets the tracker
// choose one; a second request without ID while such a load is open means that
// same load.
type LoadRequest struct {
	ID       string
	Phase    string
	Expected time.Duration // 0: the client does not say
}

// A Lease is the promise that was made for a load: until Deadline silence of
// the page is expected. Progress may move the deadline as far as Cap.
type Lease struct {
	ID                   string
	Start, Deadline, Cap time.Time
}

// EndedLoad is what a load came to.
type EndedLoad struct {
	ID, Phase string
	Took      time.Duration
}

// means says whether a request is about an open load.
func (r *LoadRequest) means(l *load) bool {
	return r.ID == l.ID || r.ID == "" && l.anonymous
}

// load is one open load. Its anonymous flag marks an id that we chose.
type load struct {
	LoadRequest
	start, deadline time.Time
	anonymous       bool
}

// endedIDs is how many ids of ended loads a seat remembers, to tell a late
// repetition from an id never heard of.
const endedIDs = 64

var (
	errReplaced = protocol.NewError(protocol.CodeReplaced, "a newer connection has taken this one's place")
	errBudget   = protocol.NewError(protocol.CodeLoadBudget, "the session's budget of loads is used up; the page may load, unprotected")
	errLimit    = protocol.NewError(protocol.CodeLoadLimit, "too many loads are open at the same time")
	errNoSeat   = protocol.NewError(protocol.CodeUnknownParticipant, "nobody of that name holds a seat")
	errNoLease  = protocol.NewError(protocol.CodeNoDeadline, "the participant is neither loading nor away: nothing runs out")
	errEnded    = protocol.NewError(protocol.CodeLoadEnded, "this load has already ended; begin another with a new id")
)

// grant opens a load, or finds the one that is already open.
func (t *Tracker) grant(now time.Time, s *seat, r LoadRequest) (*load, error) {
	s.expireLoads(now)
	for i := range s.loads {
		if l := &s.loads[i]; r.means(l) {
			return l, nil
		}
	}
	if r.ID != "" && slices.Contains(s.ended, r.ID) {
		return nil, errEnded
	}
	left := t.budgetLeft(now, s)
	switch {
	case len(s.loads) >= protocol.MaxOpenLoads:
		return nil, errLimit
	case left <= 0, s.policy.LoadCount >= 0 && s.loadCount >= s.policy.LoadCount:
		return nil, errBudget
	}
	s.loadCount++
	l := load{LoadRequest: r, start: now, deadline: now.Add(min(s.policy.lease(r.Expected), left))}
	if r.ID == "" {
		l.ID, l.anonymous = s.freshID(), true
	}
	return s.openLoad(l), nil
}

// capOf is how far the lease of a load can be extended. A promise of before the
// policy became another one is kept.
func (s *seat) capOf(l *load) time.Time {
	return latest(l.start.Add(s.policy.LoadCap), l.deadline)
}

func (t *Tracker) budgetLeft(now time.Time, s *seat) time.Duration {
	if s.policy.LoadBudget < 0 {
		return off
	}
	used := s.loadTime
	if len(s.loads) > 0 {
		used += now.Sub(s.stretch)
	}
	return s.policy.LoadBudget - used
}

// freshID is an id that the client has not used itself.
func (s *seat) freshID() string {
	for n := s.loadCount; ; n++ {
		id := "load-" + strconv.Itoa(n)
		if s.load(id) == nil && !slices.Contains(s.ended, id) {
			return id
		}
	}
}

// load is the open load of that id; the one that began last if id is empty.
func (s *seat) load(id string) *load {
	for i := len(s.loads) - 1; i >= 0; i-- {
		if id == "" || s.loads[i].ID == id {
			return &s.loads[i]
		}
	}
	return nil
}

func (s *seat) openLoad(l load) *load {
	if len(s.loads) == 0 {
		s.stretch = l.start
	}
	s.ranOut = false
	s.loads = append(s.loads, l)
	return &s.loads[len(s.loads)-1]
}

func (s *seat) endLoad(at time.Time, id string) {
	s.endLoads(at, func(l *load) bool { return l.ID == id })
}

func (s *seat) endAllLoads(at time.Time) {
	s.endLoads(at, func(*load) bool { return true })
}

func (s *seat) endLoadsExcept(at time.Time, still []LoadRequest) {
	s.endLoads(at, func(l *load) bool {
		return !slices.ContainsFunc(still, func(r LoadRequest) bool { return r.means(l) })
	})
}

// expireLoads ends the loads whose lease has run out.
func (s *seat) expireLoads(now time.Time) {
	open := len(s.loads)
	s.endLoads(earliest(now, s.leaseEnd()), func(l *load) bool {
		over := !l.deadline.After(now)
		if over {
			s.leased = latest(s.leased, l.deadline)
		}
		return over
	})
	if len(s.loads) < open {
		s.ranOut = true
	}
}

// leaseEnd is the latest deadline of the open loads, zero if there is none.
func (s *seat) leaseEnd() time.Time {
	var d time.Time
	for _, l := range s.loads {
		d = latest(d, l.deadline)
	}
	return d
}

func (s *seat) endLoads(at time.Time, which func(*load) bool) {
	if len(s.loads) == 0 {
		return
	}
	kept := s.loads[:0]
	for _, l := range s.loads {
		if !which(&l) {
			kept = append(kept, l)
			continue
		}
		s.ranOut = false
		if s.ended = append(s.ended, l.ID); len(s.ended) > endedIDs {
			s.ended = slices.Delete(s.ended, 0, len(s.ended)-endedIDs)
		}
	}
	clear(s.loads[len(kept):])
	if s.loads = kept; len(kept) == 0 {
		s.loadTime += at.Sub(s.stretch)
	}
}

func (s *seat) unknownLoad(id string) error {
	if id != "" && slices.Contains(s.ended, id) {
		return errEnded
	}
	return protocol.NewError(protocol.CodeUnknownLoad, "no load "+strconv.Quote(id)+" is open")
}
