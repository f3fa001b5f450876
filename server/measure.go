package server

import "initgrace/server/metrics"

// measure adds what is not counted but looked up when it is asked for.
func (s *Server) measure() {
	m := s.loop.metrics
	m.Collect(metrics.Sockets(s.sock.Stats))
	m.Gauge("initgrace_loop_inbox", "Things that happened and wait for the loop.", func() float64 { return float64(len(s.loop.inbox)) })
}
