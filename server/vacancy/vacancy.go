// Package vacancy keeps what groups wait for since a member is gone: somebody
// to take the place, or the answers of the others. It is pure, as waitroom is.
package vacancy

import (
	"cmp"
	"slices"
	"time"
)

// Open is a group that waits for a decision.
type Open struct {
	Group   string
	Action  string // what it waits for
	Size    int    // of the group when it is complete
	Partner string // who left last
	Until   time.Time

	answers map[string]string
}

// Book holds the vacancies. The zero value is empty.
type Book struct{ open map[string]*Open }

// Open notes that a group waits. One that waits already goes on with its
// deadline, so that nobody waits longer because somebody else has left, too.
func (b *Book) Open(v Open) *Open {
	if old := b.open[v.Group]; old != nil {
		old.Partner = v.Partner
		return old
	}
	if b.open == nil {
		b.open = make(map[string]*Open)
	}
	b.open[v.Group] = &v
	return &v
}

// Of is what the group waits for, nil if nothing.
func (b *Book) Of(group string) *Open { return b.open[group] }

// Close forgets a group.
func (b *Book) Close(group string) { delete(b.open, group) }

// Waiting lists the groups that wait for an action, those that wait longest
// first.
func (b *Book) Waiting(action string) []*Open {
	var out []*Open
	for _, v := range b.open {
		if v.Action == action {
			out = append(out, v)
		}
	}
	sortByDeadline(out)
	return out
}

// Answer notes what a member wants. A later answer replaces an earlier one.
func (v *Open) Answer(member, choice string) {
	if v.answers == nil {
		v.answers = make(map[string]string)
	}
	v.answers[member] = choice
}

// Decision is what the members have chosen: what most of them want, or the
// fallback on a tie. It is final when all have answered, or when the time is
// over; then those who have not do not count.
func (v *Open) Decision(now time.Time, members []string, fallback string) (choice string, final bool) {
	votes := make(map[string]int)
	answered := 0
	for _, m := range members {
		if choice := v.answers[m]; choice != "" {
			votes[choice]++
			answered++
		}
	}
	if answered < len(members) && now.Before(v.Until) {
		return "", false
	}
	most := 0
	for _, n := range votes {
		most = max(most, n)
	}
	for c, n := range votes {
		switch {
		case n < most:
		case choice == "":
			choice = c
		default:
			return fallback, true
		}
	}
	return cmp.Or(choice, fallback), true
}

// Next is when Due must be asked, if ever.
func (b *Book) Next() (at time.Time, ok bool) {
	for _, v := range b.open {
		if !ok || v.Until.Before(at) {
			at, ok = v.Until, true
		}
	}
	return at, ok
}

// Due lists the vacancies whose time is over by now. They stay until Close.
func (b *Book) Due(now time.Time) []*Open {
	var out []*Open
	for _, v := range b.open {
		if !v.Until.After(now) {
			out = append(out, v)
		}
	}
	sortByDeadline(out)
	return out
}

func sortByDeadline(all []*Open) {
	slices.SortFunc(all, func(a, b *Open) int { return cmp.Or(a.Until.Compare(b.Until), cmp.Compare(a.Group, b.Group)) })
}
