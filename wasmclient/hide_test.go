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
