package relay

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"initgrace/grace/protocol"
	"initgrace/server/socketio"
)

// redial is the pause after a Leader that could not be reached, or is lost.
const redial = 200 * time.Millisecond

// A Follower is a socketio.Handler that has a Leader decide. Without one it
// admits nobody, and has those who are connected come back.
type Follower struct {
	key   string
	log   *slog.Logger
	stats func() socketio.Stats // of its own server, for the Leader

	ctx    context.Context
	cancel context.CancelFunc
	over   chan struct{} // closed: nothing happens any more

	leaving atomic.Bool

	mu     sync.Mutex
	leader string // its address; empty: not known
	news   chan struct{}
	trunk  *trunk // nil: no Leader is reached
}

// Follow makes a Follower that has no Leader yet. The secret is the one of the
// store; stats tell the Leader what the Follower's own server counts.
func Follow(secret []byte, stats func() socketio.Stats, log *slog.Logger) *Follower {
	f := &Follower{key: keyOf(secret), stats: stats, log: log, news: make(chan struct{}), over: make(chan struct{})}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	go f.run()
	return f
}

// Lead says which server leads, by its HOST:PORT.
func (f *Follower) Lead(addr string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if addr != f.leader {
		f.leader = addr
		close(f.news)
		f.news = make(chan struct{})
	}
}

// Leader is the address of the server that leads and is reached, or empty.
func (f *Follower) Leader() string {
	if t := f.current(); t != nil {
		return t.leader
	}
	return ""
}

// Leave has the Leader expect back whoever is disconnected from now on, and says
// who is connected.
func (f *Follower) Leave() []socketio.Client {
	f.leaving.Store(true)
	t := f.current()
	if t == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Collect(maps.Values(t.clients))
}

// Close ends the link, when the Leader has heard all that was said.
func (f *Follower) Close() {
	if t := f.current(); t != nil {
		t.link.send(message{kind: goodbye})
		select {
		case <-t.link.done:
		case <-time.After(silence):
		}
	}
	f.cancel()
	<-f.over
}

func (f *Follower) run() {
	defer close(f.over)
	var told string
	for {
		f.mu.Lock()
		addr, news := f.leader, f.news
		f.mu.Unlock()
		var again <-chan time.Time
		if addr != "" {
			t, err := f.dial(addr)
			if err == nil {
				told = ""
				f.serve(t, news)
			} else if told != err.Error() {
				told = err.Error()
				f.log.Warn("the server that leads is not reached", "err", err)
			}
			again = time.After(redial)
		}
		select {
		case <-f.ctx.Done():
			return
		case <-news:
		case <-again:
		}
	}
}

func (f *Follower) dial(addr string) (*trunk, error) {
	ctx, cancel := context.WithTimeout(f.ctx, silence)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	if err = greet(conn, addr, f.key); err != nil {
		conn.Close()
		return nil, fmt.Errorf("%s: %w", addr, err)
	}
	return &trunk{link: newLink(conn), leader: addr, clients: map[uint64]socketio.Client{}, verdicts: map[uint64]chan *protocol.Error{}}, nil
}

// greet asks for the link.
func greet(conn net.Conn, addr, key string) error {
	conn.SetDeadline(time.Now().Add(silence))
	r, err := http.NewRequest(http.MethodGet, "http://"+addr+Path, nil)
	if err != nil {
		return err
	}
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Upgrade", language)
	r.Header.Set(keyHeader, key)
	if err := r.Write(conn); err != nil {
		return err
	}
	in := bufio.NewReader(conn)
	answer, err := http.ReadResponse(in, r)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusSwitchingProtocols {
		defer answer.Body.Close()
		words, _ := io.ReadAll(io.LimitReader(answer.Body, 200))
		return fmt.Errorf("it answers %s: %q", answer.Status, words)
	}
	if in.Buffered() > 0 {
		return errors.New("it spoke too early")
	}
	return conn.SetDeadline(time.Time{})
}

// serve passes on until the link ends or there is news of the Leader.
func (f *Follower) serve(t *trunk, news <-chan struct{}) {
	f.log.Info("following", "leader", t.leader)
	f.use(t)
	go t.link.write(func() message {
		s := f.stats()
		return message{kind: beat, stats: &s}
	})
	read := make(chan error, 1)
	go func() { read <- t.link.read(t.handle) }()
	var why error
	select {
	case why = <-read:
	case <-news:
	case <-f.ctx.Done():
	}
	f.use(nil)
	t.link.end()
	n := t.abandon()
	f.log.Info("following no more", "leader", t.leader, "clients", n, "why", why)
}

func (f *Follower) use(t *trunk) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.trunk = t
}

func (f *Follower) current() *trunk {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.trunk
}

// A trunk is the link to one Leader, and the clients that are relayed over it.
type trunk struct {
	link   *link
	leader string

	mu       sync.Mutex
	last     uint64
	clients  map[uint64]socketio.Client
	verdicts map[uint64]chan *protocol.Error // that are waited for
	over     bool
}

// A place is a client's in a trunk: its Value.
type place struct {
	*trunk
	number uint64
}

func (p place) tell(m message) {
	m.client = p.number
	p.link.wait(m)
}

// Authorize implements socketio.Handler.
func (f *Follower) Authorize(c socketio.Client, h socketio.Handshake) *protocol.Error {
	if t := f.current(); t != nil {
		p, answer := t.expect()
		c.SetValue(p)
		p.tell(message{kind: authorize, id: c.ID(), addr: h.RemoteAddr, name: h.Transport, data: h.Auth})
		select {
		case refused := <-answer:
			return refused
		case <-t.link.done:
		case <-time.After(admitTimeout):
			t.forget(p.number)
		}
	}
	c.Close(noLeader, socketio.ComeBack) // a client that is refused would not come back by itself
	return protocol.NewError(protocol.CodeRestarting, noLeader)
}

const noLeader = "no server leads at the moment"

// Connected implements socketio.Handler.
func (f *Follower) Connected(c socketio.Client) {
	p := c.Value().(place)
	if !p.add(c) {
		c.Close(noLeader, socketio.ComeBack)
		return
	}
	p.tell(message{kind: connected, canProbe: c.CanProbe()})
}

// Event implements socketio.Handler.
func (f *Follower) Event(c socketio.Client, e socketio.Event) {
	m := message{kind: event, name: e.Name, ackID: e.AckID, ack: e.Ack}
	for _, a := range e.Args {
		m.args = append(m.args, a)
	}
	c.Value().(place).tell(m)
}

// PagePong implements socketio.Handler.
func (f *Follower) PagePong(c socketio.Client) { c.Value().(place).tell(message{kind: pagePong}) }

// BrowserPong implements socketio.Handler.
func (f *Follower) BrowserPong(c socketio.Client, roundTrip time.Duration) {
	c.Value().(place).tell(message{kind: browserPong, roundTrip: roundTrip})
}

// Disconnected implements socketio.Handler.
func (f *Follower) Disconnected(c socketio.Client, why socketio.Cause) {
	if f.leaving.Load() && why.Kind == socketio.ServerClosed {
		why.Kind = socketio.Retrying
	}
	p := c.Value().(place)
	p.forget(p.number)
	p.tell(message{kind: disconnected, cause: why})
}

func (t *trunk) expect() (place, <-chan *protocol.Error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last++
	answer := make(chan *protocol.Error, 1)
	t.verdicts[t.last] = answer
	return place{t, t.last}, answer
}

func (p place) add(c socketio.Client) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.over {
		p.clients[p.number] = c
	}
	return !p.over
}

func (t *trunk) forget(number uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.clients, number)
	delete(t.verdicts, number)
}

// handle does what the Leader says.
func (t *trunk) handle(m message) {
	t.mu.Lock()
	c, answer := t.clients[m.client], t.verdicts[m.client]
	if m.kind == verdict {
		delete(t.verdicts, m.client)
	}
	t.mu.Unlock()
	switch {
	case m.kind == verdict && answer != nil:
		answer <- m.refused
	case c == nil: // gone, and the Leader will hear of it
	case m.kind == frame:
		c.EmitFrame(m.data)
	case m.kind == probe:
		c.Probe()
	case m.kind == closing:
		c.Close(m.name, m.after)
	}
}

// abandon has all clients come back: how many there were.
func (t *trunk) abandon() int {
	t.mu.Lock()
	t.over = true
	all := t.clients
	t.clients = nil
	t.mu.Unlock()
	for _, c := range all {
		c.Close("the server that leads is another one now", socketio.ComeBack)
	}
	return len(all)
}
