package wasmclient

import (
	"errors"
	"slices"
	"time"

	"initgrace/grace/protocol"
	"initgrace/grace/protocol/codec"
	"initgrace/grace/protocol/sio"
)

// frame takes one Engine.IO packet of a connection. It runs on the goroutine
// that reads and must not wait.
func (c *Client) frame(cn *conn, frame []byte) {
	typ, data, err := sio.DecodeEngine(frame)
	if err != nil {
		cn.fail(protocolError("a malformed packet: " + err.Error()))
		return
	}
	switch typ {
	case sio.Open:
		if err := cn.opened(data); err != nil {
			cn.fail(err)
			return
		}
		_ = cn.send(c.hello()) // a lost connection is told to its owner
	case sio.Ping:
		_ = cn.send(sio.AppendEngine(nil, sio.Pong, data))
	case sio.Close:
		cn.fail(errLost)
	case sio.Message:
		c.packet(cn, data)
	}
}

// hello is the CONNECT packet with what the client knows by now.
func (c *Client) hello() []byte {
	c.mu.Lock()
	seq := c.lastSeq
	auth := protocol.Auth{
		Participant: c.opts.Participant, Experiment: c.opts.Experiment, Group: c.opts.Group,
		Token: c.state.Session.Token, PageID: c.opts.PageID, Host: c.opts.Host,
		Seq: &seq, Keep: c.opts.Keep, Loads: slices.Clone(c.loads[max(0, len(c.loads)-protocol.MaxOpenLoads):]),
	}
	c.mu.Unlock()
	data, err := codec.Encode(auth)
	if err != nil {
		panic(err) // strings and numbers
	}
	return sio.Append([]byte{byte(sio.Message)}, sio.Packet{Type: sio.Connect, Data: data})
}

// packet takes one Socket.IO packet.
func (c *Client) packet(cn *conn, message []byte) {
	p, err := sio.Decode(message)
	switch {
	case err != nil:
		cn.fail(protocolError("a malformed packet: " + err.Error()))
	case p.Namespace != "/":
	case p.Type == sio.ConnectError:
		cn.fail(refusal(p.Data))
	case p.Type == sio.Disconnect:
		cn.fail(c.dismissed())
	case p.Type == sio.Ack:
		c.settle(cn, p.ID, p.Data)
	case p.Type == sio.Event:
		name, args, err := sio.SplitEvent(p.Data)
		if err != nil {
			cn.fail(protocolError("a malformed event: " + err.Error()))
			return
		}
		var payload []byte
		if len(args) > 0 {
			payload = args[0]
		}
		c.event(cn, name, payload)
	}
}

// refusal reads a connect_error. One that is not the project's own (from a
// proxy, say) does not say that trying again is useless.
func refusal(data []byte) error {
	var message string
	var told protocol.Error
	err := codec.Decode(data, codec.Object(func(name string) any {
		switch name {
		case "message":
			return &message
		case "data":
			return &told
		}
		return nil
	}))
	switch {
	case err != nil:
		return protocolError("a connect_error of another kind: " + err.Error())
	case told.Code != "":
		return &told
	}
	return errors.New("refused: " + message)
}

// dismissed is what the end of the namespace means: to stay away, unless the
// server has said that it will be back.
func (c *Client) dismissed() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.comeBack.IsZero() {
		return errDismissed
	}
	return errLost
}

// event takes one event: what it says about the session first, then the
// handlers.
func (c *Client) event(cn *conn, name string, payload []byte) {
	switch name {
	case EventReconnecting, EventRestored, EventClose:
		return
	}
	if name == protocol.EventSession {
		c.session(cn, payload)
		return
	}
	c.mu.Lock()
	// Under one lock, or a message could be handed over after the next
	// connection's handshake has said that it had not come.
	if cn != c.current || !c.fresh(name, payload) {
		c.mu.Unlock()
		return
	}
	err := c.note(name, payload)
	c.events.put(name, payload)
	if name == protocol.EventMessage {
		c.unsaid += len(payload)
	}
	tell := c.unsaid > receiptBytes
	c.mu.Unlock()
	if err != nil {
		cn.fail(err)
	} else if tell && c.opts.Latency > 0 {
		c.ping(cn)
	}
}

// receiptBytes is how much is received before the server is told, when it is
// not time for a ping yet: it sends only so much that it knows nothing of.
const receiptBytes = 24 << 10

// fresh says whether an event is new, which only a message may not be: after a
// reconnect the server sends what it does not know to have arrived. The caller
// holds c.mu.
func (c *Client) fresh(name string, payload []byte) bool {
	if name != protocol.EventMessage {
		return true
	}
	seq := seqOf(payload)
	if seq != 0 && seq <= c.lastSeq {
		return false
	}
	c.lastSeq = max(c.lastSeq, seq)
	return true
}

// seqOf is a message's number; 0: it has none.
func seqOf(message []byte) (seq uint64) {
	read(message, only("seq", &seq))
	return seq
}

// session takes the event that begins every connection.
func (c *Client) session(cn *conn, payload []byte) {
	var s protocol.Session
	if err := codec.Decode(payload, &s); err != nil {
		cn.fail(protocolError("a session of another kind: " + err.Error()))
		return
	}
	c.mu.Lock()
	if cn != c.current {
		c.mu.Unlock()
		return
	}
	first := cn.becomeReady()
	if first {
		c.sessions++
		c.lastSeq, c.lastSent = s.Seq, max(c.lastSent, s.Sent)
		c.comeBack = time.Time{}
		c.latency = latency{}
	}
	again := first && c.sessions > 1
	c.state.Session = s
	c.events.put(protocol.EventSession, payload)
	if again {
		c.events.put(EventRestored, payload)
	}
	if first {
		c.live, c.pageSaid = cn, time.Now() // a new connection is the page's
		c.flush(cn)
	}
	c.mu.Unlock()
}
