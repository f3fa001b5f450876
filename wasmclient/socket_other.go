//go:build !js

package wasmclient

import (
	"context"

	"github.com/coder/websocket"
)

func dial(ctx context.Context, url string, o *Options) (*websocket.Conn, error) {
	if o.DialWebSocket != nil {
		return o.DialWebSocket(ctx, url)
	}
	ws, _, err := websocket.Dial(ctx, url, nil)
	return ws, err
}

// readContext closes the socket when it is cancelled.
func readContext() (context.Context, context.CancelFunc) {
	return context.WithCancel(context.Background())
}

// hangUp closes a connection, with a close handshake as long as the context
// lasts.
func hangUp(ctx context.Context, c *conn, code websocket.StatusCode, reason string) {
	stop := context.AfterFunc(ctx, c.kill)
	defer stop()
	_ = c.ws.Close(code, reason) // that the peer is gone already is no news
	c.kill()
}

// awaitAll waits for the client's goroutines.
func awaitAll(ended <-chan struct{}) { <-ended }
