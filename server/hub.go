package server

import (
	"encoding/json"
	"sync/atomic"
	"time"

	"initgrace/grace"
	"initgrace/grace/protocol"
	"initgrace/server/socketio"
)

// hub receives what happens on the connections and hands it to the loop, in
// the order in which each connection tells it. Payloads are decoded here, on
// the connection's own goroutine, so that the loop decides and nothing else.
type hub struct{ loop *loop }

// peer is one connection of a participant.
type peer struct {
	identity
	conn  socketio.Client
	epoch uint64    // the loop's, as what follows
	heard time.Time // last sign of life on this connection
	ran   time.Time // the last one of the page's main thread

	written atomic.Uint64 // the last message that was given to the connection
	ponged  uint64        // the same, when the last pong came
}

func (h hub) Authorize(c socketio.Client, hs socketio.Handshake) *protocol.Error {
	id, err := identify(hs.Auth, h.loop.secret)
	if err == nil {
		err = h.loop.enrol(&id)
	}
	if err == nil && !id.token && h.loop.mayBeStrict() {
		err = h.claim(id)
	}
	if err != nil {
		who := claimed(hs.Auth)
		h.loop.post(func(l *loop, now time.Time) { l.refusedHandshake(now, who, err) })
		return err
	}
	if id.skipped > 0 {
		h.loop.log.Debug("loads of a handshake are left out", "participant", id.participant, "loads", id.skipped)
	}
	c.SetValue(&peer{identity: id, conn: c})
	return nil
}

// claim asks the loop whether a participant may be claimed without a token:
// before the client is admitted, so that nobody is replaced by one who is not.
func (h hub) claim(id identity) *protocol.Error {
	answer := make(chan *protocol.Error, 1)
	h.loop.post(func(l *loop, now time.Time) { answer <- l.claimable(id) })
	select {
	case err := <-answer:
		return err
	case <-h.loop.done:
		return protocol.NewError(protocol.CodeRestarting, "the server is shutting down")
	}
}

func (h hub) Connected(c socketio.Client) {
	p := c.Value().(*peer)
	h.loop.post(func(l *loop, now time.Time) {
		p.heard, p.ran = now, now
		l.attach(now, p)
	})
}

func (h hub) Event(c socketio.Client, e socketio.Event) {
	p, received := c.Value().(*peer), time.Now()
	var payload json.RawMessage
	if len(e.Args) > 0 {
		payload = e.Args[0]
	}
	act, refused := decode(e.Name, payload)
	h.loop.post(func(l *loop, now time.Time) { l.handle(now, p, e, act, refused, received) })
}

func (h hub) PagePong(c socketio.Client) {
	p := c.Value().(*peer)
	kind := grace.Page
	if p.worker {
		kind = grace.Browser
	}
	h.loop.post(func(l *loop, now time.Time) {
		l.heard(now, p, kind)
		l.ponged(p)
	})
}

func (h hub) BrowserPong(c socketio.Client, roundTrip time.Duration) {
	p := c.Value().(*peer)
	h.loop.metrics.BrowserPong(roundTrip)
	h.loop.feed.Pong(p.participant, roundTrip)
	h.loop.post(func(l *loop, now time.Time) { l.heard(now, p, grace.Browser) })
}

func (h hub) Disconnected(c socketio.Client, why socketio.Cause) {
	p := c.Value().(*peer)
	h.loop.post(func(l *loop, now time.Time) { l.detach(now, p, why) })
}

// heard takes a sign of life.
func (l *loop) heard(now time.Time, p *peer, kind grace.Evidence) {
	p.heard = now
	if kind == grace.Page {
		p.ran = now
	}
	l.tracker.Heard(now, p.participant, p.epoch, kind)
}
