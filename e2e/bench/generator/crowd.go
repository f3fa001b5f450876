package generator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// A Crowd is an even number of participants, of whom every two are partners.
type Crowd struct {
	addrs []string // host:port
	all   []*client
}

const (
	// dialling is how many of a crowd connect at the same time. More would only
	// wait in the listener's queue, and beyond that be sent again after 1 s.
	dialling = 256
	// attempt bounds one attempt to connect.
	attempt = 10 * time.Second
	// patience bounds everything that must be answered.
	patience = 60 * time.Second
)

// New makes a crowd that is not connected yet. Of several servers, partners are
// at different ones.
func New(n int, addrs ...string) *Crowd {
	c := &Crowd{addrs: addrs, all: make([]*client, n)}
	for i := range c.all {
		c.all[i] = &client{
			participant: "p" + strconv.Itoa(i), group: "g" + strconv.Itoa(i/2),
			from: net.IPv4(127, 0, 0, byte(2+i%8)), // each has ports of its own
		}
	}
	return c
}

// each runs f for all participants, so many at the same time.
func (c *Crowd) each(at int, f func(i int, p *client)) {
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(at, len(c.all)) {
		workers.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(c.all); i = int(next.Add(1)) - 1 {
				f(i, c.all[i])
			}
		})
	}
	workers.Wait()
}

// Connected says how connecting went.
type Connected struct {
	Took    time.Duration // until the last was there
	Latency Latencies     // of those who got there, attempts that failed included
	Retries int           // attempts that failed
	Missing int           // who did not get there at all
	Lost    int           // who got there without their session
	Err     error         // the first error
}

// Connect connects everybody. A crowd that was connected before must find its
// sessions again.
func (c *Crowd) Connect(ctx context.Context, again bool) Connected {
	ctx, cancel := context.WithTimeout(ctx, 2*patience)
	defer cancel()
	var mu sync.Mutex
	var r Connected
	began := time.Now()
	c.each(dialling, func(i int, p *client) {
		start := time.Now()
		for {
			once, cancel := context.WithTimeout(ctx, attempt)
			s, err := p.connect(once, c.addrs[i%len(c.addrs)])
			cancel()
			mu.Lock()
			switch {
			case err == nil:
				r.Latency = append(r.Latency, time.Since(start))
				if again && (!s.Restored || s.SceneID != scene(i)) {
					r.Lost++
					r.Err = cmp.Or(r.Err, fmt.Errorf("%s came back as %+v", p.participant, s))
				}
			case ctx.Err() != nil:
				r.Missing++
			default:
				r.Retries++
				r.Err = cmp.Or(r.Err, err)
			}
			mu.Unlock()
			if err == nil || ctx.Err() != nil {
				return
			}
		}
	})
	r.Took = time.Since(began)
	return r
}

func scene(i int) string { return "scene " + strconv.Itoa(i) }

// Save stores a state for everybody, by which the session is recognised.
func (c *Crowd) Save(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var errs errorOnce
	c.each(dialling, func(i int, p *client) {
		_, err := p.ask(ctx, "state_save", `{"scene_id":"`+scene(i)+`","version":0}`)
		errs.set(err)
	})
	return errs.err
}

// Drop loses all connections at once.
func (c *Crowd) Drop() { c.each(8, func(_ int, p *client) { p.reset() }) }

// Leave closes all connections.
func (c *Crowd) Leave() { c.each(8, func(_ int, p *client) { p.leave() }) }

type errorOnce struct {
	mu  sync.Mutex
	err error
}

func (e *errorOnce) set(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.err == nil {
		e.err = err
	}
}

// Latencies are how long each of many things took.
type Latencies []time.Duration

// Quantile is the shortest time within which the fraction q was done.
func (l Latencies) Quantile(q float64) time.Duration {
	if len(l) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(l))
	return s[min(int(q*float64(len(s))), len(s)-1)]
}

var errUnanswered = errors.New("not everything was answered in time")
