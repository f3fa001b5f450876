package server

import (
	"initgrace/server/metrics"
	"initgrace/server/socketio"
)

// measure adds what is not counted but looked up when it is asked for.
func (s *Server) measure() {
	m := s.loop.metrics
	m.Collect(metrics.Sockets(s.sockets))
	if s.relay != nil {
		m.Gauge("initgrace_followers", "Servers that hold connections for this one.", func() float64 {
			followers, _ := s.relay.Stats()
			return float64(followers)
		})
	}
	m.Gauge("initgrace_loop_inbox", "Things that happened and wait for the loop.", func() float64 { return float64(len(s.loop.inbox)) })
}

// sockets counts the connections of this server and of those that follow it.
func (s *Server) sockets() socketio.Stats {
	sum := s.sock.Stats()
	if s.relay != nil {
		_, others := s.relay.Stats()
		sum.Add(others)
	}
	return sum
}
