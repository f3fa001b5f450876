package wasmclient

import (
	"context"
	"slices"
	"time"

	"initgrace/grace/protocol"
	"initgrace/grace/protocol/codec"
)

// State is what a client knows about its session.
type State struct {
	// Session is what the server last said, with the changes since then: its
	// group and partners, and the state and version that were saved.
	Session protocol.Session
	// Presence is what the server believes about this participant. Its State
	// is empty until the server has said so.
	Presence protocol.PartnerState
	// Connected says whether there is a connection now.
	Connected bool
	// Latency is the last measured round trip; 0: none yet.
	Latency time.Duration
	// MaxLatency is the largest recent one of the group, as the server says.
	MaxLatency time.Duration
}

// State returns what is known now.
func (c *Client) State() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.state
	s.Session.Partners = slices.Clone(s.Session.Partners)
	s.Connected = c.live != nil
	s.Latency, s.MaxLatency = c.latency.last, c.latency.max
	return s
}

// maxDelay is the longest pause that a server may ask for.
const maxDelay = 5 * time.Minute

// note takes what an event says about the session. The error ends the
// connection. The caller holds c.mu.
func (c *Client) note(name string, payload []byte) error {
	s := &c.state.Session
	switch name {
	case protocol.EventPresence:
		read(payload, &c.state.Presence)
	case protocol.EventGroupReady:
		var g protocol.GroupReady
		if read(payload, &g) {
			s.Group = g.Group
			s.Partners = slices.DeleteFunc(g.Members, func(p string) bool { return p == s.Participant })
		}
	case protocol.EventGroupEnd:
		var g protocol.GroupEnd
		if read(payload, &g) && g.Group == s.Group {
			s.Group, s.Partners = "", nil
		}
	case protocol.EventGroupChanged:
		var g protocol.GroupChanged
		if read(payload, &g) && g.Group == s.Group {
			s.Partners = slices.DeleteFunc(g.Members, func(p string) bool { return p == s.Participant })
		}
	case protocol.EventOutcome:
		var o protocol.Ended
		if read(payload, &o) {
			s.Outcome = &o
		}
	case protocol.EventPolicy:
		read(payload, &s.Policy)
	case protocol.EventPong:
		var p protocol.Pong
		if read(payload, &p) {
			c.latency.answered(time.Now(), p, c.opts.Latency)
		}
	case protocol.EventServerRestarting:
		var r protocol.Restarting
		read(payload, &r)
		c.comeBack = time.Now().Add(time.Duration(min(max(r.DelayMS, 0), maxDelay.Milliseconds())) * time.Millisecond)
	case protocol.EventReplaced:
		return errReplaced
	case protocol.EventExpired:
		var reason protocol.Reason
		read(payload, only("reason", &reason))
		return protocol.NewError(CodeExpired, "the participant's seat was given up: "+string(reason))
	}
	return nil
}

// read unmarshals what a server of this project sends. Another one's payload of
// the same name is left to the handlers.
func read(payload []byte, v any) bool { return codec.Decode(payload, v) == nil }

// SaveState stores the study's own state in the session and returns its new
// version. Calls take turns. A *protocol.Error of code CodeStaleVersion says
// that another page has saved since: State has what is current after the next
// session event.
//
// It also says that the messages that handlers have been given need not be kept
// any longer, see Options.Keep: the state is to be one that knows of them.
func (c *Client) SaveState(ctx context.Context, s protocol.State) (version uint64, err error) {
	return c.SaveStateAt(ctx, s, c.events.handed.Load())
}

// SaveStateAt is SaveState with a state that knows of the messages up to a
// number, 0 if that is not known.
func (c *Client) SaveStateAt(ctx context.Context, s protocol.State, seq uint64) (version uint64, err error) {
	select {
	case c.saving <- struct{}{}:
		defer func() { <-c.saving }()
	case <-ctx.Done():
		return 0, timedOut(ctx.Err(), protocol.EventStateSave)
	}
	save := protocol.StateSave{State: s, Version: c.State().Session.Version, Seq: seq}
	var saved protocol.StateSaved
	err = c.call(ctx, &call{ack: true, save: &s}, protocol.EventStateSave, save, &saved)
	return saved.Version, err
}
