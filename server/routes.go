package server

import (
	"net/http"

	"initgrace/server/admin"
	"initgrace/server/relay"
	"initgrace/server/static"
)

// routes says what is served where.
func (s *Server) routes(cfg Config) error {
	pages, err := cfg.pages()
	if err != nil {
		return err
	}
	dashboard, err := static.Dashboard(nil)
	if err != nil {
		return err
	}
	l := s.loop
	experimenter := admin.New(admin.Options{
		Token: cfg.AdminToken, Secret: l.secret, Address: s.sock.ClientAddress,
		Feed: l.feed, Seats: seats{l}, Log: cfg.Store, Metrics: l.metrics.Handler(), Pages: dashboard, Logger: cfg.Logger,
	})
	for _, prefix := range admin.Prefixes {
		s.mux.Handle(prefix, experimenter)
	}
	s.mux.Handle("/socket.io/", s.sock)
	s.mux.HandleFunc("GET /healthz", s.healthz)
	s.mux.HandleFunc("GET /readyz", s.readyz)
	s.mux.HandleFunc("POST "+beatPath, s.beats(false))
	s.mux.HandleFunc("POST "+pageHidePath, s.beats(true))
	if s.relay != nil {
		s.mux.Handle(relay.Path, s.relay)
	}
	s.mux.Handle("/", pages)
	return nil
}

const (
	beatPath     = "/initgrace/beat"
	pageHidePath = "/initgrace/pagehide"
)

// pages serves what browsers download.
func (c Config) pages() (http.Handler, error) {
	return static.New(&static.Options{Site: c.Site, Pyodide: c.Pyodide, Packages: c.Packages, PackageCDN: c.PackageCDN})
}
