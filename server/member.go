package server

import (
	"time"

	"initgrace/grace"
	"initgrace/grace/protocol"
	"initgrace/server/eventlog"
	"initgrace/server/hold"
	"initgrace/server/latency"
	"initgrace/server/mailbox"
	"initgrace/server/socketio"
	"initgrace/server/store"
)

// member is a participant as the loop knows one: the stored session, the
// connection if there is one, and what is held back for the page.
type member struct {
	session store.Session
	peer    *peer // nil: no socket
	held    hold.Queue
	box     mailbox.Box    // messages, held or not
	unboxed bool           // the box is to be stored
	latency latency.Window // as the client measures it
	since   time.Time      // of the presence, by the policy's clock
	dirty   bool           // to be stored
	trace   trace          // what the event log remembers
}

func (m *member) gone() bool { return m.session.Presence == protocol.Gone }

// readable says whether the page can read what is sent to it.
func (m *member) readable() bool {
	return m.peer != nil && m.session.Presence == protocol.Active
}

// account closes the books on the presence that a change ends, and opens them
// on the one that it begins.
func (m *member) account(now time.Time, c grace.Change) {
	t := &m.session.Totals
	spent := now.Sub(m.since)
	switch c.From {
	case protocol.Loading:
		if c.To == protocol.Gone { // until then the tracker's own count is stored
			t.LoadTime += spent
		}
	case protocol.Blocked:
		t.BlockedTime += spent
	case protocol.Away:
		t.AwayTime += spent
	}
	if c.To == protocol.Away && c.From != protocol.Away {
		t.Drops++
	}
	m.since = now
	m.session.Presence, m.session.Reason, m.session.Seq = c.To, c.Reason, c.Seq
	if c.From != c.To {
		m.session.Since = time.Now()
	}
}

// send gives an event to a participant, now or when the page can read again.
// Of held events with the same key only the latest is kept. It returns false if
// so much is held already that this event was dropped.
func (l *loop) send(m *member, key, event string, payload any) bool {
	return l.sendFrame(m, key, l.encode(event, payload))
}

func (l *loop) sendFrame(m *member, key string, frame []byte) bool {
	if !m.readable() || m.held.Len() > 0 { // what is held goes first
		held := m.held.Push(key, frame, m.box.Posted)
		m.trace.kept(key, frame, held)
		return held
	}
	conn := m.peer.conn
	l.then(func(error) { conn.EmitFrame(frame) })
	return true
}

// tell gives an event to a participant at once, whatever the page does.
func (l *loop) tell(p *peer, event string, payload any) {
	frame := l.encode(event, payload)
	l.then(func(error) { p.conn.EmitFrame(frame) })
}

func (l *loop) encode(event string, payload any) []byte {
	frame, err := socketio.EncodeEvent(event, payload)
	if err != nil { // our own types, and Raw that was validated on its way in
		panic(err)
	}
	return frame
}

// release sends what was held, messages and the rest in their order.
func (l *loop) release(now time.Time, m *member) {
	l.recordTally(now, m, &m.trace.dropped, eventlog.Record{Kind: eventlog.Dropped, Reason: eventlog.ReasonQueueFull})
	l.recordTally(now, m, &m.trace.held, eventlog.Record{Kind: eventlog.Released})
	var frames [][]byte
	for _, f := range m.held.Take() {
		frames = append(append(frames, m.box.Emit(f.After)...), f.Data)
	}
	l.write(m.peer, append(frames, m.box.Emit(m.box.Posted)...), m.box.Emitted())
}

// partnerState describes a participant to the partners.
func partnerState(now time.Time, snap grace.Snapshot, reason protocol.Reason) protocol.PartnerState {
	s := protocol.PartnerState{
		Participant: snap.Participant, State: snap.Presence, Reason: reason, Seq: snap.Seq,
		Phase: snap.Phase, SinceMS: now.Sub(snap.Since).Milliseconds(), ExpectedMS: snap.Expected.Milliseconds(),
	}
	if !snap.Deadline.IsZero() {
		s.DeadlineMS = max(snap.Deadline.Sub(now).Milliseconds(), 0)
	}
	return s
}

// storedLoads is a snapshot's loads by the wall clock.
func storedLoads(snap grace.Snapshot) []store.Load {
	wall := time.Now()
	var out []store.Load
	for _, l := range snap.Loads {
		out = append(out, store.Load{
			ID: l.ID, Phase: l.Phase, Expected: l.Expected, Anonymous: l.Anonymous,
			StartedAt: wall.Add(-l.Elapsed), DeadlineAt: wall.Add(l.Remaining),
		})
	}
	return out
}

// restored is what the tracker needs to hold the seat of a stored session.
func restored(s store.Session) grace.Snapshot {
	wall := time.Now()
	snap := grace.Snapshot{
		Participant: s.Participant, Group: s.Group, PageID: s.PageID, Epoch: s.Epoch, Seq: s.Seq,
		Presence: s.Presence, Reason: s.Reason, LoadCount: s.Totals.Loads, LoadTime: s.Totals.LoadTime,
	}
	for _, l := range s.Loads {
		snap.Loads = append(snap.Loads, grace.SnapshotLoad{
			LoadRequest: grace.LoadRequest{ID: l.ID, Phase: l.Phase, Expected: l.Expected},
			Anonymous:   l.Anonymous, Elapsed: max(wall.Sub(l.StartedAt), 0), Remaining: l.DeadlineAt.Sub(wall),
		})
	}
	return snap
}
