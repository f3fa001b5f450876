package server

import (
	"time"

	"initgrace/grace/protocol"
	"initgrace/server/groups"
)

// pauses says since when each group cannot go on.
type pauses map[string]time.Time

// settleGroups does what follows from a change of members or of their presence,
// once for all that happened at the same time.
func (l *loop) settleGroups(now time.Time) {
	for _, name := range l.groups.Touched() {
		g := l.groups.Named(name)
		l.pause(now, g, name)
		l.openBarriers(g, name)
	}
}

// pause tells a group that it waits for somebody, with the countdown, or that
// it can go on. Of both only the latest is kept for who cannot read.
func (l *loop) pause(now time.Time, g groups.Group, name string) {
	const key = protocol.EventGroupPaused
	var paused *protocol.GroupPaused
	switch {
	case len(g.Members) > 1:
		paused = l.paused(now, g)
	case l.lobby.vacancies.Of(name) != nil: // alone, and still waits: for another partner
		return
	}
	since, was := l.pauses[name]
	switch {
	case paused != nil:
		if !was {
			if l.pauses == nil {
				l.pauses = make(pauses)
			}
			l.pauses[name] = now
		}
		paused.SinceMS = now.Sub(l.pauses[name]).Milliseconds()
		l.sendAll(g, key, protocol.EventGroupPaused, paused)
	case was:
		delete(l.pauses, name)
		l.sendAll(g, key, protocol.EventGroupResumed, protocol.GroupResumed{Group: name, PausedMS: now.Sub(since).Milliseconds()})
	}
}

// paused is for whom a group waits; nil: for nobody. The one who may take
// longest is named first.
func (l *loop) paused(now time.Time, g groups.Group) *protocol.GroupPaused {
	var out *protocol.GroupPaused
	for _, p := range g.Members {
		snap, ok := l.tracker.State(now, p)
		if !ok || snap.Presence == protocol.Active {
			continue
		}
		state := partnerState(now, snap, "")
		if out == nil {
			out = &protocol.GroupPaused{Group: g.Name}
		}
		out.Members = append(out.Members, state)
		if out.Participant == "" || state.DeadlineMS > out.DeadlineMS {
			out.Participant, out.State, out.DeadlineMS = p, state.State, state.DeadlineMS
		}
	}
	return out
}

func (l *loop) sendAll(g groups.Group, key, event string, payload any) {
	frame := l.encode(event, payload)
	for _, p := range g.Members {
		if m := l.members[p]; m != nil {
			l.sendFrame(m, key, frame)
		}
	}
}

// statesOf are the partners' states, for a page that has just come.
func (l *loop) statesOf(now time.Time, participant string) []protocol.PartnerState {
	var states []protocol.PartnerState
	for _, p := range l.groups.Partners(participant) {
		if snap, ok := l.tracker.State(now, p); ok {
			states = append(states, partnerState(now, snap, ""))
		}
	}
	return states
}
