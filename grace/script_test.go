package grace_test

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"initgrace/grace"
	"initgrace/grace/protocol"
)

// A world runs the little language of the golden transcripts and of the
// deadline tables. It plays the server's loop around a Tracker, and the
// browsers, and writes down what happens:
//
//	policy LoadCap=20s …     the policy (defaults otherwise); restarts the world
//	attach P [page=ID] [group=G] [probe] [loads=ID,…] [epoch=N seq=N]
//	                         loads=none: nothing is open; epoch, seq: counters of an earlier session
//	pong P | browser P       evidence of the page, of the browser
//	beat P silent=D          evidence of a worker
//	pagehide P | close P WHY | end P
//	load P [id=ID] [phase=W] [expected=D]
//	progress P [id=ID] [phase=W] [expected=D]
//	complete P [id=ID] [failed]
//	runs P                   the page answers, now and every 2 s, and the browser every probe
//	freezes P                from now on only the browser answers
//	cut P                    from now on nothing answers
//	+D                       time passes, deadlines are judged punctually
//	stall D                  time passes, nobody looks
//	advance                  deadlines are judged once
//	next                     shows when Advance is due
//	rule P LoadCap=20s …     another policy for one participant
//	show P                   shows a snapshot
//	probes on|off            shows probes, or not
//	restart D                the process dies; another one restores after D
//
// An event carries the epoch of the participant's latest connection unless
// epoch=N says otherwise.
type world struct {
	tracker *grace.Tracker
	start   time.Time
	now     time.Time
	people  map[string]*person
	names   []string // of people, in the order of their arrival
	showing bool     // probes
	out     strings.Builder
}

type person struct {
	epoch    uint64
	answers  bool      // the browser answers probes
	nextPong time.Time // of a page that runs; zero: it does not
	seq      uint64    // of the latest change
	presence protocol.Presence
	news     string // of the latest change, besides the presence
}

// pageInterval is how often a page that runs answers by itself: the server's
// default Engine.IO pingInterval.
const pageInterval = 2 * time.Second

var epochStart = time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)

func newWorld(p grace.Policy) *world {
	return &world{
		tracker: grace.New(p), start: epochStart, now: epochStart,
		people: make(map[string]*person),
	}
}

// script runs commands separated by newlines or semicolons.
func (w *world) script(text string) error {
	for line := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == '\n' || r == ';' }) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		if err := w.run(line); err != nil {
			return fmt.Errorf("%s: %w", line, err)
		}
	}
	return nil
}

// said returns what was written since the last call.
func (w *world) said() string {
	s := w.out.String()
	w.out.Reset()
	return s
}

func (w *world) run(line string) error {
	words := strings.Fields(line)
	verb, words := words[0], words[1:]
	if d, ok := strings.CutPrefix(verb, "+"); ok {
		return withDuration(d, w.pass)
	}
	switch verb {
	case "policy":
		p, err := parsePolicy(words)
		if err == nil {
			err = p.Validate()
		}
		*w = *newWorld(p)
		return err
	case "stall":
		return withDuration(words[0], func(d time.Duration) { w.now = w.now.Add(d) })
	case "restart":
		return withDuration(words[0], w.restart)
	case "advance":
		w.advance()
		return nil
	case "next":
		if at, ok := w.tracker.Next(); ok {
			w.say("next look at %s", w.clock(at))
		} else {
			w.say("nothing is due")
		}
		return nil
	case "rule":
		p, err := parsePolicy(words[1:])
		if err == nil {
			err = p.Validate()
		}
		w.tracker.SetPolicy(w.now, words[0], p)
		w.take()
		return err
	case "probes":
		w.showing = words[0] == "on"
		return nil
	}
	err := w.event(verb, words[0], parseArgs(words[1:]))
	w.take()
	return err
}

// args are the words after a participant: name=value, or a bare word.
type args map[string]string

func parseArgs(words []string) args {
	a := make(args)
	for _, word := range words {
		name, value, ok := strings.Cut(word, "=")
		if !ok {
			a[""] = name
		}
		a[name] = value
	}
	return a
}

func (a args) has(name string) bool { _, ok := a[name]; return ok }

func (a args) duration(name string) (d time.Duration, err error) {
	if a.has(name) {
		d, err = time.ParseDuration(a[name])
	}
	return d, err
}

func (a args) uint(name string) (n uint64, err error) {
	if a.has(name) {
		n, err = strconv.ParseUint(a[name], 10, 64)
	}
	return n, err
}

func (w *world) event(verb, name string, a args) error {
	p := w.people[name]
	if p == nil {
		if verb != "attach" {
			return errors.New("nobody of that name")
		}
		p = new(person)
		w.people[name] = p
		w.names = append(w.names, name)
	}
	given, err := a.uint("epoch")
	if err != nil {
		return err
	}
	epoch := p.epoch
	if given > 0 {
		epoch = given
	}
	expected, err := a.duration("expected")
	if err != nil {
		return err
	}
	request := grace.LoadRequest{ID: a["id"], Phase: a["phase"], Expected: expected}

	switch verb {
	case "attach":
		at := grace.Attachment{
			Participant: name, Group: a["group"], PageID: a["page"], CanProbe: a.has("probe"), LastEpoch: given,
		}
		if at.LastSeq, err = a.uint("seq"); err != nil {
			return err
		}
		if a.has("loads") {
			at.Loads = []grace.LoadRequest{}
			for id := range strings.SplitSeq(a["loads"], ",") {
				if id != "none" {
					at.Loads = append(at.Loads, grace.LoadRequest{ID: id})
				}
			}
		}
		got := w.tracker.Attach(w.now, at)
		p.epoch = got.Epoch
		note := ""
		if got.Known {
			note += ", known"
		}
		if got.Replaced > 0 {
			note += fmt.Sprintf(", replaces epoch %d", got.Replaced)
		}
		w.say("%s epoch %d%s", name, got.Epoch, note)
	case "pong":
		w.tracker.Heard(w.now, name, epoch, grace.Page)
	case "browser":
		w.tracker.Heard(w.now, name, epoch, grace.Browser)
	case "beat":
		silent, err := a.duration("silent")
		if err != nil {
			return err
		}
		w.tracker.Beat(w.now, name, epoch, silent)
	case "pagehide":
		w.tracker.PageHide(w.now, name, epoch)
	case "close":
		if epoch == p.epoch {
			p.answers, p.nextPong = false, time.Time{}
		}
		w.tracker.Close(w.now, name, epoch, protocol.Reason(a[""]))
	case "end":
		if !w.tracker.End(w.now, name, protocol.ReasonEnded) {
			w.say("%s has no seat", name)
		}
	case "load":
		lease, err := w.tracker.LoadStart(w.now, name, epoch, request)
		w.lease(name, "granted", lease, err)
	case "progress":
		lease, err := w.tracker.LoadProgress(w.now, name, epoch, request)
		w.lease(name, "has", lease, err)
	case "complete":
		ended, err := w.tracker.LoadEnd(w.now, name, epoch, a["id"], a.has("failed"))
		if err != nil {
			w.refused(name, err)
		} else {
			w.say("%s ended %s after %s", name, ended.ID, seconds(ended.Took))
		}
	case "runs":
		p.answers, p.nextPong = true, w.now.Add(pageInterval)
		w.tracker.Heard(w.now, name, p.epoch, grace.Page)
	case "freezes":
		p.answers, p.nextPong = true, time.Time{}
	case "cut":
		p.answers, p.nextPong = false, time.Time{}
	case "show":
		w.show(name)
	default:
		return errors.New("unknown command")
	}
	return nil
}

func (w *world) lease(name, verb string, l grace.Lease, err error) {
	if err != nil {
		w.refused(name, err)
		return
	}
	w.say("%s %s %s until %s, at most %s", name, verb, l.ID, w.clock(l.Deadline), w.clock(l.Cap))
}

func (w *world) refused(name string, err error) {
	var refusal *protocol.Error
	if !errors.As(err, &refusal) {
		panic("not a *protocol.Error: " + err.Error())
	}
	w.say("%s is refused: %s", name, refusal.Code)
}

func (w *world) show(name string) {
	s, ok := w.tracker.Snapshot(w.now, name)
	if !ok {
		w.say("%s has no seat", name)
		return
	}
	line := fmt.Sprintf("%s is %s since %s", name, s.Presence, w.clock(s.Since))
	if !s.Connected {
		line += ", no socket"
	}
	for _, l := range s.Loads {
		line += fmt.Sprintf(", load %s for %s more", l.ID, seconds(l.Remaining))
	}
	w.say("%s; %d loads so far", line, s.LoadCount)
}

// pass lets time go by: pages that run answer, probes are answered, deadlines
// are judged when they are due. What happens at an instant is heard before the
// deadlines of that instant are judged.
func (w *world) pass(d time.Duration) {
	for end := w.now.Add(d); ; {
		at := end
		if next, ok := w.tracker.Next(); ok && next.Before(at) {
			at = next
		}
		for _, name := range w.names {
			if p := w.people[name]; !p.nextPong.IsZero() && p.nextPong.Before(at) {
				at = p.nextPong
			}
		}
		if at.After(w.now) {
			w.now = at
		}
		for _, name := range w.names {
			if p := w.people[name]; p.nextPong.Equal(at) {
				w.tracker.Heard(w.now, name, p.epoch, grace.Page)
				p.nextPong = at.Add(pageInterval)
				w.take()
			}
		}
		w.advance()
		if !w.now.Before(end) {
			return
		}
	}
}

func (w *world) advance() {
	w.tracker.Advance(w.now)
	w.take()
}

func (w *world) restart(down time.Duration) {
	var seats []grace.Snapshot
	for _, name := range w.names {
		if s, ok := w.tracker.Snapshot(w.now, name); ok {
			seats = append(seats, s)
		}
		w.people[name].answers, w.people[name].nextPong = false, time.Time{}
	}
	w.tracker = grace.New(w.tracker.Policy())
	w.now = w.now.Add(down)
	for _, s := range seats {
		for i := range s.Loads {
			s.Loads[i].Elapsed += down
			s.Loads[i].Remaining -= down
		}
		w.tracker.Restore(w.now, s)
		w.take()
	}
}

// take writes down what the tracker reports, and answers its probes.
func (w *world) take() {
	changes, probes := w.tracker.Take()
	for _, c := range changes {
		w.change(c)
	}
	for _, probe := range probes {
		if w.showing {
			w.say("%s is probed", probe.Participant)
		}
		if p := w.people[probe.Participant]; p.answers && p.epoch == probe.Epoch {
			w.tracker.Heard(w.now, probe.Participant, probe.Epoch, grace.Browser)
			w.take()
		}
	}
}

func (w *world) change(c grace.Change) {
	from, until := string(c.From), ""
	if from == "" {
		from = "new"
	}
	if !c.Deadline.IsZero() {
		until = " until " + w.clock(c.Deadline)
	}
	line := fmt.Sprintf("%s #%d %s -> %s (%s)%s", c.Participant, c.Seq, from, c.To, c.Reason, until)
	if c.Phase != "" {
		line += ", phase " + c.Phase
	}
	if c.Expected > 0 {
		line += ", expected " + seconds(c.Expected)
	}
	if p := w.people[c.Participant]; p != nil { // what every transcript proves besides
		if c.Seq != p.seq+1 && p.seq > 0 {
			line += fmt.Sprintf(" !!! #%d is missing", p.seq+1)
		}
		if c.From != p.presence {
			line += fmt.Sprintf(" !!! was %s", p.presence)
		}
		if news := fmt.Sprint(c.Reason, c.Phase, c.Expected, c.Deadline); c.From == c.To && (c.To == protocol.Active || news == p.news) {
			line += " !!! nothing new"
		} else {
			p.news = news
		}
		p.seq, p.presence = c.Seq, c.To
		if c.To == protocol.Gone {
			p.presence = ""
		}
	}
	w.say("%s", line)
}

func (w *world) say(format string, a ...any) {
	fmt.Fprintf(&w.out, "%-8s %s\n", w.clock(w.now), fmt.Sprintf(format, a...))
}

// clock is an instant as seconds since the beginning.
func (w *world) clock(t time.Time) string { return seconds(t.Sub(w.start)) }

func seconds(d time.Duration) string {
	s, ns := d/time.Second, d%time.Second
	sign := ""
	if d < 0 {
		sign, s, ns = "-", -s, -ns
	}
	if ns == 0 {
		return fmt.Sprintf("%s%ds", sign, s)
	}
	return fmt.Sprintf("%s%d.%ss", sign, s, strings.TrimRight(fmt.Sprintf("%09d", ns), "0"))
}

func withDuration(text string, f func(time.Duration)) error {
	d, err := time.ParseDuration(text)
	if err == nil {
		f(d)
	}
	return err
}

// parsePolicy reads Field=value words, so that a new field needs nothing here.
func parsePolicy(words []string) (p grace.Policy, err error) {
	for name, value := range parseArgs(words) {
		f := reflect.ValueOf(&p).Elem().FieldByName(name)
		var n int64
		switch {
		case !f.IsValid():
			return p, fmt.Errorf("no field %s", name)
		case f.Type() == reflect.TypeFor[time.Duration]():
			var d time.Duration
			d, err = time.ParseDuration(value)
			n = int64(d)
		default:
			n, err = strconv.ParseInt(value, 10, 64)
		}
		if err != nil {
			return p, err
		}
		f.SetInt(n)
	}
	return p, nil
}
