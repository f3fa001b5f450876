package simulate

import (
	"context"
	"fmt"
	"sync"
	"time"

	"initgrace/grace"
	"initgrace/grace/protocol"
)

// A tally collects what happens in a run.
type tally struct {
	opts   Options
	policy grace.Policy // in force, scaled
	began  time.Time
	took   time.Duration

	mu       sync.Mutex
	progress Progress
	records  []*record
	quiet    []*record // one for each participant: the time in which nothing happened
	lags     []lag
}

// A lag is how much later than asked the machine woke us up.
type lag struct {
	at   time.Time
	late time.Duration
}

// ramp is the pause between two pairs that connect.
const ramp = 10 * time.Millisecond

// play lets all pairs play at the same time.
func (t *tally) play(ctx context.Context, pairs []*pair) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var playing, watching sync.WaitGroup
	watching.Go(func() { t.watch(ctx) })
	for i, p := range pairs {
		playing.Go(func() {
			if !sleep(ctx, time.Duration(i)*ramp) {
				return
			}
			if err := p.connect(ctx); err != nil {
				cancel(fmt.Errorf("simulate: %w", err))
				return
			}
			t.mu.Lock()
			t.progress.Connected += 2
			t.mu.Unlock()
			p.run(ctx)
			t.rest(p)
		})
	}
	playing.Wait()
	err := context.Cause(ctx)
	cancel(nil)
	watching.Wait()
	t.took = time.Since(t.began)
	return err
}

// watch reports the progress, and notes how late the machine is.
func (t *tally) watch(ctx context.Context) {
	const step, every = 10 * time.Millisecond, 20
	for i := 0; ; i++ {
		asked := time.Now()
		if !sleep(ctx, step) {
			return
		}
		now := time.Now()
		t.lags = append(t.lags, lag{now, now.Sub(asked) - step})
		if t.opts.Progress != nil && i%every == 0 {
			t.mu.Lock()
			p := t.progress
			t.mu.Unlock()
			p.Took = now.Sub(t.began)
			t.opts.Progress(p)
		}
	}
}

// record takes what happened in an episode.
func (t *tally) record(r *record) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.records = append(t.records, r)
	if !r.repeated {
		t.progress.Played++
	}
	if r.Class == Dies {
		t.progress.Died++
	}
}

// rest takes what was told of a pair while nothing happened to it.
func (t *tally) rest(p *pair) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, who := range p.both {
		r := &record{Episode: Episode{Kind: Playing, Class: Alive, While: Active}, subject: who.id, began: t.began, fault: t.began}
		for _, n := range p.both[1-i].ear.since(time.Time{}) {
			if !p.during(i, n.at) {
				r.told = append(r.told, n)
			}
		}
		t.quiet = append(t.quiet, r)
	}
}

// stood is for how long the machine stood still between two instants. So long
// nothing can be expected of the server, whose policy's time stands still too.
func (t *tally) stood(from, to time.Time) (sum time.Duration) {
	for _, l := range t.lags {
		if l.late >= standstill && l.at.After(from) && l.at.Add(-l.late).Before(to) {
			sum += l.late
		}
	}
	return sum
}

// standstill is a lag that is more than the others' turn on the processor.
const standstill = 50 * time.Millisecond

// report judges everything. Lags are complete only now.
func (t *tally) report() *Report {
	type key struct {
		kind  Kind
		while While
	}
	r := &Report{
		Participants: t.opts.Participants, Seed: t.opts.Seed, Scale: t.opts.Scale, Duration: t.opts.Duration,
		Episodes: t.progress.Played, Deaths: t.progress.Died, Took: t.took,
	}
	samples := make(map[key]*sample)
	for _, rec := range append(t.quiet, t.records...) {
		s := samples[key{rec.Kind, rec.While}]
		if s == nil {
			s = &sample{Row: Row{Class: rec.Class, Kind: rec.Kind, While: rec.While, Reasons: make(map[protocol.Reason]int)}}
			if rec.Class != Alive {
				s.Bound = bound(&t.opts.Policy, rec.Kind)
			}
			samples[key{rec.Kind, rec.While}] = s
		}
		v := judge(&t.policy, rec, t.stood)
		s.add(v, t.opts.Scale)
		r.FalseDrops += len(v.falseDrops)
		r.Missed += len(v.missed)
		r.Incidents = append(append(r.Incidents, v.falseDrops...), v.missed...)
		r.Troubles = append(r.Troubles, rec.trouble...)
	}
	row := func(k Kind, w While) {
		if s := samples[key{k, w}]; s != nil {
			r.Rows = append(r.Rows, s.row())
		}
	}
	row(Playing, Active)
	for _, k := range kinds {
		for _, w := range k.during {
			row(k.Kind, w)
		}
	}
	late := make([]time.Duration, len(t.lags))
	for i, l := range t.lags {
		late[i] = l.late
	}
	r.Lag = timesOf(late)
	return r
}
