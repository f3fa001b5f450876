package server

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"initgrace/grace/protocol"
	"initgrace/server/store"
)

// Messages go the way of everything else: decided on the loop, stored with the
// batch, and then, in order, given to the partners and acknowledged. What is
// special is that neither happens before they are stored, however long that
// takes: a message that a partner saw cannot be taken back, and a client that
// is told to try again would send it twice.

// maxMessage bounds one group message, in bytes of JSON, and maxLatest its key.
const (
	maxMessage = 16 << 10
	maxLatest  = 64
)

func decodeSend(payload json.RawMessage) (action, *protocol.Error) {
	v, refused := into[protocol.Send](payload)
	switch {
	case refused != nil:
		return nil, refused
	case len(v.Data) == 0:
		return nil, invalid("data is missing")
	case len(v.Data) > maxMessage:
		return nil, protocol.NewError(protocol.CodeTooLarge, fmt.Sprintf("data is over %d bytes", maxMessage))
	case len(v.Latest) > maxLatest:
		return nil, invalid(fmt.Sprintf("latest is over %d bytes", maxLatest))
	case v.Volatile && v.ID != 0:
		return nil, invalid("a volatile message has no id: it is not sent again")
	case v.ID > maxCounter:
		return nil, invalid("id is out of range")
	}
	return func(l *loop, now time.Time, p *peer) (any, *protocol.Error) { return l.relay(p, v) }, nil
}

// maxCounter is the largest number that JavaScript tells from the next.
const maxCounter = 1<<53 - 1

func (l *loop) relay(p *peer, v protocol.Send) (any, *protocol.Error) {
	m := l.members[p.participant]
	if v.ID != 0 && p.pageID == "" {
		return nil, invalid("an id needs a page_id in the handshake, or a page that was refreshed could not begin again")
	}
	if v.ID != 0 && v.ID <= m.box.Last(p.pageID) { // before anything is refused: it was accepted
		return &protocol.Sent{OK: true, Repeated: true}, nil
	}
	partners := l.groups.Partners(p.participant)
	switch {
	case len(partners) == 0:
		return nil, protocol.NewError(protocol.CodeNotInGroup, "the participant has no partners")
	case v.Group != "" && v.Group != m.session.Group:
		return nil, protocol.NewError(protocol.CodeNotInGroup, "the participant is not in group "+fmt.Sprintf("%.128q", v.Group))
	}
	m.trace.sent.add(len(v.Data))
	if v.Volatile {
		l.relayVolatile(m, partners, v)
		return &protocol.Sent{OK: true}, nil
	}
	if v.ID != 0 {
		m.box.Again(p.pageID, v.ID)
	}
	m.box.Sent++
	m.session.Sent = m.box.Sent
	l.markBox(m)
	ack := &protocol.Sent{OK: true, Seq: m.box.Sent}
	for _, partner := range partners {
		if pm := l.members[partner]; pm != nil && !l.deposit(m, pm, v) {
			ack.Dropped = append(ack.Dropped, partner)
		}
	}
	return ack, nil
}

// deposit puts a message into a partner's mailbox, and on its way if the page
// can read. It returns false, having told the sender, if there was no room.
func (l *loop) deposit(m, to *member, v protocol.Send) bool {
	from := m.session.Participant
	to.trace.received.add(len(v.Data))
	received := to.box.Received
	seq, ok := to.box.Post(from, v.Latest, func(seq uint64) []byte { return messageFrame(from, seq, v.Data) })
	if !ok {
		to.trace.dropped.add(len(v.Data))
		l.log.Warn("a message was dropped: the partner's mailbox is full", "from", from, "to", to.session.Participant,
			"messages", to.box.Len(), "bytes", to.box.Bytes())
		l.send(m, "", protocol.EventMessageDropped, protocol.MessageDropped{
			To: to.session.Participant, Seq: m.box.Sent, Count: 1, Reason: protocol.ReasonQueueFull,
		})
		return false
	}
	l.letters = append(l.letters, store.Message{To: to.session.Participant, Seq: seq, From: from, Key: v.Latest, Data: v.Data})
	// What was posted is known by the message itself, as long as there is a
	// mailbox, so that most messages need not store their receiver's again.
	if seq == 1 || to.box.Received != received {
		l.markBox(to)
	}
	if to.readable() {
		l.deliver(to)
	} else {
		to.trace.held.add(len(v.Data))
	}
	return true
}

// relayVolatile gives a message to the partners who can read it now. Of those
// with a key the latest is held for the others.
func (l *loop) relayVolatile(m *member, partners []string, v protocol.Send) {
	from := m.session.Participant
	frame := messageFrame(from, 0, v.Data)
	for _, partner := range partners {
		pm := l.members[partner]
		switch {
		case pm == nil:
		case pm.readable():
			pm.trace.received.add(len(v.Data))
			conn := pm.peer.conn
			l.then(func(error) { conn.EmitFrame(frame) })
		case v.Latest != "":
			pm.held.Push(protocol.EventMessage+from+"\x00"+v.Latest, frame, pm.box.Posted)
		}
	}
}

// deliver gives a member what is in the mailbox and not on its way yet.
func (l *loop) deliver(m *member) {
	l.write(m.peer, m.box.Emit(m.box.Posted), m.box.Emitted())
}

// write gives frames to a connection, once everything that they tell is stored;
// last is the number of the last message among them.
func (l *loop) write(p *peer, frames [][]byte, last uint64) {
	if len(frames) == 0 {
		return
	}
	l.once(func() {
		for _, f := range frames {
			p.conn.EmitFrame(f)
		}
		p.written.Store(last)
	})
}

// read notes which messages a page says that it has read.
func (l *loop) read(m *member, seq uint64) {
	seq = min(seq, m.box.Emitted())
	if m.peer.keep {
		m.box.Read(seq)
	} else {
		l.received(m, seq)
	}
	if m.readable() {
		l.deliver(m) // what the window had kept back
	}
}

// received notes that messages need not be kept any longer.
func (l *loop) received(m *member, seq uint64) {
	if m.box.Receive(seq) {
		l.markBox(m)
	}
}

// ponged takes a page's pong as a receipt, which serves clients that do not
// count: the ping that it answers was written after the pong before, and so
// after everything that had been written by then.
func (l *loop) ponged(p *peer) {
	m := l.members[p.participant]
	if m == nil || m.peer != p {
		return
	}
	l.read(m, p.ponged)
	p.ponged = p.written.Load()
}

// forgetMail forgets the messages of a member who is gone, and tells their senders.
func (l *loop) forgetMail(m *member, why protocol.Reason) {
	for from, n := range m.box.GiveUp() {
		if sender := l.members[from]; sender != nil && !sender.gone() {
			l.send(sender, "", protocol.EventMessageDropped, protocol.MessageDropped{
				To: m.session.Participant, Count: n, Reason: why,
			})
		}
	}
	l.markBox(m)
}

// markBox notes that a member's mailbox must be stored.
func (l *loop) markBox(m *member) {
	if !m.unboxed {
		m.unboxed = true
		l.boxes = append(l.boxes, m)
	}
}

// unpack reads a member's mailbox.
func (l *loop) unpack(ctx context.Context, m *member) error {
	s := &m.session
	m.box.Participant = s.Participant
	box, messages, err := l.store.Mailbox(ctx, s.Participant)
	if err != nil {
		return err
	}
	m.box.Mailbox = box
	m.box.Sent = max(box.Sent, s.Sent) // of a file that had no mailboxes yet
	s.Sent = m.box.Sent
	for _, letter := range messages {
		m.box.Restore(letter, messageFrame(letter.From, letter.Seq, letter.Data))
	}
	m.box.Rewind(m.box.Received)
	return nil
}

// messageFrame is the frame of protocol.Message. It is put together by hand: a
// message is JSON already, and goes to each partner with another number.
func messageFrame(from string, seq uint64, data protocol.Raw) []byte {
	f := make([]byte, 0, len(data)+len(from)+64)
	f = append(f, `42["`+protocol.EventMessage+`",{"from":`...)
	f = strconv.AppendQuoteToASCII(f, from) // of the letters that a name may have
	if seq != 0 {
		f = append(f, `,"seq":`...)
		f = strconv.AppendUint(f, seq, 10)
	}
	f = append(f, `,"data":`...)
	f = append(f, data...)
	return append(f, `}]`...)
}
