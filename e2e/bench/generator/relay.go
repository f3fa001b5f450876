package generator

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Relayed says how messages between partners went.
type Relayed struct {
	Sent, Received, Disordered int
	Took                       time.Duration
	Latency                    Latencies // from one to the other
}

// flying is how many messages of one participant are not acknowledged, when
// they go as fast as they are.
const flying = 4

// Relay has everybody send messages to the partner: as fast as they are
// acknowledged, a few at a time, or with a pause so many a second in all.
func (c *Crowd) Relay(ctx context.Context, span time.Duration, perSecond int) (Relayed, error) {
	var mu sync.Mutex
	var r Relayed
	var sent, received, disordered atomic.Int64
	var rest []func()
	began := time.Now()
	for _, p := range c.all {
		var own sync.Mutex // of what follows, which at the end is read from here
		var last uint64
		mine := make(Latencies, 0, 64)
		flush := func() {
			mu.Lock()
			r.Latency = append(r.Latency, mine...)
			mu.Unlock()
			mine = mine[:0]
		}
		rest = append(rest, func() {
			own.Lock()
			defer own.Unlock()
			flush()
		})
		listen := func(event string, data []byte) {
			if event != "message" {
				return
			}
			at := bytes.Index(data, []byte(`"data":`))
			if at < 0 {
				return
			}
			n, after := number(bytes.TrimLeft(data[at+len(`"data":`):], " ["))
			ns, _ := number(bytes.TrimLeft(after, ", "))
			own.Lock()
			defer own.Unlock()
			if n < last {
				disordered.Add(1)
			}
			last = max(last, n)
			received.Add(1)
			if mine = append(mine, time.Since(began)-time.Duration(ns)); len(mine) == cap(mine) {
				flush()
			}
		}
		p.on.Store(&listen)
	}

	numbers := make([]struct {
		sync.Mutex
		n int
	}, len(c.all))
	var wrong errorOnce
	send := func(i int, acked func()) {
		sent.Add(1)
		numbers[i].Lock() // the first few go from here, the others from the reader
		defer numbers[i].Unlock()
		numbers[i].n++
		c.all[i].emit("send", fmt.Sprintf(`{"data":[%d,%d]}`, numbers[i].n, time.Since(began).Nanoseconds()), func(data []byte) {
			if !granted(data) {
				wrong.set(fmt.Errorf("send: %s", data))
			}
			acked()
		})
	}
	var busy sync.WaitGroup
	if perSecond > 0 {
		c.paced(ctx, span, perSecond, func(i int) {
			busy.Add(1)
			send(i, busy.Done)
		})
	} else {
		stop := began.Add(span)
		for i := range c.all {
			var next func()
			next = func() {
				if time.Now().After(stop) {
					busy.Done()
					return
				}
				send(i, next)
			}
			for range flying {
				busy.Add(1)
				next()
			}
		}
	}
	answered := wait(ctx, finished(&busy))
	r.Took = time.Since(began)
	for end := time.Now().Add(5 * time.Second); received.Load() < sent.Load() && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond) // what is not here by then is lost
	}
	for i, flush := range rest {
		c.all[i].on.Store(nil)
		flush()
	}
	r.Sent, r.Received, r.Disordered = int(sent.Load()), int(received.Load()), int(disordered.Load())
	if !answered {
		return r, errUnanswered
	}
	return r, wrong.err
}

// paced calls f for one participant after the other, evenly.
func (c *Crowd) paced(ctx context.Context, span time.Duration, perSecond int, f func(i int)) {
	began := time.Now()
	for n := 0; ; n++ {
		due := began.Add(time.Duration(n) * time.Second / time.Duration(perSecond))
		if due.Sub(began) >= span || ctx.Err() != nil {
			return
		}
		if d := time.Until(due); d > 0 {
			time.Sleep(d)
		}
		f(n % len(c.all))
	}
}
