package server

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"initgrace/grace/protocol"
	"initgrace/server/eventlog"
	"initgrace/server/groups"
	"initgrace/server/store"
	"initgrace/server/study"
	"initgrace/server/vacancy"
	"initgrace/server/waitroom"
)

// lobby is who waits: participants for partners, and groups for a member.
type lobby struct {
	study     *study.Study // nil: any experiment, no plans
	room      waitroom.Room
	vacancies vacancy.Book
	drawn     map[string]map[string]int // participants by experiment and condition
	told      map[string]waitroom.Status
}

// maxGroup is the largest group that the wait room makes.
const maxGroup = 100

func decodeJoin(payload json.RawMessage) (action, *protocol.Error) {
	v, refused := into[protocol.Join](payload)
	if refused != nil {
		return nil, refused
	}
	if v.Size != 0 && (v.Size < 2 || v.Size > maxGroup) {
		return nil, invalid(fmt.Sprintf("size must be from 2 to %d", maxGroup))
	}
	return func(l *loop, now time.Time, p *peer) (any, *protocol.Error) {
		m := l.members[p.participant]
		plan, size, timeout := l.plan(m), v.Size, time.Duration(0)
		if g := l.groups.Of(p.participant); g.Name != "" {
			return nil, protocol.NewError(protocol.CodeInGroup, "the participant is in group "+g.Name+" already")
		}
		if o := m.session.Part.Outcome; o.Kind != "" {
			return nil, protocol.NewError(protocol.CodeStudyOver, "the study is over for the participant: "+string(o.Kind))
		}
		if plan != nil {
			if size != 0 && size != plan.Size {
				return nil, invalid(fmt.Sprintf("size %d is not that of the experiment's groups, %d: leave it out", size, plan.Size))
			}
			size, timeout = plan.Size, plan.WaitTimeout
			if slow := latencyOf(m); plan.MaxLatency > 0 && slow > plan.MaxLatency {
				return nil, protocol.NewError(protocol.CodeTooSlow, fmt.Sprintf("the connection takes %v, the experiment allows %v", slow, plan.MaxLatency))
			}
		}
		if size == 0 {
			size = 2
		}
		pool := l.pool(m, size)
		if place, joined := l.lobby.room.Join(now, p.participant, pool, timeout); joined {
			l.waits(now, m, place)
		}
		reply := l.waiting(now, p.participant)
		l.match(now, pool)
		return reply, nil
	}, nil
}

// pool is who may play with a participant.
func (l *loop) pool(m *member, size int) waitroom.Pool {
	name := m.session.Experiment
	if plan := l.plan(m); plan != nil && plan.SameCondition {
		name += " " + m.session.Part.Condition // neither has a blank in it
	}
	return waitroom.Pool{Name: name, Size: size}
}

// waits notes that a participant has entered the wait room.
func (l *loop) waits(now time.Time, m *member, place waitroom.Place) {
	m.trace.waiting = now
	m.session.Part.Waiting = &store.Waiting{
		Size: place.Pool.Size, Turn: place.Turn, Since: l.wall(now, place.Since), Until: l.wall(now, place.Until),
	}
	l.mark(m)
	l.recordChatter(now, m, eventlog.Record{Kind: eventlog.Waiting, Count: eventlog.Of(place.Pool.Size)})
}

// waited notes that a participant is no longer in the wait room.
func (l *loop) waited(m *member) {
	delete(l.lobby.told, m.session.Participant)
	if m.session.Part.Waiting != nil {
		m.session.Part.Waiting = nil
		l.mark(m)
	}
}

// wall is an instant of the policy's clock by the wall clock.
func (l *loop) wall(now, at time.Time) time.Time {
	if at.IsZero() {
		return at
	}
	return time.Now().Add(at.Sub(now))
}

// policyTime is an instant of the wall clock by the policy's clock.
func policyTime(now, wall time.Time) time.Time {
	if wall.IsZero() {
		return wall
	}
	return now.Add(time.Until(wall))
}

// groupPrefix marks the groups that the wait room made: the study file says
// what becomes of them, while a group that handshakes named is the study's own.
const groupPrefix = "wait-"

func madeHere(group string) bool { return strings.HasPrefix(group, groupPrefix) }

// there answers the wait room: who is loading is there, and who has only not
// been found silent yet is not surely there.
func (l *loop) there(now time.Time) func(participant string) waitroom.Presence {
	return func(participant string) waitroom.Presence {
		m := l.members[participant]
		if m == nil || m.peer == nil || m.session.Presence == protocol.Away {
			return waitroom.Presence{}
		}
		is := waitroom.Presence{Present: true, Sure: l.tracker.Fresh(now, participant)}
		if plan := l.plan(m); plan != nil && plan.MaxLatency > 0 {
			latency := latencyOf(m)
			is.Present = latency <= plan.MaxLatency
			is.Sure = is.Sure && latency > 0 // measured
		}
		return is
	}
}

func latencyOf(m *member) time.Duration {
	return time.Duration(m.latency.Median() * float64(time.Millisecond)).Round(time.Millisecond / 10)
}

// secondLook is how long a group that may be complete waits for the evidence.
func (l *loop) secondLook() time.Duration {
	if p := l.tracker.Policy(); p.ProbeInterval > 0 {
		return p.ProbeInterval / 2
	}
	return time.Second
}

func (l *loop) waiting(now time.Time, participant string) *protocol.Waiting {
	s, ok := l.lobby.room.Status(now, participant, l.there(now))
	if !ok {
		return nil
	}
	w := &protocol.Waiting{OK: true, Present: s.Present, Size: s.Size, Position: s.Position}
	if s.Expected >= 0 {
		w.ExpectedMS = max(s.Expected.Milliseconds(), 1)
	}
	if s.Left >= 0 {
		w.TimeoutMS = max(s.Left.Milliseconds(), 1)
	}
	return w
}

// match makes what can be made of a pool and tells the others how things
// stand. It is called whenever that may have changed.
func (l *loop) match(now time.Time, pool waitroom.Pool) {
	room := &l.lobby.room
	l.fill(now, pool)
	for {
		members := room.Take(now, pool, pool.Size, l.there(now), l.secondLook())
		if members == nil {
			break
		}
		l.begin(now, members)
	}
	for _, p := range room.In(pool) {
		l.tellWaiting(now, p)
	}
}

// tend is match for whatever pool a participant is in.
func (l *loop) tend(now time.Time, participant string) {
	if place, ok := l.lobby.room.Of(participant); ok {
		l.match(now, place.Pool)
	}
}

// tellWaiting tells a participant how things stand, if that is news.
func (l *loop) tellWaiting(now time.Time, participant string) {
	s, ok := l.lobby.room.Status(now, participant, l.there(now))
	if !ok {
		return
	}
	s.Expected, s.Left = 0, 0 // which change all the time, and of which pages know
	if l.lobby.told[participant] == s {
		return
	}
	if l.lobby.told == nil {
		l.lobby.told = make(map[string]waitroom.Status)
	}
	l.lobby.told[participant] = s
	l.send(l.members[participant], protocol.EventWaiting, protocol.EventWaiting, l.waiting(now, participant))
}

// begin makes a group and tells its members about it and about each other.
func (l *loop) begin(now time.Time, members []string) {
	name := groupPrefix + uuid.NewString()
	for _, p := range members {
		l.groups.Assign(name, p)
	}
	g := l.groups.Of(members[0])
	l.log.Info("group", "group", g.Name, "members", g.Members)
	for _, p := range g.Members {
		l.joined(now, l.members[p], g)
	}
}

// joined tells a new member of a group about it.
func (l *loop) joined(now time.Time, m *member, g groups.Group) {
	l.waited(m)
	m.session.Group = g.Name
	l.mark(m)
	l.tracker.SetGroup(m.session.Participant, g.Name)
	l.recordJoined(now, m, len(g.Members))
	l.send(m, "", protocol.EventGroupReady, struct {
		protocol.GroupReady
		States []protocol.PartnerState `json:"states"`
	}{protocol.GroupReady{Group: g.Name, Members: g.Members}, l.statesOf(now, m.session.Participant)})
	for _, partner := range g.Members {
		if snap, ok := l.tracker.State(now, partner); ok && partner != m.session.Participant {
			l.send(m, protocol.EventPartnerState+partner, protocol.EventPartnerState, partnerState(now, snap, ""))
		}
	}
}

// nextLook is when the lobby has something to do by itself, if ever.
func (l *loop) nextLook() (time.Time, bool) {
	at, ok := l.lobby.room.Next()
	if v, any := l.lobby.vacancies.Next(); any && (!ok || v.Before(at)) {
		at, ok = v, true
	}
	if b := l.barriers.next; !b.IsZero() && (!ok || b.Before(at)) {
		at, ok = b, true
	}
	return at, ok
}

// lookAround does what is due in the lobby.
func (l *loop) lookAround(now time.Time) {
	l.expireBarriers(now)
	over, again := l.lobby.room.Due(now)
	for _, p := range over {
		m := l.members[p.Participant]
		l.waited(m)
		l.ended(now, m, protocol.WaitTimeout, "")
	}
	for _, v := range l.lobby.vacancies.Due(now) {
		l.decide(now, v)
	}
	for _, p := range over {
		l.match(now, p.Pool)
	}
	for _, pool := range again {
		l.match(now, pool)
	}
}

// restoreLobby puts back what an earlier process kept of a participant. Ends
// that have come meanwhile are put off by as long as the seat is held: the
// others must have had the time to come back.
func (l *loop) restoreLobby(now time.Time, m *member) {
	hold := now.Add(l.tracker.PolicyOf(m.session.Participant).ReconnectTimeout)
	later := func(wall time.Time) time.Time {
		at := policyTime(now, wall)
		if !at.IsZero() && at.Before(hold) {
			return hold
		}
		return at
	}
	part := &m.session.Part
	if w := part.Waiting; w != nil {
		l.lobby.room.Restore(waitroom.Place{
			Participant: m.session.Participant, Pool: l.pool(m, w.Size), Turn: w.Turn,
			Since: policyTime(now, w.Since), Until: later(w.Until),
		})
		m.trace.waiting = now
	}
	if v := part.Vacancy; v != nil {
		l.lobby.vacancies.Open(vacancy.Open{
			Group: m.session.Group, Action: v.Action, Size: v.Size, Partner: v.Partner, Until: later(v.Until),
		})
	}
}

// countDrawn reads how many participants are in each condition.
func (l *loop) countDrawn(ctx context.Context) error {
	l.lobby.drawn = make(map[string]map[string]int)
	all, err := l.store.Assigned(ctx)
	for _, a := range all {
		if l.lobby.drawn[a.Experiment] == nil {
			l.lobby.drawn[a.Experiment] = make(map[string]int)
		}
		l.lobby.drawn[a.Experiment][a.Condition] = a.Count
	}
	return err
}
