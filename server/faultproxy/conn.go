package faultproxy

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// PieceBytes is the most that is forwarded at once.
	PieceBytes = 16 << 10
	// QueueBytes bounds what the proxy itself holds of one direction.
	QueueBytes = 32 * PieceBytes

	dialTimeout = 5 * time.Second
)

// A Conn is one client's connection and the proxy's own to the server.
type Conn struct {
	client   *net.TCPConn
	ctx      context.Context // done when the connection was reset
	cancel   context.CancelFunc
	up, down atomic.Int64

	mu      sync.Mutex
	server  *net.TCPConn
	fault   fault
	cut     Direction
	changed chan struct{} // closed at every change, and replaced
}

func newConn(client *net.TCPConn, f fault) *Conn {
	c := &Conn{client: client, fault: f, changed: make(chan struct{})}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// RemoteAddr is the client's address.
func (c *Conn) RemoteAddr() net.Addr { return c.client.RemoteAddr() }

// Forwarded counts the bytes that were passed on to the server and the client.
func (c *Conn) Forwarded() (up, down int64) { return c.up.Load(), c.down.Load() }

// Pause holds every byte until Resume. What is just being written may still
// arrive.
func (c *Conn) Pause(d Direction) { c.change(func(f *fault) { f.held |= d }) }

// Cut lets the connection die silently; in one direction only, it is half
// open.
func (c *Conn) Cut(d Direction) {
	c.mu.Lock()
	c.cut |= d
	c.mu.Unlock()
	c.Pause(d)
}

// Resume undoes Pause.
func (c *Conn) Resume() { c.change(func(f *fault) { f.held = 0 }) }

// SetShape sets the quality of the network, from the next piece on.
func (c *Conn) SetShape(s Shape) { c.change(func(f *fault) { f.shape = s }) }

// Reset ends the connection with RST, at both ends.
func (c *Conn) Reset() {
	c.cancel()
	c.mu.Lock()
	server := c.server
	c.mu.Unlock()
	reset(c.client)
	if server != nil {
		reset(server)
	}
}

func (c *Conn) change(f func(*fault)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(&c.fault)
	c.fault.held |= c.cut
	close(c.changed)
	c.changed = make(chan struct{})
}

// pass waits until the direction is not held. It is false when the connection
// was reset.
func (c *Conn) pass(d Direction) bool {
	for {
		c.mu.Lock()
		held, changed := c.fault.held&d != 0, c.changed
		c.mu.Unlock()
		if !held {
			return c.ctx.Err() == nil
		}
		select {
		case <-changed:
		case <-c.ctx.Done():
			return false
		}
	}
}

// run forwards until both directions have ended.
func (c *Conn) run(target string) {
	defer c.Reset() // does nothing to a connection that was closed in order
	if !c.pass(Both) {
		return
	}
	// Not with c.ctx: cancelled at the wrong moment it would leave with FIN
	// where Reset promises RST.
	conn, err := net.DialTimeout("tcp", target, dialTimeout)
	if err != nil {
		return
	}
	server := conn.(*net.TCPConn)
	c.mu.Lock()
	c.server = server
	c.mu.Unlock()
	if c.ctx.Err() != nil { // Reset came before it could see server
		reset(server)
		return
	}
	var both sync.WaitGroup
	both.Go(func() { c.forward(Up, c.client, server, &c.up) })
	both.Go(func() { c.forward(Down, server, c.client, &c.down) })
	both.Wait()
	if c.ctx.Err() == nil {
		c.client.Close()
		server.Close()
	}
}

// A piece is some bytes, or the end of the stream, and when they arrive.
type piece struct {
	bytes []byte
	err   error // io.EOF: closed in order
	due   time.Time
}

// forward is one direction: a reader that stamps pieces with their due time,
// and a writer behind a bounded queue.
func (c *Conn) forward(d Direction, from, to *net.TCPConn, forwarded *atomic.Int64) {
	queue := make(chan piece, QueueBytes/PieceBytes-2) // one more in each hand
	var reader sync.WaitGroup
	reader.Go(func() { c.read(d, from, queue) })
	defer reader.Wait()
	for p := range queue {
		if !c.wait(p.due) || !c.pass(d) {
			break
		}
		switch {
		case p.err == nil:
			if _, err := to.Write(p.bytes); err == nil {
				forwarded.Add(int64(len(p.bytes)))
			} else {
				c.Reset() // the receiver is gone: its RST is passed on
			}
		case errors.Is(p.err, io.EOF):
			to.CloseWrite()
		default:
			c.Reset()
		}
	}
	for range queue { // lets the reader end
	}
}

func (c *Conn) read(d Direction, from *net.TCPConn, queue chan<- piece) {
	defer close(queue)
	last := time.Time{}
	for c.pass(d) {
		buf := make([]byte, PieceBytes)
		n, err := from.Read(buf)
		due := c.due()
		if due.Before(last) {
			due = last
		}
		last = due
		if n > 0 {
			queue <- piece{bytes: buf[:n], due: due}
		}
		if err != nil {
			queue <- piece{err: err, due: due}
			return
		}
	}
}

// due is when a piece that was read now arrives.
func (c *Conn) due() time.Time {
	c.mu.Lock()
	s := c.fault.shape
	c.mu.Unlock()
	delay := s.Latency
	if s.Jitter > 0 {
		delay += rand.N(s.Jitter)
	}
	if s.Loss > 0 && rand.Float64() < s.Loss {
		if s.Stall == 0 {
			s.Stall = 200 * time.Millisecond
		}
		delay += s.Stall
	}
	return time.Now().Add(delay)
}

// wait waits for an instant. It is false when the connection was reset.
func (c *Conn) wait(due time.Time) bool {
	d := time.Until(due)
	if d <= 0 {
		return c.ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-c.ctx.Done():
		return false
	}
}

// reset closes with RST instead of FIN.
func reset(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		t.SetLinger(0)
	}
	c.Close()
}
