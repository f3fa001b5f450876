// Package server holds the seats of a live browser experiment. New returns an
// http.Handler that speaks Socket.IO with the participants' pages, serves the
// loader, Pyodide and the study, and can be embedded in any Go program.
//
// The way of one load through it: socketio (validated, in order) → hub
// (decoded) → loop → grace.Tracker (granted) → store → ack.
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"initgrace/grace"
	"initgrace/grace/protocol"
	"initgrace/server/live"
	"initgrace/server/metrics"
	"initgrace/server/relay"
	"initgrace/server/socketio"
	"initgrace/server/store/memory"
)

// Server is an http.Handler. Close it to store what must be stored.
type Server struct {
	loop  *loop
	sock  *socketio.Server
	relay *relay.Leader // nil: this server is alone
	mux   *http.ServeMux
	door  http.Handler // of the mux
	close sync.Once
}

// New starts a server. It fails, having served nothing, if the configuration
// contradicts itself or the store cannot be used.
func New(cfg Config) (*Server, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	if cfg.Store == nil {
		cfg.Store = memory.New()
	}
	tightest, _ := extremes(cfg.Policy, cfg.Study)
	l := &loop{
		tracker: grace.New(cfg.Policy), clock: newClock(tightest), lobby: lobby{study: cfg.Study}, members: make(map[string]*member),
		store: cfg.Store, strict: cfg.RequireToken, log: cfg.Logger, observe: cfg.Observe, metrics: metrics.New(),
		inbox: make(chan task, inboxSize), quit: make(chan struct{}), done: make(chan struct{}),
		commits: make(chan batch), committed: make(chan batch, 1),
	}
	l.storing, l.giveUp = context.WithCancel(context.Background())
	if cfg.AdminToken != "" {
		l.feed = live.New()
	}
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	defer cancel()
	if l.secret, err = cfg.Store.Secret(ctx); err != nil {
		return nil, l.fail(fmt.Errorf("reading the store: %w", err))
	}
	if err := l.feed.Refill(ctx, cfg.Store, time.Now()); err != nil { // the log is there, whatever is shown of it
		l.log.Warn("the dashboard begins empty: the log could not be read", "err", err)
	}
	if err = l.countDrawn(ctx); err == nil {
		err = l.restore(ctx)
	}
	if err != nil {
		return nil, l.fail(fmt.Errorf("reading the sessions: %w", err))
	}
	s := &Server{loop: l, mux: http.NewServeMux()}
	s.door = s.mux
	s.sock, err = socketio.New(hub{l}, cfg.sockets())
	if err == nil {
		l.cut = s.sock.Cut
		if cfg.Relay {
			s.relay = relay.NewLeader(hub{l}, l.secret, cfg.Logger)
			s.door = s.relay.Unwrap(s.mux)
			l.cut = func() { s.sock.Cut(); s.relay.Cut() }
		}
		s.measure()
		err = s.routes(cfg)
	}
	if err != nil {
		return nil, l.fail(err)
	}
	go l.run()
	return s, nil
}

// Check says what New would say about a configuration, but for its Store.
func Check(cfg Config) error {
	cfg.Store, cfg.Observe = nil, nil
	s, err := New(cfg)
	if err != nil {
		return err
	}
	return s.Close(context.Background())
}

// fail undoes what New did before an error.
func (l *loop) fail(err error) error {
	l.feed.Close()
	return errors.Join(err, l.store.Close())
}

// sockets is how clients are admitted, also by servers that follow.
func (c Config) sockets() *socketio.Options {
	_, longest := extremes(c.Policy, c.Study)
	return &socketio.Options{
		PingInterval: c.PageInterval, PingTimeout: pingCeiling(longest),
		Origins: c.Origins, TrustedProxies: c.TrustedProxies, Polling: c.Polling,
		Limits: c.Limits, Logger: c.Logger,
	}
}

// pingCeiling is the module's own page timeout, which is the same for every
// client and must never be the one that strikes: the tight deadlines are ours.
func pingCeiling(p grace.Policy) time.Duration {
	return p.LoadCap + max(p.ReconnectTimeout, p.BlockedTimeout, p.PageTimeout) + time.Minute
}

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.door.ServeHTTP(w, r) }

// comeBack is the longest delay that a restarting server asks clients for, so
// that they do not all come back in the same instant.
const comeBack = 2 * time.Second

func soon() protocol.Restarting {
	return protocol.Restarting{DelayMS: rand.Int64N(comeBack.Milliseconds()) + 1}
}

// closeTimeout is how long Close may take, whatever its context says.
const closeTimeout = 10 * time.Second

// Close tells the participants to come back, stores what must be stored,
// closes the sockets with a close frame and then the store. Nobody is away
// because of it: after a restart everybody has the full hold. When ctx ends, or
// after 10 s, a store that still fails is given up; the error says so.
func (s *Server) Close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, closeTimeout)
	defer cancel()
	var err error
	s.close.Do(func() {
		s.loop.post(func(l *loop, now time.Time) {
			l.closing = true
			for _, m := range l.members {
				if p := m.peer; p != nil {
					l.tell(p, protocol.EventServerRestarting, soon())
				}
			}
		})
		s.loop.flush(ctx)
		s.loop.feed.Close()
		err = s.sock.Close(ctx)
		if s.relay != nil {
			err = errors.Join(err, s.relay.Close(ctx))
		}
		err = errors.Join(err, s.loop.stop(ctx), s.loop.store.Close())
	})
	return err
}

// stop ends the loop when everything is stored, or when ctx ends.
func (l *loop) stop(ctx context.Context) error {
	close(l.quit)
	select {
	case <-l.done:
	case <-ctx.Done():
	}
	l.giveUp() // what is under way at the store ends with it, and the loop then
	select {
	case <-l.done:
	case <-time.After(2 * time.Second):
		return fmt.Errorf("stopping: %w", ctx.Err())
	}
	if l.lost > 0 {
		return fmt.Errorf("stopping: %d sessions and events could not be stored", l.lost)
	}
	return nil
}

// flush waits until what was posted before has taken effect.
func (l *loop) flush(ctx context.Context) {
	reached := make(chan struct{})
	l.post(func(l *loop, now time.Time) { l.then(func(error) { close(reached) }) })
	select {
	case <-reached:
	case <-ctx.Done():
	case <-l.done:
	}
}

func (c Config) withDefaults() (Config, error) {
	if c.Study != nil {
		if c.Policy != (grace.Policy{}) || c.PageInterval != 0 {
			return c, errors.New("both Config and its Study give Policy or PageInterval: the study has its own")
		}
		c.Policy, c.PageInterval = c.Study.Policy, c.Study.PageInterval
	}
	if c.PageInterval == 0 {
		c.PageInterval = 2 * time.Second
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if err := c.Policy.Validate(); err != nil {
		return c, fmt.Errorf("policy: %w", err)
	}
	c.Policy = c.Policy.WithDefaults()
	if c.PageInterval < 0 || c.PageInterval >= c.Policy.BlockedAfter {
		return c, fmt.Errorf("PageInterval %v must be positive and shorter than BlockedAfter %v, or every page would look blocked",
			c.PageInterval, c.Policy.BlockedAfter)
	}
	return c, nil
}
