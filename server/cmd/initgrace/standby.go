package main

import (
	"fmt"
	"net/http"
	"sync/atomic"

	"initgrace/server"
)

// standby is the door of a server that may have to wait until it leads. Until
// then it refuses everything in a way that has a load balancer ask another
// server (503), but says that it is well.
type standby struct{ leading atomic.Pointer[server.Server] }

func (s *standby) open(srv *server.Server) { s.leading.Store(srv) }

func (s *standby) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if srv := s.leading.Load(); srv != nil {
		srv.ServeHTTP(w, r)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if r.URL.Path == "/healthz" {
		fmt.Fprintln(w, "standing by")
		return
	}
	w.Header().Set("Retry-After", "1")
	http.Error(w, "another server serves; this one stands by", http.StatusServiceUnavailable)
}
