// Package groups keeps who plays with whom, and who waits to. It knows nothing
// of connections: whether somebody is present is asked of the caller, at the
// moment when it matters. It is not safe for concurrent use.
package groups

import "slices"

// Registry holds the groups and the wait room. The zero value is empty.
type Registry struct {
	members map[string][]string // by group, sorted
	group   map[string]string   // by participant
	waiting []waiter            // in the order of their arrival
}

type waiter struct {
	participant string
	size        int
}

// A Group is a set of participants; its members are sorted, so that everybody
// sees them in the same order.
type Group struct {
	Name    string
	Members []string
}

// Assign puts a participant into a group, out of the wait room and out of any
// other group.
func (r *Registry) Assign(group, participant string) {
	if r.group[participant] == group {
		return
	}
	r.Leave(participant)
	if r.group == nil {
		r.group, r.members = make(map[string]string), make(map[string][]string)
	}
	r.group[participant] = group
	m := append(r.members[group], participant)
	slices.Sort(m)
	r.members[group] = m
}

// Leave takes a participant out of group and wait room. It returns the group
// with the members who are left; its name is empty if there was none.
func (r *Registry) Leave(participant string) Group {
	r.StopWaiting(participant)
	name, ok := r.group[participant]
	if !ok {
		return Group{}
	}
	delete(r.group, participant)
	left := slices.DeleteFunc(r.members[name], func(p string) bool { return p == participant })
	if len(left) == 0 {
		delete(r.members, name)
	} else {
		r.members[name] = left
	}
	return Group{name, slices.Clone(left)}
}

// Of is the participant's group; its name is empty if there is none.
func (r *Registry) Of(participant string) Group {
	name, ok := r.group[participant]
	if !ok {
		return Group{}
	}
	return Group{name, slices.Clone(r.members[name])}
}

// Partners are the others in the participant's group.
func (r *Registry) Partners(participant string) []string {
	return slices.DeleteFunc(r.Of(participant).Members, func(p string) bool { return p == participant })
}

// Wait puts a participant at the end of the wait room for a group of that
// size. Who waits for that size already keeps the place.
func (r *Registry) Wait(participant string, size int) {
	if slices.Contains(r.waiting, waiter{participant, size}) {
		return
	}
	r.StopWaiting(participant)
	r.waiting = append(r.waiting, waiter{participant, size})
}

// StopWaiting takes a participant out of the wait room.
func (r *Registry) StopWaiting(participant string) {
	r.waiting = slices.DeleteFunc(r.waiting, func(w waiter) bool { return w.participant == participant })
}

// Waiting lists who waits for a group of that size, first come first.
func (r *Registry) Waiting(size int) []string {
	var out []string
	for _, w := range r.waiting {
		if w.size == size {
			out = append(out, w.participant)
		}
	}
	return out
}

// Size is the group size a participant waits for, or 0.
func (r *Registry) Size(participant string) int {
	for _, w := range r.waiting {
		if w.participant == participant {
			return w.size
		}
	}
	return 0
}

// Match makes one group of the first participants who wait for that size and
// are present, or none if there are too few: a group is never started short.
func (r *Registry) Match(size int, present func(participant string) bool, name func() string) (Group, bool) {
	var first []string
	for _, p := range r.Waiting(size) {
		if present(p) {
			if first = append(first, p); len(first) == size {
				break
			}
		}
	}
	if size < 2 || len(first) < size {
		return Group{}, false
	}
	g := name()
	for _, p := range first {
		r.Assign(g, p)
	}
	return r.Of(first[0]), true
}
