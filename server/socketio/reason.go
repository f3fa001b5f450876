package socketio

import (
	"sync/atomic"

	"github.com/gorilla/websocket"
)

// A reason says for what the guard turned a request or a connection away. The
// names are what Stats.Refused counts by and what a close frame carries.
type reason int

const (
	// Requests, answered with an HTTP status before there is a connection.
	badRequest         reason = iota // no such transport, sid, method or query
	badOrigin                        // the page's origin is not allowed
	badVersion                       // not Engine.IO 4, or JSONP
	shuttingDown                     // Server.Close was called
	tooManyConnections               // Limits.Connections
	tooManyFromAddress               // Limits.PerAddress
	tooManyHandshakes                // Limits.Handshakes

	// Connections, closed.
	tooLarge         // Limits.Packet or Limits.Auth
	binaryFrame      // this protocol has none
	malformed        // not a packet of Engine.IO 4 or Socket.IO 5
	beforeConnect    // anything but CONNECT from a client that is not admitted
	unexpectedPong   // a pong for a ping that was not sent
	unexpectedAck    // an ack for an event that asked for none
	unexpectedPacket // valid, but not in this state or not from a client
	unexpectedProbe  // an upgrade that is not under way
	flood            // faster than the limits for longer than Limits.Flood
	slowReader       // Limits.Outbound or Limits.WriteTimeout
	connectTimeout   // Limits.ConnectTimeout
	overlap          // two polls, or two posts, at the same time
	panicked         // a Handler's call, or our own code

	numReasons
)

var reasonNames = [numReasons]string{
	badRequest:         "bad_request",
	badOrigin:          "bad_origin",
	badVersion:         "bad_version",
	shuttingDown:       "shutting_down",
	tooManyConnections: "too_many_connections",
	tooManyFromAddress: "too_many_from_address",
	tooManyHandshakes:  "too_many_handshakes",
	tooLarge:           "too_large",
	binaryFrame:        "binary",
	malformed:          "malformed",
	beforeConnect:      "before_connect",
	unexpectedPong:     "unexpected_pong",
	unexpectedAck:      "unexpected_ack",
	unexpectedPacket:   "unexpected_packet",
	unexpectedProbe:    "unexpected_probe",
	flood:              "flood",
	slowReader:         "slow_reader",
	connectTimeout:     "connect_timeout",
	overlap:            "overlap",
	panicked:           "panic",
}

func (r reason) String() string { return reasonNames[r] }

// Stats is a snapshot of a Server's counters. All but the first two only grow.
type Stats struct {
	Connections int    // open now, those not yet admitted included
	Connected   int    // admitted and not yet Disconnected
	Admitted    uint64 // connections that were Connected
	Events      uint64 // handed to Handler.Event
	Probes      uint64 // WebSocket pings written for Conn.Probe
	BrowserPong uint64 // of them answered
	Swept       uint64 // ends that only the periodic sweep noticed: expected 0
	// Refused counts what the guard turned away, by reason; every reason is
	// present. slow_reader counts write timeouts too, although the Cause that
	// the Handler sees then is Lost.
	Refused map[string]uint64
}

// Add adds what another server has counted.
func (s *Stats) Add(o Stats) {
	s.Connections += o.Connections
	s.Connected += o.Connected
	s.Admitted += o.Admitted
	s.Events += o.Events
	s.Probes += o.Probes
	s.BrowserPong += o.BrowserPong
	s.Swept += o.Swept
	for reason, n := range o.Refused {
		if s.Refused == nil {
			s.Refused = make(map[string]uint64, numReasons)
		}
		s.Refused[reason] += n
	}
}

type counters struct {
	connected atomic.Int64
	admitted  atomic.Uint64
	events    atomic.Uint64
	probes    atomic.Uint64
	pongs     atomic.Uint64
	swept     atomic.Uint64
	refused   [numReasons]atomic.Uint64
}

// Stats returns the counters as they are now.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	open := len(s.conns)
	s.mu.Unlock()
	st := Stats{
		Connections: open,
		Connected:   int(s.count.connected.Load()),
		Admitted:    s.count.admitted.Load(),
		Events:      s.count.events.Load(),
		Probes:      s.count.probes.Load(),
		BrowserPong: s.count.pongs.Load(),
		Swept:       s.count.swept.Load(),
		Refused:     make(map[string]uint64, numReasons),
	}
	for r := range numReasons {
		st.Refused[r.String()] = s.count.refused[r].Load()
	}
	return st
}

// closeCode is the code of the WebSocket close frame.
func (r reason) closeCode() int {
	switch r {
	case malformed:
		return websocket.CloseProtocolError
	case binaryFrame:
		return websocket.CloseUnsupportedData
	case tooLarge:
		return websocket.CloseMessageTooBig
	case panicked:
		return websocket.CloseInternalServerErr
	}
	return websocket.ClosePolicyViolation
}
