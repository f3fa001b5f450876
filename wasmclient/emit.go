package wasmclient

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"initgrace/grace/protocol"
	"initgrace/grace/protocol/codec"
	"initgrace/grace/protocol/sio"
)

// call is something emitted that must not be forgotten yet: it was not sent, or
// it was sent and is not acknowledged.
type call struct {
	id    uint64
	ack   bool
	frame []byte
	done  chan outcome // holds one; only used if ack
	load  string       // the load that is closed by the ack, if any

	save   *protocol.State // what the session's state is by the ack, if that is so
	sent   bool
	unread bool // nobody waits for the ack; it still says which state is stored
}

// outcome is an ack's data, or why there will be none.
type outcome struct {
	data []byte
	err  error
}

// Emit sends an event without asking for an ack. While there is no connection
// it waits in the queue; a *protocol.Error of code CodeQueueFull says that the
// queue, or what waits to be written, is full. Payload is one of package
// protocol, or JSON as a protocol.Raw, or, natively, whatever encoding/json can
// marshal. A nil payload is none.
func (c *Client) Emit(ctx context.Context, event string, payload any) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return c.emit(new(call), event, payload)
}

// EmitAck sends an event and waits for its ack, whose payload is unmarshalled
// into reply unless that is nil. It is sent again after a reconnect as long as
// it is not acknowledged and ctx lasts.
//
// A refusal of the server's comes back as its *protocol.Error. When ctx's
// deadline passes first the error is a *protocol.Error of code CodeTimeout that
// is also context.DeadlineExceeded; the server may have acted on the event all
// the same. When the session ends, the error is the cause of that.
func (c *Client) EmitAck(ctx context.Context, event string, payload, reply any) error {
	return c.call(ctx, &call{ack: true}, event, payload, reply)
}

func (c *Client) call(ctx context.Context, k *call, event string, payload, reply any) error {
	if err := ctx.Err(); err != nil {
		return timedOut(err, event)
	}
	if err := c.emit(k, event, payload); err != nil {
		return err
	}
	return c.outcome(ctx, k, event, reply)
}

// timedOut is a context's end with a code, if its deadline has passed.
func timedOut(err error, event string) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return withCause(protocol.CodeTimeout, "no ack for "+event+" in the time given", err)
	}
	return err
}

// outcome waits for a call's ack and reads it.
func (c *Client) outcome(ctx context.Context, k *call, event string, reply any) error {
	o, err := c.await(ctx, k)
	if err != nil {
		c.withdraw(k)
		return timedOut(err, event)
	}
	return o.into(reply)
}

// await waits for a call's outcome. A deadline that passes looks once more.
func (c *Client) await(ctx context.Context, k *call) (outcome, error) {
	select {
	case o := <-k.done:
		return o, nil
	case <-ctx.Done():
	}
	if ctx.Err() != context.Canceled {
		select {
		case o := <-k.done:
			return o, nil
		case <-look():
		}
	}
	return outcome{}, ctx.Err()
}

// into reads an outcome: the first argument of the ack counts.
func (o outcome) into(reply any) error {
	if o.err != nil {
		return o.err
	}
	args, err := sio.SplitArgs(o.data)
	if err != nil {
		return protocolError("an ack that is not one: " + err.Error())
	}
	if len(args) == 0 {
		return nil
	}
	if args[0][0] == '{' {
		refusal := protocol.Error{OK: true}
		if err := codec.Decode(args[0], &refusal); err == nil && !refusal.OK {
			if refusal.Code == "" {
				refusal.Code = protocol.CodeInternal
			}
			return &refusal
		}
	}
	if reply == nil {
		return nil
	}
	if err := decode(args[0], reply); err != nil {
		return protocolError("an ack of another kind: " + err.Error())
	}
	return nil
}

// emit sends an event, or keeps it for the next connection.
func (c *Client) emit(k *call, event string, payload any) error {
	data, err := encode(event, payload)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return c.err
	}
	p := sio.Packet{Type: sio.Event, Data: data}
	if k.ack {
		k.id, k.done = c.nextID, make(chan outcome, 1)
		p.ID, p.HasID = k.id, true
	}
	k.frame = sio.Append([]byte{byte(sio.Message)}, p)
	keep, err := c.send(k)
	if err != nil {
		return err
	}
	if k.ack {
		c.nextID++
	}
	if keep {
		c.calls = append(c.calls, k)
		c.bytes += len(k.frame)
	}
	return nil
}

// send writes a call if there is a connection, and says whether it must be
// kept. The caller holds c.mu.
func (c *Client) send(k *call) (keep bool, err error) {
	if (c.live == nil || k.ack) && k.load == "" {
		if len(c.calls) >= c.opts.QueueSize || c.bytes+len(k.frame) > c.opts.QueueBytes {
			return false, errQueueFull
		}
	}
	if c.current != nil && !c.current.fits(len(k.frame)) {
		return false, protocol.NewError(protocol.CodeTooLarge, strconv.Itoa(len(k.frame))+" bytes are more than the server takes")
	}
	if c.live == nil {
		return true, nil
	}
	switch err := c.live.send(k.frame); err {
	case nil:
		c.pageSaid, k.sent = time.Now(), true
		return k.ack, nil
	case errQueueFull:
		return false, err
	default: // lost just now
		return true, nil
	}
}

// flush sends what waits, in the order in which it was emitted. The caller
// holds c.mu. It fits: the same bound holds for what waits.
func (c *Client) flush(cn *conn) {
	kept := c.calls[:0]
	for _, k := range c.calls {
		if !k.unread { // else the session has just said it
			err := cn.send(k.frame)
			k.sent = k.sent || err == nil
			if err != nil || k.ack {
				kept = append(kept, k)
				continue
			}
		}
		c.bytes -= len(k.frame)
	}
	clear(c.calls[len(kept):])
	c.calls = kept
}

// settle takes an ack.
func (c *Client) settle(cn *conn, id uint64, data []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if cn != c.current {
		return
	}
	for i, k := range c.calls {
		if k.ack && k.id == id {
			c.forget(i)
			c.closeLoad(k.load)
			o := outcome{data: data}
			var saved protocol.StateSaved
			if k.save != nil && o.into(&saved) == nil {
				c.state.Session.State, c.state.Session.Version = *k.save, saved.Version
			}
			k.done <- o
			return
		}
	}
}

// withdraw forgets a call for whose ack nobody waits any more. Of a save that may
// be stored the ack has to be read, or every later one would be stale.
func (c *Client) withdraw(k *call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if k.save != nil && k.sent {
		k.unread = true
	} else if i := slices.Index(c.calls, k); i >= 0 {
		c.forget(i)
	}
}

func (c *Client) forget(i int) {
	c.bytes -= len(c.calls[i].frame)
	c.calls = slices.Delete(c.calls, i, i+1)
}

// eventFrame is the frame of an event that asks for no ack.
func eventFrame(data []byte) []byte {
	return sio.Append([]byte{byte(sio.Message)}, sio.Packet{Type: sio.Event, Data: data})
}

// encode makes an event's data.
func encode(event string, payload any) ([]byte, error) {
	if payload == nil {
		return sio.AppendEvent(nil, event), nil
	}
	data, err := marshal(payload)
	if err != nil {
		return nil, withCause(protocol.CodeInvalidPayload, err.Error(), err)
	}
	if !utf8.Valid(data) {
		return nil, protocol.NewError(protocol.CodeInvalidPayload, event+": the payload is not UTF-8")
	}
	return sio.AppendEvent(nil, event, data), nil
}
