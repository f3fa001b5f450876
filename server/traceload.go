package server

import (
	"slices"
	"time"

	"initgrace/grace"
	"initgrace/grace/protocol"
	"initgrace/server/eventlog"
)

// An openLoad is a load as the last record of it told.
type openLoad struct {
	id, phase       string
	expected        time.Duration
	start, deadline time.Time
}

func openLoads(now time.Time, loads []grace.SnapshotLoad) []openLoad {
	var open []openLoad
	for _, l := range loads {
		open = append(open, openLoad{l.ID, l.Phase, l.Expected, now.Add(-l.Elapsed), now.Add(l.Remaining)})
	}
	return open
}

func (o *openLoad) record(kind eventlog.Kind) eventlog.Record {
	r := eventlog.Record{Kind: kind, LoadID: o.id, Phase: o.phase, Lease: eventlog.Milliseconds(o.deadline.Sub(o.start))}
	if o.expected > 0 {
		r.Expected = eventlog.Milliseconds(o.expected)
	}
	return r
}

// traceLoads is recordLoads with the loads that are open now.
func (l *loop) traceLoads(now time.Time, m *member, why protocol.Reason) {
	if snap, ok := l.tracker.State(now, m.session.Participant); ok {
		l.recordLoads(now, m, snap.Loads, why)
	}
}

// recordLoads writes what has become of a participant's loads since the last
// record of them: begun, got on, or ended without a word from the page. Why is
// what happened meanwhile.
func (l *loop) recordLoads(now time.Time, m *member, loads []grace.SnapshotLoad, why protocol.Reason) {
	if len(loads)+len(m.trace.loads) == 0 {
		return
	}
	open := openLoads(now, loads)
	for i := range m.trace.loads {
		was := &m.trace.loads[i]
		if !slices.ContainsFunc(open, func(o openLoad) bool { return o.id == was.id }) {
			l.recordLoadLost(now, m, was, why)
		}
	}
	for i := range open {
		o := &open[i]
		at := slices.IndexFunc(m.trace.loads, func(was openLoad) bool { return was.id == o.id })
		switch {
		case at < 0:
			l.recordOf(now, m, o.record(eventlog.LoadStarted))
		case !o.same(&m.trace.loads[at]):
			l.recordChatter(now, m, o.record(eventlog.LoadProgress))
		}
	}
	m.trace.loads = open
}

func (o *openLoad) same(was *openLoad) bool {
	return o.phase == was.phase && o.expected == was.expected && o.deadline.Equal(was.deadline)
}

// recordLoadLost writes the end of a load that the page did not complete.
func (l *loop) recordLoadLost(now time.Time, m *member, was *openLoad, why protocol.Reason) {
	r := was.record(eventlog.LoadEnded)
	end := now
	if was.deadline.After(now) {
		r.Reason, r.Detail = eventlog.LoadAbandoned, string(why)
	} else {
		r.Reason, end = eventlog.LoadExpired, was.deadline
	}
	r.Duration = eventlog.Milliseconds(end.Sub(was.start))
	l.recordOf(now, m, r)
}

// recordLoadEnd writes that the page completed a load.
func (l *loop) recordLoadEnd(now time.Time, m *member, ended grace.EndedLoad, v protocol.LoadComplete) {
	at := slices.IndexFunc(m.trace.loads, func(o openLoad) bool { return o.id == ended.ID })
	r := eventlog.Record{Kind: eventlog.LoadEnded, LoadID: ended.ID, Phase: ended.Phase}
	if at >= 0 {
		r = m.trace.loads[at].record(eventlog.LoadEnded)
		m.trace.loads = slices.Delete(m.trace.loads, at, at+1)
	}
	r.Duration, r.Reason, r.Detail = eventlog.Milliseconds(ended.Took), eventlog.LoadOK, v.Reason
	if v.Error {
		r.Reason = eventlog.LoadFailed
	}
	measured(&r, v)
	l.recordOf(now, m, r)
}

// recordLoadLate keeps what the page measured of a load that had ended before
// it could say so.
func (l *loop) recordLoadLate(now time.Time, m *member, v protocol.LoadComplete) {
	r := eventlog.Record{Kind: eventlog.LoadLate, LoadID: v.ID}
	measured(&r, v)
	l.recordChatter(now, m, r)
}

// measured copies the page's own measurements; a page that measured none
// leaves both fields out.
func measured(r *eventlog.Record, v protocol.LoadComplete) {
	if v.BlockedMS != 0 || v.LongestBlockMS != 0 {
		r.Blocked, r.LongestBlock = eventlog.Of(v.BlockedMS), eventlog.Of(v.LongestBlockMS)
	}
}
