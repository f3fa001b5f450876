package server

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"initgrace/grace/protocol"
	"initgrace/server/eventlog"
	"initgrace/server/groups"
)

// maxGroup is the largest group that the wait room makes.
const maxGroup = 100

func decodeJoin(payload json.RawMessage) (action, *protocol.Error) {
	v, refused := into[protocol.Join](payload)
	if refused != nil {
		return nil, refused
	}
	if v.Size == 0 {
		v.Size = 2
	}
	if v.Size < 2 || v.Size > maxGroup {
		return nil, invalid(fmt.Sprintf("size must be from 2 to %d", maxGroup))
	}
	return func(l *loop, now time.Time, p *peer) (any, *protocol.Error) {
		if g := l.groups.Of(p.participant); g.Name != "" {
			return nil, protocol.NewError(protocol.CodeInGroup, "the participant is in group "+g.Name+" already")
		}
		if l.groups.Size(p.participant) != v.Size {
			m := l.members[p.participant]
			m.trace.waiting = now
			l.recordChatter(now, m, eventlog.Record{Kind: eventlog.Waiting, Count: eventlog.Of(v.Size)})
		}
		l.groups.Wait(p.participant, v.Size)
		reply := l.waiting(v.Size)
		l.match(now, v.Size)
		return reply, nil
	}, nil
}

// groupPrefix marks the groups that the wait room made: they end with their
// first member, while a group that handshakes named is the study's own.
const groupPrefix = "wait-"

func madeHere(group string) bool { return strings.HasPrefix(group, groupPrefix) }

// present says whether a participant can be given partners now. Who is loading
// is there.
func (l *loop) present(participant string) bool {
	m := l.members[participant]
	return m != nil && m.peer != nil && m.session.Presence != protocol.Away
}

func (l *loop) waiting(size int) *protocol.Waiting {
	w := &protocol.Waiting{OK: true, Size: size}
	for _, p := range l.groups.Waiting(size) {
		if l.present(p) {
			w.Present++
		}
	}
	return w
}

// match makes the groups that can be made and tells the others how things
// stand. It is called whenever that may have changed.
func (l *loop) match(now time.Time, size int) {
	if size == 0 {
		return
	}
	for {
		g, ok := l.groups.Match(size, l.present, func() string { return groupPrefix + uuid.NewString() })
		if !ok {
			break
		}
		l.begin(now, g)
	}
	w := l.waiting(size)
	for _, p := range l.groups.Waiting(size) {
		l.send(l.members[p], protocol.EventWaiting, protocol.EventWaiting, w)
	}
}

// begin tells the members of a new group about it and about each other.
func (l *loop) begin(now time.Time, g groups.Group) {
	l.log.Info("group", "group", g.Name, "members", g.Members)
	for _, p := range g.Members {
		m := l.members[p]
		m.session.Group = g.Name
		l.mark(m)
		l.tracker.SetGroup(p, g.Name)
		l.recordJoined(now, m, len(g.Members))
		l.send(m, "", protocol.EventGroupReady, protocol.GroupReady{Group: g.Name, Members: g.Members})
		for _, partner := range l.groups.Partners(p) {
			if snap, ok := l.tracker.Snapshot(now, partner); ok {
				l.send(m, protocol.EventPartnerState+partner, protocol.EventPartnerState, partnerState(now, snap, ""))
			}
		}
	}
}
