// Package waitroom keeps who waits for partners: first come, first served, in
// pools of those who may play together. It is pure: it knows neither clock nor
// connections. Every method takes now, Next says when Due must be asked, and
// whether somebody is there is asked of the caller, at the moment when it
// matters. It is not safe for concurrent use.
package waitroom

import (
	"cmp"
	"slices"
	"time"
)

// A Pool is those who may play together, and how many of them make a group.
type Pool struct {
	Name string
	Size int
}

// A Place is one participant's in the room.
type Place struct {
	Participant string
	Pool        Pool
	Turn        int64 // the lower, the sooner
	Since       time.Time
	Until       time.Time // when the waiting is over without a group; zero: never
}

// Room is the wait room. The zero value is empty.
type Room struct {
	places map[string]*Place // by participant
	queues map[Pool][]*Place // by turn
	seen   map[Pool][]time.Time
	again  map[Pool]time.Time // a look to take besides
	first  int64              // lowest and highest turn that was given
	last   int64
	next   time.Time
	known  bool // next is right
}

// Status is how things stand for one who waits.
type Status struct {
	Position int // 1: the first of those who are there
	Present  int // who are there, this one included
	Size     int
	Missing  int           // how many must come for this one's group
	Expected time.Duration // until they have, as others came lately; negative: nobody can tell
	Left     time.Duration // until the waiting is over; negative: it never is
}

// arrivals is how many of the latest arrivals the expectation goes by.
const arrivals = 16

// Join puts a participant at the end of a pool. Who is in that pool already
// keeps the place; who is in another leaves it.
func (r *Room) Join(now time.Time, participant string, pool Pool, timeout time.Duration) (p Place, joined bool) {
	if p := r.places[participant]; p != nil && p.Pool == pool {
		return *p, false
	}
	r.Leave(participant)
	r.last++
	p = Place{Participant: participant, Pool: pool, Turn: r.last, Since: now}
	if timeout > 0 {
		p.Until = now.Add(timeout)
	}
	r.put(p)
	if r.seen == nil {
		r.seen = make(map[Pool][]time.Time)
	}
	seen := append(r.seen[pool], now)
	r.seen[pool] = seen[max(len(seen)-arrivals, 0):]
	return p, true
}

// Requeue puts participants who have waited before, in that order, ahead of
// everybody else.
func (r *Room) Requeue(now time.Time, participants []string, pool Pool, timeout time.Duration) []Place {
	var out []Place
	r.first -= int64(len(participants))
	for i, participant := range participants {
		r.Leave(participant)
		p := Place{Participant: participant, Pool: pool, Turn: r.first + int64(i), Since: now}
		if timeout > 0 {
			p.Until = now.Add(timeout)
		}
		r.put(p)
		out = append(out, p)
	}
	return out
}

// Restore puts back a place of an earlier process.
func (r *Room) Restore(p Place) {
	r.first, r.last = min(r.first, p.Turn), max(r.last, p.Turn)
	r.Leave(p.Participant)
	r.put(p)
}

func (r *Room) put(p Place) {
	if r.places == nil {
		r.places, r.queues = make(map[string]*Place), make(map[Pool][]*Place)
	}
	r.places[p.Participant] = &p
	queue := r.queues[p.Pool]
	at, _ := slices.BinarySearchFunc(queue, p.Turn, func(o *Place, turn int64) int { return cmp.Compare(o.Turn, turn) })
	r.queues[p.Pool] = slices.Insert(queue, at, &p)
	r.known = false
}

// Leave takes a participant out of the room.
func (r *Room) Leave(participant string) (Place, bool) {
	p := r.places[participant]
	if p == nil {
		return Place{}, false
	}
	delete(r.places, participant)
	queue := slices.DeleteFunc(r.queues[p.Pool], func(o *Place) bool { return o == p })
	if r.queues[p.Pool] = queue; len(queue) == 0 {
		delete(r.queues, p.Pool)
		delete(r.again, p.Pool)
	}
	r.known = false
	return *p, true
}

// Of is the participant's place.
func (r *Room) Of(participant string) (Place, bool) {
	if p := r.places[participant]; p != nil {
		return *p, true
	}
	return Place{}, false
}

// In lists who is in a pool, first come first.
func (r *Room) In(pool Pool) []string {
	var out []string
	for _, p := range r.queues[pool] {
		out = append(out, p.Participant)
	}
	return out
}

// Presence answers what must be known of somebody who waits.
type Presence struct {
	Present bool // there, as far as is known
	Sure    bool // and heard of just now, so that a group can count on it
}

// Take removes the first n of a pool who are surely there and returns them, or
// nobody if there are fewer: a group never starts short. If it only lacks
// certainty, another look is taken after the pause.
func (r *Room) Take(now time.Time, pool Pool, n int, presence func(participant string) Presence, pause time.Duration) []string {
	var sure []string
	unsure := 0
	for _, p := range r.queues[pool] {
		switch is := presence(p.Participant); {
		case is.Present && is.Sure:
			if sure = append(sure, p.Participant); len(sure) == n {
				delete(r.again, pool)
				r.known = false
				for _, p := range sure {
					r.Leave(p)
				}
				return sure
			}
		case is.Present:
			unsure++
		}
	}
	if n > 0 && len(sure)+unsure >= n {
		if r.again == nil {
			r.again = make(map[Pool]time.Time)
		}
		r.again[pool] = now.Add(pause)
		r.known = false
	}
	return nil
}

// Status says how things stand for a participant who waits.
func (r *Room) Status(now time.Time, participant string, presence func(participant string) Presence) (Status, bool) {
	me := r.places[participant]
	if me == nil {
		return Status{}, false
	}
	s := Status{Size: me.Pool.Size, Expected: -1, Left: -1}
	for _, p := range r.queues[me.Pool] {
		if p == me {
			s.Position = s.Present + 1
		}
		if p == me || presence(p.Participant).Present {
			s.Present++
		}
	}
	groups := (s.Position + s.Size - 1) / s.Size // that must be made, this one's included
	s.Missing = max(groups*s.Size-s.Present, 0)
	if seen := r.seen[me.Pool]; s.Missing == 0 {
		s.Expected = 0
	} else if len(seen) > 1 {
		s.Expected = time.Duration(s.Missing) * (now.Sub(seen[0]) / time.Duration(len(seen)))
	}
	if !me.Until.IsZero() {
		s.Left = max(me.Until.Sub(now), 0)
	}
	return s, true
}

// Next is when Due must be asked, if ever.
func (r *Room) Next() (time.Time, bool) {
	if !r.known {
		r.next, r.known = time.Time{}, true
		for _, p := range r.places {
			r.next = earliest(r.next, p.Until)
		}
		for _, at := range r.again {
			r.next = earliest(r.next, at)
		}
	}
	return r.next, !r.next.IsZero()
}

// Due removes those whose waiting is over by now, in the order of their
// turns, and returns them and the pools of which a group may be made now.
func (r *Room) Due(now time.Time) (over []Place, again []Pool) {
	if next, ok := r.Next(); !ok || next.After(now) {
		return nil, nil
	}
	for _, p := range r.places {
		if !p.Until.IsZero() && !p.Until.After(now) {
			over = append(over, *p)
		}
	}
	for pool, at := range r.again {
		if !at.After(now) {
			again = append(again, pool)
			delete(r.again, pool)
		}
	}
	for _, p := range over {
		r.Leave(p.Participant)
	}
	slices.SortFunc(over, func(a, b Place) int { return cmp.Compare(a.Turn, b.Turn) })
	slices.SortFunc(again, func(a, b Pool) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Size, b.Size)) })
	r.known = false
	return over, again
}

// earliest ignores zero times.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
