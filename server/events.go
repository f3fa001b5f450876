package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"initgrace/grace"
	"initgrace/grace/protocol"
	"initgrace/server/eventlog"
	"initgrace/server/socketio"
)

// action is a decoded event, ready to run on the loop. Its reply is what the
// client's ack receives.
type action func(l *loop, now time.Time, p *peer) (reply any, refused *protocol.Error)

// decoders lists every event that a client may send.
var decoders = map[string]func(json.RawMessage) (action, *protocol.Error){
	protocol.EventLoadStart:    decodeLoadStart,
	protocol.EventLoadProgress: decodeLoadProgress,
	protocol.EventLoadComplete: decodeLoadComplete,
	protocol.EventStateSave:    decodeStateSave,
	protocol.EventJoin:         decodeJoin,
	protocol.EventSend:         decodeSend,
	protocol.EventBarrier:      decodeBarrier,
	protocol.EventAnswer:       decodeAnswer,
	protocol.EventFinish:       decodeFinish,
	protocol.EventPing:         decodePing,
	protocol.EventPageHide:     decodePageHide,
	protocol.EventPageAlive:    decodePageAlive,
}

// decode validates an event before it reaches the loop.
func decode(event string, payload json.RawMessage) (action, *protocol.Error) {
	d, ok := decoders[event]
	if !ok {
		return nil, protocol.NewError(protocol.CodeUnknownEvent, fmt.Sprintf("there is no event %.40q", event))
	}
	return d(payload)
}

// handle runs an event. Whatever it says, it is a sign of life of the page.
func (l *loop) handle(now time.Time, p *peer, e socketio.Event, act action, refused *protocol.Error, received time.Time) {
	var reply any
	switch m := l.members[p.participant]; {
	case m == nil || m.peer != p:
		refused = protocol.NewError(protocol.CodeReplaced, "this connection is no longer the participant's")
	case refused != nil:
		l.heard(now, p, grace.Page)
	default:
		l.heard(now, p, p.evidence(e.Name))
		reply, refused = act(l, now, p)
		if w, ok := reply.(*barrierWait); ok && refused == nil {
			w.ackID, w.ack = e.AckID, e.Ack
			l.await(now, w)
		}
	}
	l.publish(now)
	if refused != nil {
		if m := l.members[p.participant]; m != nil && m.peer == p {
			l.recordRefused(now, m, refused.Code, e.Name)
		}
		l.log.Debug("refused", "participant", p.participant, "event", e.Name, "code", refused.Code, "message", refused.Message)
	}
	if !e.Ack {
		return
	}
	if _, ok := reply.(*barrierWait); ok {
		return // answered when it opens
	}
	switch reply.(type) {
	case *protocol.Sent, *protocol.StateSaved:
		// Each has its number already, and a client that tried again with the old one
		// would be too late.
		l.once(func() { p.conn.Ack(e.AckID, reply) })
		return
	}
	l.then(func(err error) {
		switch {
		case refused != nil:
			reply = refused
		case err != nil:
			reply = protocol.NewError(protocol.CodeStore, "the server could not store this; try again")
		default:
			if a, ok := reply.(*protocol.LoadAck); ok {
				a.ServerMS = time.Since(received).Milliseconds()
			}
		}
		p.conn.Ack(e.AckID, reply)
	})
}

// evidence says whose sign of life an event is. A worker measures latency by
// itself; everything else it sends because the page said so.
func (p *peer) evidence(event string) grace.Evidence {
	if p.worker && event == protocol.EventPing {
		return grace.Browser
	}
	return grace.Page
}

// decodePageAlive takes what a worker says of its page, which is a sign of life
// and nothing else.
func decodePageAlive(json.RawMessage) (action, *protocol.Error) {
	return func(*loop, time.Time, *peer) (any, *protocol.Error) { return map[string]bool{"ok": true}, nil }, nil
}

// into decodes a payload; absent and null mean an empty object, since a plain
// client may send nothing at all.
func into[T any](payload json.RawMessage) (v T, refused *protocol.Error) {
	if len(payload) == 0 || bytes.Equal(payload, []byte("null")) {
		return v, nil
	}
	if payload[0] != '{' {
		return v, invalid("the payload must be an object")
	}
	if err := json.Unmarshal(payload, &v); err != nil {
		return v, invalid(jsonProblem(err))
	}
	return v, nil
}

// jsonProblem says what is wrong without Go's names in it.
func jsonProblem(err error) string {
	var t *json.UnmarshalTypeError
	if errors.As(err, &t) {
		return fmt.Sprintf("%s must not be a %s", strings.ToLower(t.Field), t.Value)
	}
	return "not valid JSON"
}

func decodeLoadStart(payload json.RawMessage) (action, *protocol.Error) {
	v, refused := into[protocol.LoadStart](payload)
	if refused != nil {
		return nil, refused
	}
	r, refused := loadRequest(v.ID, v.Phase, v.ExpectedMS)
	if refused != nil {
		return nil, refused
	}
	return func(l *loop, now time.Time, p *peer) (any, *protocol.Error) {
		lease, err := l.tracker.LoadStart(now, p.participant, p.epoch, r)
		l.traceLoads(now, l.members[p.participant], protocol.ReasonLoadStarted)
		if err != nil {
			return nil, refusal(err)
		}
		return granted(now, lease), nil
	}, nil
}

func granted(now time.Time, lease grace.Lease) *protocol.LoadAck {
	return &protocol.LoadAck{
		OK: true, ID: lease.ID, LeaseMS: lease.Deadline.Sub(now).Milliseconds(),
		CapMS: lease.Cap.Sub(lease.Start).Milliseconds(),
	}
}

func decodeLoadProgress(payload json.RawMessage) (action, *protocol.Error) {
	v, refused := into[protocol.LoadProgress](payload)
	if refused != nil {
		return nil, refused
	}
	r, refused := loadRequest(v.ID, v.Phase, v.ExpectedMS)
	if refused != nil {
		return nil, refused
	}
	if v.Fraction < 0 || v.Fraction > 1 {
		return nil, invalid("fraction must be from 0 to 1")
	}
	return func(l *loop, now time.Time, p *peer) (any, *protocol.Error) {
		lease, err := l.tracker.LoadProgress(now, p.participant, p.epoch, r)
		l.traceLoads(now, l.members[p.participant], protocol.ReasonLoadProgress)
		if err != nil {
			return nil, refusal(err)
		}
		return granted(now, lease), nil
	}, nil
}

func decodeLoadComplete(payload json.RawMessage) (action, *protocol.Error) {
	v, refused := into[protocol.LoadComplete](payload)
	if refused != nil {
		return nil, refused
	}
	if len(v.ID) > protocol.MaxLoadID || len(v.Reason) > protocol.MaxReason {
		return nil, invalid("id or reason is too long")
	}
	if _, refused = milliseconds("blocked_ms", v.BlockedMS); refused != nil {
		return nil, refused
	}
	longest, refused := milliseconds("longest_block_ms", v.LongestBlockMS)
	if refused != nil {
		return nil, refused
	}
	return func(l *loop, now time.Time, p *peer) (any, *protocol.Error) {
		ended, err := l.tracker.LoadEnd(now, p.participant, p.epoch, v.ID, v.Error)
		m := l.members[p.participant]
		if err != nil {
			refused := refusal(err)
			if refused.Code == protocol.CodeLoadEnded {
				l.recordLoadLate(now, m, v)
			}
			return nil, refused
		}
		l.recordLoadEnd(now, m, ended, v)
		l.traceLoads(now, m, protocol.ReasonLoadEnded)
		t := &m.session.Totals
		t.LongestBlock = max(t.LongestBlock, longest)
		if v.Error {
			t.LoadFailures++
		}
		l.mark(m)
		l.log.Info("load ended", "participant", p.participant, "load", ended.ID, "took", ended.Took.Round(time.Millisecond),
			"longest_block", longest, "failed", v.Error, "why", v.Reason)
		return &protocol.CompleteAck{OK: true, DurationMS: ended.Took.Milliseconds()}, nil
	}, nil
}

// maxState bounds what a session keeps for the study, in bytes of JSON.
const maxState = 256 << 10

func decodeStateSave(payload json.RawMessage) (action, *protocol.Error) {
	v, refused := into[protocol.StateSave](payload)
	switch {
	case refused != nil:
		return nil, refused
	case len(payload) > maxState:
		return nil, protocol.NewError(protocol.CodeTooLarge, fmt.Sprintf("state_save is over %d bytes", maxState))
	}
	return func(l *loop, now time.Time, p *peer) (any, *protocol.Error) {
		m := l.members[p.participant]
		s := &m.session
		if v.Version != s.Version {
			if v.Version+1 == s.Version && sameState(v.State, s.State) { // sent again: its ack was lost
				l.received(m, min(v.Seq, m.box.Emitted()))
				return &protocol.StateSaved{OK: true, Version: s.Version}, nil
			}
			return nil, protocol.NewError(protocol.CodeStaleVersion,
				fmt.Sprintf("version %d is not current, %d is: read session.state again", v.Version, s.Version))
		}
		s.State = v.State
		s.Version++
		l.received(m, min(v.Seq, m.box.Emitted()))
		l.mark(m)
		l.sceneChanged(now, m)
		l.recordChatter(now, m, eventlog.Record{
			Kind: eventlog.StateSaved, Scene: v.SceneID, Version: eventlog.Of(s.Version), Bytes: eventlog.Of(len(payload)),
		})
		return &protocol.StateSaved{OK: true, Version: s.Version}, nil
	}, nil
}

func sameState(a, b protocol.State) bool {
	return a.SceneID == b.SceneID && bytes.Equal(a.StagerState, b.StagerState) && bytes.Equal(a.Globals, b.Globals)
}

// maxLatency bounds what a client may claim, in milliseconds.
const maxLatency = 60_000

func decodePing(payload json.RawMessage) (action, *protocol.Error) {
	v, refused := into[protocol.Ping](payload)
	if refused != nil {
		return nil, refused
	}
	if v.LatencyMS < 0 || v.LatencyMS > maxLatency {
		return nil, invalid(fmt.Sprintf("latency_ms must be from 0 to %d", maxLatency))
	}
	return func(l *loop, now time.Time, p *peer) (any, *protocol.Error) {
		m := l.members[p.participant]
		l.read(m, v.Seq)
		if v.LatencyMS > 0 {
			there := l.there(now)
			was := there(p.participant)
			m.latency.Add(v.LatencyMS)
			if there(p.participant) != was { // too slow before, or no longer fast enough
				l.tend(now, p.participant)
			}
			took := time.Duration(v.LatencyMS * float64(time.Millisecond))
			l.metrics.Latency(took)
			l.feed.Ping(p.participant, took)
		}
		pong := protocol.Pong{ID: v.ID, MaxLatency: m.latency.Last(), MedianMS: m.latency.Median(), JitterMS: m.latency.Jitter()}
		for _, partner := range l.groups.Partners(p.participant) {
			if pm := l.members[partner]; pm != nil {
				pong.MaxLatency = max(pong.MaxLatency, pm.latency.Last())
			}
		}
		p.conn.EmitFrame(l.encode(protocol.EventPong, pong)) // at once: it stores nothing and measures the way
		return &pong, nil
	}, nil
}

func decodePageHide(payload json.RawMessage) (action, *protocol.Error) {
	if _, refused := into[protocol.PageHide](payload); refused != nil {
		return nil, refused
	}
	return func(l *loop, now time.Time, p *peer) (any, *protocol.Error) {
		l.tracker.PageHide(now, p.participant, p.epoch)
		return struct {
			OK bool `json:"ok"`
		}{true}, nil
	}, nil
}

// refusal is the policy's error as the wire has it.
func refusal(err error) *protocol.Error {
	var e *protocol.Error
	if errors.As(err, &e) {
		return e
	}
	return protocol.NewError(protocol.CodeInternal, err.Error())
}
