//go:build !js

package wasmclient

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"initgrace/grace/protocol"
	"initgrace/wasmclient/internal/siotest"
)

// A pong that comes so late that further pings should have been sent meanwhile
// measured a block of the page, not the network.
func TestLatencyAnswered(t *testing.T) {
	const interval = time.Second
	start := time.Unix(1000, 0)
	for _, c := range []struct {
		name  string
		pings int // sent, one an interval
		id    uint64
		after time.Duration // from start, when the first was sent
		want  time.Duration
	}{
		{"quick", 1, 1, 30 * time.Millisecond, 30 * time.Millisecond},
		{"slower than the interval", 3, 1, 2500 * time.Millisecond, 2500 * time.Millisecond},
		{"just not a block", 1, 1, interval + interval/4 - 1, interval + interval/4 - 1},
		{"a block", 1, 1, interval + interval/4, 0},
		{"a block behind a slow one", 3, 1, 3*interval + interval/4, 0},
		{"of a ping that was not sent", 1, 2, time.Millisecond, 0},
		{"without an id", 1, 0, time.Millisecond, 0},
		{"forgotten", pingsKept + 1, 1, pingsKept * interval, 0},
		{"longer than the server believes", 61, 1, 60 * time.Second, 0},
	} {
		var l latency
		for i := range c.pings {
			l.next(start.Add(time.Duration(i) * interval))
		}
		l.answered(start.Add(c.after), protocol.Pong{ID: c.id, MaxLatency: 12.5}, interval)
		if l.last != c.want || l.max != 12500*time.Microsecond {
			t.Errorf("%s: last %v, max %v", c.name, l.last, l.max)
		}
		if p := l.next(start); p.LatencyMS != float64(c.want.Microseconds())/1000 || p.ID != uint64(c.pings)+1 {
			t.Errorf("%s: next ping %+v", c.name, p)
		}
	}
}

// Pings leave once a second and carry the round trip of the one before.
func TestLatencyOnTheWire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const trip = 40 * time.Millisecond
		pings := make(chan protocol.Ping, 10)
		script := func(c *siotest.Conn) {
			c.Greet()
			for {
				f, ok := c.Read()
				if !ok {
					return
				}
				var p protocol.Ping
				payload, isPing := strings.CutPrefix(strings.TrimSuffix(f, "]"), `42["ping",`)
				if !isPing {
					return // the goodbye
				}
				if err := unmarshal([]byte(payload), &p); err != nil {
					t.Error(err)
				}
				pings <- p
				time.Sleep(trip)
				c.Emit(protocol.EventPong, protocol.Pong{ID: p.ID, MaxLatency: 99})
			}
		}
		s := siotest.Pipe(t, script)
		c := connect(t, s, Options{Latency: time.Second})
		began := time.Now()
		for i := range uint64(3) {
			p := <-pings
			want := protocol.Ping{ID: i + 1}
			if i > 0 {
				want.LatencyMS = 40
			}
			if p != want || time.Since(began) != time.Duration(i+1)*time.Second {
				t.Errorf("after %v: %+v", time.Since(began), p)
			}
		}
		time.Sleep(trip + time.Millisecond)
		if st := c.State(); st.Latency != trip || st.MaxLatency != 99*time.Millisecond {
			t.Errorf("latency %v, max %v", st.Latency, st.MaxLatency)
		}
	})
}

// A server that is not heard any more hears no pings either, so that it can
// find out. When something is heard again they go on.
func TestLatencyOnlyWithAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		script := func(c *siotest.Conn) {
			c.Greet()
			began := time.Now()
			time.AfterFunc(10500*time.Millisecond, func() { c.Emit("word", nil) })
			for {
				f, ok := c.Read()
				if !ok {
					return
				}
				if strings.HasPrefix(f, `42["ping"`) {
					j.add(time.Since(began).String())
				}
			}
		}
		s := siotest.Pipe(t, script)
		connect(t, s, Options{Latency: time.Second})
		time.Sleep(15*time.Second + time.Millisecond)
		if at, want := j.all(), []string{"1s", "11s"}; !slices.Equal(at, want) {
			t.Errorf("pings after %v; want %v: one, and one after something was heard", at, want)
		}
	})
}
