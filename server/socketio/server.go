package socketio

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/zishang520/engine.io/v2/engine"
	"github.com/zishang520/socket.io/v2/socket"
	"golang.org/x/time/rate"
)

// Path is where clients expect the server.
const Path = "/socket.io/"

// A Server speaks Socket.IO with clients and tells a Handler. It serves
// requests for Path, in an http.Server that the caller owns.
type Server struct {
	handler    Handler
	log        *slog.Logger
	limits     Limits
	polling    bool
	origins    map[string]bool
	anyOrigin  bool
	proxies    []netip.Prefix
	handshakes *rate.Limiter
	count      counters
	wheel      wheel

	module *socket.Server
	engine http.Handler // the module's

	// raw takes Engine.IO messages in the place of Socket.IO. Only the suite of
	// the Engine.IO protocol sets it, which is about what lies below.
	raw func(*Conn, []byte)

	mu        sync.Mutex
	conns     map[*Conn]struct{}
	bySID     map[string]*Conn // of Engine.IO, with long-polling only
	byAddress map[netip.Prefix]int
	closing   bool
	drained   chan struct{} // closed when closing and conns is empty
	stop      chan struct{} // ends the sweep
}

// New makes a Server. The error says which option cannot be used.
func New(h Handler, o *Options) (*Server, error) {
	if h == nil {
		return nil, errors.New("socketio: no Handler")
	}
	opts := Options{}
	if o != nil {
		opts = *o
	}
	if opts.PingInterval <= 0 {
		opts.PingInterval = defaultPingInterval
	}
	if opts.PingTimeout <= 0 {
		opts.PingTimeout = defaultPingTimeout
	}
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	origins, anyOrigin, err := parseOrigins(opts.Origins)
	if err != nil {
		return nil, err
	}
	proxies, err := parseProxies(opts.TrustedProxies)
	if err != nil {
		return nil, err
	}
	l := opts.Limits.withDefaults()
	s := &Server{
		handler: h, log: opts.Logger, limits: l, polling: opts.Polling,
		origins: origins, anyOrigin: anyOrigin, proxies: proxies,
		handshakes: rate.NewLimiter(rate.Limit(l.Handshakes), l.HandshakeBurst),
		conns:      map[*Conn]struct{}{},
		bySID:      map[string]*Conn{},
		byAddress:  map[netip.Prefix]int{},
		drained:    make(chan struct{}),
		stop:       make(chan struct{}),
	}
	s.wheel = wheel{interval: opts.PingInterval, timeout: opts.PingTimeout}
	s.module = newModule(s, &opts)
	go s.sweep()
	go s.wheel.turn(s.stop)
	return s, nil
}

// Close ends the server: new requests are refused, what was emitted is
// written, every connection gets a proper close frame (1001), and clients come
// back if they can. It returns when every Disconnected has returned; if ctx
// ends first, it cuts the connections that are left and returns ctx's error.
func (s *Server) Close(ctx context.Context) error {
	s.refuse()
	for _, c := range s.all() {
		c.Close("server shutting down", ComeBack)
	}
	defer s.module.Close(nil)
	select {
	case <-s.drained:
		return nil
	case <-ctx.Done():
		for _, c := range s.all() {
			c.out.cut()
		}
		return ctx.Err()
	}
}

// Cut ends every connection as if the network had, with what was emitted and is
// not written yet, and refuses new ones. Close is still to be called.
func (s *Server) Cut() {
	s.refuse()
	for _, c := range s.all() {
		c.out.cut()
	}
}

// refuse admits nobody any more.
func (s *Server) refuse() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closing {
		s.closing = true
		close(s.stop)
		if len(s.conns) == 0 {
			close(s.drained)
		}
	}
}

func (s *Server) all() []*Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]*Conn, 0, len(s.conns))
	for c := range s.conns {
		list = append(list, c)
	}
	return list
}

// opened is called when the module has made its half of a connection.
func (s *Server) opened(c *Conn, e engine.Socket) {
	if c.polling != nil {
		s.mu.Lock()
		s.bySID[e.Id()] = c
		s.mu.Unlock()
	}
	c.attach(e)
	if c.polling != nil {
		c.polling.answerOpen()
	}
}

// forget takes a connection off the books.
func (s *Server) forget(c *Conn) {
	c.mu.Lock()
	e := c.engine
	c.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	if e != nil {
		delete(s.bySID, e.Id())
	}
	if s.byAddress[c.network]--; s.byAddress[c.network] <= 0 {
		delete(s.byAddress, c.network)
	}
	if s.closing && len(s.conns) == 0 {
		close(s.drained)
	}
}

// sweepInterval is how often sweep looks.
const sweepInterval = 30 * time.Second

// sweep ends connections whose end nobody noticed. There should be none;
// Stats.Swept says whether that is so.
func (s *Server) sweep() {
	tick := time.NewTicker(sweepInterval)
	defer tick.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-tick.C:
		}
		s.sweepOnce()
	}
}

func (s *Server) sweepOnce() {
	for _, c := range s.all() {
		c.mu.Lock()
		e := c.engine
		c.mu.Unlock()
		if e != nil && e.ReadyState() == "closed" && c.end(Cause{Kind: Lost, Detail: "swept"}, nil) {
			s.count.swept.Add(1)
		}
	}
	s.module.Sockets().Sockets().Range(func(_ socket.SocketId, sock *socket.Socket) bool {
		if sock.Conn().ReadyState() == "closed" && sock.Connected() {
			sock.Disconnect(false)
			s.count.swept.Add(1)
		}
		return true
	})
}
