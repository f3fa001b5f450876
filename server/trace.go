package server

import (
	"time"

	"golang.org/x/time/rate"

	"initgrace/grace"
	"initgrace/grace/protocol"
	"initgrace/server/eventlog"
)

// trace is what the log remembers of a member between two records.
type trace struct {
	seated, connected, waiting time.Time // since when; zero: not

	spell eventlog.Int // when the last record of presence was written; missing: in no record of this run
	loads []openLoad

	sent, received tally                   // messages
	held, dropped  tally                   // events, of those that are not superseded by later ones
	refused        map[protocol.Code]int64 // since the first, which has a record
	chatter        *rate.Limiter
	skipped        map[eventlog.Kind]int64
}

// tally counts what is too frequent for a record each.
type tally struct{ count, bytes int64 }

func (t *tally) add(bytes int) {
	t.count++
	t.bytes += int64(bytes)
}

func (t *tally) merge(other *tally) {
	t.count, t.bytes = t.count+other.count, t.bytes+other.bytes
	*other = tally{}
}

// kept counts an event that could not be sent at once: held back, or not even
// that.
func (t *trace) kept(key string, frame []byte, held bool) {
	switch {
	case !held:
		t.dropped.add(len(frame))
	case key == "":
		t.held.add(len(frame))
	}
}

// recordTally writes a tally, if there is anything in it.
func (l *loop) recordTally(now time.Time, m *member, t *tally, r eventlog.Record) {
	if t.count == 0 {
		return
	}
	r.Count, r.Bytes = eventlog.Of(t.count), eventlog.Of(t.bytes)
	*t = tally{}
	l.recordOf(now, m, r)
}

const (
	// A page can make the log grow as fast as it sends. Of the kinds that it
	// can repeat at will, a participant's log takes chatterBurst at once and
	// chatterRate a second for ever; a record then says for how many it stands.
	chatterBurst = 200
	chatterRate  = 5
)

// recordChatter appends a record of a kind that a page can repeat at will, or
// counts it for the next one.
func (l *loop) recordChatter(now time.Time, m *member, r eventlog.Record) bool {
	t := &m.trace
	if t.chatter == nil {
		t.chatter, t.skipped = rate.NewLimiter(chatterRate, chatterBurst), make(map[eventlog.Kind]int64)
	}
	if !t.chatter.AllowN(now, 1) {
		t.skipped[r.Kind]++
		return false
	}
	if n := t.skipped[r.Kind]; n > 0 {
		r.Count = eventlog.Of(n + 1)
		delete(t.skipped, r.Kind)
	}
	l.recordOf(now, m, r)
	return true
}

// spell is for how long the presence lasts that the last record told of.
func (l *loop) spell(now time.Time, m *member) eventlog.Int {
	if !m.trace.spell.Known {
		return eventlog.Int{}
	}
	return eventlog.Of(l.journal.since(now) - m.trace.spell.N)
}

// recordChange writes a change of presence.
func (l *loop) recordChange(now time.Time, m *member, c grace.Change) {
	r := eventlog.Record{
		Kind: eventlog.Presence, PresenceSeq: eventlog.Of(c.Seq), From: c.From, To: c.To, Reason: string(c.Reason),
		Phase: c.Phase, Epoch: eventlog.Of(c.Epoch),
	}
	if c.Expected > 0 {
		r.Expected = eventlog.Milliseconds(c.Expected)
	}
	if !c.Deadline.IsZero() {
		r.Lease = eventlog.Milliseconds(max(c.Deadline.Sub(now), 0))
	}
	if c.To == protocol.Away && c.Reason == protocol.ReasonSilence && m.peer != nil {
		l.metrics.Detected(now.Sub(m.peer.heard))
	}
	if c.From == "" {
		m.trace.seated = now
	} else {
		r.Duration = l.spell(now, m)
	}
	if c.From == c.To {
		if !l.recordChatter(now, m, r) {
			return // the next record tells the time since the last one
		}
	} else {
		l.recordGap(now, m, c.Reason)
		l.recordOf(now, m, r)
	}
	m.trace.spell = eventlog.Of(l.journal.since(now))
}

// recordGap writes since when signs of life are missing, if that is why the
// presence changes.
func (l *loop) recordGap(now time.Time, m *member, why protocol.Reason) {
	if m.peer == nil {
		return
	}
	since := m.peer.ran
	switch why {
	case protocol.ReasonSilence:
		since = m.peer.heard
	case protocol.ReasonPageSilent, protocol.ReasonProxy:
	default:
		return
	}
	l.recordOf(now, m, eventlog.Record{Kind: eventlog.Gap, Reason: string(why), Duration: eventlog.Milliseconds(now.Sub(since))})
}

// recordConnected writes that a connection was admitted, and what became of
// the one that it replaces; page is the page instance seen last. It returns
// which kind of connection this is.
func (l *loop) recordConnected(now time.Time, m *member, p, old *peer, at grace.Attached, page string) protocol.Reason {
	if old != nil {
		l.recordDisconnected(now, m, old, string(protocol.CodeReplaced), "")
	}
	why := protocol.ReasonConnected
	switch {
	case at.Known && p.pageID != "" && p.pageID == page:
		why = protocol.ReasonReconnected
	case at.Known:
		why = protocol.ReasonRefreshed
	}
	m.trace.connected = now
	l.recordOf(now, m, eventlog.Record{Kind: eventlog.Connected, Reason: string(why), Detail: p.pageID})
	return why
}

// recordDisconnected writes that a connection ended, and what was counted
// during it.
func (l *loop) recordDisconnected(now time.Time, m *member, p *peer, reason, detail string) {
	r := eventlog.Record{Kind: eventlog.Disconnected, Epoch: eventlog.Of(p.epoch), Reason: reason, Detail: detail}
	t := &m.trace
	if !t.connected.IsZero() {
		r.Duration = eventlog.Milliseconds(now.Sub(t.connected))
	}
	t.connected = time.Time{}
	l.recordOf(now, m, r)
	l.recordTally(now, m, &t.sent, eventlog.Record{Kind: eventlog.MessagesSent})
	l.recordTally(now, m, &t.received, eventlog.Record{Kind: eventlog.MessagesReceived})
	for code, n := range t.refused {
		if n > 0 {
			l.recordOf(now, m, eventlog.Record{Kind: eventlog.Refused, Epoch: r.Epoch, Reason: string(code), Count: eventlog.Of(n)})
		}
	}
	t.refused = nil
}

// recordGone writes the outcome of a seat.
func (l *loop) recordGone(now time.Time, m *member, c grace.Change) {
	r := eventlog.Record{Kind: eventlog.Gone, Reason: string(c.Reason)}
	if !m.trace.seated.IsZero() {
		r.Duration = eventlog.Milliseconds(now.Sub(m.trace.seated))
	}
	l.recordOf(now, m, r)
	m.trace = trace{}
}

// recordRefused writes the first refusal of each code in a connection; the
// others are counted until it ends.
func (l *loop) recordRefused(now time.Time, m *member, code protocol.Code, event string) {
	t := &m.trace
	if n, again := t.refused[code]; again {
		t.refused[code] = n + 1
		return
	}
	if t.refused == nil {
		t.refused = make(map[protocol.Code]int64)
	}
	t.refused[code] = 0
	l.recordOf(now, m, eventlog.Record{Kind: eventlog.Refused, Reason: string(code), Count: eventlog.Of(1), Detail: event})
}

// recordRegrouped writes that a participant's page has named a group, which is
// another than formerly.
func (l *loop) recordRegrouped(now time.Time, m *member, formerly string) {
	if formerly != "" {
		l.recordOf(now, m, eventlog.Record{Kind: eventlog.GroupLeft, Group: formerly, Reason: eventlog.ReasonNewGroup})
	}
	l.recordJoined(now, m, len(l.groups.Of(m.session.Participant).Members))
}

// recordJoined writes that a participant has become a member of its group,
// which may have taken a wait.
func (l *loop) recordJoined(now time.Time, m *member, members int) {
	r := eventlog.Record{Kind: eventlog.GroupJoined, Count: eventlog.Of(members)}
	if !m.trace.waiting.IsZero() {
		r.Duration = eventlog.Milliseconds(now.Sub(m.trace.waiting))
		m.trace.waiting = time.Time{}
	}
	l.recordOf(now, m, r)
}
