package server

import (
	"initgrace/server/admin"
	"initgrace/server/static"
)

// routes says what is served where.
func (s *Server) routes(cfg Config) error {
	pages, err := static.New(&static.Options{
		Site: cfg.Site, Pyodide: cfg.Pyodide, Packages: cfg.Packages, PackageCDN: cfg.PackageCDN,
	})
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
	s.mux.HandleFunc("POST /initgrace/beat", s.beats(false))
	s.mux.HandleFunc("POST /initgrace/pagehide", s.beats(true))
	s.mux.Handle("/", pages)
	return nil
}
