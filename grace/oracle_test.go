package grace_test

import (
	"slices"
	"strconv"
	"time"

	"initgrace/grace"
	"initgrace/grace/protocol"
)

// A life is a second, deliberately dumb implementation of the policy for one
// participant. It keeps every fact of the session since its beginning and
// answers each question by scanning them: nothing is counted along, nothing is
// scheduled, and no state is kept but the facts and what was concluded from
// each at its time. It is written from the design, not from the code, and it is
// what the fuzzer holds the Tracker against.
type life struct {
	base   grace.Policy // of a session that begins
	policy grace.Policy // in force
	id     string
	facts  []*fact
	epoch  uint64 // these two outlive the session
	seq    uint64
	told   grace.Change // the latest
}

type kind int

const (
	look     kind = iota // nothing; somebody judged the deadlines
	attach               // a new connection
	page                 // the page was heard
	browser              // the browser was heard
	beat                 // a worker was heard
	hide                 // the page said that it is being left
	start                // load events; they come from the page
	progress             //
	complete             //
	switched             // another policy came into force
	extended             // somebody gave more time
	closed               // the socket closed
	restart              // the process died, and another one took over
	ended                // somebody ended the session
)

// fact is one thing that happened, and what was concluded from it.
type fact struct {
	at     time.Time
	kind   kind
	policy grace.Policy // in force from here on

	attachment grace.Attachment // attach
	silent     time.Duration    // beat
	load       grace.LoadRequest
	failed     bool            // complete
	why        protocol.Reason // closed, ended
	by         time.Duration   // extended
	held       bool            // extended: it was the hold, not a lease

	discounted   bool // a pong, when only a worker's beats are believed
	afterSilence bool // evidence that ended a silence of everything
	presence     protocol.Presence
	pageOver     bool // away, because the page instance ended
}

// isEvidence says whether a fact is a sign of life.
func (f *fact) isEvidence() bool { return f.kind >= attach && f.kind <= complete }

// isPage says whether it shows that the page's main thread ran.
func (f *fact) isPage() bool {
	return f.kind == attach || f.kind == page || f.kind >= start && f.kind <= complete
}

// endsSilence says whether a fact proves that the participant's machine is there.
func (f *fact) endsSilence() bool { return f.isEvidence() && !f.discounted }

// verdict is all that follows from the latest fact.
type verdict struct {
	changes []grace.Change
	lease   grace.Lease   // of start and progress
	took    time.Duration // of complete
	until   time.Time     // of extended
	id      string        // of complete
	refused protocol.Code // of the load events
	known   bool          // attach: there was a session
	old     uint64        // attach: epoch of the connection that it replaces
}

// connection is the facts since the latest attach, which is the first of them.
func (h *life) connection() []*fact {
	for i, f := range slices.Backward(h.facts) {
		if f.kind == attach {
			return h.facts[i:]
		}
	}
	return nil
}

func (h *life) connected() bool {
	for _, f := range slices.Backward(h.facts) {
		switch f.kind {
		case attach:
			return true
		case closed, restart:
			return false
		}
	}
	return false
}

func (h *life) canProbe() bool {
	c := h.connection()
	return h.policy.ProbeInterval > 0 && len(c) > 0 && c[0].attachment.CanProbe
}

// heard is when the connection gave a sign of life last.
func (h *life) heard() (t time.Time) {
	for _, f := range h.connection() {
		if f.isEvidence() {
			t = f.at
		}
	}
	return t
}

// pageRan is when the page's main thread is last known to have run, or when it
// got its full time again because silence of everything ended.
func (h *life) pageRan() (t time.Time) {
	for _, f := range h.connection() {
		ran := f.at
		if f.kind == beat && !f.afterSilence {
			ran = f.at.Add(-max(f.silent, 0))
		}
		if (f.isPage() || f.kind == beat || f.afterSilence) && ran.After(t) {
			t = ran
		}
	}
	return t
}

func (h *life) hidden() bool {
	return slices.ContainsFunc(h.connection(), func(f *fact) bool { return f.kind == hide })
}

// lastBeat is when the connection's worker beat last.
func (h *life) lastBeat() (t time.Time) {
	for _, f := range h.connection() {
		if f.kind == beat {
			t = f.at
		}
	}
	return t
}

// onlyBeatsCount says whether a worker beat in a silence of the page.
func (h *life) onlyBeatsCount() bool {
	return h.canProbe() && !h.lastBeat().Before(h.pageRan().Add(h.policy.ProbeInterval))
}

// silentAt is when silence of everything is complete.
func (h *life) silentAt() time.Time {
	if h.onlyBeatsCount() {
		return h.lastBeat().Add(h.policy.SilenceTimeout)
	}
	heard, beats := h.heard(), false
	for _, f := range h.connection() {
		if f.kind == beat {
			beats = !f.at.Before(h.pageRan())
		}
	}
	if h.canProbe() || beats {
		return heard.Add(h.policy.SilenceTimeout)
	}
	at := heard.Add(h.policy.PageTimeout)
	if d := leaseEnd(h.scan(h.facts).open()); d.After(at) {
		at = d
	}
	return at
}

// tolerance is how long a page that is known to be punctual may be silent before
// its browser is asked: five eighths of a silence, but half a probe before it
// counts as blocked.
func tolerance(p grace.Policy) time.Duration {
	d := p.SilenceTimeout * 5 / 8
	if before := p.BlockedAfter - p.ProbeInterval/2; before < d {
		d = before
	}
	return d
}

// punctual is for how long, to its last sign of life, the page has been heard
// without a pause.
func (h *life) punctual() time.Duration {
	var since, last time.Time
	for i, f := range h.connection() {
		ran := f.at
		if f.kind == beat && !f.afterSilence {
			ran = f.at.Add(-max(f.silent, 0))
		}
		if !f.isPage() && f.kind != beat && !f.afterSilence || !ran.After(last) {
			continue
		}
		if i == 0 || ran.Sub(last) > tolerance(f.policy) {
			since = ran
		}
		last = ran
	}
	return last.Sub(since)
}

// nextProbe is when the browser is to be asked: after a ProbeInterval of
// silence; for a punctual page when it is late, and again when it is so late
// that it may be blocked.
func (h *life) nextProbe(last time.Time) time.Time {
	if heard := h.heard(); heard.After(last) {
		last = heard
	}
	at := last.Add(h.policy.ProbeInterval)
	if len(h.scan(h.facts).open()) > 0 || tolerance(h.policy) <= h.policy.ProbeInterval || h.punctual() < 15*h.policy.SilenceTimeout {
		return at
	}
	late, blocked := h.pageRan().Add(tolerance(h.policy)), h.pageRan().Add(h.policy.BlockedAfter)
	if !last.Before(late) {
		if last.Before(blocked) && blocked.Before(at) {
			return blocked
		}
		return at
	}
	if at.Before(late) {
		return late
	}
	return at
}

// spell is one load, open or over.
type spell struct {
	grace.LoadRequest
	anonymous            bool
	began, deadline, end time.Time
	over                 bool
}

// ledger is the session's loads after some facts, and what the latest fact did
// to them.
type ledger struct {
	spells  []spell
	ranOut  bool // a lease ran out,
	changed bool // and something else happened after that
	granted bool
	verdict
}

func (l *ledger) open() (open []spell) {
	for _, s := range l.spells {
		if !s.over {
			open = append(open, s)
		}
	}
	return open
}

func leaseEnd(open []spell) (t time.Time) {
	for _, s := range open {
		if s.deadline.After(t) {
			t = s.deadline
		}
	}
	return t
}

// spent is the time in which at least one load was open, up to now.
func (l *ledger) spent(now time.Time) (total time.Duration) {
	var until time.Time
	for _, s := range l.spells { // they stand in the order in which they began
		end := s.end
		if !s.over {
			end = now
		}
		begin := s.began
		if begin.Before(until) {
			begin = until
		}
		if end.After(begin) {
			total += end.Sub(begin)
			until = end
		}
	}
	return total
}

// scan reads the story of the loads from the beginning.
func (h *life) scan(facts []*fact) *ledger {
	l := new(ledger)
	pageID := ""
	for _, f := range facts {
		l.ranOut, l.changed, l.granted, l.verdict = false, false, false, verdict{}
		for i := range l.spells {
			if s := &l.spells[i]; !s.over && !s.deadline.After(f.at) {
				s.over, s.end = true, s.deadline
				l.ranOut = true
			}
		}
		switch f.kind {
		case attach:
			a := f.attachment
			same := a.PageID != "" && a.PageID == pageID
			pageID = a.PageID
			for i := range l.spells {
				s := &l.spells[i]
				still := a.Loads == nil || slices.ContainsFunc(a.Loads, func(r grace.LoadRequest) bool { return about(r, s) })
				if !s.over && !(same && still) {
					s.over, s.end, l.changed = true, f.at, true
				}
			}
			for _, r := range a.Loads {
				h.grant(l, f, r)
			}
		case start:
			if s := h.grant(l, f, f.load); s != nil {
				l.lease = f.lease(s)
			}
		case progress:
			h.progress(l, f)
		case complete:
			if s := l.find(f.load.ID); s != nil {
				s.over, s.end, l.changed = true, f.at, true
				l.id, l.took = s.ID, f.at.Sub(s.began)
			}
		case extended:
			var last *spell
			for i := range l.spells {
				if s := &l.spells[i]; !s.over && (last == nil || s.deadline.After(last.deadline)) {
					last = s
				}
			}
			if !f.held && last != nil {
				last.deadline = f.extend(last.deadline)
				l.until = last.deadline
			}
		}
	}
	return l
}

// about says whether a request is about an open load.
func about(r grace.LoadRequest, s *spell) bool {
	return !s.over && (r.ID == s.ID || r.ID == "" && s.anonymous)
}

func (f *fact) lease(s *spell) grace.Lease {
	furthest := s.began.Add(f.policy.LoadCap)
	if s.deadline.After(furthest) { // promised under another policy
		furthest = s.deadline
	}
	return grace.Lease{ID: s.ID, Start: s.began, Deadline: s.deadline, Cap: furthest}
}

// extend is where an end is after more time was given: never further than the
// longest lease from now, never earlier than it was.
func (f *fact) extend(end time.Time) time.Time {
	to, limit := end, f.at.Add(f.policy.LoadCap)
	if f.by > 0 {
		to = end.Add(f.by)
	}
	if to.After(limit) {
		to = limit
	}
	if to.Before(end) {
		to = end
	}
	return to
}

// length is how long a lease may be for an expectation, from now.
func (f *fact) length(l *ledger, expected time.Duration) time.Duration {
	d := f.policy.LoadTimeout
	if expected > f.policy.LoadCap {
		expected = f.policy.LoadCap
	}
	if 2*expected > d {
		d = 2 * expected
	}
	if d > f.policy.LoadCap {
		d = f.policy.LoadCap
	}
	if left := f.policy.LoadBudget - l.spent(f.at); f.policy.LoadBudget > 0 && left < d {
		d = left
	}
	return d
}

func (h *life) grant(l *ledger, f *fact, r grace.LoadRequest) *spell {
	for i := range l.spells {
		if s := &l.spells[i]; about(r, s) {
			return s
		}
	}
	used := func(id string) bool {
		return slices.ContainsFunc(l.spells, func(s spell) bool { return s.ID == id })
	}
	switch {
	case r.ID != "" && used(r.ID):
		l.refused = protocol.CodeLoadEnded
		return nil
	case len(l.open()) >= protocol.MaxOpenLoads:
		l.refused = protocol.CodeLoadLimit
		return nil
	case f.policy.LoadBudget > 0 && l.spent(f.at) >= f.policy.LoadBudget,
		f.policy.LoadCount >= 0 && len(l.spells) >= f.policy.LoadCount:
		l.refused = protocol.CodeLoadBudget
		return nil
	}
	s := spell{LoadRequest: r, began: f.at, deadline: f.at.Add(f.length(l, r.Expected)), anonymous: r.ID == ""}
	for n := len(l.spells) + 1; s.ID == ""; n++ {
		if id := "load-" + strconv.Itoa(n); !used(id) {
			s.ID = id
		}
	}
	l.spells = append(l.spells, s)
	l.granted, l.changed = true, true
	return &l.spells[len(l.spells)-1]
}

// find is the open load of an id, the latest one if there is none.
func (l *ledger) find(id string) *spell {
	for i := range slices.Backward(l.spells) {
		if s := &l.spells[i]; !s.over && (id == "" || s.ID == id) {
			return s
		}
	}
	l.refused = protocol.CodeUnknownLoad
	for _, s := range l.spells {
		if s.ID == id {
			l.refused = protocol.CodeLoadEnded
		}
	}
	return nil
}

func (h *life) progress(l *ledger, f *fact) {
	s := l.find(f.load.ID)
	if s == nil {
		return
	}
	before := *s
	if f.load.Phase != "" {
		s.Phase = f.load.Phase
	}
	if f.load.Expected > 0 {
		s.Expected = f.at.Sub(s.began) + f.load.Expected
		d := f.at.Add(f.length(l, f.load.Expected))
		if limit := s.began.Add(f.policy.LoadCap); d.After(limit) {
			d = limit
		}
		if d.After(s.deadline) {
			s.deadline = d
		}
	}
	l.changed = *s != before
	l.lease = f.lease(s)
}

// pageEnds says whether a reason to be away tells that the page instance ended.
func pageEnds(why protocol.Reason) bool {
	switch why {
	case protocol.ReasonPageHide, protocol.ReasonPageClosed, protocol.ReasonDisconnect:
		return true
	}
	return false
}

// add appends a fact and concludes everything from it. A fact of a connection
// that is not current must not be added: it is none.
func (h *life) add(f fact) verdict {
	var before fact // the one before, which says how things stood
	if len(h.facts) > 0 {
		before = *h.facts[len(h.facts)-1]
	}
	var known, wasOpen = len(h.facts) > 0, h.connected()
	samePage := false
	switch {
	case f.kind == switched:
		h.policy = f.policy
	case f.kind == attach && f.attachment.Policy != nil:
		h.policy = f.attachment.Policy.WithDefaults()
	case !known:
		h.policy = h.base
	}
	f.policy = h.policy
	f.held = f.kind == extended && before.presence == protocol.Away
	silence := wasOpen && before.presence != protocol.Away && !f.at.Before(h.silentAt())
	f.discounted = f.kind == browser && h.onlyBeatsCount()
	if f.kind == attach {
		c := h.connection()
		samePage = len(c) > 0 && f.attachment.PageID != "" && c[0].attachment.PageID == f.attachment.PageID
		f.afterSilence = false
	} else if f.endsSilence() {
		f.afterSilence = silence || before.presence == protocol.Away
	}
	if f.kind == closed && h.hidden() {
		f.why = protocol.ReasonPageHide
	}
	last := &f
	h.facts = append(h.facts, last)
	l := h.scan(h.facts)
	v := l.verdict

	// Why the presence is another one, if it is; the cause unless a rule says more.
	var why protocol.Reason
	newlyOver := false
	switch f.kind {
	case attach:
		v.known = known
		if wasOpen {
			v.old = h.epoch
		}
		if !known {
			h.epoch, h.seq = f.attachment.LastEpoch, f.attachment.LastSeq
		}
		h.epoch++
		why = protocol.ReasonConnected
		if samePage {
			why = protocol.ReasonReconnected
		} else if known {
			why = protocol.ReasonRefreshed
		}
	case page, browser, beat, hide:
		why = protocol.ReasonEvidence
	case start:
		why = protocol.ReasonEvidence
		if l.granted {
			why = protocol.ReasonLoadStarted
		}
	case progress:
		why = protocol.ReasonEvidence
		if l.changed {
			why = protocol.ReasonLoadProgress
		}
	case complete:
		switch {
		case l.refused != "":
			why = protocol.ReasonEvidence
		case f.failed:
			why = protocol.ReasonLoadFailed
		default:
			why = protocol.ReasonLoadEnded
		}
	case closed, ended:
		why = f.why
	case restart:
		why = protocol.ReasonRestart
	case switched:
		why = protocol.ReasonPolicy
	case extended:
		why = protocol.ReasonExtended
	}

	// Away: what made it so, and whether the page is over.
	away := false
	switch {
	case f.endsSilence(), f.kind == ended:
	case f.kind == closed:
		away = true
		last.pageOver = pageEnds(f.why) || before.presence == protocol.Away && before.pageOver
		newlyOver = last.pageOver && !before.pageOver
	case f.kind == restart, before.presence == protocol.Away:
		away, last.pageOver = true, before.presence == protocol.Away && before.pageOver
	case silence:
		away, last.pageOver = true, h.hidden()
		why = protocol.ReasonSilence
		if last.pageOver {
			why = protocol.ReasonPageHide
		} else if h.onlyBeatsCount() && h.heard().Sub(h.lastBeat()) >= h.policy.SilenceTimeout/2 {
			why = protocol.ReasonProxy
		}
	}

	last.presence = protocol.Active
	hold := time.Time{}
	onlyBrowser := h.heard().Sub(h.pageRan()) >= h.policy.BlockedAfter
	undeclared := h.pageRan() // since when a block is one that nobody declared
	for _, s := range l.spells {
		if s.over && s.end.Equal(s.deadline) && s.end.After(undeclared) {
			undeclared = s.end
		}
	}
	giveUp := undeclared.Add(h.policy.BlockedTimeout)
	switch {
	case f.kind == ended:
		last.presence = protocol.Gone
	case away:
		last.presence = protocol.Away
		if hold = h.hold(); !f.at.Before(hold) {
			last.presence, why = protocol.Gone, protocol.ReasonReconnectTimeout
			if last.pageOver {
				why = protocol.ReasonLeaveTimeout
			}
		}
	case len(l.open()) > 0:
		last.presence = protocol.Loading
	case onlyBrowser && !f.at.Before(giveUp):
		last.presence, why = protocol.Gone, protocol.ReasonBlockedTimeout
	case onlyBrowser && f.kind == switched && before.presence == protocol.Blocked:
		last.presence = protocol.Blocked // as before; the new policy may have moved its end
	case onlyBrowser:
		last.presence, why = protocol.Blocked, protocol.ReasonPageSilent
	}
	if before.presence == protocol.Loading && l.ranOut && !l.changed && !away && f.kind != ended {
		why = protocol.ReasonLeaseExpired
	}

	c := grace.Change{
		Participant: h.id, Group: "g", Epoch: h.epoch, At: f.at, From: before.presence, To: last.presence,
		Reason: why, Connected: h.connected(),
	}
	switch last.presence {
	case protocol.Away:
		c.Deadline = hold
		if f.kind == extended {
			v.until = hold
		}
	case protocol.Blocked:
		c.Deadline = giveUp
	case protocol.Loading:
		c.Deadline = leaseEnd(l.open())
	}
	if open := l.open(); len(open) > 0 && last.presence != protocol.Gone {
		c.Phase, c.Expected = open[len(open)-1].Phase, open[len(open)-1].Expected
	}
	other := c.Phase != h.told.Phase || c.Expected != h.told.Expected || !c.Deadline.Equal(h.told.Deadline)
	if c.From != c.To || c.To == protocol.Loading && other || c.To == protocol.Away && newlyOver || (f.kind == switched || f.kind == extended) && c.To != protocol.Gone && other {
		h.seq++
		c.Seq = h.seq
		h.told = c
		v.changes = append(v.changes, c)
	}
	switch {
	case last.presence == protocol.Gone:
		h.facts = nil
	case f.kind == look && len(v.changes) == 0 && !l.ranOut:
		h.facts = h.facts[:len(h.facts)-1] // a look that found nothing is no fact
	}
	return v
}

// hold is when a seat that is away is given up. The latest fact is part of the
// stretch of being away, and its presence is not concluded yet.
func (h *life) hold() time.Time {
	first := len(h.facts) - 1
	for first > 0 && h.facts[first].kind != restart && h.facts[first-1].presence == protocol.Away {
		first--
	}
	at := h.facts[first].at.Add(h.facts[first].policy.ReconnectTimeout)
	if d := leaseEnd(h.scan(h.facts[:first+1]).open()); d.After(at) {
		at = d
	}
	over := false
	for _, f := range h.facts[first:] {
		switch {
		case f.pageOver && !over:
			at, over = f.at.Add(f.policy.LeaveTimeout), true
		case f.kind == extended:
			at = f.extend(at)
		}
	}
	return at
}
