package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"initgrace/grace"
	"initgrace/grace/protocol"
	"initgrace/server/eventlog"
	"initgrace/server/socketio"
	"initgrace/server/store"
)

// attach makes a connection its participant's current one. The newest wins at
// once: nobody is locked out because an old socket is not known to be dead.
func (l *loop) attach(now time.Time, p *peer) {
	m, err := l.member(p.participant)
	if err != nil {
		l.log.Error("a session could not be read", "participant", p.participant, "err", err)
		p.conn.Close("the session could not be read", socketio.ComeBack)
		return
	}
	if refused := l.claimable(p.identity); refused != nil { // two came at once, and both were the first
		p.conn.Close(refused.Message, socketio.StayAway)
		return
	}
	if m.box.Over(p.pageID) && !left(m) {
		l.tell(p, protocol.EventReplaced, struct{}{})
		l.then(func(error) { p.conn.Close("a page of before", socketio.StayAway) })
		return
	}
	s := &m.session
	known, expired := !s.Created.IsZero(), m.gone()
	if !known {
		s.Created = time.Now()
	}
	group := p.group
	if madeHere(group) || madeHere(s.Group) && !expired {
		group = s.Group // a handshake leads neither into a group of the wait room nor out of one
	} else if group == "" && !expired {
		group = s.Group
	}
	l.enter(now, m, p)
	old, page, formerly := m.peer, s.PageID, s.Group
	m.peer = p
	if page != p.pageID {
		m.box.SetOver(page, true)
		m.box.SetOver(p.pageID, false)
		l.markBox(m)
	}
	at := l.tracker.Attach(now, grace.Attachment{
		Participant: p.participant, Group: group, PageID: p.pageID, CanProbe: p.conn.CanProbe(),
		Policy: l.policyOf(m),
		Loads:  p.loads, LastEpoch: s.Epoch, LastSeq: s.Seq,
	})
	p.epoch = at.Epoch
	s.Epoch, s.PageID, s.Group = at.Epoch, p.pageID, group
	s.Totals.Connections++
	l.mark(m)
	why := l.recordConnected(now, m, p, old, at, page)
	l.draw(now, m)
	if group != "" {
		l.lobby.room.Leave(p.participant)
		l.waited(m)
		l.groups.Assign(group, p.participant)
	}
	if group != formerly {
		l.recordRegrouped(now, m, formerly)
	}
	l.traceLoads(now, m, why)
	if old != nil {
		l.tell(old, protocol.EventReplaced, struct{}{})
		l.then(func(error) { old.conn.Close("replaced by a newer connection", socketio.StayAway) })
	}
	if p.seq != nil && !p.keep {
		l.received(m, *p.seq)
	}
	read := m.box.Received
	if p.seq != nil {
		read = min(max(read, *p.seq), m.box.Posted)
	}
	m.box.Rewind(read)
	l.log.Info("connected", "participant", p.participant, "epoch", at.Epoch, "restored", known,
		"replaced", old != nil, "from", p.conn.RemoteAddr(), "conn", p.conn.ID())

	hello := protocol.Session{
		Participant: p.participant, Token: token(l.secret, p.participant, at.Epoch), Epoch: at.Epoch,
		Restored: known, Expired: expired, State: s.State, Version: s.Version,
		Group: group, Partners: l.groups.Partners(p.participant), Policy: wirePolicy(l.tracker.PolicyOf(p.participant)),
		Experiment: s.Experiment, Condition: s.Part.Condition, Scenes: s.Part.Scenes, Outcome: outcomeOf(m),
		Seq: read, Sent: m.box.Last(p.pageID),
	}
	if plan := l.plan(m); plan != nil {
		hello.Packages = plan.Packages
	}
	greeting := struct {
		protocol.Session
		States []protocol.PartnerState `json:"states,omitempty"`
	}{hello, l.statesOf(now, p.participant)}
	l.tell(p, protocol.EventSession, greeting)
	if known {
		l.tell(p, protocol.EventSessionRestored, greeting)
	}
	l.tellOutcome(m)
	if v := l.lobby.vacancies.Of(s.Group); v != nil {
		l.ask(now, m, v)
	}
	delete(l.lobby.told, p.participant) // a new page knows nothing
	l.publish(now)
	if m.readable() { // and was all the time: no change of presence releases what was held without a socket
		l.release(now, m)
	}
	for _, partner := range hello.Partners {
		if snap, ok := l.tracker.State(now, partner); ok {
			l.send(m, protocol.EventPartnerState+partner, protocol.EventPartnerState, partnerState(now, snap, ""))
		}
	}
	l.tend(now, p.participant)
}

// left says whether the page that is the participant's has ended. As long as it
// has not, one whose place it took does not get it back by a reconnect: that is
// a forgotten tab with a bad network, and not the one in front of the person.
func left(m *member) bool {
	switch m.session.Presence {
	case "", protocol.Gone:
		return true
	case protocol.Away:
		switch m.session.Reason {
		case protocol.ReasonPageHide, protocol.ReasonPageClosed, protocol.ReasonDisconnect, protocol.ReasonRefused:
			return true
		}
	}
	return false
}

// detach records the end of a connection.
func (l *loop) detach(now time.Time, p *peer, why socketio.Cause) {
	m := l.members[p.participant]
	if m == nil || m.peer != p {
		return // replaced, or gone already
	}
	m.peer = nil
	reason := protocol.ReasonTransport
	switch why.Kind {
	case socketio.BrowserClosed:
		reason = protocol.ReasonPageClosed
	case socketio.ClientLeft:
		reason = protocol.ReasonDisconnect
	case socketio.Refused:
		reason = protocol.ReasonRefused
	}
	l.log.Info("disconnected", "participant", p.participant, "epoch", p.epoch, "reason", reason, "detail", why.Detail, "conn", p.conn.ID())
	if l.closing {
		reason = protocol.ReasonRestart
	}
	l.recordDisconnected(now, m, p, string(reason), why.Detail)
	// Who heard nothing from us and is on the way back has as long as silence is
	// tolerated. A server that was stopped for a minute finds such goodbyes of
	// everybody, and behind each of them the next connection.
	if !l.closing && why.Kind != socketio.Retrying {
		l.tracker.Close(now, p.participant, p.epoch, reason)
	}
}

// member finds a participant, in memory or in the store.
func (l *loop) member(participant string) (*member, error) {
	if m := l.members[participant]; m != nil {
		return m, nil
	}
	ctx, cancel := context.WithTimeout(l.storing, storeTimeout)
	defer cancel()
	s, _, err := l.store.Session(ctx, participant)
	if err != nil {
		return nil, err
	}
	s.Participant = participant
	m := &member{session: s}
	if err := l.unpack(ctx, m); err != nil {
		return nil, err
	}
	l.members[participant] = m
	return m, nil
}

// restore holds the seats that an earlier process left.
func (l *loop) restore(ctx context.Context) error {
	now := l.now()
	l.recordStart(now)
	var seated []*member
	err := l.store.Seated(ctx, func(s store.Session) error {
		m, snap := &member{session: s, since: now}, restored(s)
		if err := l.unpack(ctx, m); errors.Is(err, store.ErrCorrupt) { // the seat is worth more
			l.log.Error("messages could not be read and are lost", "participant", s.Participant, "err", err)
		} else if err != nil {
			return err
		}
		l.members[s.Participant] = m
		snap.Policy = l.policyOf(m)
		l.tracker.Restore(now, snap)
		m.trace.seated, m.trace.loads = now, openLoads(now, snap.Loads)
		if s.Group != "" {
			l.groups.Assign(s.Group, s.Participant)
		}
		l.restoreLobby(now, m)
		seated = append(seated, m)
		return nil
	})
	l.publish(now)
	for _, m := range seated {
		// Who was away already has not changed, but this run's log begins here.
		if snap, ok := l.tracker.State(now, m.session.Participant); ok && !m.trace.spell.Known {
			l.recordChange(now, m, grace.Change{
				Epoch: snap.Epoch, Seq: snap.Seq, From: snap.Presence, To: snap.Presence,
				Reason: protocol.ReasonRestart, Deadline: snap.Deadline,
			})
		}
	}
	if errors.Is(err, store.ErrCorrupt) { // must not keep the others out
		l.log.Error("sessions could not be read and are left out", "err", err)
		return nil
	}
	return err
}

// changed is where every change of presence goes, once and in order: to the
// stored session, the log, the observer, the partners and the participant.
func (l *loop) changed(now time.Time, c grace.Change) {
	m := l.members[c.Participant]
	spent := now.Sub(m.since)
	m.account(now, c)
	snap, seated := l.tracker.State(now, c.Participant)
	if seated {
		m.session.Totals.Loads, m.session.Totals.LoadTime = snap.LoadCount, snap.LoadTime
	} else { // gone, and forgotten by the tracker
		snap = grace.Snapshot{Participant: c.Participant, Presence: c.To, Seq: c.Seq, Since: now}
	}
	m.session.Loads = storedLoads(snap)
	l.mark(m)
	l.recordLoads(now, m, snap.Loads, c.Reason)
	l.recordChange(now, m, c)
	l.logChange(now, c, spent)
	if l.observe != nil {
		l.then(func(error) { l.observe(c) })
	}

	state := partnerState(now, snap, c.Reason)
	frame := l.encode(protocol.EventPartnerState, state)
	for _, partner := range l.groups.Partners(c.Participant) {
		if pm := l.members[partner]; pm != nil {
			l.sendFrame(pm, protocol.EventPartnerState+c.Participant, frame)
		}
	}
	l.groups.Touch(l.groups.Of(c.Participant).Name)
	if c.To == protocol.Gone {
		l.cleanup(now, m, c)
		return
	}
	if m.readable() {
		l.release(now, m)
	}
	l.send(m, protocol.EventPresence, protocol.EventPresence, state)
	if c.From != c.To {
		l.tend(now, c.Participant)
	}
}

// cleanup ends a session. The tracker reports gone once, so it runs once.
func (l *loop) cleanup(now time.Time, m *member, c grace.Change) {
	if p := m.peer; p != nil {
		m.peer = nil
		l.recordDisconnected(now, m, p, string(c.Reason), "the seat was given up")
		l.tell(p, protocol.EventExpired, struct {
			Reason protocol.Reason `json:"reason"`
		}{c.Reason})
		l.then(func(error) { p.conn.Close("the seat was given up: "+string(c.Reason), socketio.StayAway) })
	}
	m.held.Take()
	l.forgetMail(m, c.Reason)
	m.box.Barriers = nil
	m.trace.dropped.merge(&m.trace.held)
	l.recordTally(now, m, &m.trace.dropped, eventlog.Record{Kind: eventlog.Dropped, Reason: string(c.Reason)})
	if m.session.Group != "" {
		l.recordOf(now, m, eventlog.Record{Kind: eventlog.GroupLeft, Reason: string(c.Reason)})
	}
	l.recordGone(now, m, c)
	m.session.Group = ""
	m.session.Part.Vacancy = nil
	place, waited := l.lobby.room.Leave(c.Participant)
	l.waited(m)
	if left := l.groups.Leave(c.Participant); madeHere(left.Name) {
		l.bereft(now, m, left, c.Reason)
	}
	if waited {
		l.match(now, place.Pool)
	}
}

// logChange writes one line that a person can read.
func (l *loop) logChange(now time.Time, c grace.Change, spent time.Duration) {
	if !l.log.Enabled(context.Background(), slog.LevelInfo) {
		return
	}
	attrs := []slog.Attr{
		slog.String("participant", c.Participant),
		slog.String("change", fmt.Sprintf("%s -> %s", orNew(c.From), c.To)),
		slog.String("reason", string(c.Reason)),
	}
	if c.From != "" {
		attrs = append(attrs, slog.Duration("after", spent.Round(time.Millisecond)))
	}
	if c.Phase != "" {
		attrs = append(attrs, slog.String("phase", c.Phase))
	}
	if !c.Deadline.IsZero() {
		attrs = append(attrs, slog.Duration("held_for", c.Deadline.Sub(now).Round(time.Millisecond)))
	}
	if c.Group != "" {
		attrs = append(attrs, slog.String("group", c.Group))
	}
	attrs = append(attrs, slog.Uint64("epoch", c.Epoch), slog.Uint64("seq", c.Seq))
	l.log.LogAttrs(context.Background(), slog.LevelInfo, "presence", attrs...)
}

func orNew(p protocol.Presence) protocol.Presence {
	if p == "" {
		return "new"
	}
	return p
}

func wirePolicy(p grace.Policy) protocol.Policy {
	return protocol.Policy{
		SilenceMS: p.SilenceTimeout.Milliseconds(), BlockedMS: p.BlockedTimeout.Milliseconds(),
		LoadMS: p.LoadTimeout.Milliseconds(), LoadCapMS: p.LoadCap.Milliseconds(),
		ReconnectMS: p.ReconnectTimeout.Milliseconds(), LeaveMS: p.LeaveTimeout.Milliseconds(),
	}
}
