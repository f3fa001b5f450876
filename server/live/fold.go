package live

import (
	"encoding/json"
	"maps"
	"slices"

	"initgrace/grace/protocol"
	"initgrace/server/eventlog"
)

// fold is the state after some records. It is not safe for concurrent use.
type fold struct {
	run       string
	policy    json.RawMessage
	lanes     map[string]*lane
	dirty     []*lane // told anew by the next flush
	forgotten []string
	totals    Totals
	counted   bool  // totals changed
	last      int64 // when the latest record was made
}

// lane is a Lane and what of it was told to the viewers.
type lane struct {
	Lane
	dirty    bool
	sections int // of Sections: the last ones that nobody was told of
	gaps     int // of Gaps
	loads    map[loadKey]bool
}

type loadKey struct {
	id    string
	start int64
}

// maxLanes bounds the lanes of those who are gone: beyond it the one that went
// first is forgotten.
const maxLanes = 4000

func newFold() *fold {
	return &fold{lanes: make(map[string]*lane), totals: newTotals()}
}

func newTotals() Totals {
	return Totals{Gone: map[string]int64{}, Loads: map[string]int64{}, LoadTimes: map[string][]int64{}, Bounds: bounds}
}

func (f *fold) add(r *eventlog.Record) {
	f.totals.Records++
	f.counted = true
	before := f.last
	f.last = max(f.last, r.At.UnixMilli())
	switch r.Kind {
	case eventlog.RunStarted:
		f.run = r.Run
		for _, l := range f.lanes { // if it was killed, it said nothing
			if l.Presence != protocol.Gone && l.Presence != "" {
				f.touch(l)
				l.unknown(before)
			}
		}
		if json.Valid([]byte(r.Detail)) {
			f.policy = json.RawMessage(r.Detail)
		}
		return
	case eventlog.HandshakeRefused: // by whoever, in whoever's name
		f.totals.Refused += r.Count.Or(1)
		return
	case eventlog.RunStopped:
		return
	}
	if r.Participant == "" {
		return
	}
	l := f.lane(r.Participant)
	f.touch(l)
	if r.Experiment != "" {
		l.Experiment = r.Experiment
	}
	at := r.At.UnixMilli()
	switch r.Kind {
	case eventlog.Connected:
		f.totals.Connections++
		l.Connected, l.Epoch, l.Group = true, r.Epoch.Or(l.Epoch), r.Group
		l.section(at, r.Reason)
	case eventlog.Disconnected:
		if l.Epoch == r.Epoch.Or(0) {
			l.Connected = false
			l.section(at, r.Reason)
		}
	case eventlog.Presence:
		f.presence(l, r, at)
	case eventlog.Gap:
		l.Gaps = append(l.Gaps, Gap{at - r.Duration.Or(0), at, r.Reason})
		l.Gaps = l.Gaps[max(len(l.Gaps)-KeepGaps, 0):]
		l.gaps = min(l.gaps+1, len(l.Gaps))
	case eventlog.Suspended:
		l.unknown(at)
	case eventlog.Gone:
		f.totals.Gone[r.Reason]++
	case eventlog.LoadStarted:
		l.LoadCount++
		l.Loads = append(l.Loads, Load{ID: r.LoadID, Phase: r.Phase, Start: at, Lease: at + r.Lease.Or(0)})
		l.Loads = l.Loads[max(len(l.Loads)-KeepLoads, 0):]
		l.touch(&l.Loads[len(l.Loads)-1])
	case eventlog.LoadProgress:
		if load := l.open(r.LoadID); load != nil {
			load.Phase, load.Lease = r.Phase, load.Start+r.Lease.Or(0)
			l.touch(load)
		}
	case eventlog.LoadEnded:
		f.loadEnded(r)
		if load := l.open(r.LoadID); load != nil {
			load.End, load.Result = load.Start+r.Duration.Or(0), r.Reason
			l.touch(load)
		}
	case eventlog.Refused:
		l.Refused += r.Count.Or(1)
		f.totals.Refused += r.Count.Or(1)
	case eventlog.StateSaved:
		l.Scene = r.Scene
	case eventlog.Assigned:
		l.Condition = r.Detail
	case eventlog.Outcome:
		l.Outcome = r.Reason
	case eventlog.Waiting:
		l.Waiting = r.Count.Or(0)
	case eventlog.GroupJoined:
		l.Group, l.Waiting = r.Group, 0
	case eventlog.GroupLeft:
		if l.Presence != protocol.Gone { // who is gone stays beside the partners
			l.Group = ""
		}
	}
}

func (f *fold) presence(l *lane, r *eventlog.Record, at int64) {
	l.Reason, l.Phase, l.ExpectedMS, l.Deadline = r.Reason, r.Phase, r.Expected.Or(0), 0
	if r.Lease.Known {
		l.Deadline = at + r.Lease.N
	}
	if r.From == r.To && l.Presence == r.To {
		return
	}
	l.Presence, l.Since = r.To, at
	switch r.To {
	case protocol.Away:
		l.Drops++
		f.totals.Drops++
	case protocol.Blocked:
		l.Blocks++
		f.totals.Blocks++
	case protocol.Gone:
		l.Waiting = 0
	}
	l.section(at, r.Reason)
}

func (f *fold) loadEnded(r *eventlog.Record) {
	f.totals.Loads[r.Reason]++
	times := f.totals.LoadTimes[r.Reason]
	if times == nil {
		times = make([]int64, len(bounds)+1)
		f.totals.LoadTimes[r.Reason] = times
	}
	i, _ := slices.BinarySearch(bounds, float64(r.Duration.Or(0))/1000)
	times[i]++
}

func (f *fold) lane(participant string) *lane {
	l := f.lanes[participant]
	if l == nil {
		if len(f.lanes) >= maxLanes {
			f.forget()
		}
		l = &lane{Lane: Lane{Participant: participant}, loads: make(map[loadKey]bool)}
		f.lanes[participant] = l
	}
	return l
}

// forget lets go of the lane that went first. Those who hold a seat are kept,
// as many as they are.
func (f *fold) forget() {
	var first *lane
	for _, l := range f.lanes {
		if l.Presence == protocol.Gone && !l.dirty && (first == nil || l.Since < first.Since) {
			first = l
		}
	}
	if first != nil {
		delete(f.lanes, first.Participant)
		f.forgotten = append(f.forgotten, first.Participant)
	}
}

func (f *fold) touch(l *lane) {
	if !l.dirty {
		l.dirty = true
		f.dirty = append(f.dirty, l)
	}
}

// unknown ends what is known of a lane: nobody looks until the next run.
func (l *lane) unknown(at int64) {
	l.Presence, l.Connected, l.Deadline = "", false, 0
	l.section(at, string(protocol.ReasonRestart))
}

func (l *lane) section(at int64, reason string) {
	l.Sections = append(l.Sections, Section{at, l.Presence, l.Connected, reason})
	l.Sections = l.Sections[max(len(l.Sections)-KeepSections, 0):]
	l.sections = min(l.sections+1, len(l.Sections))
}

// open is the open load of that id, if it is known.
func (l *lane) open(id string) *Load {
	for i := len(l.Loads) - 1; i >= 0; i-- {
		if l.Loads[i].ID == id && l.Loads[i].End == 0 {
			return &l.Loads[i]
		}
	}
	return nil
}

func (l *lane) touch(load *Load) { l.loads[loadKey{load.ID, load.Start}] = true }

// whole is all of a lane. It shares nothing with it that changes.
func (l *lane) whole() Lane {
	c := l.Lane
	c.Sections, c.Gaps, c.Loads = slices.Clone(l.Sections), slices.Clone(l.Gaps), slices.Clone(l.Loads)
	return c
}

// take is what changed of a lane since the last take.
func (l *lane) take() Lane {
	c := l.Lane
	c.Sections = slices.Clone(l.Sections[len(l.Sections)-l.sections:])
	c.Gaps = slices.Clone(l.Gaps[len(l.Gaps)-l.gaps:])
	c.Loads = nil
	for _, load := range l.Loads {
		if l.loads[loadKey{load.ID, load.Start}] {
			c.Loads = append(c.Loads, load)
		}
	}
	clear(l.loads)
	l.sections, l.gaps, l.dirty = 0, 0, false
	return c
}

func (t *Totals) clone() *Totals {
	c := *t
	c.Gone, c.Loads, c.LoadTimes = maps.Clone(t.Gone), maps.Clone(t.Loads), map[string][]int64{}
	for result, times := range t.LoadTimes {
		c.LoadTimes[result] = slices.Clone(times)
	}
	return &c
}

// changes takes what is new, or nil.
func (f *fold) changes(now int64) *Message {
	if len(f.dirty) == 0 && len(f.forgotten) == 0 && !f.counted {
		return nil
	}
	m := &Message{Now: now, Forgotten: f.forgotten, Totals: f.totals.clone()}
	for _, l := range f.dirty {
		m.Lanes = append(m.Lanes, l.take())
	}
	clear(f.dirty)
	f.dirty, f.forgotten, f.counted = f.dirty[:0], nil, false
	return m
}

// chunk is how many lanes one message of a snapshot has, so that a browser
// parses each within a frame.
const chunk = 40

// snapshot is everything, in pieces.
func (f *fold) snapshot(now int64, points []Point) []*Message {
	first := &Message{Reset: true, Now: now, Run: f.run, Policy: f.policy, Totals: f.totals.clone(), Points: points}
	messages := []*Message{first}
	last := first
	for _, name := range slices.Sorted(maps.Keys(f.lanes)) {
		if last == first || len(last.Lanes) == chunk {
			last = &Message{Now: now}
			messages = append(messages, last)
		}
		last.Lanes = append(last.Lanes, f.lanes[name].whole())
	}
	last.Complete = true
	return messages
}
