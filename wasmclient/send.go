package wasmclient

import (
	"context"

	"initgrace/grace/protocol"
)

// SendOptions may be nil.
type SendOptions struct {
	// Latest is a key: the message takes the place of an earlier one with the
	// same key that a partner has not read yet. At most 64 bytes.
	Latest string
	// Volatile messages may be lost: they are not stored, not sent again, and
	// not kept for a partner whose page cannot read them now, or for a
	// connection that is not there. Send does not wait for the server then.
	Volatile bool
	// Group, if given, makes the server refuse the message unless the
	// participant is in that group.
	Group string
}

// Send sends a message to the partners, each of whom receives it exactly once,
// in the order in which the messages were sent. When it returns nil the server
// has stored the message; until then it is sent again after every reconnect, as
// long as ctx lasts. Errors are as of EmitAck.
//
// What a bound has cost is told: Sent.Dropped names the partners whose mailbox
// was full, and so does the event message_dropped, also of messages that a
// partner who is gone has not read.
func (c *Client) Send(ctx context.Context, data any, o *SendOptions) (protocol.Sent, error) {
	if o == nil {
		o = new(SendOptions)
	}
	if err := ctx.Err(); err != nil {
		return protocol.Sent{}, err
	}
	raw, err := marshal(data)
	if err != nil {
		return protocol.Sent{}, withCause(protocol.CodeInvalidPayload, err.Error(), err)
	}
	message := protocol.Send{Data: raw, Latest: o.Latest, Volatile: o.Volatile, Group: o.Group}
	if o.Volatile {
		return protocol.Sent{OK: true}, c.sendNow(message)
	}
	k := &call{ack: true}
	if err := c.sendNext(k, message); err != nil {
		return protocol.Sent{}, err
	}
	var sent protocol.Sent
	return sent, c.outcome(ctx, k, protocol.EventSend, &sent)
}

// sendNext gives a message its id and its place in the queue.
func (c *Client) sendNext(k *call, message protocol.Send) error {
	c.sending.Lock()
	defer c.sending.Unlock()
	c.mu.Lock()
	c.lastSent++ // also if it is refused: ids grow, and need not be complete
	message.ID = c.lastSent
	c.mu.Unlock()
	return c.emit(k, protocol.EventSend, message)
}

// sendNow writes a message if there is a connection.
func (c *Client) sendNow(message protocol.Send) error {
	data, err := encode(protocol.EventSend, message)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.err != nil:
		return c.err
	case c.live != nil:
		_ = c.live.send(eventFrame(data)) // lost: it may be
	}
	return nil
}
