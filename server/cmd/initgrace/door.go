package main

import (
	"fmt"
	"net/http"
	"sync/atomic"
)

// A door is where requests come in, whoever answers them at the time. While nobody
// does it refuses them in a way that has a load balancer ask another server (503),
// but says that it is well.
type door struct{ handler atomic.Pointer[http.Handler] }

func (d *door) open(h http.Handler) { d.handler.Store(&h) }

func (d *door) close() { d.handler.Store(nil) }

func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h := d.handler.Load(); h != nil {
		(*h).ServeHTTP(w, r)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if r.URL.Path == "/healthz" {
		fmt.Fprintln(w, "starting")
		return
	}
	w.Header().Set("Retry-After", "1")
	http.Error(w, "this server starts", http.StatusServiceUnavailable)
}
