package simulate

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"initgrace/grace"
	"initgrace/grace/protocol"
	"initgrace/server/faultproxy"
	"initgrace/wasmclient"
)

// A pair plays a script. Things happen to one of the two at a time, so that the
// other one can watch.
type pair struct {
	*stage
	policy grace.Policy // in force, scaled
	both   [2]*person
	script []Episode
	sent   [2]int        // messages to each
	busy   [2][]span     // when something happened to each
	done   func(*record) // after each episode
}

// connect brings both to where each is told that the other one plays.
func (p *pair) connect(ctx context.Context) error {
	for _, who := range p.both {
		if err := who.open(ctx); err != nil {
			return err
		}
	}
	for i, who := range p.both {
		if !who.ear.await(ctx, patience, protocol.Active) {
			return fmt.Errorf("%s was not told that %s plays", who.id, p.both[1-i].id)
		}
	}
	return nil
}

// patience is how long what must happen is waited for.
const patience = 30 * time.Second

// run plays the script. It ends early when an episode came to nothing that
// another one could follow.
func (p *pair) run(ctx context.Context) {
	for _, e := range p.script {
		if !sleep(ctx, p.real(e.Pause)) {
			return
		}
		r := &record{Episode: e, subject: p.both[e.Who].id, began: time.Now(), before: p.told(e.Who).Seq}
		goesOn := p.play(ctx, r)
		if ctx.Err() != nil {
			return
		}
		r.end = time.Now()
		if !goesOn { // what follows is a consequence
			defer func() { p.busy[e.Who] = append(p.busy[e.Who], span{r.end, r.end.Add(time.Hour)}) }()
		}
		p.busy[e.Who] = append(p.busy[e.Who], span{r.began, r.end})
		r.told = p.both[1-e.Who].ear.since(r.began)
		if e.Kind == BothLoad { // and the other one
			p.busy[1-e.Who] = append(p.busy[1-e.Who], span{r.began, r.end})
			o := *r
			o.subject, o.before, o.trouble, o.repeated = p.both[1-e.Who].id, r.beforeToo, nil, true
			o.told = p.both[e.Who].ear.since(r.began)
			p.done(&o)
		}
		p.done(r)
		if !goesOn {
			return
		}
	}
}

type span struct{ from, to time.Time }

// during says whether something happened to one of the two at an instant.
func (p *pair) during(who int, at time.Time) bool {
	return slices.ContainsFunc(p.busy[who], func(s span) bool { return !at.Before(s.from) && !at.After(s.to) })
}

// told is the last that was said about one of the two.
func (p *pair) told(who int) notice { return p.both[1-who].ear.now() }

func (r *record) failed(err error) {
	if err != nil {
		r.trouble = append(r.trouble, fmt.Sprintf("%s: %v", r, err))
	}
}

// play lets one episode happen, and waits until the partner is told of what it
// came to.
func (p *pair) play(ctx context.Context, r *record) (goesOn bool) {
	who, partner := p.both[r.Who], p.both[1-r.Who]
	r.beforeToo = p.told(1 - r.Who).Seq
	if r.Kind == Left {
		r.failed(who.page.EmitAck(ctx, protocol.EventPageHide, protocol.PageHide{}, nil))
	}
	var ice, ice2 *frozen
	switch {
	case r.While == Loading:
		ice = p.load(ctx, r, who)
		if r.Kind == BothLoad {
			ice2 = p.load(ctx, r, partner)
		}
	case r.While == Blocked, r.Kind == Block:
		ice = freeze(who.page)
	}
	if len(r.trouble) > 0 {
		return false
	}
	start := time.Now()
	at := func(after time.Duration) { sleep(ctx, time.Until(start.Add(p.real(after)))) }

	at(r.After)
	fault, mend := p.faults(r, who)
	r.fault = time.Now()
	fault()
	if r.Class == Dies {
		return p.dies(ctx, r, partner)
	}

	thaw := func() {
		if ice != nil && r.Kind != Refresh {
			ice.thaw()
		}
		if ice2 != nil {
			ice2.thaw()
		}
	}
	frozenFor, healedAt := sum(r.Blocks), r.After+r.Gap
	if r.Kind == Parts || r.Kind == Refresh {
		frozenFor = 0 // the load itself knows; the page is no more
	}
	if frozenFor < healedAt || !r.survives() {
		at(frozenFor)
		thaw()
		at(healedAt)
		r.failed(mend(ctx))
		r.failed(p.reach(ctx, who))
		r.back = time.Now()
	} else {
		at(healedAt)
		r.failed(mend(ctx))
		r.back = time.Now() // frozen, but the browser answers
		at(frozenFor)
		thaw()
	}
	if ice != nil && r.Kind != Refresh {
		r.failed(ice.over(ctx))
	}
	if ice2 != nil {
		r.failed(ice2.over(ctx))
	}
	if r.Kind == Talk {
		r.failed(p.heardAll(ctx, who, p.sent[r.Who]))
	}
	return p.settle(ctx, r)
}

// survives says whether the connection outlasts the fault.
func (r *record) survives() bool {
	return r.Kind != Change && r.Kind != Drop && r.Kind != Refresh
}

// settle waits until both are told that the other one plays, and everything
// else that they were to be told.
func (p *pair) settle(ctx context.Context, r *record) bool {
	for i, who := range p.both {
		r.failed(p.reach(ctx, who))
		if !who.ear.await(ctx, 2*p.policy.SilenceTimeout+p.policy.ReconnectTimeout, protocol.Active) {
			n := who.ear.now()
			r.failed(fmt.Errorf("at the end %s was told that %s is %s (%s)", who.id, p.both[1-i].id, n.State, n.Reason))
			return false
		}
	}
	return true
}

// dies waits until the partner is told that the seat was given up.
func (p *pair) dies(ctx context.Context, r *record, partner *person) bool {
	if r.Kind == Overlong {
		r.fault = r.leaseFrom
	}
	worst := latest(r.due(&p.policy).Add(tolerance(&p.policy)), r.fault)
	_, worst = r.seat(&p.policy, worst)
	partner.ear.await(ctx, time.Until(worst)+p.policy.SilenceTimeout+tolerance(&p.policy), protocol.Gone)
	return false
}

// reach waits until a page can reach the server and hear it.
func (p *pair) reach(ctx context.Context, who *person) error {
	ctx, cancel := context.WithTimeout(ctx, p.policy.ReconnectTimeout)
	defer cancel()
	if err := who.roundTrip(ctx); err != nil {
		return fmt.Errorf("the page could not be reached again: %w", err)
	}
	return nil
}

// faults are what the kind does to the participant, and what undoes it.
func (p *pair) faults(r *record, who *person) (fault func(), mend func(context.Context) error) {
	net := who.network
	nothing := func(context.Context) error { return nil }
	resume := func(context.Context) error { net.Resume(); return nil }
	switch r.Kind {
	case Slow:
		l := p.real(r.Latency)
		bad := faultproxy.Shape{Latency: l, Jitter: l / 2, Loss: 0.05, Stall: l}
		return func() { net.SetShape(bad) }, func(context.Context) error { net.SetShape(faultproxy.Shape{}); return nil }
	case Hiccup, Cut:
		return func() { net.Pause(faultproxy.Both) }, resume
	case CutUp:
		return func() { net.Pause(faultproxy.Up) }, resume
	case CutDown:
		return func() { net.Pause(faultproxy.Down) }, resume
	case Change:
		return func() { net.Cut(faultproxy.Both); net.Resume() }, nothing
	case Drop:
		return net.Reset, nothing
	case Refresh:
		return func() { who.browser.close(); who.forget() }, who.open
	case Silent:
		return func() { net.Cut(faultproxy.Both) }, nothing
	case Reset:
		return func() { who.browser.vanish(); net.Reset() }, nothing
	case Killed:
		return who.browser.kill, nothing
	case Closed, Left:
		return who.browser.close, nothing
	case DeadUp:
		return func() { net.Cut(faultproxy.Up) }, nothing
	case DeadDown:
		return func() { net.Cut(faultproxy.Down) }, nothing
	case Frozen:
		return func() { who.page.Freeze() }, nothing
	}
	return func() {}, nothing
}

// frozen is a page whose main thread is blocked.
type frozen struct {
	release chan struct{}
	done    chan error // of the load
}

func freeze(page *wasmclient.Client) *frozen {
	f := &frozen{release: make(chan struct{}), done: make(chan error, 1)}
	thaw := page.Freeze()
	go func() {
		select {
		case <-f.release:
		case <-page.Done():
		}
		thaw()
		f.done <- nil
	}()
	return f
}

func (f *frozen) thaw() { close(f.release) }

// over waits until the load has ended.
func (f *frozen) over(ctx context.Context) error {
	select {
	case err := <-f.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// load declares a load and returns when the page is frozen under its lease.
func (p *pair) load(ctx context.Context, r *record, who *person) *frozen {
	f := &frozen{release: make(chan struct{}), done: make(chan error, 1)}
	page := who.page
	asked, running := time.Now(), make(chan time.Time, 1)
	lease := p.lease(r.Expected)
	go func() {
		_, err := wasmclient.NewLoader(page).Load(ctx, wasmclient.LoadOptions{
			Expected: p.real(r.Expected), RequireLease: true, AckTimeout: patience,
			Run: func(ctx context.Context, l *wasmclient.Load) error {
				running <- time.Now()
				if r.Kind == Parts {
					return p.parts(ctx, r, page, l)
				}
				thaw := page.Freeze()
				defer thaw()
				if r.Kind == Talk && who == p.both[r.Who] {
					return p.talk(ctx, r, f.release)
				}
				select {
				case <-f.release:
				case <-page.Done():
				}
				return nil
			},
		})
		f.done <- err
	}()
	select {
	case acked := <-running:
		r.leaseFrom, r.leaseTo = asked.Add(lease), acked.Add(lease)
	case err := <-f.done:
		r.failed(fmt.Errorf("the load was not granted: %w", err))
	case <-ctx.Done():
	}
	return f
}

// lease is what the policy grants for an expectation.
func (p *pair) lease(expected time.Duration) time.Duration {
	return min(max(p.policy.LoadTimeout, 2*p.real(expected)), p.policy.LoadCap)
}

// parts blocks again and again, and tells in between what is left.
func (p *pair) parts(ctx context.Context, r *record, page *wasmclient.Client, l *wasmclient.Load) error {
	for i, block := range r.Blocks {
		if i > 0 {
			left := p.real(sum(r.Blocks[i:]))
			if err := l.Progress(ctx, fmt.Sprint("part ", i+1), float64(i)/float64(len(r.Blocks)), left); err != nil {
				return err
			}
		}
		thaw := page.Freeze()
		sleep(ctx, p.real(block))
		thaw()
	}
	return ctx.Err()
}

const (
	talkMessages = 100
	talkBytes    = 2 << 10 // each; together more than wasmclient.FreezeBuffer
)

// talk lets the partner send more than a blocked page's browser would take, and
// returns when the block ends.
func (p *pair) talk(ctx context.Context, r *record, release <-chan struct{}) error {
	data := protocol.Raw(`"` + string(bytes.Repeat([]byte("x"), talkBytes)) + `"`)
	partner := p.both[1-r.Who]
	pause := p.real(sum(r.Blocks)) / (talkMessages + 1)
	for range talkMessages {
		if err := partner.page.Emit(ctx, protocol.EventSend, protocol.Send{Data: data}); err != nil {
			return fmt.Errorf("sending: %w", err)
		}
		p.sent[r.Who]++
		sleep(ctx, pause)
	}
	select {
	case <-release:
	case <-ctx.Done():
	}
	return nil
}

// heardAll waits until every message has arrived, and checks the order.
func (p *pair) heardAll(ctx context.Context, who *person, n int) error {
	all := who.ear.until(ctx, p.policy.SilenceTimeout+patience, func() bool { return len(who.ear.messages) >= n })
	who.ear.mu.Lock()
	defer who.ear.mu.Unlock()
	if !all || len(who.ear.messages) != n || !slices.IsSorted(who.ear.messages) {
		return fmt.Errorf("%d of %d messages arrived, in order: %t", len(who.ear.messages), n, slices.IsSorted(who.ear.messages))
	}
	return nil
}

func sum(ds []time.Duration) (total time.Duration) {
	for _, d := range ds {
		total += d
	}
	return total
}

// sleep is false when the context ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
