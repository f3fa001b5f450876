//go:build !js

package wasmclient

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"initgrace/grace/protocol"
	"initgrace/wasmclient/internal/siotest"
)

// bubble runs a test in virtual time. That every goroutine has ended when the
// test ends is part of what it checks: the bubble does not end otherwise.
func bubble(t *testing.T, script func(*siotest.Conn), test func(t *testing.T, s *siotest.Server)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		test(t, siotest.Pipe(t, script))
	})
}

// connect dials and closes the client when the test ends.
func connect(t *testing.T, s *siotest.Server, o Options) *Client {
	t.Helper()
	c, err := dialTo(t.Context(), s, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return c
}

func dialTo(ctx context.Context, s *siotest.Server, o Options) (*Client, error) {
	if o.Participant == "" {
		o.Participant = "p1"
	}
	if o.PageID == "" {
		o.PageID = "page"
	}
	if o.Latency == 0 {
		o.Latency = -1
	}
	o.DialWebSocket = dialer(&websocket.DialOptions{HTTPClient: s.HTTPClient})
	return Dial(ctx, s.URL, &o)
}

// dialer opens WebSockets with options.
func dialer(o *websocket.DialOptions) func(context.Context, string) (*websocket.Conn, error) {
	return func(ctx context.Context, url string) (*websocket.Conn, error) {
		ws, _, err := websocket.Dial(ctx, url, o)
		return ws, err
	}
}

// hasCode checks a coded error.
func hasCode(t *testing.T, err error, code protocol.Code) {
	t.Helper()
	var e *protocol.Error
	if !errors.As(err, &e) || e.Code != code {
		t.Errorf("error %v; want code %s", err, code)
	}
}

// journal collects events, in order and safely.
type journal struct {
	mu      sync.Mutex
	entries []string
}

func (j *journal) add(s string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.entries = append(j.entries, s)
}

func (j *journal) all() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]string(nil), j.entries...)
}

// handler writes the event down under its name.
func (j *journal) handler(name string) func([]byte) {
	return func(data []byte) { j.add(name + " " + string(data)) }
}

func (j *journal) handlers(names ...string) map[string]func([]byte) {
	m := make(map[string]func([]byte))
	for _, n := range names {
		m[n] = j.handler(n)
	}
	return m
}

func toJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// newHTTPServer serves on a loopback port and returns the address.
func newHTTPServer(t *testing.T, h http.Handler) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

func unmarshal(data []byte, v any) error { return json.Unmarshal(data, v) }
