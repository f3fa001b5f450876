package wasmclient

import (
	"context"

	"initgrace/grace/protocol"
)

// Hide tells the server that the page is being left (a browser's pagehide) and
// closes the connection; the session goes on when Show is called. Persisted
// says that the page may come back from the back/forward cache.
//
// It closes by itself because a browser may not: Chromium 156 puts a page with
// an open WebSocket into its back/forward cache, and goes on answering protocol
// pings for a participant who has left.
func (c *Client) Hide(persisted bool) {
	data, err := encode(protocol.EventPageHide, protocol.PageHide{Persisted: persisted})
	if err != nil {
		panic(err) // a boolean
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.hidden != nil || c.err != nil {
		return
	}
	c.hidden = make(chan struct{})
	cn := c.current
	if cn == nil {
		return
	}
	if c.live == cn {
		_ = cn.send(eventFrame(data)) // if it cannot be said, the close says it
	}
	cn.leave()
	c.live = nil
	c.spawn(func() {
		select {
		case <-cn.written:
		case <-look():
		}
		cn.fail(errHidden)
	})
}

// Show ends what Hide began: the client connects again at once.
func (c *Client) Show() {
	c.mu.Lock()
	if c.hidden != nil {
		close(c.hidden)
		c.hidden = nil
	}
	c.mu.Unlock()
	c.Retry()
}

// untilShown waits while the page is hidden.
func (c *Client) untilShown(ctx context.Context) error {
	c.mu.Lock()
	hidden := c.hidden
	c.mu.Unlock()
	if hidden == nil {
		return nil
	}
	select {
	case <-hidden:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
