package socketio

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/gorilla/websocket"
	"github.com/zishang520/engine.io-go-parser/packet"
	"github.com/zishang520/engine.io/v2/transports"
	"initgrace/grace/protocol"
	"initgrace/grace/protocol/sio"
)

// What a client may send, and when. Everything else is refused, by closing the
// connection with a counted reason:
//
//	                     Engine.IO                      Socket.IO, namespace "/"
//	until admitted       pong for a ping, close         CONNECT, once
//	admitted             pong for a ping, close         EVENT, DISCONNECT
//	on an upgrade        "2probe", once; then "5"       nothing
//
// A CONNECT for another namespace is answered as Socket.IO answers it. Binary
// packets, acks (we ask for none) and what only servers send are never allowed.

// receive handles one packet of the client's. The bytes are the caller's again
// when it returns.
func (c *Conn) receive(t transports.Transport, frame []byte) {
	c.pace(&c.packets, 1)
	c.in.Lock()
	defer c.in.Unlock()
	kind, data, err := sio.DecodeEngine(frame)
	ws, ok := t.(*webSocket)
	switch upgrading := ok && !ws.carrying.Load(); {
	case err != nil:
		c.undecodable(err)
		return
	case upgrading:
		// Even when the end has begun: a client that upgrades does not poll,
		// and would not be told.
		c.upgrade(ws, kind, data)
		return
	case c.isEnding():
		return
	}
	switch kind {
	case sio.Message:
		if raw := c.srv.raw; raw != nil {
			raw(c, data)
		} else {
			c.message(t, data)
		}
	case sio.Pong:
		// The module would crash on a pong before its first ping, and push
		// back its ping timeout on any other.
		if len(data) != 0 || !c.pinged.CompareAndSwap(true, false) {
			c.refuse(unexpectedPong, "a pong for no ping")
			return
		}
		if !c.alone.Load() {
			t.OnPacket(&packet.Packet{Type: packet.PONG, Data: strings.NewReader("")})
		}
		if c.state == connected {
			c.call("PagePong", func() { c.srv.handler.PagePong(c) })
		}
	case sio.Close:
		c.out.quiet()
		c.end(Cause{Kind: BrowserClosed, Detail: "Engine.IO close"}, &closing{
			code: websocket.CloseNormalClosure, by: time.Now().Add(linger),
		})
	case sio.Ping, sio.Upgrade:
		c.refuse(unexpectedProbe, "no upgrade is under way")
	default:
		c.refuse(unexpectedPacket, "Engine.IO "+string(rune(kind)))
	}
}

func (c *Conn) undecodable(err error) {
	if err == sio.ErrBinary {
		c.refuse(binaryFrame, err.Error())
	} else {
		c.refuse(malformed, err.Error())
	}
}

// upgrade takes a WebSocket through "2probe" and "5". The module answers the
// probe and moves its half; then the outbox follows.
func (c *Conn) upgrade(ws *webSocket, kind sio.EngineType, data []byte) {
	switch {
	case kind == sio.Ping && len(data) > 0 && !ws.probed:
		ws.probed = true
		ws.OnPacket(&packet.Packet{Type: packet.PING, Data: bytes.NewReader(bytes.Clone(data))})
	case kind == sio.Upgrade && ws.probed:
		ws.OnPacket(&packet.Packet{Type: packet.UPGRADE, Data: strings.NewReader("")})
		if c.carriedBy(ws) {
			ws.carrying.Store(true)
			c.out.carry(ws)
			c.polling.handedOver()
		}
	default:
		c.refuse(unexpectedProbe, "Engine.IO "+string(rune(kind))+" during an upgrade")
	}
}

func (c *Conn) message(t transports.Transport, data []byte) {
	p, err := sio.Decode(data)
	switch {
	case err != nil:
		c.undecodable(err)
	case p.Namespace != "/":
		c.elsewhere(p)
	case p.Type == sio.Connect:
		c.connect(t, p)
	case c.state != connected:
		c.refuse(beforeConnect, "Socket.IO "+string(rune(p.Type)))
	case p.Type == sio.Event:
		c.event(p)
	case p.Type == sio.Disconnect:
		c.leave()
	case p.Type == sio.Ack:
		c.refuse(unexpectedAck, "ack "+strconv.FormatUint(p.ID, 10))
	default:
		c.refuse(unexpectedPacket, "Socket.IO "+string(rune(p.Type)))
	}
}

// elsewhere answers for a namespace that there is not.
func (c *Conn) elsewhere(p sio.Packet) {
	if p.Type != sio.Connect {
		c.refuse(unexpectedPacket, "a packet for another namespace")
		return
	}
	p = sio.Packet{Type: sio.ConnectError, Namespace: p.Namespace, Data: []byte(`{"message":"Invalid namespace"}`)}
	c.put(sio.Append([]byte{byte(sio.Message)}, p))
}

func (c *Conn) event(p sio.Packet) {
	var few [4][]byte
	name, split, err := sio.AppendSplitEvent(few[:0], bytes.Clone(p.Data))
	if err != nil {
		c.undecodable(err)
		return
	}
	args := make([]json.RawMessage, len(split))
	for i, a := range split {
		args[i] = a
	}
	c.srv.count.events.Add(1)
	c.call("Event", func() {
		c.srv.handler.Event(c, Event{Name: name, Args: args, AckID: p.ID, Ack: p.HasID})
	})
}

// leave ends the client's stay in the namespace, which is all that the Handler
// knows of. Closing the rest is the client's to do, as in the reference; it has
// as long as for being admitted.
func (c *Conn) leave() {
	c.left.Store(true)
	c.conclude(Cause{Kind: ClientLeft, Detail: "client namespace disconnect"})
	timer := time.AfterFunc(c.srv.limits.ConnectTimeout, func() {
		c.end(Cause{Kind: ClientLeft, Detail: "the client left and did not close"}, &closing{
			code: websocket.CloseNormalClosure, by: time.Now().Add(linger),
		})
	})
	c.mu.Lock()
	c.timer = timer
	c.mu.Unlock()
}

// connect passes the client's CONNECT to the module, which asks authorize and
// then, from a goroutine of its own, answers the client and calls join. The
// next packet is not read before that is over.
func (c *Conn) connect(t transports.Transport, p sio.Packet) {
	if c.state != opened {
		c.refuse(unexpectedPacket, "a second CONNECT")
		return
	}
	c.state = connecting
	c.auth = bytes.Clone(p.Data)
	c.joined = make(chan struct{}, 1)
	// Without the auth object: the module has no use for it.
	t.OnPacket(&packet.Packet{Type: packet.MESSAGE, Data: packetData("0")})
	c.auth, c.header = nil, nil
	if c.state != connecting {
		return
	}
	timeout := time.NewTimer(c.srv.limits.ConnectTimeout)
	defer timeout.Stop()
	select {
	case <-c.joined:
	case <-c.done:
		return
	case <-timeout.C:
		c.refuse(connectTimeout, "not admitted in time")
		return
	}
	if c.isEnding() {
		return
	}
	c.state = connected
	c.srv.count.admitted.Add(1)
	c.srv.count.connected.Add(1)
	c.call("Connected", func() { c.srv.handler.Connected(c) })
	if ws, ok := t.(*webSocket); ok && c.polling == nil {
		c.letGo(ws)
	}
}

// authorize is the module's middleware. It runs inside connect.
func (c *Conn) authorize(id string) (refusal *protocol.Error) {
	c.mu.Lock()
	c.id = id
	c.mu.Unlock()
	defer func() {
		if refusal != nil {
			c.state = rejected
		}
	}()
	if n, limit := len(c.auth), c.srv.limits.Auth; n > limit {
		c.srv.count.refused[tooLarge].Add(1)
		return protocol.NewError(protocol.CodeTooLarge, fmt.Sprintf("auth has %d bytes, at most %d are allowed", n, limit))
	}
	refusal = protocol.NewError(protocol.CodeInternal, "internal error")
	c.call("Authorize", func() {
		refusal = c.srv.handler.Authorize(c, Handshake{
			Auth: c.auth, RemoteAddr: c.addr, Header: c.header, Transport: c.transport,
		})
	})
	return refusal
}

// join is called when the module has told the client that it is admitted.
func (c *Conn) join() {
	select {
	case c.joined <- struct{}{}:
	default:
	}
}
