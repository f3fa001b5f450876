//go:build !js

package wasmclient

import "sync"

// FreezeBuffer is how many bytes of events a frozen client takes in, as much as
// Chromium reads for a blocked page. Then it reads no more, and the protocol
// pings behind them stay unanswered too.
const FreezeBuffer = 128 << 10

// Freeze makes the client behave like a page whose main thread is blocked,
// until thaw is called: nothing that arrives is looked at, no Engine.IO ping is
// answered, no timer has any effect, and a lost connection is not noticed;
// while WebSocket protocol pings are answered, since a browser does that by
// itself. Thaw hands over what has arrived, in order, and returns when that is
// done. A frozen client can be closed.
//
// It is for load generators and tests, and exists natively only. Calls made
// while the client is frozen are not held back: a blocked page makes none.
// Freezing a client that is frozen panics.
func (c *Client) Freeze() (thaw func()) {
	c.ice.mu.Lock()
	defer c.ice.mu.Unlock()
	if c.ice.melted != nil {
		panic("wasmclient: the client is frozen already")
	}
	c.ice.melted = make(chan struct{})
	return sync.OnceFunc(c.thaw)
}

// ice is what a frozen client has not looked at.
type ice struct {
	mu     sync.Mutex
	melted chan struct{} // closed by thaw; nil: not frozen
	frames []unread
	bytes  int // of frames
}

type unread struct {
	cn    *conn
	frame []byte
}

// deliver takes a frame from the goroutine that reads. It waits only when so
// much is unread that a browser would not read on.
func (c *Client) deliver(cn *conn, frame []byte) {
	i := &c.ice
	i.mu.Lock()
	for i.melted != nil && i.bytes+len(frame) > FreezeBuffer && i.bytes > 0 {
		melted := i.melted
		i.mu.Unlock()
		select {
		case <-melted:
		case <-c.ctx.Done():
			return
		}
		i.mu.Lock()
	}
	frozen := i.melted != nil
	if frozen {
		i.frames = append(i.frames, unread{cn, frame})
		i.bytes += len(frame)
	}
	i.mu.Unlock()
	if !frozen {
		c.frame(cn, frame)
	}
}

func (c *Client) thaw() {
	i := &c.ice
	i.mu.Lock()
	defer i.mu.Unlock()
	for len(i.frames) > 0 {
		frames := i.frames
		i.frames, i.bytes = nil, 0
		i.mu.Unlock()
		for _, u := range frames {
			c.frame(u.cn, u.frame)
		}
		i.mu.Lock()
	}
	close(i.melted)
	i.melted = nil
}

// melt waits until the client is not frozen, or the session over.
func (c *Client) melt() {
	c.ice.mu.Lock()
	melted := c.ice.melted
	c.ice.mu.Unlock()
	if melted != nil {
		select {
		case <-melted:
		case <-c.ctx.Done():
		}
	}
}
