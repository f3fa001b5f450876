// Package store keeps what must outlive the server's process: sessions, their
// open loads, and the server's secret. One interface; every implementation
// passes the same conformance suite (package storetest).
package store

import (
	"context"
	"time"

	"initgrace/grace/protocol"
)

// A Session is what is kept for a participant. It is never forgotten: a
// participant who comes back after the seat was given up finds its State.
type Session struct {
	Participant string
	Experiment  string
	Group       string
	PageID      string
	Epoch       uint64 // counter of connections
	Seq         uint64 // counter of presence changes
	Presence    protocol.Presence
	Reason      protocol.Reason // of Presence
	Since       time.Time       // of Presence, wall clock
	Loads       []Load          // open
	State       protocol.State
	Version     uint64 // of State; 0 when nothing was saved yet
	Sent        uint64 // messages sent to the group
	Totals      Totals
	Created     time.Time
	Updated     time.Time
}

// A Load is one open load: the server's promise that survives the server.
type Load struct {
	ID         string        `json:"id"`
	Phase      string        `json:"phase,omitempty"`
	Expected   time.Duration `json:"expected_ns,omitempty"`
	Anonymous  bool          `json:"anonymous,omitempty"` // the id was chosen by the server
	StartedAt  time.Time     `json:"started_at"`
	DeadlineAt time.Time     `json:"deadline_at"`
}

// Totals sum up a session for the analysis.
type Totals struct {
	Connections  int           // sockets, reconnects included
	Drops        int           // times away
	Loads        int           // leases granted
	LoadFailures int           // loads that completed with an error
	LoadTime     time.Duration // spent loading
	BlockedTime  time.Duration // spent blocked
	AwayTime     time.Duration // spent away
	LongestBlock time.Duration // as the page measured it
}

// A Store is safe for concurrent use. Times come back in UTC with at least
// millisecond precision.
type Store interface {
	// Session returns the participant's session, or false.
	Session(ctx context.Context, participant string) (Session, bool, error)
	// Seated calls f for every session whose presence is not gone.
	Seated(ctx context.Context, f func(Session) error) error
	// Put stores all sessions or none of them, replacing earlier versions.
	// When it returns nil they survive the death of the process.
	Put(ctx context.Context, sessions []Session) error
	// Secret returns the store's random 32 bytes, made on first use.
	Secret(ctx context.Context) ([]byte, error)
	Close() error
}
