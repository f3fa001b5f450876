package wasmclient

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/coder/websocket"

	"initgrace/grace/protocol"
)

const (
	// lastLook is how long a timeout waits, by look, for what has arrived already.
	lastLook = 50 * time.Millisecond
	// closeTimeout bounds the goodbye: what is queued, and the close handshake.
	closeTimeout = 3 * time.Second
	// steady is how long a connection must have lasted for the next attempt to
	// count as the first again.
	steady = 10 * time.Second
)

// Client is one participant's session, over any number of connections. Its
// methods are safe for concurrent use.
type Client struct {
	url    string
	opts   Options
	events dispatcher
	ice    ice

	ctx  context.Context // over when the session ends
	stop context.CancelFunc
	// rush is over when nobody waits for a proper goodbye any more.
	rush  context.Context
	haste context.CancelFunc
	hurry chan struct{}
	done  chan struct{} // closed: everything has ended
	wg    sync.WaitGroup

	mu       sync.Mutex
	current  *conn // the newest; what another one says is not heard
	live     *conn // current, once its session has arrived
	sessions int   // how many have arrived
	attempts int   // to connect, in a row
	state    State
	loads    []protocol.OpenLoad
	lastSeq  uint64        // of the messages received
	unsaid   int           // bytes of those that the server has not been told of
	lastSent uint64        // id of the messages sent
	pageSaid time.Time     // when the server last heard of the page on live
	comeBack time.Time     // not to connect before
	hidden   chan struct{} // closed by Show; nil: the page is not hidden
	calls    []*call
	bytes    int // of calls
	nextID   uint64
	latency  latency
	err      error // why the session ended

	saving  chan struct{} // holds one token: SaveState's turn
	sending sync.Mutex    // ids are given, and messages queued, in one order
}

// Dial connects to the server at an http, https, ws or wss address and waits
// for the participant's session. Without a path the address means /socket.io/.
//
// An attempt that fails is repeated, with Options.Backoff, until the context
// ends: the error is then a *protocol.Error of code CodeUnreachable and wraps
// the last cause. A refusal that would only be repeated is returned at once, as
// the server's *protocol.Error.
func Dial(ctx context.Context, url string, o *Options) (*Client, error) {
	c, err := newClient(url, o)
	if err != nil {
		return nil, err
	}
	c.spawn(c.events.run)
	first, err := c.connect(ctx, nil)
	if err != nil {
		c.end(err)
		c.cleanUp(nil)
		return nil, err
	}
	go c.run(first)
	return c, nil
}

func newClient(url string, o *Options) (*Client, error) {
	opts, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	address, err := endpoint(url)
	if err != nil {
		return nil, err
	}
	c := &Client{
		url: address, opts: opts,
		hurry: make(chan struct{}, 1), done: make(chan struct{}), saving: make(chan struct{}, 1),
	}
	c.state.Session.Token = opts.Token
	c.ctx, c.stop = context.WithCancel(context.Background())
	c.rush, c.haste = context.WithCancel(context.Background())
	c.events.init(&opts, func(value any) { c.end(panicError(value)) })
	return c, nil
}

// Close says goodbye to the server and ends the session: the server will not
// wait for the participant to come back. When it returns nil, everything the
// client started has ended. If ctx ends first the goodbye is cut short and
// ctx's error returned. Close waits for a handler that is running, so that a
// handler must not wait for Close.
func (c *Client) Close(ctx context.Context) error {
	c.end(errClosed)
	select {
	case <-c.done:
		return nil
	case <-ctx.Done():
		c.haste()
		return ctx.Err()
	}
}

// Done is closed when the session has ended, for whatever reason.
func (c *Client) Done() <-chan struct{} { return c.done }

// Err says why the session ended; nil while it has not.
func (c *Client) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Retry skips the pause before the next attempt to connect, if one is under
// way: the browser has said that the network is back.
func (c *Client) Retry() {
	c.mu.Lock()
	connected := c.live != nil
	c.mu.Unlock()
	if connected { // the next loss is another matter
		return
	}
	select {
	case c.hurry <- struct{}{}:
	default:
	}
}

// spawn runs f on a goroutine that ends before Done is closed.
func (c *Client) spawn(f func()) {
	c.wg.Add(1)
	go func() {
		defer c.wg.Done()
		defer c.recover()
		f()
	}()
}

// recover, deferred, turns a panic into the end of the session.
func (c *Client) recover() {
	if r := recover(); r != nil {
		c.end(panicError(r))
	}
}

// end ends the session; the first cause counts.
func (c *Client) end(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = err
		c.stop()
	}
}

// run keeps the session alive until it ends.
func (c *Client) run(cn *conn) {
	defer func() { c.cleanUp(cn) }()
	defer c.recover()
	for {
		began := time.Now()
		err := c.serve(cn)
		c.mu.Lock()
		c.live = nil
		if time.Since(began) >= steady {
			c.attempts = 0
		}
		c.mu.Unlock()
		if c.ctx.Err() != nil {
			return
		}
		if final(err) {
			c.end(err)
			return
		}
		c.abandon(cn, err, closeCode(err != errHidden))
		if cn, err = c.connect(c.ctx, err); err != nil {
			c.end(err)
			return
		}
	}
}

// serve watches over a connection until it is lost or the session ends.
func (c *Client) serve(cn *conn) error {
	silence := silence{limit: cn.patience(c.opts.Silence), every: c.opts.Latency, ticked: time.Now()}
	quiet := time.NewTimer(silence.limit)
	defer quiet.Stop()
	var measure <-chan time.Time
	if c.opts.Latency > 0 {
		t := time.NewTicker(c.opts.Latency)
		defer t.Stop()
		measure = t.C
	}
	for {
		select {
		case <-c.ctx.Done():
			return c.ctx.Err()
		case <-cn.lost:
			c.melt()
			return cn.cause()
		case <-measure:
			c.melt()
			now := time.Now()
			if silence.tick(now, c.ping(cn)) {
				quiet.Reset(silence.deadline(cn.lastHeard(), c.answered()).Sub(now))
			}
		case <-quiet.C:
			c.melt()
			again := silence.judge(time.Now(), cn.lastHeard(), c.answered())
			if again == 0 { // or Go has not read on
				<-look()
				again = silence.judge(time.Now(), cn.lastHeard(), c.answered())
			}
			if again == 0 {
				return errSilent
			}
			quiet.Reset(again)
		}
	}
}

// connect tries until there is a session, a final refusal, or ctx ends. Cause
// is why the connection before was lost; nil: there was none.
func (c *Client) connect(ctx context.Context, cause error) (*conn, error) {
	for {
		if cause != nil {
			if err := c.pause(ctx, cause); err != nil {
				return nil, unreachable(err, cause)
			}
		}
		cn, err := c.attempt(ctx)
		switch {
		case err == nil:
			select {
			case <-c.hurry: // it was for this one
			default:
			}
			return cn, nil
		case final(err):
			return nil, err
		case ctx.Err() != nil:
			return nil, unreachable(ctx.Err(), err)
		}
		cause = err
	}
}

func unreachable(ended, cause error) error {
	return withCause(CodeUnreachable, "no connection: "+cause.Error(), errors.Join(ended, cause))
}

// pause waits until it is time for the next attempt.
func (c *Client) pause(ctx context.Context, cause error) error {
	c.mu.Lock()
	c.attempts++
	attempt := c.attempts
	d := max(c.opts.Backoff.delay(attempt, rand.Float64()), time.Until(c.comeBack))
	c.mu.Unlock()
	note := Reconnecting{Attempt: attempt, DelayMS: d.Milliseconds(), Message: cause.Error()}
	if refused, ok := errors.AsType[*protocol.Error](cause); ok {
		note.Code = refused.Code
	}
	c.events.make(EventReconnecting, note)
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-c.hurry:
	case <-ctx.Done():
		return ctx.Err()
	}
	return c.untilShown(ctx)
}

// attempt makes one connection, up to the session event.
func (c *Client) attempt(ctx context.Context) (*conn, error) {
	c.melt()
	whole := ctx // of all attempts
	ctx, cancel := context.WithTimeout(whole, c.opts.ConnectTimeout)
	defer cancel()
	ws, err := dial(ctx, c.url, &c.opts)
	if err != nil {
		return nil, err
	}
	cn := newConn(ws, c.opts.QueueBytes)
	c.mu.Lock()
	if c.current != nil {
		cn.maxPayload = c.current.takes() // until this one is told
	}
	c.current = cn
	hidden := c.hidden != nil
	c.mu.Unlock()
	c.spawn(func() { cn.read(func(frame []byte) { c.deliver(cn, frame) }) })
	c.spawn(cn.write)
	if hidden { // since the dialling began
		cn.fail(errHidden)
	}

	ended := ctx.Done()
	var late <-chan struct{}
	for {
		select {
		case <-cn.ready:
			return cn, nil
		case <-cn.lost:
			err := cn.cause()
			c.abandon(cn, err, closeCode(err != errHidden))
			return nil, err
		case <-ended:
			c.melt()
			ended, late = nil, look()
		case <-late:
			err := error(&because{errMute, ctx.Err()})
			c.abandon(cn, err, closeCode(whole.Err() == nil))
			return nil, err
		}
	}
}

// closeCode tells the server whether this client will be back.
func closeCode(back bool) websocket.StatusCode {
	if back {
		return protocol.CloseRetry
	}
	return websocket.StatusNormalClosure
}

// abandon gives up a connection and closes its socket in the background.
func (c *Client) abandon(cn *conn, why error, code websocket.StatusCode) {
	cn.fail(why)
	c.spawn(func() { c.part(cn, code) })
}

// part closes a connection's socket.
func (c *Client) part(cn *conn, code websocket.StatusCode) {
	ctx, cancel := context.WithTimeout(c.rush, closeTimeout)
	defer cancel()
	hangUp(ctx, cn, code, "")
}

// cleanUp ends everything. Cn is the last connection, or nil.
func (c *Client) cleanUp(cn *conn) {
	if cn != nil {
		c.farewell(cn)
	}
	c.mu.Lock()
	calls := c.calls
	c.live, c.current, c.calls, c.bytes = nil, nil, nil, 0
	err := c.err
	c.mu.Unlock()
	for _, k := range calls {
		if k.ack {
			k.done <- outcome{err: err}
		}
	}
	c.events.make(EventClose, AsError(err))
	c.events.close()

	ended := make(chan struct{})
	go func() { c.wg.Wait(); close(ended) }()
	awaitAll(ended)
	c.haste()
	close(c.done)
}

// farewell leaves properly: the goodbye, behind what is queued, then the close
// handshake.
func (c *Client) farewell(cn *conn) {
	_ = cn.send(disconnected) // if it cannot be said, the close frame says it
	cn.leave()
	select {
	case <-cn.written:
	case <-c.rush.Done():
	case <-after(closeTimeout):
	}
	c.part(cn, websocket.StatusNormalClosure)
	cn.fail(errClosed)
}

func after(d time.Duration) <-chan time.Time { return time.NewTimer(d).C }

// A PanicError is what a session ended by a panic wraps.
type PanicError struct {
	Value any
	Stack []byte
}

func (e *PanicError) Error() string { return "panic: " + printed(e.Value) }

func panicError(value any) error {
	p := &PanicError{value, stack()}
	return withCause(CodePanic, p.Error(), p)
}
