// Package groups keeps who plays with whom. It is not safe for concurrent use.
package groups

import "slices"

// Registry holds the groups. The zero value is empty.
type Registry struct {
	members map[string][]string // by group, sorted
	group   map[string]string   // by participant
}

// A Group is a set of participants; its members are sorted, so that everybody
// sees them in the same order.
type Group struct {
	Name    string
	Members []string
}

// Assign puts a participant into a group, out of any other one.
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

// Leave takes a participant out of the group. It returns the group with the
// members who are left; its name is empty if there was none.
func (r *Registry) Leave(participant string) Group {
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

// Named is the group of that name, without members if there is none.
func (r *Registry) Named(name string) Group {
	return Group{name, slices.Clone(r.members[name])}
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
