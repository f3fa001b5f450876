package generator

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"
)

// Frozen says what a server made of pages that froze and of pages that died.
type Frozen struct {
	Frozen      int // under a declared load; all of them came back
	False       int // of them: partner told that they are away, or cut off
	DeadLoading Latencies
	DeadPlaying Latencies
	Unseen      int // dead, and the partner not told
}

// Freeze takes one of every two partners: half of them declare a load and
// freeze for span, a quarter declare a load and die, a quarter just die, all
// at once. The others look on.
func (c *Crowd) Freeze(ctx context.Context, span time.Duration) (Frozen, error) {
	type subject struct {
		loading, dies bool
		seen          time.Duration
	}
	var mu sync.Mutex
	var r Frozen
	subjects := make([]subject, len(c.all)/2)
	var wrong errorOnce
	var busy sync.WaitGroup
	for i := range subjects {
		s := &subjects[i]
		s.dies, s.loading = i%2 == 1, i%4 != 3
		if s.loading {
			busy.Go(func() {
				_, err := c.all[2*i].ask(ctx, loadStart, c.all[2*i].load(true))
				wrong.set(err)
			})
		}
	}
	busy.Wait()
	if wrong.err != nil {
		return r, wrong.err
	}
	began := time.Now()
	for i := range subjects {
		s, about := &subjects[i], c.all[2*i].participant
		look := func(event string, data []byte) {
			var state struct{ Participant, State string }
			if event != "partner_state" || json.Unmarshal(data, &state) != nil || state.Participant != about {
				return
			}
			if state.State == "away" || state.State == "gone" {
				mu.Lock()
				defer mu.Unlock()
				if s.seen == 0 {
					s.seen = time.Since(began)
				}
			}
		}
		c.all[2*i+1].on.Store(&look)
		if s.dies {
			c.all[2*i].dead.Store(true)
		} else {
			c.all[2*i].frozen.Store(true)
		}
	}
	select {
	case <-time.After(span):
	case <-ctx.Done():
		return r, ctx.Err()
	}
	for i := range subjects {
		c.all[2*i+1].on.Store(nil)
	}
	mu.Lock()
	defer mu.Unlock()
	within, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	thawed := make([]bool, len(subjects))
	for i := range subjects {
		if p := c.all[2*i]; !subjects[i].dies {
			p.frozen.Store(false)
			if !p.connected() {
				continue
			}
			busy.Go(func() {
				_, err := p.ask(within, loadComplete, p.load(false))
				thawed[i] = err == nil
			})
		}
	}
	busy.Wait()
	for i, s := range subjects {
		switch {
		case !s.dies:
			r.Frozen++
			if s.seen != 0 || !thawed[i] {
				r.False++
			}
		case s.seen == 0:
			r.Unseen++
		case s.loading:
			r.DeadLoading = append(r.DeadLoading, s.seen)
		default:
			r.DeadPlaying = append(r.DeadPlaying, s.seen)
		}
	}
	return r, nil
}

// Revive ends the connections of the dead.
func (c *Crowd) Revive() {
	for _, p := range c.all {
		if p.dead.Load() {
			p.reset()
			p.dead.Store(false)
		}
	}
}

// Churn has everybody leave, come back, load and send a message, over and over,
// and calls look after each time. Three times are enough to see growth: a crowd
// that needs longer than span for them gets up to four times as long.
func (c *Crowd) Churn(ctx context.Context, span time.Duration, look func(visits int)) error {
	began := time.Now()
	for visits, times := 0, 0; time.Since(began) < span || times < 3 && time.Since(began) < 4*span; look(visits) {
		times++
		c.Leave()
		if got := c.Connect(ctx, true); got.Missing > 0 {
			return fmt.Errorf("%d did not come back: %w", got.Missing, got.Err)
		}
		for _, event := range []string{loadStart, loadComplete} {
			if _, _, err := c.round(ctx, event); err != nil {
				return err
			}
		}
		visits += len(c.all)
	}
	return nil
}
