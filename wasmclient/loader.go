package wasmclient

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
	"unicode/utf8"

	"initgrace/grace/protocol"
)

// Loader runs blocking loads under a lease: it tells the server, waits for the
// ack, and only then lets the page freeze.
type Loader struct {
	c  *Client
	mu sync.Mutex
	// running holds the loads under way by LoadOptions.ID.
	running map[string]*flight
}

// NewLoader returns a Loader for a session. One is enough for a page.
func NewLoader(c *Client) *Loader {
	return &Loader{c: c, running: make(map[string]*flight)}
}

// LoadOptions describe one load.
type LoadOptions struct {
	// ID names the load within this page. While a load is under way, another
	// Load with its ID waits for that one and shares its result. Default: one
	// of its own.
	ID string
	// Phase is shown to partners. At most 64 bytes.
	Phase string
	// Expected is how long the load probably takes; 0: the server's default
	// lease. An estimate will do.
	Expected time.Duration
	// Run does what blocks. It is called at most once, after the server's ack.
	// A panic in it fails the load.
	Run func(ctx context.Context, l *Load) error
	// AckTimeout is how long to wait for the server's ack before Run is called
	// without a lease. Default 5 s.
	AckTimeout time.Duration
	// RequireLease makes a load fail that the server refuses or does not
	// acknowledge, instead of running it unprotected.
	RequireLease bool
}

// LoadResult says how a load went.
type LoadResult struct {
	ID string // on the wire, where it is unique
	// Protected says whether the server granted a lease before Run was called.
	Protected bool
	// Unprotected is why not: the server's *protocol.Error, or one of code
	// CodeTimeout when it did not answer.
	Unprotected error
	Lease       time.Duration // granted at the start
	Cap         time.Duration // how far progress may extend it
	Wait        time.Duration // from the request to the ack
	Took        time.Duration // Run
	// Blocked is how long the page was blocked in all, Longest in one piece.
	// Measured in the browser only.
	Blocked, Longest time.Duration
}

// Load is a load under way, as Run sees it.
type Load struct {
	ID string // on the wire
	// Protected says whether there is a lease.
	Protected bool

	c       *Client
	patient time.Duration
	// measured by somebody else, if that is set
	blocked, longest time.Duration
	measured         bool
}

// Measured says how long the page was blocked, in all and in one piece, where
// this code does not run on the page's main thread and cannot know. It is called
// by Run.
func (l *Load) Measured(blocked, longest time.Duration) {
	l.blocked, l.longest, l.measured = blocked, longest, true
}

type flight struct {
	done   chan struct{}
	result LoadResult
	err    error
}

const ackTimeout = 5 * time.Second

// Load declares a load, runs it and completes it. The error is Run's (a panic
// in it is a *PanicError), or why Run was not called: ctx ended, the session
// ended, or RequireLease.
func (l *Loader) Load(ctx context.Context, o LoadOptions) (LoadResult, error) {
	if o.ID == "" {
		return l.load(ctx, o)
	}
	l.mu.Lock()
	if f := l.running[o.ID]; f != nil {
		l.mu.Unlock()
		select {
		case <-f.done:
			return f.result, f.err
		case <-ctx.Done():
			return LoadResult{}, ctx.Err()
		}
	}
	f := &flight{done: make(chan struct{})}
	l.running[o.ID] = f
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		delete(l.running, o.ID)
		l.mu.Unlock()
		close(f.done)
	}()
	f.result, f.err = l.load(ctx, o)
	return f.result, f.err
}

func (l *Loader) load(ctx context.Context, o LoadOptions) (LoadResult, error) {
	def(&o.AckTimeout, ackTimeout)
	r := LoadResult{ID: wireID(o.ID)}
	began := time.Now()
	ack, err := l.declare(ctx, r.ID, o)
	r.Wait = time.Since(began)
	switch {
	case err == nil:
		r.Protected = true
		r.Lease, r.Cap = time.Duration(ack.LeaseMS)*time.Millisecond, time.Duration(ack.CapMS)*time.Millisecond
	case ctx.Err() != nil, l.c.Err() != nil, o.RequireLease:
		if !refused(err) { // else the server knows of no such load
			l.complete(r, o, err)
		}
		return r, err
	default:
		r.Unprotected = err
	}

	meter := measureBlocks()
	began = time.Now()
	load := &Load{ID: r.ID, Protected: r.Protected, c: l.c, patient: o.AckTimeout}
	err = guard(ctx, load, o.Run)
	r.Took = time.Since(began)
	if r.Blocked, r.Longest = meter.stop(); load.measured {
		r.Blocked, r.Longest = load.blocked, load.longest
	}
	l.complete(r, o, err)
	return r, err
}

// declare asks for the lease. While it is not refused the load counts as open,
// so that a reconnect declares it again.
func (l *Loader) declare(ctx context.Context, id string, o LoadOptions) (ack protocol.LoadAck, err error) {
	// The next handshake says the same, and must not be refused for it.
	expected := min(max(o.Expected.Milliseconds(), 0), protocol.MaxExpectedMS)
	start := protocol.LoadStart{ID: id, Phase: clip(o.Phase, protocol.MaxPhase), ExpectedMS: expected}
	l.c.openLoad(protocol.OpenLoad(start))
	ctx, cancel := context.WithTimeout(ctx, o.AckTimeout)
	defer cancel()
	err = l.c.EmitAck(ctx, protocol.EventLoadStart, start, &ack)
	if refused(err) {
		l.c.mu.Lock()
		l.c.closeLoad(id)
		l.c.mu.Unlock()
	}
	return ack, err
}

// complete ends the load at the server: whatever becomes of the connection, it
// is told until it has acknowledged. Here it is waited for only briefly.
func (l *Loader) complete(r LoadResult, o LoadOptions, failure error) {
	if refused(r.Unprotected) {
		return // the server knows of no such load
	}
	done := protocol.LoadComplete{
		ID: r.ID, BlockedMS: r.Blocked.Milliseconds(), LongestBlockMS: r.Longest.Milliseconds(),
	}
	if failure != nil {
		done.Error, done.Reason = true, clip(failure.Error(), protocol.MaxReason)
	}
	k := &call{ack: true, load: r.ID}
	if err := l.c.emit(k, protocol.EventLoadComplete, done); err != nil || !l.c.State().Connected {
		return // the session has ended, or the next connection tells it
	}
	select {
	case <-k.done:
	case <-after(o.AckTimeout):
	}
}

// refused says whether the server itself has said no, so that no lease can come
// of it later.
func refused(err error) bool {
	e, ok := errors.AsType[*protocol.Error](err)
	return ok && e.Code != protocol.CodeTimeout
}

// Progress tells the server, and through it the partners, that the load reached
// another phase. Fraction is from 0 to 1, expected the remaining time; 0 means
// that it is not known. It is meant for the pauses between two blocks, and
// waits for the ack: the extension of the lease that comes with expected must
// have been granted before the next block.
func (l *Load) Progress(ctx context.Context, phase string, fraction float64, expected time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, l.patient)
	defer cancel()
	return l.c.EmitAck(ctx, protocol.EventLoadProgress, protocol.LoadProgress{
		ID: l.ID, Phase: phase, Fraction: min(max(fraction, 0), 1), ExpectedMS: expected.Milliseconds(),
	}, nil)
}

// guard runs Run.
func guard(ctx context.Context, l *Load, run func(context.Context, *Load) error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = panicError(r)
		}
	}()
	return run(ctx, l)
}

func (c *Client) openLoad(l protocol.OpenLoad) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.loads = append(c.loads, l)
}

// closeLoad forgets a load. The caller holds c.mu.
func (c *Client) closeLoad(id string) {
	c.loads = slices.DeleteFunc(c.loads, func(l protocol.OpenLoad) bool { return l.ID == id })
}

// wireID makes an id that the server has not seen: a load that has ended cannot
// be begun again.
func wireID(id string) string {
	if id == "" {
		id = "load"
	}
	return clip(id, 40) + "-" + randomID()
}

// clip shortens a string to at most n bytes, between two runes.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
