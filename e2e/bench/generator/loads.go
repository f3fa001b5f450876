package generator

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

const (
	loadStart    = "pyodide_loading_start"
	loadComplete = "pyodide_loading_complete"
)

// Herd has everybody declare a load in the same moment, times over, and returns
// how long each waited for the ack and how long the last ones took in all.
func (c *Crowd) Herd(ctx context.Context, times int) (acks Latencies, took time.Duration, err error) {
	for range times {
		waited, lasted, err := c.round(ctx, loadStart)
		if err != nil {
			return nil, 0, err
		}
		acks = append(acks, waited...)
		took += lasted
		if _, _, err := c.round(ctx, loadComplete); err != nil {
			return nil, 0, err
		}
	}
	return acks, took, nil
}

// round has everybody emit an event at once.
func (c *Crowd) round(ctx context.Context, event string) (Latencies, time.Duration, error) {
	waited := make(Latencies, len(c.all))
	var wrong errorOnce
	var left atomic.Int64
	left.Store(int64(len(c.all)))
	done := make(chan struct{})
	began := time.Now()
	c.each(4, func(i int, p *client) {
		sent := time.Now()
		p.emit(event, p.load(event == loadStart), func(data []byte) {
			waited[i] = time.Since(sent)
			if !granted(data) && event == loadStart {
				wrong.set(fmt.Errorf("%s: %s", event, data))
			}
			if left.Add(-1) == 0 {
				close(done)
			}
		})
	})
	if !wait(ctx, done) {
		return nil, 0, fmt.Errorf("%s: %w: %d of %d", event, errUnanswered, left.Load(), len(c.all))
	}
	return waited, time.Since(began), wrong.err
}

func granted(ack []byte) bool {
	return bytes.Contains(ack, []byte(`"ok":true`)) || bytes.Contains(ack, []byte(`"ok": true`))
}

func wait(ctx context.Context, done <-chan struct{}) bool {
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case <-done:
		return true
	case <-late.C:
	case <-ctx.Done():
	}
	return false
}

// Loads has everybody load over and over: each declares the next when the last
// was acknowledged, as the completion was. It returns how long every ack took.
func (c *Crowd) Loads(ctx context.Context, span time.Duration) (Latencies, error) {
	var mu sync.Mutex
	var acks Latencies
	var busy sync.WaitGroup
	var wrong errorOnce
	stop := time.Now().Add(span)
	for _, p := range c.all {
		busy.Add(1)
		var mine Latencies
		n := 0
		var next func()
		next = func() {
			sent := time.Now()
			event := loadStart
			if n%2 == 1 {
				event = loadComplete
			}
			n++
			p.emit(event, p.load(event == loadStart), func(data []byte) {
				now := time.Now()
				mine = append(mine, now.Sub(sent))
				if !granted(data) {
					wrong.set(fmt.Errorf("%s: %s", event, data))
				}
				if n%2 == 0 && now.After(stop) {
					mu.Lock()
					acks = append(acks, mine...)
					mu.Unlock()
					busy.Done()
					return
				}
				next()
			})
		}
		next()
	}
	if !wait(ctx, finished(&busy)) {
		return nil, errUnanswered
	}
	return acks, wrong.err
}

func finished(g *sync.WaitGroup) <-chan struct{} {
	done := make(chan struct{})
	go func() { g.Wait(); close(done) }()
	return done
}

// load names the participant's load, or a new one. One at a time is under way.
func (c *client) load(begins bool) string {
	if begins {
		c.loads++
	}
	return fmt.Sprintf(`{"id":"l%d"}`, c.loads)
}
