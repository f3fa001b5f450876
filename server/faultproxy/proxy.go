package faultproxy

import (
	"fmt"
	"net"
	"slices"
	"sync"
	"time"
)

// A Direction is one way through the proxy, or both.
type Direction int

const (
	Up   Direction = 1 << iota // client to server
	Down                       // server to client
	Both = Up | Down
)

// A Shape is a bad but working network. The zero value is a perfect one.
type Shape struct {
	// Latency delays every byte, in each direction.
	Latency time.Duration
	// Jitter is added to Latency at random, between 0 and this. Order is kept.
	Jitter time.Duration
	// Loss is the probability, for each piece of at most PieceBytes, that it
	// and all behind it wait for Stall.
	Loss float64
	// Stall is how long a loss takes to repair. Default 200 ms, Linux's
	// shortest retransmission timeout.
	Stall time.Duration
}

// A Proxy forwards connections to one server. Its methods may be called at any
// time from any goroutine; faults apply to all connections, those still to
// come included.
type Proxy struct {
	listener net.Listener
	target   string
	done     chan struct{}
	running  sync.WaitGroup

	mu     sync.Mutex
	fault  fault // of new connections
	conns  []*Conn
	closed bool
}

// fault is what is wrong with a connection.
type fault struct {
	held  Direction // paused, or cut
	shape Shape
}

// Listen starts a proxy on a free port of the loopback interface, in front of
// target ("host:port"). The target is dialled anew for every connection.
func Listen(target string) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("faultproxy: %w", err)
	}
	p := &Proxy{listener: l, target: target, done: make(chan struct{})}
	p.running.Go(p.accept)
	return p, nil
}

// Addr is where clients connect to, as "host:port".
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Conns returns the open connections in the order in which they were accepted.
func (p *Proxy) Conns() []*Conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.conns)
}

// Pause holds every byte. New connections are accepted, but are not heard by
// the server until Resume.
func (p *Proxy) Pause(d Direction) { p.change(func(f *fault) { f.held |= d }, nil) }

// Cut lets the connections that are open die silently, and holds new ones as
// Pause does.
func (p *Proxy) Cut(d Direction) {
	p.change(func(f *fault) { f.held |= d }, func(c *Conn) { c.Cut(d) })
}

// Resume undoes Pause, and Cut for new connections.
func (p *Proxy) Resume() { p.change(func(f *fault) { f.held = 0 }, nil) }

// SetShape sets the quality of the network, from the next piece on.
func (p *Proxy) SetShape(s Shape) { p.change(func(f *fault) { f.shape = s }, nil) }

// Reset ends every open connection with RST, at both ends.
func (p *Proxy) Reset() {
	for _, c := range p.Conns() {
		c.Reset()
	}
}

// Close stops listening and resets what is still open.
func (p *Proxy) Close() error {
	p.mu.Lock()
	first := !p.closed
	p.closed = true
	p.mu.Unlock()
	if !first {
		return nil
	}
	close(p.done)
	err := p.listener.Close()
	p.Reset()
	p.running.Wait()
	return err
}

// change changes the fault of all connections, or does each to the open ones.
func (p *Proxy) change(f func(*fault), each func(*Conn)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f(&p.fault)
	if each == nil {
		each = func(c *Conn) { c.change(f) }
	}
	for _, c := range p.conns {
		each(c)
	}
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return // closed
		}
		p.mu.Lock()
		if p.closed {
			p.mu.Unlock()
			reset(client)
			return
		}
		c := newConn(client.(*net.TCPConn), p.fault)
		p.conns = append(p.conns, c)
		p.mu.Unlock()
		p.running.Go(func() {
			c.run(p.target)
			p.mu.Lock()
			p.conns = slices.DeleteFunc(p.conns, func(o *Conn) bool { return o == c })
			p.mu.Unlock()
		})
	}
}
