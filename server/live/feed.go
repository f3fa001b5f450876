package live

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"

	"initgrace/server/eventlog"
)

// A Feed takes the records as they are stored and tells viewers. A nil Feed
// takes everything and tells nobody. It is safe for concurrent use.
type Feed struct {
	mu     sync.Mutex // held for moments only: the server's store goroutine wants it
	fold   *fold
	pongs  map[string]float64 // by participant, since the last tick
	pings  map[string]float64
	points []Point

	out     sync.Mutex // orders what viewers are told; taken before mu
	viewers map[*Viewer]struct{}

	quit, done chan struct{}
	once       sync.Once
}

const (
	// pace is how often viewers are told of changes.
	pace = 100 * time.Millisecond
	// tick is how often the round trips are summed up.
	tick = time.Second
	// keepPoints is how many of these sums are kept: ten minutes.
	keepPoints = 600
	// queue bounds what a viewer may be behind: some 10 s.
	queue = 100
	// MaxViewers bounds the viewers.
	MaxViewers = 32
)

// ErrTooMany says that there are MaxViewers already.
var ErrTooMany = errors.New("too many are watching")

// ErrClosed says that the feed has ended.
var ErrClosed = errors.New("the server is shutting down")

// New starts a feed. Close it.
func New() *Feed {
	f := &Feed{
		fold: newFold(), pongs: map[string]float64{}, pings: map[string]float64{},
		viewers: make(map[*Viewer]struct{}), quit: make(chan struct{}), done: make(chan struct{}),
	}
	go f.run()
	return f
}

// Stored takes records in the order in which they were stored.
func (f *Feed) Stored(records []eventlog.Record) {
	if f == nil || len(records) == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range records {
		f.fold.add(&records[i])
	}
}

// Pong takes a browser's round trip.
func (f *Feed) Pong(participant string, took time.Duration) { f.latency(0, participant, took) }

// Ping takes a round trip that a page measured.
func (f *Feed) Ping(participant string, took time.Duration) { f.latency(1, participant, took) }

func (f *Feed) latency(which int, participant string, took time.Duration) {
	if f == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	into := f.pongs
	if which == 1 {
		into = f.pings
	}
	if l := f.fold.lanes[participant]; l != nil { // bounds the map, too
		into[participant] = float64(took.Microseconds()) / 1000
	}
}

func (f *Feed) run() {
	defer close(f.done)
	flush, sum := time.NewTicker(pace), time.NewTicker(tick)
	defer flush.Stop()
	defer sum.Stop()
	for {
		select {
		case <-f.quit:
			f.out.Lock()
			defer f.out.Unlock()
			for v := range f.viewers {
				close(v.queue)
			}
			f.viewers = nil
			return
		case <-flush.C:
			f.out.Lock()
			f.flush()
			f.out.Unlock()
		case now := <-sum.C:
			f.out.Lock()
			f.sum(now.UnixMilli())
			f.out.Unlock()
		}
	}
}

// flush tells the viewers what is new. f.out is held.
func (f *Feed) flush() {
	f.mu.Lock()
	m := f.fold.changes(time.Now().UnixMilli())
	f.mu.Unlock()
	f.tell(m)
}

// sum closes a second of round trips.
func (f *Feed) sum(now int64) {
	p := Point{At: now}
	latest := make(map[string][2]float64)
	f.mu.Lock()
	p.PongP50, p.PongP95 = quantiles(f.pongs)
	p.PingP50, p.PingP95 = quantiles(f.pings)
	for _, changed := range []map[string]float64{f.pongs, f.pings} {
		for participant := range changed {
			if l := f.fold.lanes[participant]; l != nil {
				if ms, ok := f.pongs[participant]; ok {
					l.PongMS = ms
				}
				if ms, ok := f.pings[participant]; ok {
					l.PingMS = ms
				}
				latest[participant] = [2]float64{l.PongMS, l.PingMS}
			}
		}
	}
	clear(f.pongs)
	clear(f.pings)
	f.points = append(f.points[max(len(f.points)+1-keepPoints, 0):], p)
	f.mu.Unlock()
	f.tell(&Message{Now: now, Latency: latest, Points: []Point{p}})
}

func quantiles(of map[string]float64) (p50, p95 float64) {
	if len(of) == 0 {
		return 0, 0
	}
	sorted := make([]float64, 0, len(of))
	for _, ms := range of {
		sorted = append(sorted, ms)
	}
	slices.Sort(sorted)
	return sorted[len(sorted)/2], sorted[len(sorted)*95/100]
}

// tell queues a message for every viewer that keeps up. f.out is held.
func (f *Feed) tell(m *Message) {
	if m == nil || len(f.viewers) == 0 {
		return
	}
	text := encode(m)
	for v := range f.viewers {
		if v.lost {
			continue
		}
		select {
		case v.queue <- text:
		default:
			v.lost = true // Next begins anew
		}
	}
}

func encode(m *Message) []byte {
	text, err := json.Marshal(m)
	if err != nil { // our own types
		panic(err)
	}
	return text
}

// Close ends the feed and its viewers.
func (f *Feed) Close() {
	if f == nil {
		return
	}
	f.once.Do(func() { close(f.quit) })
	<-f.done
}

// A Viewer is told everything, and then what changes.
type Viewer struct {
	feed  *Feed
	queue chan []byte
	first [][]byte // of a snapshot, not told yet
	lost  bool     // it gets a new snapshot; guarded by feed.out
}

// Watch adds a viewer. Close it.
func (f *Feed) Watch() (*Viewer, error) {
	f.out.Lock()
	defer f.out.Unlock()
	switch {
	case f.viewers == nil:
		return nil, ErrClosed
	case len(f.viewers) >= MaxViewers:
		return nil, ErrTooMany
	}
	v := &Viewer{feed: f, queue: make(chan []byte, queue), lost: true}
	f.viewers[v] = struct{}{}
	return v, nil
}

// Next waits for the next Message, as JSON.
func (v *Viewer) Next(ctx context.Context) ([]byte, error) {
	if len(v.first) == 0 {
		v.first = v.begin()
	}
	if len(v.first) > 0 {
		m := v.first[0]
		v.first = v.first[1:]
		return m, nil
	}
	select {
	case m, open := <-v.queue:
		if !open {
			return nil, ErrClosed
		}
		return m, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// begin makes the snapshot of a viewer that is new, or was too slow.
func (v *Viewer) begin() [][]byte {
	f := v.feed
	f.out.Lock()
	if !v.lost || f.viewers == nil {
		f.out.Unlock()
		return nil
	}
	f.flush() // what a snapshot contains is not told a second time
	for len(v.queue) > 0 {
		<-v.queue
	}
	f.mu.Lock()
	snapshot := f.fold.snapshot(time.Now().UnixMilli(), slices.Clone(f.points))
	f.mu.Unlock()
	v.lost = false
	f.out.Unlock()
	messages := make([][]byte, len(snapshot))
	for i, m := range snapshot {
		messages[i] = encode(m)
	}
	return messages
}

// Close ends a viewer.
func (v *Viewer) Close() {
	v.feed.out.Lock()
	defer v.feed.out.Unlock()
	delete(v.feed.viewers, v)
}
