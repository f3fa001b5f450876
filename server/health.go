package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// healthz says whether the process lives: one that does not answer, or says
// no, should be started again.
func (s *Server) healthz(w http.ResponseWriter, r *http.Request) {
	select {
	case <-s.loop.done:
		w.Header().Set("Cache-Control", "no-store")
		http.Error(w, "shutting down", http.StatusServiceUnavailable)
	default:
		say(w, "ok")
	}
}

// readyTime is how long the loop and the store may take to answer together.
const readyTime = 2 * time.Second

// readyz says whether new participants should be sent here now: the loop takes
// tasks, what it decides is stored, and the server is not about to leave.
func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readyTime)
	defer cancel()
	if err := s.ready(ctx); err != nil {
		w.Header().Set("Cache-Control", "no-store")
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	say(w, "ready")
}

func (s *Server) ready(ctx context.Context) error {
	l := s.loop
	closing := make(chan bool, 1)
	select {
	case l.inbox <- func(l *loop, now time.Time) { c := l.closing; l.then(func(error) { closing <- c }) }:
	case <-l.done:
		return errors.New("shutting down")
	case <-ctx.Done():
		return errors.New("the loop takes nothing")
	}
	select {
	case c := <-closing:
		if c {
			return errors.New("shutting down")
		}
	case <-l.done:
		return errors.New("shutting down")
	case <-ctx.Done():
		return errors.New("the loop does not answer")
	}
	if l.failing.Load() {
		return errors.New("the store takes nothing")
	}
	// Any name will do; that of nobody reads the least.
	if _, _, err := l.store.Session(ctx, "readyz"); err != nil {
		l.log.Error("the store does not answer", "err", err)
		return errors.New("the store does not answer")
	}
	return nil
}

// say answers in words that are true for now.
func say(w http.ResponseWriter, what string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	fmt.Fprintln(w, what)
}
