//go:build !js

package wasmclient

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"initgrace/grace/protocol"
	"initgrace/wasmclient/internal/siotest"
)

// A page that is left says so and closes its socket, stays away for as long as
// it is hidden, and is back at once when it is shown.
func TestHide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		codes := make(chan websocket.StatusCode, 2)
		s := siotest.Pipe(t, func(c *siotest.Conn) {
			c.Greet()
			for {
				f, ok := c.Read()
				if !ok {
					break
				}
				j.add(f)
			}
			codes <- c.Code
		})
		c := connect(t, s, Options{Backoff: Backoff{Min: time.Hour, Max: time.Hour}})
		c.Show() // it is shown already
		_ = c.Emit(t.Context(), "before", nil)
		c.Hide(true)
		c.Hide(true) // twice is once
		if code := <-codes; code != websocket.StatusNormalClosure {
			t.Errorf("close code %d", code)
		}
		_ = c.Emit(t.Context(), "meanwhile", nil)
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		if got := strings.Join(j.all(), " "); got != `42["before"] 42["pagehide",{"persisted":true}]` || s.Count() != 1 || c.State().Connected {
			t.Errorf("the server saw %s on %d connections", got, s.Count())
		}
		c.Show()
		synctest.Wait()
		if got := j.all(); got[len(got)-1] != `42["meanwhile"]` || s.Count() != 2 {
			t.Errorf("after Show the server saw %q on %d connections", got, s.Count())
		}
		c.Hide(false)
		<-codes
		if err := c.Close(context.Background()); err != nil {
			t.Error(err)
		}
		c.Hide(false) // of no use any more
		hasCode(t, c.Err(), protocol.CodeClosed)
	})
}

// Hidden while there is no connection, or before the session has come: nothing
// is said, and nothing tried.
func TestHideWhileDisconnected(t *testing.T) {
	for name, wait := range map[string]time.Duration{"in a pause": 0, "in an attempt": time.Minute} {
		t.Run(name, func(t *testing.T) {
			script := func(c *siotest.Conn) {
				switch c.N {
				case 1:
					c.Greet()
				case 2:
					c.Open(time.Hour, time.Hour)
					time.Sleep(wait)
				default:
					c.Greet()
					c.Wait()
				}
			}
			bubble(t, script, func(t *testing.T, s *siotest.Server) {
				c := connect(t, s, Options{Backoff: Backoff{Min: 20 * time.Second, Max: 20 * time.Second}, ConnectTimeout: time.Hour})
				time.Sleep(time.Second)
				if wait > 0 {
					time.Sleep(25 * time.Second)
				}
				count := s.Count()
				c.Hide(true)
				time.Sleep(24 * time.Hour)
				if s.Count() != count || c.State().Connected {
					t.Errorf("%d connections while hidden", s.Count()-count)
				}
				c.Show()
				time.Sleep(time.Minute)
				if !c.State().Connected {
					t.Error("not back")
				}
			})
		})
	}
}

// A page that is left while it dials does not connect behind its back.
func TestHideDuringDial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := siotest.Pipe(t, func(c *siotest.Conn) {
			c.Greet()
			if c.N > 1 {
				c.Wait()
			}
		})
		o := Options{Participant: "p1", PageID: "page", Latency: -1}
		n := 0
		d := dialer(&websocket.DialOptions{HTTPClient: s.HTTPClient})
		o.DialWebSocket = func(ctx context.Context, url string) (*websocket.Conn, error) {
			if n++; n > 1 {
				time.Sleep(time.Second) // a slow network
			}
			return d(ctx, url)
		}
		c, err := Dial(t.Context(), s.URL, &o)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close(context.Background())
		time.Sleep(1200 * time.Millisecond) // the pause is at most 500 ms: dialling
		c.Hide(true)
		time.Sleep(time.Hour)
		if c.State().Connected {
			t.Errorf("hidden for an hour and connected: %v, %d connections", c.State().Connected, s.Count())
		}
	})
}

// Who leaves in the middle of an attempt says that nobody comes back.
func TestGoodbyeInAnAttempt(t *testing.T) {
	for name, leave := range map[string]func(c *Client){
		"close": func(c *Client) { _ = c.Close(context.Background()) },
		"hide":  func(c *Client) { c.Hide(true) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				code := make(chan websocket.StatusCode, 1)
				s := siotest.Pipe(t, func(c *siotest.Conn) {
					if c.N == 1 {
						c.Greet()
						return
					}
					c.Open(time.Hour, time.Hour)
					c.Connect() // the server has admitted it; its session is on its way
					c.Wait()
					code <- c.Code
				})
				c := connect(t, s, Options{})
				time.Sleep(2 * time.Second)
				leave(c)
				if got := <-code; got == protocol.CloseRetry {
					t.Errorf("close code %d: the server waits for a client that does not come back", got)
				}
			})
		})
	}
}
