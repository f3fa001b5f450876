package server

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"slices"
	"time"

	"golang.org/x/time/rate"

	"initgrace/grace"
	"initgrace/grace/protocol"
	"initgrace/server/eventlog"
)

// journal collects the records of the event log. They are stored with the
// sessions of the same batch, so that whatever was acked is in the log too.
type journal struct {
	run     string
	start   time.Time // of the run, by the policy's clock
	seq     int64
	records []eventlog.Record // not handed to the committer yet
	storing int               // how many the committer has
	spare   []eventlog.Record // memory of a batch that is stored
	refused map[protocol.Code]*refusedHandshakes
	stopped bool
}

// refusedHandshakes are those of one code since the last record of them.
type refusedHandshakes struct {
	recorded            time.Time
	count               int64
	participant, detail string // of the latest
}

func (j *journal) take() []eventlog.Record {
	r := j.records
	j.records, j.spare, j.storing = j.spare, nil, len(r)
	return r
}

// settle learns what became of a batch's records. What could not be stored
// stays at the front of the next batch.
func (j *journal) settle(r []eventlog.Record, err error) {
	j.storing = 0
	if err != nil {
		j.records = append(r, j.records...)
		return
	}
	clear(r) // their texts
	j.spare = r[:0]
}

// since is the policy's time in the log: whole milliseconds since the run
// began. Durations are differences of these, so that they add up.
func (j *journal) since(now time.Time) int64 { return now.Sub(j.start).Milliseconds() }

// record appends to the log.
func (l *loop) record(now time.Time, r eventlog.Record) {
	j := &l.journal
	j.seq++
	r.Run, r.Seq, r.Mono = j.run, j.seq, j.since(now)
	r.At = now.Add(l.clock.paused)
	l.metrics.Record(&r)
	j.records = append(j.records, r)
}

// recordOf appends what happened to a participant.
func (l *loop) recordOf(now time.Time, m *member, r eventlog.Record) {
	s := &m.session
	r.Participant, r.Experiment = s.Participant, s.Experiment
	if r.Group == "" {
		r.Group = s.Group
	}
	if !r.Epoch.Known {
		r.Epoch = eventlog.Of(s.Epoch)
	}
	l.record(now, r)
}

// recordStart begins the log of this run.
func (l *loop) recordStart(now time.Time) {
	random := make([]byte, 4)
	rand.Read(random)
	l.journal.start = now
	l.journal.run = now.UTC().Format("20060102T150405Z-") + hex.EncodeToString(random)
	l.record(now, eventlog.Record{Kind: eventlog.RunStarted, Detail: policyText(l.tracker.Policy())})
}

// recordStop ends it, and closes the books on everybody who is not gone.
func (l *loop) recordStop(now time.Time) {
	l.recordHandshakes(now, 0)
	for _, m := range l.members {
		if m.gone() || m.session.Presence == "" {
			continue
		}
		l.recordOf(now, m, eventlog.Record{
			Kind: eventlog.Suspended, From: m.session.Presence,
			Reason: string(protocol.ReasonRestart), Duration: l.spell(now, m),
		})
	}
	l.record(now, eventlog.Record{Kind: eventlog.RunStopped})
	l.journal.stopped = true
}

// policyText is the policy in force, for the methods section of a paper.
func policyText(p grace.Policy) string {
	ms := time.Duration.Milliseconds
	text, _ := json.Marshal(map[string]int64{ // which cannot fail
		"probe_interval_ms": ms(p.ProbeInterval), "silence_timeout_ms": ms(p.SilenceTimeout),
		"blocked_after_ms": ms(p.BlockedAfter), "blocked_timeout_ms": ms(p.BlockedTimeout),
		"load_timeout_ms": ms(p.LoadTimeout), "load_cap_ms": ms(p.LoadCap),
		"load_budget_ms": ms(p.LoadBudget), "load_count": int64(p.LoadCount),
		"reconnect_timeout_ms": ms(p.ReconnectTimeout), "leave_timeout_ms": ms(p.LeaveTimeout),
		"page_timeout_ms": ms(p.PageTimeout),
	})
	return string(text)
}

// trace is what the log remembers of a member between two records.
type trace struct {
	seated, connected, waiting time.Time // since when; zero: not

	spell eventlog.Int // when the last record of presence was written; missing: in no record of this run
	loads []openLoad

	sent, received tally                   // messages
	held, dropped  tally                   // events, of those that are not superseded by later ones
	refused        map[protocol.Code]int64 // since the first, which has a record
	chatter        *rate.Limiter
	skipped        map[eventlog.Kind]int64
}

// tally counts what is too frequent for a record each.
type tally struct{ count, bytes int64 }

func (t *tally) add(bytes int) {
	t.count++
	t.bytes += int64(bytes)
}

func (t *tally) merge(other *tally) {
	t.count, t.bytes = t.count+other.count, t.bytes+other.bytes
	*other = tally{}
}

// kept counts an event that could not be sent at once: held back, or not even
// that.
func (t *trace) kept(key string, frame []byte, held bool) {
	switch {
	case !held:
		t.dropped.add(len(frame))
	case key == "":
		t.held.add(len(frame))
	}
}

// recordTally writes a tally, if there is anything in it.
func (l *loop) recordTally(now time.Time, m *member, t *tally, r eventlog.Record) {
	if t.count == 0 {
		return
	}
	r.Count, r.Bytes = eventlog.Of(t.count), eventlog.Of(t.bytes)
	*t = tally{}
	l.recordOf(now, m, r)
}

const (
	// A page can make the log grow as fast as it sends. Of the kinds that it
	// can repeat at will, a participant's log takes chatterBurst at once and
	// chatterRate a second for ever; a record then says for how many it stands.
	chatterBurst = 200
	chatterRate  = 5
)

// recordChatter appends a record of a kind that a page can repeat at will, or
// counts it for the next one.
func (l *loop) recordChatter(now time.Time, m *member, r eventlog.Record) bool {
	t := &m.trace
	if t.chatter == nil {
		t.chatter, t.skipped = rate.NewLimiter(chatterRate, chatterBurst), make(map[eventlog.Kind]int64)
	}
	if !t.chatter.AllowN(now, 1) {
		t.skipped[r.Kind]++
		return false
	}
	if n := t.skipped[r.Kind]; n > 0 {
		r.Count = eventlog.Of(n + 1)
		delete(t.skipped, r.Kind)
	}
	l.recordOf(now, m, r)
	return true
}

// spell is for how long the presence lasts that the last record told of.
func (l *loop) spell(now time.Time, m *member) eventlog.Int {
	if !m.trace.spell.Known {
		return eventlog.Int{}
	}
	return eventlog.Of(l.journal.since(now) - m.trace.spell.N)
}

// recordChange writes a change of presence.
func (l *loop) recordChange(now time.Time, m *member, c grace.Change) {
	r := eventlog.Record{
		Kind: eventlog.Presence, PresenceSeq: eventlog.Of(c.Seq), From: c.From, To: c.To, Reason: string(c.Reason),
		Phase: c.Phase, Epoch: eventlog.Of(c.Epoch),
	}
	if c.Expected > 0 {
		r.Expected = eventlog.Milliseconds(c.Expected)
	}
	if !c.Deadline.IsZero() {
		r.Lease = eventlog.Milliseconds(max(c.Deadline.Sub(now), 0))
	}
	if c.To == protocol.Away && c.Reason == protocol.ReasonSilence && m.peer != nil {
		l.metrics.Detected(now.Sub(m.peer.heard))
	}
	if c.From == "" {
		m.trace.seated = now
	} else {
		r.Duration = l.spell(now, m)
	}
	if c.From == c.To {
		if !l.recordChatter(now, m, r) {
			return // the next record tells the time since the last one
		}
	} else {
		l.recordOf(now, m, r)
	}
	m.trace.spell = eventlog.Of(l.journal.since(now))
}

// recordConnected writes that a connection was admitted, and what became of
// the one that it replaces; page is the page instance seen last. It returns
// which kind of connection this is.
func (l *loop) recordConnected(now time.Time, m *member, p, old *peer, at grace.Attached, page string) protocol.Reason {
	if old != nil {
		l.recordDisconnected(now, m, old, string(protocol.CodeReplaced), "")
	}
	why := protocol.ReasonConnected
	switch {
	case at.Known && p.pageID != "" && p.pageID == page:
		why = protocol.ReasonReconnected
	case at.Known:
		why = protocol.ReasonRefreshed
	}
	m.trace.connected = now
	l.recordOf(now, m, eventlog.Record{Kind: eventlog.Connected, Reason: string(why), Detail: p.pageID})
	return why
}

// recordDisconnected writes that a connection ended, and what was counted
// during it.
func (l *loop) recordDisconnected(now time.Time, m *member, p *peer, reason, detail string) {
	r := eventlog.Record{Kind: eventlog.Disconnected, Epoch: eventlog.Of(p.epoch), Reason: reason, Detail: detail}
	t := &m.trace
	if !t.connected.IsZero() {
		r.Duration = eventlog.Milliseconds(now.Sub(t.connected))
	}
	t.connected = time.Time{}
	l.recordOf(now, m, r)
	l.recordTally(now, m, &t.sent, eventlog.Record{Kind: eventlog.MessagesSent})
	l.recordTally(now, m, &t.received, eventlog.Record{Kind: eventlog.MessagesReceived})
	for code, n := range t.refused {
		if n > 0 {
			l.recordOf(now, m, eventlog.Record{Kind: eventlog.Refused, Epoch: r.Epoch, Reason: string(code), Count: eventlog.Of(n)})
		}
	}
	t.refused = nil
}

// recordGone writes the outcome of a seat.
func (l *loop) recordGone(now time.Time, m *member, c grace.Change) {
	r := eventlog.Record{Kind: eventlog.Gone, Reason: string(c.Reason)}
	if !m.trace.seated.IsZero() {
		r.Duration = eventlog.Milliseconds(now.Sub(m.trace.seated))
	}
	l.recordOf(now, m, r)
	m.trace = trace{}
}

// recordRefused writes the first refusal of each code in a connection; the
// others are counted until it ends.
func (l *loop) recordRefused(now time.Time, m *member, code protocol.Code, event string) {
	t := &m.trace
	if n, again := t.refused[code]; again {
		t.refused[code] = n + 1
		return
	}
	if t.refused == nil {
		t.refused = make(map[protocol.Code]int64)
	}
	t.refused[code] = 0
	l.recordOf(now, m, eventlog.Record{Kind: eventlog.Refused, Reason: string(code), Count: eventlog.Of(1), Detail: event})
}

// claimed is the participant that a refused handshake named, if well-formed.
func claimed(auth json.RawMessage) string {
	var a protocol.Auth
	if json.Unmarshal(auth, &a) != nil {
		return ""
	}
	if a.Participant == "" {
		a.Participant = a.SubjectID
	}
	if !name.MatchString(a.Participant) {
		return ""
	}
	return a.Participant
}

// handshakePause is the time between two records of refused handshakes of the
// same code: anybody can make them.
const handshakePause = time.Second

// refusedHandshake counts a connection that was not admitted; participant is
// whom it claimed to be.
func (l *loop) refusedHandshake(now time.Time, participant string, why *protocol.Error) {
	j := &l.journal
	h := j.refused[why.Code]
	if h == nil {
		if h = new(refusedHandshakes); j.refused == nil {
			j.refused = make(map[protocol.Code]*refusedHandshakes)
		}
		j.refused[why.Code] = h
	}
	h.count++
	h.participant, h.detail = participant, why.Message
	l.recordHandshakes(now, handshakePause)
}

// recordHandshakes writes the refused handshakes of each code, if the last
// record of them is older than the pause.
func (l *loop) recordHandshakes(now time.Time, pause time.Duration) {
	for code, h := range l.journal.refused {
		if h.count == 0 || !h.recorded.IsZero() && now.Sub(h.recorded) < pause {
			continue
		}
		l.record(now, eventlog.Record{
			Kind: eventlog.HandshakeRefused, Participant: h.participant, Reason: string(code), Count: eventlog.Of(h.count), Detail: h.detail,
		})
		h.recorded, h.count = now, 0
	}
}

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
	if snap, ok := l.tracker.Snapshot(now, m.session.Participant); ok {
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
	l.recordOf(now, m, r)
}

// measured copies the page's own measurements; a page that measured none
// leaves both fields out.
func measured(r *eventlog.Record, v protocol.LoadComplete) {
	if v.BlockedMS != 0 || v.LongestBlockMS != 0 {
		r.Blocked, r.LongestBlock = eventlog.Of(v.BlockedMS), eventlog.Of(v.LongestBlockMS)
	}
}

// recordRegrouped writes that a participant's page has named a group, which is
// another than formerly.
func (l *loop) recordRegrouped(now time.Time, m *member, formerly string) {
	if formerly != "" {
		l.recordOf(now, m, eventlog.Record{Kind: eventlog.GroupLeft, Group: formerly, Reason: eventlog.ReasonNewGroup})
	}
	l.recordJoined(now, m, len(l.groups.Of(m.session.Participant).Members))
}

// recordJoined writes that a participant has become a member of its group,
// which may have taken a wait.
func (l *loop) recordJoined(now time.Time, m *member, members int) {
	r := eventlog.Record{Kind: eventlog.GroupJoined, Count: eventlog.Of(members)}
	if !m.trace.waiting.IsZero() {
		r.Duration = eventlog.Milliseconds(now.Sub(m.trace.waiting))
		m.trace.waiting = time.Time{}
	}
	l.recordOf(now, m, r)
}
