//go:build !js

package wasmclient

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"initgrace/grace/protocol"
	"initgrace/wasmclient/internal/siotest"
)

// A worker's page is told of at most once a second, and only if the server has
// heard nothing else of it. A client on the page has nothing to tell: its pongs
// do.
func TestPageAlive(t *testing.T) {
	for host, want := range map[string][]string{
		protocol.HostPage:   {"own"},
		protocol.HostWorker: {"page_alive", "own", "page_alive", "page_alive"},
	} {
		var seen []string
		script := func(sc *siotest.Conn) {
			sc.Greet()
			for e, ok := sc.Next(); ok; e, ok = sc.Next() {
				seen = append(seen, e.Name)
			}
		}
		bubble(t, script, func(t *testing.T, s *siotest.Server) {
			c := connect(t, s, Options{Host: host})
			answer := func(after time.Duration) {
				time.Sleep(after)
				c.PageAlive()
				synctest.Wait()
			}
			answer(0) // the connection itself was the page's
			answer(aliveEvery - time.Millisecond)
			answer(time.Millisecond)
			answer(500 * time.Millisecond)
			if err := c.Emit(t.Context(), "own", nil); err != nil {
				t.Error(err)
			}
			answer(aliveEvery - time.Millisecond)
			answer(time.Millisecond)
			answer(aliveEvery)
			if !slices.Equal(seen, want) {
				t.Errorf("%s: the server saw %q, want %q", host, seen, want)
			}
		})
	}
}

// A connection that brings nothing any more is not told that the page runs.
func TestPageAliveOnAMuteConnection(t *testing.T) {
	const interval = 5 * time.Second
	var seen int
	script := func(sc *siotest.Conn) {
		sc.Open(interval, time.Hour)
		sc.Connect()
		sc.Session(protocol.Session{Epoch: 1})
		for e, ok := sc.Next(); ok; e, ok = sc.Next() {
			if e.Name == protocol.EventPageAlive {
				seen++
			}
		}
	}
	bubble(t, script, func(t *testing.T, s *siotest.Server) {
		c := connect(t, s, Options{Host: protocol.HostWorker, Latency: -1, Silence: time.Hour})
		began := time.Now()
		for time.Since(began) < 2*interval {
			time.Sleep(aliveEvery)
			c.PageAlive()
			synctest.Wait()
		}
		if want := int(interval / aliveEvery); seen != want {
			t.Errorf("told %d times, want %d", seen, want)
		}
	})
}
