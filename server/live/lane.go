// Package live keeps what an experimenter sees of a running server: one lane
// for each participant, and totals. It is a fold of the event log's records, of
// those that are stored, so that the dashboard, the terminal and the exports
// cannot say different things. Viewers get all of it once and then what
// changes; one that does not keep up gets all of it again. Nobody waits for a
// viewer.
package live

import (
	"encoding/json"
	"fmt"

	"initgrace/grace/protocol"
)

// A Lane is what is known of a participant. Times are milliseconds since 1970
// by the server's wall clock, 0: none. Presence is empty while no server runs
// that would know. The lanes of a Message carry their sections, gaps and loads
// only as far as those are new.
type Lane struct {
	Participant string            `json:"participant"`
	Experiment  string            `json:"experiment,omitempty"`
	Group       string            `json:"group,omitempty"`
	Presence    protocol.Presence `json:"presence"`
	Reason      string            `json:"reason,omitempty"`
	Since       int64             `json:"since"`              // of Presence
	Deadline    int64             `json:"deadline,omitempty"` // when Presence ends by itself
	Phase       string            `json:"phase,omitempty"`
	ExpectedMS  int64             `json:"expected_ms,omitempty"`
	Connected   bool              `json:"connected,omitempty"`
	Waiting     int64             `json:"waiting,omitempty"` // size of the group wanted
	Scene       string            `json:"scene,omitempty"`
	Condition   string            `json:"condition,omitempty"`
	Outcome     string            `json:"outcome,omitempty"` // how the study ended
	Epoch       int64             `json:"epoch"`
	Drops       int64             `json:"drops,omitempty"`
	Blocks      int64             `json:"blocks,omitempty"`
	LoadCount   int64             `json:"load_count,omitempty"`
	Refused     int64             `json:"refused,omitempty"`

	// PongMS is the browser's last answer to a ping, PingMS the round trip as
	// the page measures it.
	PongMS float64 `json:"pong_ms,omitempty"`
	PingMS float64 `json:"ping_ms,omitempty"`

	Sections []Section `json:"sections,omitempty"`
	Gaps     []Gap     `json:"gaps,omitempty"`
	Loads    []Load    `json:"loads,omitempty"`
}

// A Section of a lane lasts until the next one begins. Its JSON is an array,
// since there are many.
type Section struct {
	At        int64
	Presence  protocol.Presence
	Connected bool // there is a socket
	Reason    string
}

// MarshalJSON implements json.Marshaler.
func (s Section) MarshalJSON() ([]byte, error) {
	return json.Marshal([4]any{s.At, s.Presence, s.Connected, s.Reason})
}

// UnmarshalJSON implements json.Unmarshaler.
func (s *Section) UnmarshalJSON(text []byte) error {
	into := []any{&s.At, &s.Presence, &s.Connected, &s.Reason}
	if err := json.Unmarshal(text, &into); err != nil {
		return fmt.Errorf("a section: %w", err)
	}
	return nil
}

// A Gap is a time without signs of life, before the presence that tells of it:
// none of any kind, or none of the page's main thread.
type Gap struct {
	From, To int64
	Reason   string
}

// MarshalJSON implements json.Marshaler.
func (g Gap) MarshalJSON() ([]byte, error) { return json.Marshal([3]any{g.From, g.To, g.Reason}) }

// UnmarshalJSON implements json.Unmarshaler.
func (g *Gap) UnmarshalJSON(text []byte) error {
	into := []any{&g.From, &g.To, &g.Reason}
	if err := json.Unmarshal(text, &into); err != nil {
		return fmt.Errorf("a gap: %w", err)
	}
	return nil
}

// A Load of a lane. Start and ID name it.
type Load struct {
	ID     string `json:"id"`
	Phase  string `json:"phase,omitempty"`
	Start  int64  `json:"start"`
	Lease  int64  `json:"lease"`         // when it runs out
	End    int64  `json:"end,omitempty"` // 0: open
	Result string `json:"result,omitempty"`
}

// What is kept of a lane. Older sections and loads are in the log only.
const (
	KeepSections = 160
	KeepGaps     = 60
	KeepLoads    = 60
)

// Totals are counted since the server started.
type Totals struct {
	Records     int64            `json:"records"`
	Connections int64            `json:"connections"`
	Drops       int64            `json:"drops"`
	Blocks      int64            `json:"blocks"`
	Gone        map[string]int64 `json:"gone"`    // by reason
	Loads       map[string]int64 `json:"loads"`   // by result
	Refused     int64            `json:"refused"` // events and handshakes
	// LoadTimes counts ended loads by duration and result: LoadTimes[result][i]
	// took up to Bounds[i], the last of them longer than any.
	LoadTimes map[string][]int64 `json:"load_times"`
	Bounds    []float64          `json:"bounds"` // seconds
}

// bounds of the distribution of load times, in seconds.
var bounds = []float64{.5, 1, 2, 3, 4, 5, 7.5, 10, 15, 20, 30, 45, 60, 90, 120, 180}

// A Point is the round trips of one moment, in milliseconds: medians and 95th
// percentiles over the participants who answered in the second before it.
type Point struct {
	At      int64
	PongP50 float64
	PongP95 float64
	PingP50 float64
	PingP95 float64
}

// MarshalJSON implements json.Marshaler. What nobody measured is null.
func (p Point) MarshalJSON() ([]byte, error) {
	a := [5]any{p.At}
	for i, v := range []float64{p.PongP50, p.PongP95, p.PingP50, p.PingP95} {
		if v > 0 {
			a[i+1] = v
		}
	}
	return json.Marshal(a)
}

// UnmarshalJSON implements json.Unmarshaler.
func (p *Point) UnmarshalJSON(text []byte) error {
	into := []any{&p.At, &p.PongP50, &p.PongP95, &p.PingP50, &p.PingP95}
	return json.Unmarshal(text, &into)
}

// A Message is one step of what a viewer sees.
type Message struct {
	// Reset begins anew: what was told before is void.
	Reset bool `json:"reset,omitempty"`
	// Now is the server's wall clock, so that a viewer's needs not agree.
	Now    int64           `json:"now"`
	Run    string          `json:"run,omitempty"`
	Policy json.RawMessage `json:"policy,omitempty"`
	// Complete ends what follows a Reset.
	Complete  bool                  `json:"complete,omitempty"`
	Lanes     []Lane                `json:"lanes,omitempty"`
	Forgotten []string              `json:"forgotten,omitempty"` // lanes that are no longer kept
	Latency   map[string][2]float64 `json:"latency,omitempty"`   // pong_ms and ping_ms that have changed
	Points    []Point               `json:"points,omitempty"`
	Totals    *Totals               `json:"totals,omitempty"`
}
