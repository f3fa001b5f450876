package wasmclient

import (
	"context"
	"sync"
	"time"

	"github.com/coder/websocket"

	"initgrace/grace/protocol"
	"initgrace/grace/protocol/codec"
	"initgrace/grace/protocol/sio"
)

// conn is one connection: a WebSocket on its way through the Engine.IO
// handshake, the Socket.IO CONNECT and the session event, and then in use.
//
// Two goroutines belong to it. One is parked in Read as long as the socket is
// open, since in a browser messages just before a close are lost otherwise; it
// hands every packet to the client and never waits for anything. The other
// writes what was queued.
type conn struct {
	ws      *websocket.Conn
	ready   chan struct{} // closed: the session event has arrived
	lost    chan struct{} // closed: err is set, nothing is read or written any more
	written chan struct{} // closed: the writer has ended

	reading context.Context // of the read; never cancelled in a browser
	kill    context.CancelFunc

	mu      sync.Mutex
	err     error
	isReady bool
	out     [][]byte // frames to be written
	bytes   int      // of out
	limit   int      // for bytes
	leaving bool     // the writer ends when out is empty
	wake    chan struct{}
	heard   time.Time // last frame of any kind

	interval, timeout time.Duration // as advertised
	maxPayload        int           // as advertised, 0: no limit
}

const (
	// readLimit is above anything that the server sends in one message.
	readLimit = 32 << 20
	// writeTimeout bounds one frame.
	writeTimeout = 10 * time.Second
)

func newConn(ws *websocket.Conn, limit int) *conn {
	if ws != nil { // nil in a fuzz test
		ws.SetReadLimit(readLimit)
	}
	ctx, kill := readContext()
	return &conn{
		ws: ws, limit: limit, heard: time.Now(), reading: ctx, kill: kill,
		ready: make(chan struct{}), lost: make(chan struct{}), written: make(chan struct{}),
		wake: make(chan struct{}, 1),
	}
}

// fail ends the connection; the first cause counts.
func (c *conn) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = err
		close(c.lost)
	}
}

func (c *conn) cause() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// becomeReady reports whether it was called for the first time.
func (c *conn) becomeReady() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.isReady {
		return false
	}
	c.isReady = true
	close(c.ready)
	return true
}

// send queues a frame. The error is the connection's if it is lost, and
// errQueueFull if too much waits to be written.
func (c *conn) send(frame []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.err != nil:
		return c.err
	case c.leaving:
		return errClosed
	case c.bytes+len(frame) > c.limit:
		return errQueueFull
	}
	c.out = append(c.out, frame)
	c.bytes += len(frame)
	c.signal()
	return nil
}

// leave lets the writer finish what is queued, and end.
func (c *conn) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leaving = true
	c.signal()
}

func (c *conn) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *conn) take() (out [][]byte, leaving bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	out, c.out, c.bytes = c.out, nil, 0
	return out, c.leaving
}

func (c *conn) write() {
	defer close(c.written)
	for {
		select {
		case <-c.wake:
		case <-c.lost:
			return
		}
		out, leaving := c.take()
		for _, frame := range out {
			ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
			err := c.ws.Write(ctx, websocket.MessageText, frame)
			cancel()
			if err != nil {
				c.fail(lost(err))
				return
			}
		}
		if leaving {
			return
		}
	}
}

// read hands every frame to f until the connection is lost, and goes on reading
// until the socket is closed, so that the close handshake finds a reader.
func (c *conn) read(f func(frame []byte)) {
	for {
		typ, frame, err := c.ws.Read(c.reading)
		if err != nil {
			c.fail(lost(err))
			return
		}
		if typ != websocket.MessageText {
			c.fail(protocolError("a binary message"))
		}
		c.mu.Lock()
		c.heard = time.Now()
		over := c.err != nil
		c.mu.Unlock()
		if !over {
			f(frame)
		}
	}
}

// lastHeard is when something arrived last.
func (c *conn) lastHeard() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.heard
}

// mute says whether nothing has been heard for longer than the server is silent
// by itself, and what the network may add.
func (c *conn) mute(now time.Time, network time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return now.Sub(c.heard) > c.interval+network
}

// opened takes the Engine.IO handshake.
func (c *conn) opened(data []byte) error {
	var interval, timeout int64
	var maxPayload int
	err := codec.Decode(data, codec.Object(func(name string) any {
		switch name {
		case "pingInterval":
			return &interval
		case "pingTimeout":
			return &timeout
		case "maxPayload":
			return &maxPayload
		}
		return nil
	}))
	sane := func(ms int64) bool { return ms > 0 && ms <= (24*time.Hour).Milliseconds() }
	if err != nil || !sane(interval) || !sane(timeout) {
		return protocolError("a handshake without a pingInterval and a pingTimeout of at most a day")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.interval > 0 {
		return protocolError("a second handshake")
	}
	c.interval = time.Duration(interval) * time.Millisecond
	c.timeout = time.Duration(timeout) * time.Millisecond
	c.maxPayload = maxPayload
	return nil
}

// patience is how long the server may be silent on this connection.
func (c *conn) patience(want time.Duration) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if want <= 0 {
		want = max(3*c.interval, 10*time.Second)
	}
	return min(want, c.interval+c.timeout)
}

// takes is the largest frame that the server takes, 0 if that is not known.
func (c *conn) takes() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.maxPayload
}

// fits says whether the server takes a frame of that size.
func (c *conn) fits(size int) bool {
	most := c.takes()
	return most == 0 || size <= most
}

func protocolError(what string) error {
	return protocol.NewError(CodeProtocol, "the server sent "+what)
}

// disconnected is the goodbye.
var disconnected = sio.Append([]byte{byte(sio.Message)}, sio.Packet{Type: sio.Disconnect})
