package main

import (
	"context"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// crowd notices that many have connected and that no more come. A handshake
// needs ten times the memory that its connection keeps, and the runtime would
// hold on to that for minutes.
type crowd struct {
	handshakes atomic.Int64
	seen, tidy int64 // handshakes at the last look, and when memory was given back last
}

const (
	crowdLook = time.Second
	// crowdSize is how many make it worth a run of the collector, which costs some
	// 10 ms of processor time for each thousand connections.
	crowdSize = 100
)

// state is for http.Server.ConnState.
func (c *crowd) state(_ net.Conn, s http.ConnState) {
	if s == http.StateHijacked {
		c.handshakes.Add(1)
	}
}

// over says whether a crowd has connected and nobody since the last look.
func (c *crowd) over() bool {
	n := c.handshakes.Load()
	over := n == c.seen && n-c.tidy >= crowdSize
	if c.seen = n; over {
		c.tidy = n
	}
	return over
}

// watch calls free after each crowd, until ctx ends.
func (c *crowd) watch(ctx context.Context, free func()) {
	look := time.NewTicker(crowdLook)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
		if c.over() {
			free()
		}
	}
}
