package relay

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"initgrace/grace/protocol"
	"initgrace/server/socketio"
)

// A Leader has a socketio.Handler decide about the clients of Followers as if
// they were connected to its own server.
type Leader struct {
	handler socketio.Handler
	key     string
	log     *slog.Logger

	mu       sync.Mutex
	branches map[*branch]struct{}
	past     socketio.Stats // what Followers counted whose links have ended
	closing  bool
	drained  chan struct{} // closed when closing and no client is left
}

// NewLeader makes a Leader. The secret is the one of the store.
func NewLeader(h socketio.Handler, secret []byte, log *slog.Logger) *Leader {
	return &Leader{handler: h, key: keyOf(secret), log: log, branches: map[*branch]struct{}{}, drained: make(chan struct{})}
}

// ServeHTTP takes the links of Followers at Path.
func (l *Leader) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case !authentic(r, l.key):
		http.NotFound(w, r)
		return
	case r.Header.Get("Upgrade") != language:
		http.Error(w, fmt.Sprintf("this server speaks %s: all servers must be of one version", language), http.StatusUpgradeRequired)
		return
	}
	b := &branch{Leader: l, from: r.RemoteAddr, clients: map[uint64]*remote{}}
	if !l.add(b) {
		http.Error(w, "this server is shutting down", http.StatusServiceUnavailable)
		return
	}
	defer l.remove(b)
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	b.run(conn)
}

// Unwrap gives requests that Followers pass on the address that they came from.
func (l *Leader) Unwrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if client := r.Header.Get(clientHeader); client != "" && authentic(r, l.key) {
			addr, _, _ := strings.Cut(client, "/") // a network has its address
			r.RemoteAddr = net.JoinHostPort(addr, "0")
			r.Header.Del("X-Forwarded-For") // it was believed, or not, over there
		}
		next.ServeHTTP(w, r)
	})
}

// Stats are the number of Followers, and what they and those before them counted.
func (l *Leader) Stats() (followers int, sum socketio.Stats) {
	l.mu.Lock()
	defer l.mu.Unlock()
	sum.Add(l.past)
	for b := range l.branches {
		sum.Add(b.stats)
	}
	return len(l.branches), sum
}

// Close has every client of a Follower come back, to whoever leads then, and ends
// the links. It returns when every Disconnected has returned; if ctx ends first,
// with its error.
func (l *Leader) Close(ctx context.Context) error {
	l.mu.Lock()
	l.closing = true
	for b := range l.branches {
		for _, r := range b.clients {
			r.Close(shuttingDown, socketio.ComeBack)
		}
	}
	l.settle()
	l.mu.Unlock()
	defer l.Cut()
	select {
	case <-l.drained:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Cut ends the links at once, and takes no others.
func (l *Leader) Cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closing = true
	for b := range l.branches {
		if b.link != nil {
			b.link.end()
		}
	}
	l.settle()
}

func (l *Leader) add(b *branch) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closing {
		return false
	}
	l.branches[b] = struct{}{}
	return true
}

func (l *Leader) remove(b *branch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.branches, b)
	b.stats.Connections, b.stats.Connected = 0, 0
	l.past.Add(b.stats)
	l.settle()
}

// settle notices that no client is left. The lock is held.
func (l *Leader) settle() {
	if !l.closing {
		return
	}
	for b := range l.branches {
		for _, r := range b.clients {
			if r.connected {
				return
			}
		}
	}
	select {
	case <-l.drained:
	default:
		close(l.drained)
	}
}

const shuttingDown = "server shutting down"

// A branch is what the Leader knows of one Follower.
type branch struct {
	*Leader
	from string

	// Under the Leader's lock.
	link    *link
	over    bool // the link has ended
	clients map[uint64]*remote
	stats   socketio.Stats
}

func (b *branch) run(conn net.Conn) {
	conn.SetDeadline(time.Now().Add(silence))
	if _, err := fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", language); err != nil {
		conn.Close()
		return
	}
	conn.SetDeadline(time.Time{})
	link := newLink(conn)
	b.mu.Lock()
	b.link = link
	if b.closing {
		link.end()
	}
	b.mu.Unlock()
	b.log.Info("a server follows", "from", b.from)
	go link.write(func() message { return message{kind: beat} })
	why := link.read(b.handle)
	lost := b.lost()
	b.log.Info("a server follows no more", "from", b.from, "clients", len(lost), "why", why)
	for _, r := range lost {
		b.leave(r, socketio.Cause{Kind: socketio.Lost, Detail: "the server that had the connection is gone"})
	}
}

// handle runs on the one goroutine that reads the link: the Handler is told of
// each client in the order in which the Follower tells.
func (b *branch) handle(m message) {
	switch m.kind {
	case beat:
		if m.stats != nil {
			b.mu.Lock()
			b.stats = *m.stats
			b.mu.Unlock()
		}
		return
	case goodbye: // all that was said before has been heard
		b.link.end()
		return
	case authorize:
		go b.authorize(m) // the Handler may have to ask
		return
	}
	r := b.client(m.client)
	if r == nil {
		if m.kind == connected { // too late
			b.link.send(message{kind: closing, client: m.client, name: "not admitted in time", after: socketio.ComeBack})
		}
		return
	}
	if m.kind == disconnected {
		b.leave(r, m.cause)
		return
	}
	b.call(r, func() {
		switch m.kind {
		case connected:
			late := b.connect(r, m.canProbe)
			b.handler.Connected(r)
			if late {
				r.Close(shuttingDown, socketio.ComeBack)
			}
		case event:
			e := socketio.Event{Name: m.name, AckID: m.ackID, Ack: m.ack}
			for _, a := range m.args {
				e.Args = append(e.Args, a)
			}
			b.handler.Event(r, e)
		case pagePong:
			b.handler.PagePong(r)
		case browserPong:
			b.handler.BrowserPong(r, m.roundTrip)
		}
	})
}

// leave tells the Handler, and then takes a client off the books.
func (b *branch) leave(r *remote, why socketio.Cause) {
	defer b.forget(r)
	if r.connected {
		b.call(r, func() { b.handler.Disconnected(r, why) })
	}
}

func (b *branch) authorize(m message) {
	r := &remote{branch: b, number: m.client, id: m.id, addr: m.addr}
	refused := protocol.NewError(protocol.CodeInternal, "internal error")
	b.call(r, func() {
		refused = b.handler.Authorize(r, socketio.Handshake{Auth: m.data, RemoteAddr: m.addr, Transport: m.name})
	})
	if refused == nil {
		b.admit(r)
	}
	b.link.send(message{kind: verdict, client: m.client, refused: refused})
}

// admit expects a client that may still be gone before it is told.
func (b *branch) admit(r *remote) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over {
		return
	}
	r.late = time.AfterFunc(admitTimeout, func() { b.forget(r) })
	b.clients[r.number] = r
}

// connect reports whether the server is closing already.
func (b *branch) connect(r *remote, canProbe bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	r.late.Stop()
	r.connected, r.canProbe = true, canProbe
	return b.closing
}

func (b *branch) client(number uint64) *remote {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.clients[number]
}

func (b *branch) forget(r *remote) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r.late.Stop()
	delete(b.clients, r.number)
	b.settle()
}

// lost are the clients whose link has ended. There will be no others.
func (b *branch) lost() []*remote {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.over = true
	return slices.Collect(maps.Values(b.clients))
}

// call runs a call of the Handler's: a fault in it ends one connection.
func (b *branch) call(r *remote, f func()) {
	defer func() {
		if fault := recover(); fault != nil {
			b.log.Error("panic", "client", r.id, "panic", fault, "stack", string(debug.Stack()))
			r.Close("internal error", socketio.ComeBack)
		}
	}()
	f()
}
