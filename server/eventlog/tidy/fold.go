// Package tidy computes, in one pass over the event log, the tables that an
// analysis begins with: one row for each participant, one for each load.
package tidy

import (
	"initgrace/grace/protocol"
	"initgrace/server/eventlog"
)

// A Fold takes the records of a log, all of them and in order. It needs memory
// for the participants, not for the records.
type Fold struct {
	// Load, if set, is called for each load when it has ended.
	Load func(*Load) error

	runs   map[string]*run
	people map[string]*person
	order  []*person
	rows   []*Participant // in the order in which the log first names them
	err    error          // of Load
}

// Add takes the next record. The error is that of Load.
func (f *Fold) Add(r *eventlog.Record) error {
	run := f.run(r)
	// Whom a refused handshake claimed to be has nothing to do with it.
	if r.Participant == "" || r.Kind == eventlog.HandshakeRefused {
		return f.err
	}
	p := f.person(r)
	if p.run != run {
		p.enter(run)
	}
	f.apply(p, r)
	return f.err
}

// Close ends the log: what is going on lasted until its end. It calls
// participant for each participant.
func (f *Fold) Close(participant func(*Participant) error) error {
	for _, p := range f.order {
		f.forgetExpired(p)
		for _, l := range p.loads {
			p.settle()
			l.account(p.total)
			if l.run == p.run {
				l.Duration = eventlog.Of(p.run.now - l.began)
			}
			f.emit(l)
		}
	}
	for _, p := range f.order {
		p.settle()
		for _, row := range p.rows {
			row.Partners = p.partnerIDs()
		}
	}
	for _, row := range f.rows {
		if f.err != nil {
			break
		}
		row.Present = row.Active + row.Loading + row.Blocked + row.Away
		row.Grace = row.Loading + row.Blocked + row.Away
		f.err = participant(row)
	}
	return f.err
}

func (f *Fold) run(r *eventlog.Record) *run {
	x := f.runs[r.Run]
	if x == nil {
		if f.runs == nil {
			f.runs = make(map[string]*run)
		}
		x = &run{groups: make(map[string]*group)}
		f.runs[r.Run] = x
	}
	x.now = max(x.now, r.Mono)
	return x
}

// person finds the participant, and the row that the record counts in.
func (f *Fold) person(r *eventlog.Record) *person {
	p := f.people[r.Participant]
	if p == nil {
		if f.people == nil {
			f.people = make(map[string]*person)
		}
		p = &person{id: r.Participant, rows: make(map[string]*Participant, 1)}
		f.people[p.id] = p
		f.order = append(f.order, p)
	}
	row := p.rows[r.Experiment]
	if row == nil {
		row = &Participant{Participant: p.id, Experiment: r.Experiment, First: r.At}
		p.rows[r.Experiment] = row
		f.rows = append(f.rows, row)
	}
	row.Last = r.At
	p.row = row
	return p
}

// apply is what each kind of record means.
func (f *Fold) apply(p *person, r *eventlog.Record) {
	row := p.row
	switch r.Kind {
	case eventlog.Connected:
		row.Connections++
		if r.Reason == string(protocol.ReasonRefreshed) {
			row.Refreshes++
			f.forgetExpired(p)
		}
	case eventlog.Presence:
		f.change(p, r)
	case eventlog.Suspended:
		p.setPresence("")
		p.setGroup("")
	case eventlog.Gone:
		f.forgetExpired(p)
		row.OutcomeReason = r.Reason
	case eventlog.LoadStarted:
		p.settle()
		p.begin(r)
	case eventlog.LoadProgress:
		if l := p.load(r.LoadID); l != nil {
			l.LastPhase, l.Expected, l.Lease = r.Phase, r.Expected, r.Lease
			l.Extensions += r.Count.Or(1)
		}
	case eventlog.LoadEnded:
		p.settle()
		if l := p.end(r); l.Result == eventlog.LoadExpired {
			f.keepExpired(p, l)
		} else {
			f.emit(l)
		}
	case eventlog.LoadLate:
		if l := p.late(r); l != nil {
			f.emit(l)
		}
	case eventlog.GroupJoined:
		p.setGroup(r.Group)
		row.WaitRoom += r.Duration.Or(0)
	case eventlog.GroupLeft:
		p.setGroup("")
	case eventlog.MessagesSent:
		row.Sent += r.Count.Or(0)
	case eventlog.MessagesReceived:
		row.Received += r.Count.Or(0)
	case eventlog.Dropped:
		row.Dropped += r.Count.Or(0)
	case eventlog.Refused:
		row.Refused += r.Count.Or(1)
	case eventlog.StateSaved:
		row.Saves += r.Count.Or(1)
		row.Scene = r.Scene
	case eventlog.Assigned:
		row.Condition, row.SceneOrder = r.Detail, r.Scene
	case eventlog.Outcome:
		row.StudyOutcome = r.Reason
	}
}

func (f *Fold) change(p *person, r *eventlog.Record) {
	row, from := p.row, p.presence
	if from == "" {
		from = r.From // as an earlier run left it
	}
	switch {
	case r.From == "":
		row.Seats++
	case r.To == protocol.Away && from != protocol.Away && r.Reason != string(protocol.ReasonRestart):
		row.Drops++
		p.total.drops++
	case r.To == protocol.Blocked && from != protocol.Blocked:
		row.Blocks++
	}
	p.setPresence(r.To)
	p.setGroup(r.Group) // known already, but for a seat that another run left
	row.Outcome, row.OutcomeReason = string(r.To), r.Reason
}

func (f *Fold) emit(l *openLoad) {
	if f.Load != nil && f.err == nil {
		f.err = f.Load(&l.Load)
	}
}

// maxExpired is how many expired loads of a participant wait to be completed.
const maxExpired = 8

func (f *Fold) keepExpired(p *person, l *openLoad) {
	if p.expired = append(p.expired, l); len(p.expired) > maxExpired {
		f.emit(p.expired[0])
		p.expired = p.expired[1:]
	}
}

// forgetExpired gives up waiting for the page that loaded.
func (f *Fold) forgetExpired(p *person) {
	for _, l := range p.expired {
		f.emit(l)
	}
	p.expired = nil
}
