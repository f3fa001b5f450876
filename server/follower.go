package server

import (
	"context"
	"net/http"

	"initgrace/grace/protocol"
	"initgrace/server/admin"
	"initgrace/server/relay"
	"initgrace/server/socketio"
)

// A Follower is an http.Handler that serves the same pages as the Server that
// leads, and holds connections of participants for it. The Server decides
// everything; what it alone can answer is passed on to it. While no Server is
// reached nobody is admitted (503).
type Follower struct {
	sock  *socketio.Server
	relay *relay.Follower
	mux   *http.ServeMux
}

// NewFollower makes a Follower that does not know who leads yet. The secret is
// that of the Store of the Server that leads, which cfg.Store is not needed for.
func NewFollower(cfg Config, secret []byte) (*Follower, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	pages, err := cfg.pages()
	if err != nil {
		return nil, err
	}
	f := &Follower{mux: http.NewServeMux()}
	f.relay = relay.Follow(secret, func() socketio.Stats { return f.sock.Stats() }, cfg.Logger)
	if f.sock, err = socketio.New(f.relay, cfg.sockets()); err != nil {
		f.relay.Close()
		return nil, err
	}
	f.mux.HandleFunc(socketio.Path, func(w http.ResponseWriter, r *http.Request) {
		if f.relay.Leader() == "" {
			relay.Unavailable(w) // a WebSocket client tries again, which it would not after a connect_error
			return
		}
		f.sock.ServeHTTP(w, r)
	})
	leads := f.relay.Proxy(f.sock.ClientAddress)
	for _, path := range append([]string{beatPath, pageHidePath}, admin.Prefixes...) {
		f.mux.Handle(path, leads)
	}
	f.mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) { say(w, "ok") })
	f.mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if f.relay.Leader() == "" {
			relay.Unavailable(w)
			return
		}
		say(w, "ready, another server leads")
	})
	f.mux.Handle("/", pages)
	return f, nil
}

func (f *Follower) ServeHTTP(w http.ResponseWriter, r *http.Request) { f.mux.ServeHTTP(w, r) }

// Lead says which server leads, by its HOST:PORT.
func (f *Follower) Lead(addr string) { f.relay.Lead(addr) }

// Close tells the participants to come back, closes their connections, and lets
// go of the Server that leads. Nobody who comes back in time is away because of it.
func (f *Follower) Close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, closeTimeout)
	defer cancel()
	for _, c := range f.relay.Leave() {
		if restarting, err := socketio.EncodeEvent(protocol.EventServerRestarting, soon()); err == nil {
			c.EmitFrame(restarting)
		}
	}
	err := f.sock.Close(ctx)
	f.relay.Close()
	return err
}
