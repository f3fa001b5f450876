// Package store keeps what must outlive the server's process: sessions, their
// open loads, messages on their way, the event log, and the server's secret. One
// interface; every implementation passes the same conformance suite (package
// storetest).
package store

import (
	"context"
	"errors"
	"time"

	"initgrace/grace/protocol"
	"initgrace/server/eventlog"
)

// ErrCorrupt is wrapped by the errors about what is stored but cannot be
// read: edited by hand, or damaged.
var ErrCorrupt = errors.New("the stored data is damaged")

// ErrSuperseded is wrapped by Put's error when another server has taken over what
// is stored. Nothing that this one decides counts any more.
var ErrSuperseded = errors.New("another server has taken over")

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
	Part        Part
	Created     time.Time
	Updated     time.Time
}

// A Part is the participant's part in an experiment of the study file.
type Part struct {
	Condition string   // drawn once
	Scenes    []string // in the order that was drawn with it
	Waiting   *Waiting // nil: not in the wait room
	Vacancy   *Vacancy // nil: nobody is missing in the group
	Outcome   Outcome
}

// Waiting is a place in the wait room. Its JSON is the form in which every
// implementation stores it.
type Waiting struct {
	Size  int       // of the group wanted
	Turn  int64     // the lower, the sooner
	Since time.Time // wall clock
	Until time.Time // zero: for ever
}

// A Vacancy is what the group of a session waits for. Its JSON is the form in
// which every implementation stores it.
type Vacancy struct {
	Action  string    // ask or replace
	Size    int       // of the group when it is complete
	Partner string    // who left
	Until   time.Time // wall clock
}

// An Outcome is how the study ended for a participant. Kind is empty while it
// has not; it is decided once.
type Outcome struct {
	Kind    protocol.Outcome
	Code    string
	Link    string
	Partner string // whose seat was given up, if that is why
	At      time.Time
}

// Assigned is how many participants were drawn into a condition.
type Assigned struct {
	Experiment, Condition string
	Count                 int
}

// A Load is one open load: the server's promise that survives the server. Its
// JSON is the form in which every implementation stores it.
type Load struct {
	ID         string
	Phase      string
	Expected   time.Duration
	Anonymous  bool // the id was chosen by the server
	StartedAt  time.Time
	DeadlineAt time.Time
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

// A Mailbox is how far a participant has come with messages, both ways. It is
// apart from the Session because it changes with every message, while a session
// may be large. It is never forgotten either: a number that was given to a
// message is not given to another.
type Mailbox struct {
	Participant string
	// Posted is the number of the last message to the participant, who counts
	// them from 1. A message that is still there may have a higher one.
	Posted   uint64
	Received uint64 // those up to this are read, or given up
	Sent     uint64 // messages from the participant
	// Pages are the page instances that sent messages with an id, the one that
	// did so last at the end.
	Pages []Page
	// Barriers are those that the participant has reached.
	Barriers []Barrier `json:",omitempty"`
}

// A Barrier was reached by a participant. Its JSON is the form in which every
// implementation stores it.
type Barrier struct {
	Group string `json:"group"`
	Name  string `json:"name"`
	Open  bool   `json:"open,omitempty"` // the others have reached it, too
}

// A Page is a page instance and the id of its last message: one that it sends
// again, because the ack was lost, is recognised. Its JSON is the form in which
// every implementation stores it.
type Page struct {
	ID   string `json:"page"`
	Sent uint64 `json:"sent"`
	// Over says that another page took its place.
	Over bool `json:"over,omitempty"`
}

// A Message is on its way to a participant.
type Message struct {
	To   string
	Seq  uint64 // counts the messages to To
	From string
	// Key, if not empty, says that this message replaces the one of the same
	// sender and key that is still stored for To.
	Key  string
	Data protocol.Raw
}

// A Batch is what one Put stores.
type Batch struct {
	// Sessions replace earlier versions. If two name the same participant the
	// later one wins.
	Sessions []Session
	// Messages are added, in this order. One with the To and Seq of a stored one
	// replaces it.
	Messages []Message
	// Mailboxes replace earlier versions, after the Messages: what a mailbox
	// has received is no longer stored. If two name the same participant the
	// later one wins.
	Mailboxes []Mailbox
	// Records are appended to the event log, in this order. Their ids are the
	// store's to give.
	Records []eventlog.Record
}

// Empty says whether there is nothing to store.
func (b *Batch) Empty() bool {
	return len(b.Sessions)+len(b.Messages)+len(b.Mailboxes)+len(b.Records) == 0
}

// A Store is safe for concurrent use. What Put was given comes back, except
// that
//   - times come back in UTC, times and durations with millisecond precision;
//   - bytes that are not UTF-8 come back as U+FFFD, so that one participant
//     cannot make the data file unreadable for R or pandas;
//   - empty loads, scenes, pages, barriers and JSON values come back as nil, a message's data as null;
//   - the texts of a record come back as eventlog.Clean makes them.
type Store interface {
	// Session returns the participant's session, or false. The error wraps
	// ErrCorrupt if there is one that cannot be read.
	Session(ctx context.Context, participant string) (Session, bool, error)
	// Seated calls f for every session whose presence is not gone, in no
	// particular order. f may use the store. An error of f ends the walk and
	// is returned. Damaged sessions are passed over, so that they do not keep
	// the others out; the error returned at the end then wraps ErrCorrupt once
	// for each of them.
	Seated(ctx context.Context, f func(Session) error) error
	// Assigned counts the sessions of each experiment and condition, of those
	// that have a condition, in no particular order.
	Assigned(ctx context.Context) ([]Assigned, error)
	// Mailbox returns the participant's mailbox and the messages in it that are
	// not received yet, in their order; the zero Mailbox, but for its name, if
	// there is none. The error wraps ErrCorrupt if they cannot be read.
	Mailbox(ctx context.Context, participant string) (Mailbox, []Message, error)
	// Put stores all of the batch or nothing of it. When it returns nil the
	// batch survives the death of the process; when it returns an error nothing
	// was stored. The batch's slices are the caller's again then. A participant
	// without a name, JSON that is not JSON, and counters above 1<<63 - 1 are
	// refused. No record is refused.
	Put(ctx context.Context, b Batch) error
	// Records returns the first records of the log whose id is greater than
	// after, at most limit of them, in the order in which they were put. Ids
	// are positive and grow; that of a record put later is greater. The end is
	// reached when there are fewer than limit. A record that cannot be read is
	// an error that wraps ErrCorrupt and names its id.
	Records(ctx context.Context, after int64, limit int) ([]eventlog.Record, error)
	// Secret returns the store's random 32 bytes, made on first use.
	Secret(ctx context.Context) ([]byte, error)
	// Close releases the store; the second call does nothing. Every other
	// call fails afterwards.
	Close() error
}
