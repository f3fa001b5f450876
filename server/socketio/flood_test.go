package socketio

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// One client sends 100 MB a second, on connections that it replaces as soon as
// the server slows one down; another never reads what it asks for, again and
// again. The server's memory stays bounded, and the others hardly notice.
func TestFloodDisturbsNobody(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	const (
		span  = 2 * time.Second
		flood = 100e6    // bytes a second
		bound = 32 << 20 // queues, socket buffers' worth of packets, and the collector's slack
	)
	c := startChild(t, childDefault)
	var others []*tcpClient
	for range 10 {
		others = append(others, dialTCP(t, c.addr).admitted())
	}
	roundTrips(others, span/4) // warm
	quiet := roundTrips(others, span)
	_, before := c.cost(t)

	stop := make(chan struct{})
	var wg sync.WaitGroup
	var flooded, ignored atomic.Int64
	began := time.Now()
	// patience is for how long a connection may take nothing before the
	// attacker makes another; rate is 0 for as fast as can be.
	attack := func(sent *atomic.Int64, payload []byte, rate float64, patience time.Duration) {
		for {
			select {
			case <-stop:
				return
			default:
			}
			nc, err := net.Dial("tcp", c.addr)
			if err != nil {
				t.Error(err)
				return
			}
			cl := &tcpClient{t: t, nc: nc}
			upgradeRequest(nc, c.addr)
			cl.await("0{")
			cl.send(1, "40")
			cl.await("40{")
			ended := make(chan struct{})
			go func() {
				select {
				case <-stop:
				case <-ended:
				}
				reset(nc)
			}()
			for err == nil {
				if rate > 0 {
					time.Sleep(time.Duration(float64(sent.Load())/rate*1e9) - time.Since(began))
				}
				var n int
				nc.SetWriteDeadline(time.Now().Add(patience))
				n, err = nc.Write(payload)
				sent.Add(int64(n))
			}
			close(ended)
		}
	}
	wg.Go(func() {
		attack(&flooded, frame(1, `42["e","`+strings.Repeat("x", 60_000)+`"]`), flood, 5*time.Millisecond)
	})
	wg.Go(func() {
		attack(&ignored, slices.Repeat(frame(1, `421["e","`+strings.Repeat("x", 4_000)+`"]`), 10), 0, time.Minute)
	})
	time.Sleep(span / 4)
	loud := roundTrips(others, span)
	_, after := c.cost(t)
	took := time.Since(began).Seconds()
	close(stop)
	wg.Wait()

	t.Logf("p99 %v quiet, %v under attack; %.0f MB/s flooded, %d MB asked for and not read, memory %+d MB",
		quiet, loud, float64(flooded.Load())/1e6/took, ignored.Load()>>20, (after-before)>>20)
	// Under a few milliseconds the scheduler of a busy machine says more than
	// the server does.
	if loud > max(3*quiet, 20*time.Millisecond) && !raceDetector {
		t.Errorf("p99 of the others' acks: %v, was %v", loud, quiet)
	}
	if after-before > bound {
		t.Errorf("memory grew by %d MB", (after-before)>>20)
	}
}

// roundTrips has each client send an event every few milliseconds, and returns
// the 99th percentile of the time to its ack.
func roundTrips(clients []*tcpClient, span time.Duration) time.Duration {
	var mu sync.Mutex
	var all []time.Duration
	var wg sync.WaitGroup
	for i, c := range clients {
		wg.Go(func() {
			end := time.Now().Add(span)
			for n := i * 1_000_000; time.Now().Before(end); n++ {
				start := time.Now()
				c.send(1, fmt.Sprintf(`42%d["e",1]`, n))
				c.await(fmt.Sprintf("43%d[1]", n))
				took := time.Since(start)
				mu.Lock()
				all = append(all, took)
				mu.Unlock()
				time.Sleep(5 * time.Millisecond)
			}
		})
	}
	wg.Wait()
	slices.Sort(all)
	return all[len(all)*99/100]
}
