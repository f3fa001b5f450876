package wasmclient

import (
	"context"

	"github.com/coder/websocket"

	"initgrace/wasmclient/internal/jsx"
)

// dial opens a WebSocket. A browser's attempt cannot be taken back, so one that
// is not wanted any more is closed when it succeeds.
func dial(ctx context.Context, url string, o *Options) (*websocket.Conn, error) {
	type result struct {
		ws  *websocket.Conn
		err error
	}
	done := make(chan result, 1)
	go func() {
		var r result
		defer func() { done <- r }()
		defer jsx.Recover(func(err error) { r.err = err })
		jsx.AboutToOpen()
		if o.DialWebSocket != nil {
			r.ws, r.err = o.DialWebSocket(context.Background(), url)
			return
		}
		r.ws, _, r.err = websocket.Dial(context.Background(), url, nil)
	}()
	select {
	case r := <-done:
		return r.ws, r.err
	case <-ctx.Done():
	}
	select {
	case r := <-done: // both may have happened during a block of the page
		return r.ws, r.err
	case <-look():
	}
	go func() {
		if r := <-done; r.err == nil {
			_ = r.ws.Close(websocket.StatusNormalClosure, "")
		}
	}()
	return nil, ctx.Err()
}

// readContext is never cancelled: in a browser that would not close the
// socket, only leave it without a reader.
func readContext() (context.Context, context.CancelFunc) {
	return context.Background(), func() {}
}

// hangUp closes a connection and waits for it until the context ends. The
// browser then goes on by itself, for as long as it thinks right.
func hangUp(ctx context.Context, c *conn, code websocket.StatusCode, reason string) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer jsx.Recover(func(error) {})
		_ = c.ws.Close(code, reason)
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// awaitAll waits for the client's goroutines, but not for the one that a dead
// network keeps parked in Read: the browser ends that by itself.
func awaitAll(ended <-chan struct{}) {
	select {
	case <-ended:
	case <-look():
	}
}
