package grace_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"initgrace/grace"
	"initgrace/grace/protocol"
)

// FuzzTracker plays random stories of two or three participants to a Tracker
// and to the oracle (see life), and holds the package's invariants on top.
func FuzzTracker(f *testing.F) {
	for _, s := range seeds() {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, data []byte) { playDuel(t, data) })
}

// TestTrackerRandom does a little of the fuzzer's work in every test run, the
// same every time.
func TestTrackerRandom(t *testing.T) {
	stories := 1000
	if testing.Short() {
		stories = 100
	}
	rng := rand.New(rand.NewPCG(2026, 11))
	for range stories {
		data := make([]byte, 3*(5+rng.IntN(60)))
		for i := range data {
			data[i] = byte(rng.Uint32())
		}
		if playDuel(t, data); t.Failed() {
			return
		}
	}
}

// policies are those that stories are played under. The first byte chooses.
var policies = []grace.Policy{
	{},
	{LoadTimeout: 10 * second, LoadCap: 20 * second, LoadBudget: 30 * second, LoadCount: 5},
	{ProbeInterval: -1},
	{LoadBudget: -1, LoadCount: -1, LoadCap: 90 * second},
	{BlockedAfter: 5 * second, BlockedTimeout: 6 * second, ReconnectTimeout: 3 * second, LeaveTimeout: 20 * second, PageTimeout: 4 * second},
	{ProbeInterval: 300 * time.Millisecond, SilenceTimeout: second, BlockedAfter: 1, BlockedTimeout: 2 * second, LoadTimeout: second},
}

// longest has the longest time of each kind in policies.
var longest = func() (l grace.Policy) {
	for _, p := range policies {
		p = p.WithDefaults()
		l.SilenceTimeout = max(l.SilenceTimeout, p.SilenceTimeout)
		l.BlockedTimeout = max(l.BlockedTimeout, p.BlockedTimeout)
		l.LoadCap = max(l.LoadCap, p.LoadCap)
		l.LoadBudget = max(l.LoadBudget, p.LoadBudget)
		l.ReconnectTimeout = max(l.ReconnectTimeout, p.ReconnectTimeout)
		l.LeaveTimeout = max(l.LeaveTimeout, p.LeaveTimeout)
		l.PageTimeout = max(l.PageTimeout, p.PageTimeout)
	}
	return l
}()

var (
	spans = []time.Duration{
		0, 1, 300 * time.Millisecond, second - 1, second, 2 * second, 3 * second, 4 * second, 5 * second,
		10 * second, 15 * second, 16 * second, 20 * second, 30 * second, 61 * second, 200 * second,
	}
	closeReasons = []protocol.Reason{
		protocol.ReasonTransport, protocol.ReasonPageClosed, protocol.ReasonDisconnect, protocol.ReasonRefused,
	}
	loadIDs = []string{"", "x", "y", "load-2", "x", "load-3", "", "x", "y", "5", "6", "7", "8", "9", "10"}
	phases  = []string{"", "compile", "packages"}
	pageIDs = []string{"a", "b", ""}
)

// A move is three bytes: what, who (and how), and an argument.
const (
	movePass = iota // time passes; nobody answers
	movePassBrowser
	movePassPage
	moveToNext
	moveBeforeNext
	moveStall
	moveAttach
	movePong
	moveBrowser
	moveBeat
	moveHide
	moveClose
	moveStart
	moveProgress
	moveComplete
	moveRestart
	moveEnd
	movePolicy
	moveExtend
	moves
)

// often is what the bytes that are no move stand for: what keeps a story alive.
var often = []int{
	movePassBrowser, movePassPage, movePassBrowser, movePassPage, moveToNext, moveBeforeNext,
	moveAttach, moveAttach, movePong, moveBrowser, moveBeat, moveStart, moveStart, moveProgress, moveComplete, moveClose, moveExtend,
}

func seeds() [][]byte {
	a := func(move, who, arg byte) []byte { return []byte{move, who, arg} }
	story := func(policy byte, m ...[]byte) []byte { return append([]byte{policy}, slices.Concat(m...)...) }
	return [][]byte{
		// A load behind which the page freezes, and completes.
		story(0, a(moveAttach, 0, 0), a(moveAttach, 1, 0), a(moveStart, 0, 1), a(movePassBrowser, 0, 13), a(moveComplete, 0, 1), a(movePass, 0, 14)),
		// Silent death during a load.
		story(0, a(moveAttach, 0, 0), a(moveStart, 0, 1), a(moveBeforeNext, 0, 0), a(moveToNext, 0, 0), a(movePass, 0, 14)),
		// Lost, and back; lost again, refreshed.
		story(0, a(moveAttach, 0, 0), a(moveStart, 0, 1), a(moveClose, 0, 0), a(movePass, 0, 9), a(moveAttach, 0, 0), a(moveClose, 0, 1), a(moveAttach, 0, 1)),
		// Undeclared block.
		story(0, a(moveAttach, 0, 0), a(movePassBrowser, 0, 14)),
		// Long-polling with and without beats.
		story(0, a(moveAttach, 0, 4), a(moveStart, 0, 1), a(movePass, 0, 4), a(moveBeat, 0, 4), a(movePass, 0, 15), a(moveAttach, 1, 4), a(movePass, 0, 15)),
		// Budget and restart.
		story(1, a(moveAttach, 0, 0), a(moveStart, 0, 1), a(movePassPage, 0, 15), a(moveStart, 0, 2), a(moveRestart, 0, 4), a(moveAttach, 0, 0), a(moveStart, 0, 0)),
		// Another policy during a load, while blocked, and while away.
		story(0, a(moveAttach, 0, 0), a(moveStart, 0, 1), a(movePolicy, 0, 1), a(moveProgress, 4, 0xf1), a(moveComplete, 0, 1), a(movePassBrowser, 0, 7), a(movePolicy, 0, 4), a(moveClose, 0, 0), a(movePolicy, 0, 0), a(movePass, 0, 13)),
		// More time during a load, more than there can be, and while away until the page ends.
		story(0, a(moveAttach, 0, 0), a(moveExtend, 0, 5), a(moveStart, 0, 1), a(moveExtend, 0, 13), a(movePassBrowser, 0, 14), a(moveExtend, 0, 15),
			a(moveStart, 0, 2), a(moveExtend, 12, 3), a(movePass, 0, 7), a(moveExtend, 0, 9), a(moveClose, 0, 1), a(moveExtend, 0, 9), a(moveBeforeNext, 0, 0), a(moveExtend, 0, 4), a(movePass, 0, 14)),
		// More time for what has run out, though nobody has noticed yet: there is none.
		story(0, a(moveAttach, 0, 0), a(moveAttach, 1, 0), a(moveClose, 0, 0), a(moveStart, 1, 1), a(moveStall, 0, 14), a(moveExtend, 0, 9), a(moveExtend, 1, 9)),
		// A stall of the server's, and what comes first afterwards.
		story(0, a(moveAttach, 0, 0), a(moveStall, 0, 14), a(moveBrowser, 0, 0), a(movePass, 0, 9)),
	}
}

// duel is a Tracker and the oracles of its participants, told the same things.
type duel struct {
	t       testing.TB
	policy  grace.Policy
	tracker *grace.Tracker
	lives   []*life
	probed  []time.Time // last probe of the current connection
	heard   []time.Time // last accepted evidence, as the test knows it
	stalled bool        // deadlines have not been judged for a while
	now     time.Time
	facts   int
	// extended: somebody was given more time than the policy says, so that its
	// caps bound nothing any more.
	extended bool
	failed   bool
	story    *strings.Builder // nil: nobody listens
}

// A story ends after so many moves or facts, so that none is too long for the
// oracle.
const (
	maxMoves = 120
	maxFacts = 300
)

// playDuel plays a story, and tells it if it went wrong.
func playDuel(t testing.TB, data []byte) {
	if len(data) < 4 {
		return
	}
	data = data[:min(len(data), 1+3*maxMoves)]
	if play(t, data, nil); t.Failed() {
		story := new(strings.Builder)
		play(t, data, story)
		t.Log(story)
	}
}

func play(t testing.TB, data []byte, story *strings.Builder) {
	p := policies[int(data[0])%len(policies)]
	if err := p.Validate(); err != nil {
		t.Fatal(err)
	}
	d := &duel{t: t, policy: p.WithDefaults(), tracker: grace.New(p), now: epochStart, story: story}
	d.note("policy %+v", d.policy)
	for i := range 2 + int(data[0]>>7) {
		d.lives = append(d.lives, &life{base: d.policy, policy: d.policy, id: string(rune('p' + i))})
	}
	d.probed, d.heard = make([]time.Time, len(d.lives)), make([]time.Time, len(d.lives))
	for data = data[1:]; len(data) >= 3 && d.facts < maxFacts && !d.failed; data = data[3:] {
		what := int(data[0])
		if what >= moves {
			what = often[(what-moves)%len(often)]
		}
		d.move(what, int(data[1]), int(data[2]))
		d.look()
	}
	if !d.failed {
		d.outlive()
	}
}

func (d *duel) errorf(format string, a ...any) {
	d.t.Helper()
	d.failed = true
	d.t.Errorf("at %s: %s", seconds(d.now.Sub(epochStart)), fmt.Sprintf(format, a...))
}

func (d *duel) note(format string, a ...any) {
	if d.story == nil {
		return
	}
	fmt.Fprintf(d.story, "%s\t%s\n", seconds(d.now.Sub(epochStart)), fmt.Sprintf(format, a...))
}

func (d *duel) move(what, how, arg int) {
	who := how % len(d.lives)
	h := d.lives[who]
	epoch := h.epoch
	if how>>4 == 15 {
		epoch-- // a stale event
	}
	span := spans[arg%len(spans)]
	request := grace.LoadRequest{
		ID:    loadIDs[arg%len(loadIDs)],
		Phase: phases[how>>2%len(phases)],
	}
	if how>>2&1 == 1 {
		request.Expected = spans[arg>>4]
	}
	switch what {
	case movePass:
		d.pass(span, nil)
	case movePassBrowser:
		d.pass(span, func(i int) { d.evidence(i, browser, d.lives[i].epoch, 0) })
	case movePassPage:
		d.pass(span, func(i int) { d.evidence(i, page, d.lives[i].epoch, 0) })
	case moveToNext:
		if next, ok := d.tracker.Next(); ok {
			d.pass(next.Sub(d.now), nil)
		}
	case moveBeforeNext:
		if next, ok := d.tracker.Next(); ok && next.Sub(d.now) > 1 {
			d.pass(next.Sub(d.now)-1, nil)
		}
	case moveStall:
		d.note("stall %v", span)
		d.now, d.stalled = d.now.Add(span), true
	case moveAttach:
		d.attach(who, how, arg)
	case movePong:
		d.evidence(who, page, epoch, 0)
	case moveBrowser:
		d.evidence(who, browser, epoch, 0)
	case moveBeat:
		d.evidence(who, beat, epoch, span)
	case moveHide:
		d.evidence(who, hide, epoch, 0)
	case moveClose:
		d.close(who, epoch, closeReasons[arg%len(closeReasons)])
	case moveStart:
		d.start(who, epoch, request)
	case moveProgress:
		d.progress(who, epoch, request)
	case moveComplete:
		d.complete(who, epoch, request.ID, how>>2&1 == 1)
	case moveRestart:
		d.restart(span)
	case moveEnd:
		d.end(who)
	case moveExtend:
		if how>>2&3 == 3 {
			span = -span
		}
		d.extend(who, span)
	case movePolicy:
		d.rule(who, policies[arg%len(policies)].WithDefaults())
	}
}

// rule puts a participant under another policy. What is due is judged by the
// old one first.
func (d *duel) rule(who int, p grace.Policy) {
	h := d.lives[who]
	d.note("%s: policy %+v", h.id, p)
	d.tracker.SetPolicy(d.now, h.id, p)
	if len(h.facts) == 0 || p == h.policy {
		d.expect(nil, nil)
		return
	}
	d.facts += 2
	d.stalled = true // what is due by the new one may have been due before
	changes := h.add(fact{kind: look, at: d.now}).changes
	if len(h.facts) > 0 {
		changes = append(changes, h.add(fact{kind: switched, at: d.now, policy: p}).changes...)
	}
	d.expect(changes, nil)
}

// extend gives a participant more time. What has run out by now has run out.
func (d *duel) extend(who int, by time.Duration) {
	h := d.lives[who]
	d.note("%s: extend by %v", h.id, by)
	got, err := d.tracker.Extend(d.now, h.id, by)
	var changes []grace.Change
	var until time.Time
	code := protocol.CodeUnknownParticipant
	if len(h.facts) > 0 {
		d.facts += 2
		changes = h.add(fact{kind: look, at: d.now}).changes
	}
	if len(h.facts) > 0 {
		code = protocol.CodeNoDeadline
		if h.facts[len(h.facts)-1].presence == protocol.Away || len(h.scan(append(slices.Clone(h.facts), &fact{kind: look, at: d.now})).open()) > 0 {
			code, d.extended = "", true
			v := h.add(fact{kind: extended, at: d.now, by: by})
			changes, until = append(changes, v.changes...), v.until
		}
	}
	d.expect(changes, nil)
	if refused := codeOf(err); refused != code || !got.Equal(until) {
		d.errorf("extended to %s (%v), the oracle says %s (%s)", seconds(got.Sub(epochStart)), err, seconds(until.Sub(epochStart)), code)
	}
}

// add tells an oracle a fact and expects what follows from it of the Tracker.
func (d *duel) add(who int, f fact) verdict {
	d.facts++
	f.at = d.now
	v := d.lives[who].add(f)
	if f.isEvidence() {
		d.heard[who] = d.now
	}
	d.expect(v.changes, nil)
	return v
}

// expect compares what the Tracker reports.
func (d *duel) expect(want []grace.Change, probes []grace.Probe) {
	d.t.Helper()
	got, asked := d.tracker.Take()
	for _, c := range got {
		d.note("\t%s #%d %s -> %s (%s)", c.Participant, c.Seq, c.From, c.To, c.Reason)
	}
	if !slices.Equal(got, want) {
		d.errorf("reported\n%+v\nthe oracle says\n%+v", got, want)
	}
	if !slices.Equal(asked, probes) {
		d.errorf("probes %v, the oracle says %v", asked, probes)
	}
}

// accepts says whether an event of this epoch counts.
func (d *duel) accepts(who int, epoch uint64) bool {
	return d.lives[who].connected() && d.lives[who].epoch == epoch
}

func (d *duel) attach(who, how, arg int) {
	h := d.lives[who]
	a := grace.Attachment{
		Participant: h.id, Group: "g", PageID: pageIDs[arg&3%len(pageIDs)], CanProbe: arg>>2&1 == 0,
		LastEpoch: h.epoch, LastSeq: h.seq,
	}
	if how>>6&1 == 1 {
		a.Policy = &policies[arg>>4%len(policies)]
	}
	if arg>>3&1 == 1 {
		a.Loads = []grace.LoadRequest{}
		for i := range arg >> 4 & 3 {
			a.Loads = append(a.Loads, grace.LoadRequest{ID: loadIDs[(i+how>>4)%len(loadIDs)]})
		}
	}
	d.note("attach %+v", a)
	got := d.tracker.Attach(d.now, a)
	d.probed[who] = time.Time{}
	v := d.add(who, fact{kind: attach, attachment: a})
	if want := (grace.Attached{Epoch: h.epoch, Known: v.known, Replaced: v.old}); got != want {
		d.errorf("attached %+v, the oracle says %+v", got, want)
	}
}

func (d *duel) evidence(who int, k kind, epoch uint64, silent time.Duration) {
	id := d.lives[who].id
	d.note("%s: evidence %d of epoch %d, silent %v", id, k, epoch, silent)
	switch k {
	case page:
		d.tracker.Heard(d.now, id, epoch, grace.Page)
	case browser:
		d.tracker.Heard(d.now, id, epoch, grace.Browser)
	case beat:
		d.tracker.Beat(d.now, id, epoch, silent)
	case hide:
		d.tracker.PageHide(d.now, id, epoch)
	}
	if d.accepts(who, epoch) {
		d.add(who, fact{kind: k, silent: silent})
	} else {
		d.expect(nil, nil)
	}
}

func (d *duel) close(who int, epoch uint64, why protocol.Reason) {
	d.note("%s: close of epoch %d, %s", d.lives[who].id, epoch, why)
	d.tracker.Close(d.now, d.lives[who].id, epoch, why)
	if d.accepts(who, epoch) {
		d.add(who, fact{kind: closed, why: why})
	} else {
		d.expect(nil, nil)
	}
}

func (d *duel) end(who int) {
	d.note("%s: end", d.lives[who].id)
	had := len(d.lives[who].facts) > 0
	if got := d.tracker.End(d.now, d.lives[who].id, protocol.ReasonEnded); got != had {
		d.errorf("End is %v, want %v", got, had)
	}
	if had {
		d.add(who, fact{kind: ended, why: protocol.ReasonEnded})
	}
}

// loadEvent tells the oracle about a load event and compares the refusal. It
// returns false if there was one.
func (d *duel) loadEvent(who int, epoch uint64, f fact, err error) (v verdict, granted bool) {
	if d.accepts(who, epoch) {
		v = d.add(who, f)
	} else {
		v.refused = protocol.CodeReplaced
		d.expect(nil, nil)
	}
	var code protocol.Code
	if refusal := (*protocol.Error)(nil); errors.As(err, &refusal) {
		code = refusal.Code
	}
	if code != v.refused || (err != nil) != (code != "") {
		d.errorf("refused with %q (%v), the oracle says %q", code, err, v.refused)
	}
	return v, code == ""
}

func (d *duel) start(who int, epoch uint64, r grace.LoadRequest) {
	d.note("%s: start %+v of epoch %d", d.lives[who].id, r, epoch)
	got, err := d.tracker.LoadStart(d.now, d.lives[who].id, epoch, r)
	if v, ok := d.loadEvent(who, epoch, fact{kind: start, load: r}, err); ok {
		d.lease(got, v.lease)
	}
}

func (d *duel) progress(who int, epoch uint64, r grace.LoadRequest) {
	d.note("%s: progress %+v of epoch %d", d.lives[who].id, r, epoch)
	got, err := d.tracker.LoadProgress(d.now, d.lives[who].id, epoch, r)
	if v, ok := d.loadEvent(who, epoch, fact{kind: progress, load: r}, err); ok {
		d.lease(got, v.lease)
	}
}

func (d *duel) lease(got, want grace.Lease) {
	if got != want {
		d.errorf("lease %+v, the oracle says %+v", got, want)
	}
	if got.Deadline.After(got.Cap) || !got.Deadline.After(d.now) || !d.extended && got.Cap.Sub(got.Start) > longest.LoadCap {
		d.errorf("lease %+v is over the cap, or no lease", got)
	}
}

func (d *duel) complete(who int, epoch uint64, id string, failed bool) {
	d.note("%s: complete %q of epoch %d", d.lives[who].id, id, epoch)
	got, err := d.tracker.LoadEnd(d.now, d.lives[who].id, epoch, id, failed)
	v, ok := d.loadEvent(who, epoch, fact{kind: complete, load: grace.LoadRequest{ID: id}, failed: failed}, err)
	if ok && (got.ID != v.id || got.Took != v.took) {
		d.errorf("ended %+v, the oracle says %s after %v", got, v.id, v.took)
	}
}

// restart lets the process die and another one restore what it had stored.
func (d *duel) restart(down time.Duration) {
	d.note("restart, down %v", down)
	var stored []grace.Snapshot
	for _, h := range d.lives {
		if s, ok := d.tracker.Snapshot(d.now, h.id); ok {
			stored = append(stored, s)
		}
	}
	d.tracker = grace.New(d.policy)
	d.now = d.now.Add(down)
	for _, s := range stored {
		for i := range s.Loads {
			s.Loads[i].Elapsed += down
			s.Loads[i].Remaining -= down
		}
		d.tracker.Restore(d.now, s)
		d.add(slices.IndexFunc(d.lives, func(h *life) bool { return h.id == s.Participant }), fact{kind: restart})
	}
	d.stalled = false
}

// pass lets time go by and judges deadlines when they are due. Answer is called
// for each participant whose browser is asked.
func (d *duel) pass(span time.Duration, answer func(who int)) {
	d.note("+%v, answered: %v", span, answer != nil)
	for end := d.now.Add(span); !d.failed && d.facts < maxFacts; {
		at := end
		if next, ok := d.tracker.Next(); ok && next.Before(end) {
			at = next
		}
		if at.After(d.now) {
			d.now = at
		}
		asked := d.advance()
		if answer != nil {
			for _, who := range asked {
				answer(who)
			}
		}
		if !d.now.Before(end) {
			return
		}
	}
}

func (d *duel) advance() (asked []int) {
	d.facts++
	before, _ := d.tracker.Next()
	d.tracker.Advance(d.now)
	// Each oracle looks, and asks its browser if that is due.
	var want []grace.Change
	var probes []grace.Probe
	for i, h := range d.lives {
		if len(h.facts) == 0 {
			continue
		}
		if h.connected() && h.canProbe() && !d.now.Before(h.nextProbe(d.probed[i])) {
			d.probed[i] = d.now
			probes = append(probes, grace.Probe{Participant: h.id, Epoch: h.epoch})
			asked = append(asked, i)
		}
		want = append(want, h.add(fact{kind: look, at: d.now}).changes...)
	}
	got, askedFor := d.tracker.Take()
	for _, c := range got {
		d.note("\t%s #%d %s -> %s (%s)", c.Participant, c.Seq, c.From, c.To, c.Reason)
	}
	// Those of one instant come in the order of their deadlines: only the order
	// within a participant is promised to be that of the oracles.
	for _, h := range d.lives {
		of := func(all []grace.Change) (its []grace.Change) {
			for _, c := range all {
				if c.Participant == h.id {
					its = append(its, c)
				}
			}
			return its
		}
		if x, y := of(got), of(want); !slices.Equal(x, y) {
			d.errorf("reported\n%+v\nthe oracle says\n%+v", x, y)
		}
	}
	byName := func(a, b grace.Probe) int { return strings.Compare(a.Participant, b.Participant) }
	slices.SortStableFunc(askedFor, byName)
	if !slices.Equal(askedFor, probes) {
		d.errorf("probes %v, the oracle says %v", askedFor, probes)
	}
	// Nothing is due any more, or the server's loop would spin.
	if next, ok := d.tracker.Next(); ok && !next.After(d.now) {
		d.errorf("after Advance the next deadline is still %s (before: %s)", seconds(next.Sub(epochStart)), seconds(before.Sub(epochStart)))
	}
	for i, h := range d.lives {
		d.silence(i, h, got)
	}
	d.stalled = false
	return asked
}

// silence holds that whoever can be asked and says nothing is away exactly at
// SilenceTimeout, loading or not: no earlier, and unless nobody looked, no later.
// If a worker beats, it is the worker that must say nothing.
func (d *duel) silence(who int, h *life, changes []grace.Change) {
	heard := d.heard[who]
	if h.onlyBeatsCount() {
		heard = h.lastBeat()
	}
	at := heard.Add(h.policy.SilenceTimeout)
	for _, c := range changes {
		if c.Participant == h.id && c.Reason == protocol.ReasonSilence && h.canProbe() {
			if d.now.Before(at) || d.now.After(at) && !d.stalled {
				d.errorf("%s is away for silence, heard at %s", h.id, seconds(heard.Sub(epochStart)))
			}
		}
	}
	if s, ok := d.tracker.Snapshot(d.now, h.id); ok && h.canProbe() && !d.now.Before(at) && s.Presence != protocol.Away {
		d.errorf("%s is %s, heard at %s", h.id, s.Presence, seconds(heard.Sub(epochStart)))
	}
}

// look compares all that can be seen, and holds what must hold at any time.
func (d *duel) look() {
	seats := 0
	for _, h := range d.lives {
		s, ok := d.tracker.Snapshot(d.now, h.id)
		if ok != (len(h.facts) > 0) {
			d.errorf("%s has a seat: %v", h.id, ok)
		}
		if !ok {
			continue
		}
		seats++
		last := h.facts[len(h.facts)-1]
		l := h.scan(append(slices.Clone(h.facts), &fact{kind: look, at: d.now}))
		switch {
		case s.Presence != last.presence || s.Epoch != h.epoch || s.Seq != h.seq || s.Connected != h.connected(),
			s.LoadCount != len(l.spells):
			d.errorf("%+v, the oracle says %s, epoch %d, #%d, connected %v, %d loads", s, last.presence, h.epoch, h.seq, h.connected(), len(l.spells))
		case s.Presence == protocol.Away && pageEnds(s.Reason) != last.pageOver:
			d.errorf("away for %s, the oracle says the page is over: %v", s.Reason, last.pageOver)
		case s.Presence != protocol.Active && s.Deadline.IsZero():
			d.errorf("%s is %s without a deadline", h.id, s.Presence)
		}
		// The loads whose leases have not run out, and the time that all took.
		var open []spell
		spent := s.LoadTime
		var until time.Duration
		for _, x := range s.Loads {
			if x.Remaining > 0 {
				open = append(open, spell{
					LoadRequest: x.LoadRequest, anonymous: x.Anonymous,
					began: d.now.Add(-x.Elapsed), deadline: d.now.Add(x.Remaining),
				})
			}
			until = max(until, s.Loads[0].Elapsed+min(x.Remaining, 0))
		}
		spent += until
		if !slices.Equal(open, l.open()) {
			d.errorf("open are\n%+v\nthe oracle says\n%+v", open, l.open())
		}
		if want := l.spent(d.now); spent != want {
			d.errorf("%s spent %v loading, the oracle says %v", h.id, spent, want)
		}
		unlimited := slices.ContainsFunc(h.facts, func(f *fact) bool { return f.policy.LoadBudget < 0 })
		if !unlimited && !d.extended && spent > longest.LoadBudget {
			d.errorf("%s spent %v loading, the budget is %v", h.id, spent, longest.LoadBudget)
		}
	}
	if d.tracker.Len() != seats {
		d.errorf("%d seats, want %d", d.tracker.Len(), seats)
	}
	if _, ok := d.tracker.Next(); ok != (seats > 0) {
		d.errorf("%d seats, and something is due: %v", seats, ok)
	}
}

// outlive lets everybody fall silent: whatever the story was, each seat is
// given up, within the longest of all deadlines.
func (d *duel) outlive() {
	d.facts = 0
	d.pass(longest.LoadCap+longest.SilenceTimeout+longest.PageTimeout+longest.BlockedTimeout+longest.ReconnectTimeout+longest.LeaveTimeout, nil)
	if d.tracker.Len() != 0 && !d.failed && d.facts < maxFacts {
		d.errorf("%d seats are still held", d.tracker.Len())
	}
}
