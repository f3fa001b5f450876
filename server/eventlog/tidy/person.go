package tidy

import (
	"slices"
	"strings"
	"time"

	"initgrace/grace/protocol"
	"initgrace/server/eventlog"
)

// person is where the fold is with one participant.
type person struct {
	id   string
	rows map[string]*Participant // by experiment
	row  *Participant            // what now happens counts here

	run      *run
	presence protocol.Presence // empty: no seat, or not known
	at       int64             // accounted for up to here, by the run's clock
	since    int64             // of presence
	group    *group
	mark     int64 // reading of the group at at

	total    total // of all rows
	loads    []*openLoad
	expired  []*openLoad         // the page may still complete them
	partners map[string]struct{} // at most maxPartners and one more
}

// total is what the loads take differences of.
type total struct{ loading, away, wait, drops int64 }

type openLoad struct {
	Load
	run    *run
	began  int64 // by the run's clock
	before total
}

const maxPartners = 20

func (p *person) meets(other *person) {
	if other.id != p.id && len(p.partners) <= maxPartners {
		if p.partners == nil {
			p.partners = make(map[string]struct{})
		}
		p.partners[other.id] = struct{}{}
	}
}

func (p *person) partnerIDs() string {
	if len(p.partners) > maxPartners {
		return ""
	}
	var ids []string
	for id := range p.partners {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return strings.Join(ids, " ")
}

func (p *person) seated() bool { return p.presence != "" && p.presence != protocol.Gone }

// settle accounts for the time since the last settling.
func (p *person) settle() {
	now := p.run.now
	spent := now - p.at
	r, t := p.row, &p.total
	waits := true
	switch p.presence {
	case protocol.Active:
		r.Active += spent
		waits = false
	case protocol.Loading:
		r.Loading += spent
		t.loading += spent
	case protocol.Blocked:
		r.Blocked += spent
		r.LongestBlocked = max(r.LongestBlocked, now-p.since)
	case protocol.Away:
		r.Away += spent
		t.away += spent
		r.LongestAway = max(r.LongestAway, now-p.since)
	default:
		waits = false
	}
	if p.group != nil {
		reading := p.group.read(now)
		if waits {
			wait := reading - p.mark - spent // without the participant's own seat
			r.PartnerWait += wait
			t.wait += wait
		}
		p.mark = reading
	}
	p.at = now
}

func (p *person) setPresence(to protocol.Presence) {
	p.settle()
	if to == p.presence {
		return
	}
	was := p.seated()
	p.presence, p.since = to, p.run.now
	if is := p.seated(); is != was && p.group != nil {
		p.group.count(p.run.now, true, map[bool]int64{true: 1, false: -1}[is])
	}
}

func (p *person) setGroup(name string) {
	p.settle()
	if p.group != nil && p.group.name == name {
		return
	}
	if p.group != nil {
		if p.group.remove(p.run.now, p); len(p.group.members) == 0 {
			delete(p.run.groups, p.group.name)
		}
		p.group = nil
	}
	if name == "" {
		return
	}
	p.row.Group = name
	p.group = p.run.group(name)
	p.group.add(p.run.now, p)
	p.mark = p.group.read(p.run.now)
}

// enter moves a participant to another run. What was going on in the earlier
// one lasted until the last thing that its log says.
func (p *person) enter(r *run) {
	if p.run != nil {
		p.setPresence("")
		p.setGroup("")
	}
	p.run, p.at, p.since = r, r.now, r.now
}

// begin opens a load.
func (p *person) begin(r *eventlog.Record) *openLoad {
	l := &openLoad{
		Load: Load{
			Participant: p.id, Experiment: r.Experiment, Group: r.Group, ID: r.LoadID, Phase: r.Phase, LastPhase: r.Phase,
			Started: r.At, Result: LoadOpen, Expected: r.Expected, Lease: r.Lease,
		},
		run: p.run, began: p.run.now, before: p.total,
	}
	p.loads = append(p.loads, l)
	p.row.Loads++
	return l
}

// load finds an open load.
func (p *person) load(id string) *openLoad {
	if i := slices.IndexFunc(p.loads, func(l *openLoad) bool { return l.ID == id }); i >= 0 {
		return p.loads[i]
	}
	return nil
}

// end closes an open load.
func (p *person) end(r *eventlog.Record) *openLoad {
	l := p.load(r.LoadID)
	if l == nil { // it began before the log did
		l = p.begin(r)
		p.row.Loads--
		l.Started = r.At.Add(-time.Duration(r.Duration.Or(0)) * time.Millisecond)
	}
	p.loads = slices.DeleteFunc(p.loads, func(o *openLoad) bool { return o == l })
	l.account(p.total)
	l.Ended, l.Result, l.Detail, l.Duration = r.At, r.Reason, r.Detail, r.Duration
	l.LastPhase, l.Expected, l.Lease = r.Phase, r.Expected, r.Lease
	l.PageBlocked, l.LongestBlock = r.Blocked, r.LongestBlock
	p.row.measured(r)
	p.row.LongestLoad = max(p.row.LongestLoad, r.Duration.Or(0))
	switch r.Reason {
	case eventlog.LoadFailed:
		p.row.Failed++
	case eventlog.LoadExpired:
		p.row.Expired++
	case eventlog.LoadAbandoned:
		p.row.Abandoned++
	}
	return l
}

// late adds what the page said of a load after its lease had run out.
func (p *person) late(r *eventlog.Record) *openLoad {
	p.row.measured(r)
	i := slices.IndexFunc(p.expired, func(l *openLoad) bool { return l.ID == r.LoadID })
	if i < 0 {
		return nil
	}
	l := p.expired[i]
	p.expired = slices.Delete(p.expired, i, i+1)
	l.PageBlocked, l.LongestBlock = r.Blocked, r.LongestBlock
	since := r.At.Sub(l.Started).Milliseconds()
	if l.run == p.run { // else there is only the wall clock
		since = p.run.now - l.began
	}
	l.Late = eventlog.Of(max(since-l.Duration.Or(0), 0))
	return l
}

func (l *openLoad) account(now total) {
	l.Loading, l.Away = now.loading-l.before.loading, now.away-l.before.away
	l.Grace = l.Loading + l.Away
	l.PartnerWait, l.Drops = now.wait-l.before.wait, now.drops-l.before.drops
}

// measured adds the page's own measurements.
func (p *Participant) measured(r *eventlog.Record) {
	if r.Blocked.Known {
		p.PageBlocked = eventlog.Of(p.PageBlocked.Or(0) + r.Blocked.N)
	}
	if r.LongestBlock.Known {
		p.LongestBlock = eventlog.Of(max(p.LongestBlock.Or(0), r.LongestBlock.N))
	}
}
