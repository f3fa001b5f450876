package server

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"initgrace/grace/protocol"
	"initgrace/server/groups"
	"initgrace/server/store"
)

// A barrier opens when every member of the group has reached it. Who has is
// stored with each member's mailbox, so that it need not be reached again after
// a refresh or a restart; who waits for the answer is not: the client asks
// again.

const (
	// maxBarriers is how many barriers of its group a session remembers.
	maxBarriers = 64
	// barrierTimeout is the longest wait, unless the client says otherwise.
	barrierTimeout    = 10 * time.Minute
	maxBarrierTimeout = time.Hour
	// maxAsked is how often one connection may ask for one barrier at a time.
	maxAsked = 8
)

// barriers are the waits of each group, and the earliest end of one.
type barriers struct {
	waits map[string][]*barrierWait
	next  time.Time // zero: none; may be too early, never too late
}

// barrierWait is one client's open question.
type barrierWait struct {
	peer        *peer
	ackID       uint64
	ack         bool
	group, name string
	until       time.Time
}

func decodeBarrier(payload json.RawMessage) (action, *protocol.Error) {
	v, refused := into[protocol.Barrier](payload)
	if refused != nil {
		return nil, refused
	}
	if !name.MatchString(v.Name) || len(v.Name) > 64 {
		return nil, invalid("name must be 1 to 64 characters of A-Z a-z 0-9 . _ : @ -")
	}
	timeout, refused := milliseconds("timeout_ms", v.TimeoutMS)
	switch {
	case refused != nil:
		return nil, refused
	case timeout > maxBarrierTimeout:
		return nil, invalid(fmt.Sprintf("timeout_ms must be at most %d", maxBarrierTimeout.Milliseconds()))
	case timeout == 0:
		timeout = barrierTimeout
	}
	return func(l *loop, now time.Time, p *peer) (any, *protocol.Error) {
		g, m := l.groups.Of(p.participant), l.members[p.participant]
		if g.Name == "" {
			return nil, protocol.NewError(protocol.CodeNotInGroup, "the participant is in no group")
		}
		asked := 0
		for _, w := range l.barriers.waits[g.Name] {
			if w.peer == p && w.name == v.Name {
				asked++
			}
		}
		if asked >= maxAsked {
			return nil, protocol.NewError(protocol.CodeRateLimit, "this page waits for the barrier already")
		}
		if l.reached(m, g.Name, v.Name) == nil {
			b := store.Barrier{Group: g.Name, Name: v.Name}
			of := slices.DeleteFunc(slices.Clone(m.box.Barriers), func(b store.Barrier) bool { return b.Group != g.Name })
			if len(of) >= maxBarriers {
				i := slices.IndexFunc(of, func(b store.Barrier) bool { return b.Open })
				if i < 0 {
					return nil, invalid(fmt.Sprintf("more than %d barriers wait", maxBarriers))
				}
				of = slices.Delete(of, i, i+1)
			}
			m.box.Barriers = append(of, b)
			l.markBox(m)
		}
		return &barrierWait{peer: p, group: g.Name, name: v.Name, until: now.Add(timeout)}, nil
	}, nil
}

// reached is a member's mark at a barrier, or nil.
func (l *loop) reached(m *member, group, name string) *store.Barrier {
	for i := range m.box.Barriers {
		if b := &m.box.Barriers[i]; b.Group == group && b.Name == name {
			return b
		}
	}
	return nil
}

// await keeps a question until it can be answered.
func (l *loop) await(now time.Time, w *barrierWait) {
	b := &l.barriers
	if b.waits == nil {
		b.waits = make(map[string][]*barrierWait)
	}
	// Of one client one question is enough.
	waits := slices.DeleteFunc(b.waits[w.group], func(o *barrierWait) bool {
		return o.peer.participant == w.peer.participant && o.name == w.name && o.peer != w.peer
	})
	b.waits[w.group] = append(waits, w)
	if b.next.IsZero() || w.until.Before(b.next) {
		b.next = w.until
	}
	l.groups.Touch(w.group)
}

// openBarriers answers what can be answered in a group.
func (l *loop) openBarriers(g groups.Group, name string) {
	var names []string
	for _, w := range l.barriers.waits[name] {
		if !slices.Contains(names, w.name) {
			names = append(names, w.name)
		}
	}
	for _, barrier := range names {
		l.openBarrier(g, name, barrier)
	}
}

func (l *loop) openBarrier(g groups.Group, group, name string) {
	l.answer(group, func(w *barrierWait) any {
		if w.name == name && !slices.Contains(g.Members, w.peer.participant) {
			return protocol.NewError(protocol.CodeNotInGroup, "the participant is no longer in the group")
		}
		return nil
	})
	var reached, missing []string
	open := false
	for _, p := range g.Members {
		if b := l.reached(l.members[p], group, name); b == nil {
			missing = append(missing, p)
		} else {
			reached = append(reached, p)
			open = open || b.Open
		}
	}
	if open || len(missing) == 0 {
		for _, p := range reached {
			if b := l.reached(l.members[p], group, name); !b.Open {
				// Never in place: an earlier version may be on its way to the store.
				m := l.members[p]
				m.box.Barriers = slices.Clone(m.box.Barriers)
				l.reached(m, group, name).Open = true
				l.markBox(m)
			}
		}
		l.answer(group, func(w *barrierWait) any {
			if w.name != name {
				return nil
			}
			return &protocol.BarrierOpen{OK: true, Name: name, Members: reached}
		})
		return
	}
	frame := l.encode(protocol.EventBarrierWaiting, protocol.BarrierWaiting{Name: name, Reached: reached, Missing: missing})
	for _, p := range reached {
		l.sendFrame(l.members[p], protocol.EventBarrierWaiting+name, frame)
	}
}

// answer answers the questions of a group to which f has an answer.
func (l *loop) answer(group string, f func(*barrierWait) any) {
	left := slices.DeleteFunc(l.barriers.waits[group], func(w *barrierWait) bool {
		reply := f(w)
		if reply != nil && w.ack {
			l.once(func() { w.peer.conn.Ack(w.ackID, reply) })
		}
		return reply != nil
	})
	if len(left) == 0 {
		delete(l.barriers.waits, group)
	} else {
		l.barriers.waits[group] = left
	}
}

// expireBarriers refuses what has waited for too long. Who gives up has not
// reached the barrier.
func (l *loop) expireBarriers(now time.Time) {
	b := &l.barriers
	if b.next.IsZero() || now.Before(b.next) {
		return
	}
	b.next = time.Time{}
	for group, waits := range b.waits {
		g := l.groups.Named(group)
		for _, w := range waits {
			if w.until.After(now) && (b.next.IsZero() || w.until.Before(b.next)) {
				b.next = w.until
			}
		}
		l.answer(group, func(w *barrierWait) any {
			if w.until.After(now) {
				return nil
			}
			var missing []string
			for _, p := range g.Members {
				if l.reached(l.members[p], group, w.name) == nil {
					missing = append(missing, p)
				}
			}
			if m := l.members[w.peer.participant]; m != nil {
				m.box.Barriers = slices.DeleteFunc(slices.Clone(m.box.Barriers), func(b store.Barrier) bool {
					return b.Group == group && b.Name == w.name && !b.Open
				})
				l.markBox(m)
			}
			return protocol.NewError(protocol.CodeBarrierTimeout, "not reached in time by "+strings.Join(missing, ", "))
		})
	}
}
