package wasmclient

import (
	"time"

	"initgrace/grace/protocol"
)

// latency measures round trips. It is a measurement and nothing else: the
// server's silence is judged by whatever is heard.
type latency struct {
	id        uint64               // of the last ping; they count from 1
	sent      [pingsKept]time.Time // when, by id
	last, max time.Duration
	back      uint64 // id of the last ping that was answered
}

// pingsKept is how many pings may be under way, one an interval.
const pingsKept = 64

// maxLatency is the longest round trip that the server believes.
const maxLatency = 60 * time.Second

func (l *latency) next(now time.Time) protocol.Ping {
	l.id++
	l.sent[l.id%pingsKept] = now
	return protocol.Ping{ID: l.id, LatencyMS: float64(l.last.Microseconds()) / 1000}
}

// answered takes a pong. If more pings than there were should have been sent
// since the one that it answers, then the page was blocked and the round trip
// says nothing about the network.
func (l *latency) answered(now time.Time, p protocol.Pong, interval time.Duration) {
	l.max = time.Duration(min(max(p.MaxLatency, 0), 60_000) * float64(time.Millisecond))
	if p.ID == 0 || p.ID > l.id || l.id-p.ID >= pingsKept {
		return
	}
	l.back = max(l.back, p.ID)
	d := now.Sub(l.sent[p.ID%pingsKept])
	if later := time.Duration(l.id - p.ID); d < (later+1)*interval+interval/4 && d < maxLatency {
		l.last = d
	}
}

// answered is the number of the last ping that was.
func (c *Client) answered() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.latency.back
}

// ping sends a ping with the round trip of the one before, and returns its
// number; but it is not sent while nothing is heard since then. Pings that get
// through on a connection that brings nothing back would tell the server of a
// participant who is alive, and cannot be reached.
func (c *Client) ping(cn *conn) (id uint64) {
	now := time.Now()
	c.mu.Lock()
	before := c.latency.sent[c.latency.id%pingsKept]
	ping := c.latency.next(now) // counted all the same: see answered
	ping.Seq, c.unsaid = c.lastSeq, 0
	c.mu.Unlock()
	if cn.lastHeard().Before(before) {
		return ping.ID
	}
	data, err := encode(protocol.EventPing, ping)
	if err != nil {
		panic(err) // numbers
	}
	_ = cn.send(eventFrame(data)) // one measurement less
	return ping.ID
}
