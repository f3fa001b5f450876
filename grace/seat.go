package grace

import (
	"time"

	"initgrace/grace/protocol"
)

// seat is what the tracker knows of one participant.
type seat struct {
	id, group string
	policy    *Policy // shared, not to be changed
	epoch     uint64  // counter of connections
	seq       uint64  // counter of changes
	page      string  // page instance of the current connection

	presence protocol.Presence
	since    time.Time // of presence

	attached bool // the current connection's socket is open
	asked    bool // the browser could be asked on it, if the policy wants that
	canProbe bool // it can, and it does
	hidden   bool // the page said that it is being left

	heard     time.Time // last evidence of any kind
	pageHeard time.Time // the page's silence counts from here
	regularly time.Time // since when the page was never late; see regular
	beatHeard time.Time // last beat
	probed    time.Time // last probe

	away bool            // nothing answers; hold is set
	why  protocol.Reason // why it is away
	hold time.Time       // away: the seat is given up then

	loads     []load        // open, in the order of their start
	ended     []string      // ids of the latest ended ones, oldest first
	ranOut    bool          // what last happened to the loads: a lease ran out; not settled yet
	leased    time.Time     // when the last lease that ran out did
	loadCount int           // granted so far
	loadTime  time.Duration // spent loading, the open stretch not included
	stretch   time.Time     // start of the open stretch of loading
	told      details       // by the last change
	deadline  time.Time     // next look
	index     int           // in Tracker.due, -1: not there
}

// details are what a Change tells of a presence beyond its name.
type details struct {
	phase    string
	expected time.Duration
	deadline time.Time
}

// connected resets what belongs to a connection.
func (s *seat) connected(now time.Time, asked bool) {
	s.attached, s.asked, s.hidden, s.away = true, asked, false, false
	s.canProbe = asked && s.policy.ProbeInterval > 0
	s.heard, s.pageHeard, s.regularly = now, now, now
	s.beatHeard, s.probed = time.Time{}, time.Time{}
}

// hear records evidence of any kind. Silence of everything is not silence of
// the page: after it the page gets its full time again, also when nobody looked
// while it lasted: a late look must not be harsher than a punctual one.
func (s *seat) hear(now time.Time) {
	if s.away || !now.Before(s.silentAt()) {
		s.pageRan(now)
	}
	s.away = false
	s.heard = now
}

func (s *seat) hearPage(now time.Time) {
	s.hear(now)
	s.pageRan(now)
}

// pageRan notes that the page's silence counts from at.
func (s *seat) pageRan(at time.Time) {
	if at.Sub(s.pageHeard) > s.policy.late() {
		s.regularly = at
	}
	s.pageHeard = at
}

// goAway starts the hold that goes with the reason. A lease that is open when
// the network is lost holds the seat to the lease's deadline; the end of the
// page instance ends that promise.
func (s *seat) goAway(now time.Time, why protocol.Reason) {
	s.away, s.why = true, why
	if pageEnded(why) {
		s.hold = now.Add(s.policy.LeaveTimeout)
	} else {
		s.hold = latest(now.Add(s.policy.ReconnectTimeout), s.leaseEnd())
	}
}

// pageEnded says whether a reason to be away tells that the page instance ended.
func pageEnded(why protocol.Reason) bool {
	return why == protocol.ReasonPageHide || why == protocol.ReasonPageClosed || why == protocol.ReasonDisconnect
}

// judge derives the presence from the facts. The reason is set if time alone
// decided.
func (s *seat) judge(now time.Time) (protocol.Presence, protocol.Reason) {
	var why protocol.Reason
	if !s.away && !now.Before(s.silentAt()) {
		why = protocol.ReasonSilence
		switch {
		case s.hidden:
			why = protocol.ReasonPageHide
		case s.suspectProxy():
			why = protocol.ReasonProxy
		}
		s.goAway(now, why)
	}
	switch {
	case s.away && !now.Before(s.hold):
		return protocol.Gone, s.goneReason()
	case s.away:
		return protocol.Away, why
	case len(s.loads) > 0:
		return protocol.Loading, ""
	case s.onlyBrowser() && !now.Before(s.giveUp()):
		return protocol.Gone, protocol.ReasonBlockedTimeout
	case s.onlyBrowser():
		return protocol.Blocked, protocol.ReasonPageSilent
	}
	return protocol.Active, ""
}

// onlyBrowser says whether something else answered when the page had been
// silent for BlockedAfter.
func (s *seat) onlyBrowser() bool {
	return s.heard.Sub(s.pageHeard) >= s.policy.BlockedAfter
}

// giveUp is when a block that nobody declared ends the seat. What a lease covered
// was declared: behind one, the time counts from where the lease ran out.
func (s *seat) giveUp() time.Time {
	return latest(s.pageHeard, s.leased).Add(s.policy.BlockedTimeout)
}

// followsBeats says whether a worker has been heard when the page had been
// silent for a ProbeInterval, which is when workers begin to beat. From then on
// they are believed, and pongs are not: those may be a proxy's, while a beat has
// come all the way from the participant's machine.
func (s *seat) followsBeats() bool {
	return s.canProbe && s.beatHeard.Sub(s.pageHeard) >= s.policy.ProbeInterval
}

// suspectProxy says whether pongs went on when the beats had stopped.
func (s *seat) suspectProxy() bool {
	return s.followsBeats() && s.heard.Sub(s.beatHeard) >= s.policy.SilenceTimeout/2
}

// silentAt is when the lack of any evidence makes the participant away. Where
// the browser cannot be asked, silence during a lease proves nothing, unless a
// beat was the last to be heard.
func (s *seat) silentAt() time.Time {
	if s.followsBeats() {
		return s.beatHeard.Add(s.policy.SilenceTimeout)
	}
	if s.canProbe || !s.beatHeard.Before(s.pageHeard) {
		return s.heard.Add(s.policy.SilenceTimeout)
	}
	return latest(s.heard.Add(s.policy.PageTimeout), s.leaseEnd())
}

func (s *seat) goneReason() protocol.Reason {
	if pageEnded(s.why) {
		return protocol.ReasonLeaveTimeout
	}
	return protocol.ReasonReconnectTimeout
}

// regular says whether the page has spoken in time for so long that its browser
// need not be asked as well before it is late. Asking both all the time would
// cost half as much again as asking the page, and find out nothing sooner. A page
// that has declared a load is about to be silent.
func (s *seat) regular() bool {
	return len(s.loads) == 0 && s.policy.late() > s.policy.ProbeInterval && s.pageHeard.Sub(s.regularly) >= s.policy.regularAfter()
}

// probeAt is when the browser is asked next. Behind a page that is late for once
// it is asked early enough to tell at BlockedAfter which of the two is silent.
func (s *seat) probeAt() time.Time {
	last := latest(s.heard, s.probed)
	at := last.Add(s.policy.ProbeInterval)
	if !s.regular() {
		return at
	}
	if due := s.pageHeard.Add(s.policy.late()); last.Before(due) {
		return latest(at, due)
	}
	if blocked := s.pageHeard.Add(s.policy.BlockedAfter); last.Before(blocked) {
		return earliest(at, blocked)
	}
	return at
}

// stateDeadline is when the current presence ends by itself.
func (s *seat) stateDeadline() time.Time {
	switch s.presence {
	case protocol.Away:
		return s.hold
	case protocol.Blocked:
		return s.giveUp()
	case protocol.Loading:
		return s.leaseEnd()
	}
	return time.Time{}
}

func (s *seat) details() details {
	d := details{deadline: s.stateDeadline()}
	if l := s.load(""); l != nil {
		d.phase, d.expected = l.Phase, l.Expected
	}
	return d
}

// next is when the seat must be looked at again.
func (s *seat) next() time.Time {
	var at time.Time
	if s.away {
		at = s.hold
	} else {
		at = s.silentAt()
		for _, l := range s.loads {
			at = earliest(at, l.deadline)
		}
		if s.presence == protocol.Blocked {
			at = earliest(at, s.stateDeadline())
		}
	}
	if s.attached && s.canProbe {
		at = earliest(at, s.probeAt())
	}
	return at
}

func earliest(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
