package relay

import (
	"sync"
	"time"

	"initgrace/server/socketio"
)

// A remote is a client of a Follower, for the Leader's Handler.
type remote struct {
	*branch
	number   uint64
	id, addr string
	late     *time.Timer // since it was admitted, until it is connected

	// Written by the goroutine that reads the link, under the Leader's lock.
	connected, canProbe bool

	own   sync.Mutex
	value any
}

var _ socketio.Client = (*remote)(nil)

func (r *remote) ID() string         { return r.id }
func (r *remote) RemoteAddr() string { return r.addr }
func (r *remote) CanProbe() bool     { return r.canProbe }

func (r *remote) Value() any {
	r.own.Lock()
	defer r.own.Unlock()
	return r.value
}

func (r *remote) SetValue(v any) {
	r.own.Lock()
	defer r.own.Unlock()
	r.value = v
}

func (r *remote) EmitFrame(f []byte) { r.send(message{kind: frame, data: f}) }

func (r *remote) Ack(id uint64, payload any) error {
	f, err := socketio.EncodeAck(id, payload)
	if err == nil {
		r.EmitFrame(f)
	}
	return err
}

func (r *remote) Probe() { r.send(message{kind: probe}) }

func (r *remote) Close(reason string, after socketio.After) {
	r.send(message{kind: closing, name: reason, after: after})
}

func (r *remote) send(m message) {
	m.client = r.number
	r.link.send(m)
}
