package relay

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"time"

	"initgrace/grace/protocol"
	"initgrace/server/socketio"
)

// language is the protocol that the two speak; another one when message changes.
const language = "initgrace-relay-1"

type kind byte

const (
	beat kind = iota
	// From a Follower: the calls of a socketio.Handler.
	authorize
	connected
	event
	pagePong
	browserPong
	disconnected
	goodbye // it ends: nothing follows
	// From a Leader: its answer to authorize, and the calls of a socketio.Client.
	verdict
	frame
	probe
	closing
)

// A message is about one client, but for a beat. Each kind has some of the fields.
type message struct {
	kind      kind
	client    uint64 // numbered by the Follower, for one link
	id, addr  string // the client's
	name      string // the transport, an event's name, why a client is closed
	data      []byte // the auth object, a frame
	args      [][]byte
	ackID     uint64
	ack       bool
	canProbe  bool
	roundTrip time.Duration
	cause     socketio.Cause
	refused   *protocol.Error // nil: admitted
	after     socketio.After
	stats     *socketio.Stats // of a Follower's beat
}

// fields goes through what a message of its kind has, to write it and to read it.
func (m *message) fields(c *coder) {
	c.byte((*byte)(&m.kind))
	c.number(&m.client)
	switch m.kind {
	case beat:
		asJSON(c, &m.stats)
	case authorize:
		c.text(&m.id)
		c.text(&m.addr)
		c.text(&m.name)
		c.bytes(&m.data)
	case connected:
		c.bool(&m.canProbe)
	case event:
		c.text(&m.name)
		c.list(&m.args)
		c.bool(&m.ack)
		c.number(&m.ackID)
	case browserPong:
		n := uint64(m.roundTrip)
		c.number(&n)
		m.roundTrip = time.Duration(n)
	case disconnected:
		asJSON(c, &m.cause)
	case verdict:
		asJSON(c, &m.refused)
	case frame:
		c.bytes(&m.data)
	case closing:
		c.text(&m.name)
		c.bool((*bool)(&m.after))
	case pagePong, goodbye, probe:
	default:
		c.bad = true
	}
}

// maxMessage bounds one, in bytes: it carries a client's packet, or what is for
// a client, which have bounds of their own.
const maxMessage = 256 << 20

// appendMessage appends a message and, before it, its length.
func appendMessage(out []byte, m *message) []byte {
	at := len(out)
	c := coder{buf: append(out, 0, 0, 0, 0)}
	m.fields(&c)
	binary.BigEndian.PutUint32(c.buf[at:], uint32(len(c.buf)-at-4))
	return c.buf
}

// decode reads a message without its length. It keeps the bytes.
func (m *message) decode(b []byte) error {
	c := coder{buf: b, reading: true}
	m.fields(&c)
	if c.bad || len(c.buf) > 0 {
		return errors.New("relay: a message that is none")
	}
	return nil
}

// A coder writes values to the end of buf, or reads them from its beginning.
type coder struct {
	buf     []byte
	reading bool
	bad     bool // what was read is not what was written
}

func (c *coder) byte(b *byte) {
	switch {
	case !c.reading:
		c.buf = append(c.buf, *b)
	case len(c.buf) == 0:
		c.bad = true
	default:
		*b, c.buf = c.buf[0], c.buf[1:]
	}
}

func (c *coder) bool(v *bool) {
	var b byte
	if *v {
		b = 1
	}
	c.byte(&b)
	*v = b == 1
}

func (c *coder) number(v *uint64) {
	if !c.reading {
		c.buf = binary.AppendUvarint(c.buf, *v)
		return
	}
	n, size := binary.Uvarint(c.buf)
	if size <= 0 {
		c.bad, size = true, 0
	}
	*v, c.buf = n, c.buf[size:]
}

func (c *coder) bytes(v *[]byte) {
	n := uint64(len(*v))
	switch c.number(&n); {
	case !c.reading:
		c.buf = append(c.buf, *v...)
	case n > uint64(len(c.buf)):
		c.bad = true
	case n > 0: // none are nil
		*v, c.buf = c.buf[:n:n], c.buf[n:]
	}
}

func (c *coder) text(v *string) {
	b := []byte(*v)
	c.bytes(&b)
	if c.reading {
		*v = string(b)
	}
}

func (c *coder) list(v *[][]byte) {
	n := uint64(len(*v))
	c.number(&n)
	if c.reading {
		if n > uint64(len(c.buf)) { // each has a length
			c.bad = true
			return
		}
		*v = make([][]byte, n)
	}
	for i := range *v {
		c.bytes(&(*v)[i])
	}
}

// asJSON is for what is rare.
func asJSON[T any](c *coder, v *T) {
	var b []byte
	if !c.reading {
		b, _ = json.Marshal(v) // of plain values, which cannot fail
	}
	if c.bytes(&b); c.reading && json.Unmarshal(b, v) != nil {
		c.bad = true
	}
}
