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
	if err := ctx.Err(); err != nil {
		return protocol.Sent{}, timedOut(err, protocol.EventSend)
	}
	wait, err := c.Queue(data, o)
	if err != nil {
		return protocol.Sent{}, err
	}
	return wait(ctx)
}

// Queue is the first half of Send: the message has its place behind those that
// were queued before, and is on its way. Wait is the other half and must be
// called: when its ctx ends the message is not sent again.
func (c *Client) Queue(data any, o *SendOptions) (wait func(ctx context.Context) (protocol.Sent, error), err error) {
	if o == nil {
		o = new(SendOptions)
	}
	raw, err := marshal(data)
	if err != nil {
		return nil, withCause(protocol.CodeInvalidPayload, err.Error(), err)
	}
	message := protocol.Send{Data: raw, Latest: o.Latest, Volatile: o.Volatile, Group: o.Group}
	if o.Volatile {
		err := c.sendNow(message)
		return func(context.Context) (protocol.Sent, error) { return protocol.Sent{OK: true}, err }, nil
	}
	k := &call{ack: true}
	if err := c.sendNext(k, message); err != nil {
		return nil, err
	}
	return func(ctx context.Context) (sent protocol.Sent, err error) {
		err = c.outcome(ctx, k, protocol.EventSend, &sent)
		return sent, err
	}, nil
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
