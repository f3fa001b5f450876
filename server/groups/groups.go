// Package groups keeps who plays with whom. It is not safe for concurrent use.
package groups

import "slices"

// Registry holds the groups. The zero value is empty.
type Registry struct {
	members map[string][]string // by group, sorted
	group   map[string]string   // by participant
	touched []string
	noted   map[string]bool // of touched
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
	r.Touch(group)
}

// Touch notes that something in a group has changed. A change of its members is
// noted by itself.
func (r *Registry) Touch(group string) {
	if group == "" || r.noted[group] {
		return
	}
	if r.noted == nil {
		r.noted = make(map[string]bool)
	}
	r.noted[group] = true
	r.touched = append(r.touched, group)
}

// Touched takes the names of the groups in which something has changed.
func (r *Registry) Touched() []string {
	t := r.touched
	r.touched = nil
	clear(r.noted)
	return t
}

// Leave takes a participant out of the group. It returns the group with the
// members who are left; its name is empty if there was none.
func (r *Registry) Leave(participant string) Group {
	name, ok := r.group[participant]
	if !ok {
		return Group{}
	}
	delete(r.group, participant)
	r.Touch(name)
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
