package server

import (
	"initgrace/server/metrics"
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
	s.mux.Handle("/socket.io/", s.sock)
	s.mux.HandleFunc("GET /healthz", s.healthz)
	s.mux.Handle("GET /metrics", metrics.RequireToken(cfg.AdminToken, s.loop.metrics.Handler()))
	s.mux.HandleFunc("POST /initgrace/beat", s.beats(false))
	s.mux.HandleFunc("POST /initgrace/pagehide", s.beats(true))
	s.mux.Handle("/", pages)
	return nil
}
