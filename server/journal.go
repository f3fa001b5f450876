package server

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"time"

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
	l.record(now, eventlog.Record{Kind: eventlog.RunStarted, Detail: policyText(l.tracker.Policy(), grace.Policy{})})
	l.recordPlans(now)
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

// recordPlans writes by which other times experiments and scenes run.
func (l *loop) recordPlans(now time.Time) {
	if l.lobby.study == nil {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(l.lobby.study.Experiments)) {
		plan := l.lobby.study.Experiments[name]
		l.record(now, eventlog.Record{Kind: eventlog.Plan, Experiment: name, Detail: policyText(plan.Policy, l.tracker.Policy())})
		for _, s := range plan.Scenes {
			if s.Policy != plan.Policy {
				l.record(now, eventlog.Record{Kind: eventlog.Plan, Experiment: name, Scene: s.ID, Detail: policyText(s.Policy, plan.Policy)})
			}
		}
	}
}

// policyText is what a policy has that another one has not, for the methods
// section of a paper.
func policyText(p, other grace.Policy) string {
	text, _ := json.Marshal(differences(p, other)) // which cannot fail
	return string(text)
}

// differences are the settings in which a policy is not another one.
func differences(p, other grace.Policy) map[string]any {
	ms := func(d time.Duration) int64 {
		if d < 0 {
			return -1 // off
		}
		return d.Milliseconds()
	}
	out := make(map[string]any)
	for name, v := range map[string][2]int64{
		"probe_interval_ms": {ms(p.ProbeInterval), ms(other.ProbeInterval)}, "silence_timeout_ms": {ms(p.SilenceTimeout), ms(other.SilenceTimeout)},
		"blocked_after_ms": {ms(p.BlockedAfter), ms(other.BlockedAfter)}, "blocked_timeout_ms": {ms(p.BlockedTimeout), ms(other.BlockedTimeout)},
		"load_timeout_ms": {ms(p.LoadTimeout), ms(other.LoadTimeout)}, "load_cap_ms": {ms(p.LoadCap), ms(other.LoadCap)},
		"load_budget_ms": {ms(p.LoadBudget), ms(other.LoadBudget)}, "load_count": {int64(p.LoadCount), int64(other.LoadCount)},
		"reconnect_timeout_ms": {ms(p.ReconnectTimeout), ms(other.ReconnectTimeout)}, "leave_timeout_ms": {ms(p.LeaveTimeout), ms(other.LeaveTimeout)},
		"page_timeout_ms": {ms(p.PageTimeout), ms(other.PageTimeout)},
	} {
		if v[0] != v[1] {
			out[name] = v[0]
		}
	}
	return out
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
