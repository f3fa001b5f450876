package wasmclient

import (
	"time"

	"initgrace/grace/protocol"
)

// aliveEvery is how often the server hears of a page that says nothing else.
const aliveEvery = time.Second

// PageAlive tells the server that the page's main thread runs, if this code does
// not run there itself (Options.Host is protocol.HostWorker) and the server has
// not heard from the page within the last second. It may be called as often as
// the page answers. On a connection that has gone mute it tells nothing: a server
// that hears it would take a participant for present who cannot be reached.
func (c *Client) PageAlive() {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.opts.Host != protocol.HostWorker || c.live == nil || now.Sub(c.pageSaid) < aliveEvery {
		return
	}
	if c.live.mute(now, aliveEvery/4+c.latency.last) {
		return
	}
	data, err := encode(protocol.EventPageAlive, nil)
	if err != nil {
		panic(err) // there is no payload
	}
	if c.live.send(eventFrame(data)) == nil { // otherwise the next answer is told
		c.pageSaid = now
	}
}
