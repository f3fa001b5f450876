package server

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"initgrace/grace/protocol"
	"initgrace/server/eventlog"
	"initgrace/server/groups"
	"initgrace/server/store"
	"initgrace/server/study"
	"initgrace/server/vacancy"
	"initgrace/server/waitroom"
)

// ended decides how the study ends for a participant. It is decided once.
func (l *loop) ended(now time.Time, m *member, kind protocol.Outcome, partner string) {
	o := &m.session.Part.Outcome
	if o.Kind != "" {
		return
	}
	*o = store.Outcome{Kind: kind, Partner: partner, At: time.Now()}
	if plan := l.plan(m); plan != nil {
		pay := plan.Compensation
		if kind == protocol.Completed {
			pay = plan.Completion
		}
		o.Code, o.Link = pay.Code, pay.For(m.session.Participant)
	}
	l.mark(m)
	l.recordOf(now, m, eventlog.Record{Kind: eventlog.Outcome, Reason: string(kind), Partner: partner, Detail: o.Code})
	l.log.Info("outcome", "participant", m.session.Participant, "outcome", kind)
	l.tellOutcome(m)
}

// tellOutcome tells it again to each new page.
func (l *loop) tellOutcome(m *member) {
	if o := outcomeOf(m); o != nil {
		l.send(m, protocol.EventOutcome, protocol.EventOutcome, o)
	}
}

func outcomeOf(m *member) *protocol.Ended {
	o := m.session.Part.Outcome
	if o.Kind == "" {
		return nil
	}
	return &protocol.Ended{OK: true, Outcome: o.Kind, Code: o.Code, Link: o.Link, Partner: o.Partner}
}

func decodeFinish(payload json.RawMessage) (action, *protocol.Error) {
	if _, refused := into[struct{}](payload); refused != nil {
		return nil, refused
	}
	return func(l *loop, now time.Time, p *peer) (any, *protocol.Error) {
		m := l.members[p.participant]
		if o := m.session.Part.Outcome; o.Kind != "" && o.Kind != protocol.Completed {
			return nil, protocol.NewError(protocol.CodeStudyOver, "the study is over for the participant: "+string(o.Kind))
		}
		place, waited := l.lobby.room.Leave(p.participant)
		l.waited(m)
		l.ended(now, m, protocol.Completed, "")
		if waited {
			l.match(now, place.Pool)
		}
		return outcomeOf(m), nil
	}, nil
}

// bereft decides what becomes of a group of the wait room whose member is gone.
func (l *loop) bereft(now time.Time, gone *member, g groups.Group, why protocol.Reason) {
	plan := l.plan(gone)
	switch {
	case len(g.Members) == 0:
		l.lobby.vacancies.Close(g.Name)
	case plan == nil: // no study file: the page does what it thinks right
		l.dissolve(now, g, gone.session.Participant, why, false)
	case gone.session.Part.Outcome.Kind == protocol.Completed: // who has finished strands nobody
		l.regrouped(now, g, protocol.GroupChanged{Left: gone.session.Participant})
	case l.lobby.vacancies.Of(g.Name) != nil: // waiting since another one left
		v := l.vacate(now, g, plan, l.lobby.vacancies.Of(g.Name).Action, gone.session.Participant)
		pool := l.pool(l.members[g.Members[0]], v.Size)
		l.decideEarly(now, v)
		l.match(now, pool)
	default:
		l.act(now, g, plan, plan.Expiry.Do, gone.session.Participant, why)
	}
}

// act does to a group what the plan, its members or the time have decided.
func (l *loop) act(now time.Time, g groups.Group, plan *study.Plan, do study.Action, partner string, why protocol.Reason) {
	if do == study.Continue && len(g.Members) < plan.Expiry.Minimum {
		do = study.End
	}
	l.recordDecided(now, g, do, partner)
	switch do {
	case study.Continue:
		l.closeVacancy(g)
		l.regrouped(now, g, protocol.GroupChanged{Left: partner})
	case study.Requeue:
		l.dissolve(now, g, partner, why, true)
		var again []string
		for _, p := range g.Members {
			if l.members[p].session.Part.Outcome.Kind == "" {
				again = append(again, p)
			}
		}
		var pools []waitroom.Pool
		for _, p := range again { // each in its own pool: conditions may differ
			if pool := l.pool(l.members[p], plan.Size); !slices.Contains(pools, pool) {
				pools = append(pools, pool)
			}
		}
		for _, pool := range pools {
			of := slices.DeleteFunc(slices.Clone(again), func(p string) bool { return l.pool(l.members[p], plan.Size) != pool })
			for _, place := range l.lobby.room.Requeue(now, of, pool, plan.WaitTimeout) {
				l.waits(now, l.members[place.Participant], place)
			}
			l.match(now, pool)
		}
	case study.Replace, study.Ask:
		v := l.vacate(now, g, plan, string(do), partner)
		if do == study.Replace {
			l.match(now, l.pool(l.members[g.Members[0]], plan.Size))
		} else {
			l.decideEarly(now, v)
		}
	default:
		l.dissolve(now, g, partner, why, false)
		for _, p := range g.Members {
			l.ended(now, l.members[p], protocol.PartnerGone, partner)
		}
	}
}

func (l *loop) recordDecided(now time.Time, g groups.Group, do study.Action, partner string) {
	l.recordOf(now, l.members[g.Members[0]], eventlog.Record{Kind: eventlog.Decided, Group: g.Name, Reason: string(do), Partner: partner})
}

// dissolve ends a group.
func (l *loop) dissolve(now time.Time, g groups.Group, partner string, why protocol.Reason, requeued bool) {
	l.closeVacancy(g)
	for _, p := range g.Members {
		l.groups.Leave(p)
		m := l.members[p]
		requeued := requeued && m.session.Part.Outcome.Kind == "" // who has finished does not wait again
		reason := string(why)
		if requeued {
			reason = eventlog.ReasonRequeued
		}
		l.recordOf(now, m, eventlog.Record{Kind: eventlog.GroupLeft, Partner: partner, Reason: reason})
		m.session.Group = ""
		l.tracker.SetGroup(p, "")
		l.mark(m)
		l.send(m, "", protocol.EventGroupEnd, protocol.GroupEnd{Group: g.Name, Participant: partner, Reason: why, Requeued: requeued})
	}
}

// regrouped tells the members of a group who they are now.
func (l *loop) regrouped(now time.Time, g groups.Group, c protocol.GroupChanged) {
	c.Group, c.Members = g.Name, g.Members
	for _, p := range g.Members {
		if p != c.Joined {
			l.send(l.members[p], "", protocol.EventGroupChanged, c)
		}
	}
}

// vacate lets a group wait, and tells its members for what.
func (l *loop) vacate(now time.Time, g groups.Group, plan *study.Plan, do, partner string) *vacancy.Open {
	v := l.lobby.vacancies.Of(g.Name)
	if v != nil && v.Action != do { // asked first, and replace was the answer
		l.closeVacancy(g)
	}
	v = l.lobby.vacancies.Open(vacancy.Open{
		Group: g.Name, Action: do, Size: plan.Size, Partner: partner, Until: now.Add(plan.Expiry.Delay),
	})
	left := v.Until.Sub(now)
	for _, p := range g.Members {
		m := l.members[p]
		m.session.Part.Vacancy = &store.Vacancy{Action: v.Action, Size: v.Size, Partner: v.Partner, Until: l.wall(now, v.Until)}
		l.mark(m)
	}
	l.recordOf(now, l.members[g.Members[0]], eventlog.Record{
		Kind: eventlog.Vacancy, Group: g.Name, Reason: do, Partner: partner,
		Count: eventlog.Of(v.Size - len(g.Members)), Lease: eventlog.Milliseconds(left),
	})
	l.regrouped(now, g, protocol.GroupChanged{Left: partner, Missing: v.Size - len(g.Members), DeadlineMS: left.Milliseconds()})
	if do == string(study.Ask) {
		for _, p := range g.Members {
			l.ask(now, l.members[p], v)
		}
	}
	return v
}

// ask puts the question of a vacancy to a member.
func (l *loop) ask(now time.Time, m *member, v *vacancy.Open) {
	plan := l.plan(m)
	if plan == nil || v.Action != string(study.Ask) {
		return
	}
	a := protocol.Ask{Group: v.Group, Participant: v.Partner, Default: string(plan.Expiry.Otherwise), DeadlineMS: max(v.Until.Sub(now).Milliseconds(), 0)}
	for _, c := range plan.Expiry.Choices {
		a.Choices = append(a.Choices, string(c))
	}
	l.send(m, protocol.EventAsk, protocol.EventAsk, a)
}

func decodeAnswer(payload json.RawMessage) (action, *protocol.Error) {
	v, refused := into[protocol.Answer](payload)
	if refused != nil {
		return nil, refused
	}
	return func(l *loop, now time.Time, p *peer) (any, *protocol.Error) {
		m := l.members[p.participant]
		plan, open := l.plan(m), l.lobby.vacancies.Of(l.groups.Of(p.participant).Name)
		if plan == nil || open == nil || open.Action != string(study.Ask) {
			return nil, protocol.NewError(protocol.CodeNotAsked, "nothing is asked, or it has been decided")
		}
		if !slices.Contains(plan.Expiry.Choices, study.Action(v.Choice)) {
			var choices []string
			for _, c := range plan.Expiry.Choices {
				choices = append(choices, string(c))
			}
			return nil, invalid("choice must be one of " + strings.Join(choices, ", "))
		}
		open.Answer(p.participant, v.Choice)
		l.decideEarly(now, open)
		return struct {
			OK bool `json:"ok"`
		}{true}, nil
	}, nil
}

// decideEarly acts on a question that everybody has answered.
func (l *loop) decideEarly(now time.Time, v *vacancy.Open) {
	if v.Action != string(study.Ask) {
		return
	}
	g := l.groups.Named(v.Group)
	plan := l.plan(l.members[g.Members[0]])
	if choice, final := v.Decision(now, g.Members, string(plan.Expiry.Otherwise)); final {
		l.act(now, g, plan, study.Action(choice), v.Partner, protocol.ReasonPartner)
	}
}

// decide acts on a vacancy whose time is over.
func (l *loop) decide(now time.Time, v *vacancy.Open) {
	if l.lobby.vacancies.Of(v.Group) != v { // filled by what was decided of another one just now
		return
	}
	g := l.groups.Named(v.Group)
	if len(g.Members) == 0 {
		l.lobby.vacancies.Close(v.Group)
		return
	}
	plan := l.plan(l.members[g.Members[0]])
	if plan == nil { // the study file has changed meanwhile
		l.dissolve(now, g, v.Partner, protocol.ReasonPartner, false)
		return
	}
	if v.Action == string(study.Ask) {
		l.decideEarly(now, v)
		return
	}
	l.act(now, g, plan, plan.Expiry.Otherwise, v.Partner, protocol.ReasonPartner)
}

// fill puts who waits into the groups that lack somebody.
func (l *loop) fill(now time.Time, pool waitroom.Pool) {
	for _, v := range l.lobby.vacancies.Waiting(string(study.Replace)) {
		g := l.groups.Named(v.Group)
		if len(g.Members) == 0 || l.pool(l.members[g.Members[0]], v.Size) != pool || l.finished(g) {
			continue
		}
		for len(g.Members) < v.Size {
			took := l.lobby.room.Take(now, pool, 1, l.there(now), l.secondLook())
			if took == nil {
				return
			}
			l.groups.Assign(g.Name, took[0])
			g = l.groups.Named(g.Name)
			l.joined(now, l.members[took[0]], g)
			missing := v.Size - len(g.Members)
			if missing == 0 {
				l.closeVacancy(g)
			}
			l.regrouped(now, g, protocol.GroupChanged{Joined: took[0], Missing: missing})
			l.introduce(now, g, took[0])
		}
	}
}

// finished says whether the study is over for all of a group: nobody is to join
// them.
func (l *loop) finished(g groups.Group) bool {
	return !slices.ContainsFunc(g.Members, func(p string) bool { return l.members[p].session.Part.Outcome.Kind == "" })
}

// introduce tells the members of a group the state of a new one.
func (l *loop) introduce(now time.Time, g groups.Group, participant string) {
	snap, ok := l.tracker.State(now, participant)
	for _, p := range g.Members {
		if ok && p != participant {
			l.send(l.members[p], protocol.EventPartnerState+participant, protocol.EventPartnerState, partnerState(now, snap, ""))
		}
	}
}

// closeVacancy notes that a group waits for nobody any more.
func (l *loop) closeVacancy(g groups.Group) {
	l.lobby.vacancies.Close(g.Name)
	l.groups.Touch(g.Name) // who is alone may go on now
	for _, p := range g.Members {
		if m := l.members[p]; m.session.Part.Vacancy != nil {
			m.session.Part.Vacancy = nil
			l.mark(m)
		}
	}
}
