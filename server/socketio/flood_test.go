package socketio

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
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
		rounds = 5 // of quiet and attack in turns, since the machine has moods of its own
		span   = 600 * time.Millisecond
		flood  = 100e6    // bytes a second
		bound  = 32 << 20 // queues, socket buffers' worth of packets, and the collector's slack
	)
	c := startChild(t, childDefault)
	var others []*tcpClient
	for range 10 {
		others = append(others, dialTCP(t, c.addr).admitted())
	}
	roundTrips(others, span/2) // warm
	_, before := c.cost(t)
	var quiet, loud []time.Duration
	var flooded, ignored, after int64
	for range rounds {
		quiet = append(quiet, roundTrips(others, span))
		stop := attack(t, c.addr, flood, &flooded, &ignored)
		time.Sleep(span / 4)
		loud = append(loud, roundTrips(others, span))
		_, memory := c.cost(t)
		after = max(after, memory)
		stop()
	}
	slices.Sort(quiet)
	slices.Sort(loud)
	was, is := quiet[rounds/2], loud[rounds/2]
	t.Logf("p99 %v quiet, %v under attack (%.2f times), of %v and %v; %d MB flooded, %d MB asked for and not read, memory %+d MB",
		was, is, float64(is)/float64(was), quiet, loud, flooded>>20, ignored>>20, (after-before)>>20)
	// Under a few milliseconds the scheduler of a busy machine says more than
	// the server does.
	if is > max(3*was, 20*time.Millisecond) && !raceDetector {
		t.Errorf("p99 of the others' acks: %v, was %v", is, was)
	}
	if after-before > bound {
		t.Errorf("memory grew by %d MB", (after-before)>>20)
	}
}

// attack floods from one client, which makes another connection as soon as one is
// slowed down, and asks from another one for what it never reads. It counts what
// was sent, and goes on until stop.
func attack(t *testing.T, addr string, rate float64, flooded, ignored *int64) (stop func()) {
	done := make(chan struct{})
	began := time.Now()
	// patience is for how long a connection may take nothing before the
	// attacker makes another; rate is 0 for as fast as can be.
	send := func(total *int64, payload []byte, rate float64, patience time.Duration) {
		var sent int64
		defer func() { *total += sent }()
		for {
			select {
			case <-done:
				return
			default:
			}
			nc, err := net.Dial("tcp", addr)
			if err != nil {
				t.Error(err)
				return
			}
			cl := &tcpClient{t: t, nc: nc}
			upgradeRequest(nc, addr)
			cl.await("0{")
			cl.send(1, "40")
			cl.await("40{")
			ended := make(chan struct{})
			go func() {
				select {
				case <-done:
				case <-ended:
				}
				reset(nc)
			}()
			for err == nil {
				if rate > 0 {
					time.Sleep(time.Duration(float64(sent)/rate*1e9) - time.Since(began))
				}
				var n int
				nc.SetWriteDeadline(time.Now().Add(patience))
				n, err = nc.Write(payload)
				sent += int64(n)
			}
			close(ended)
		}
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		send(flooded, frame(1, `42["e","`+strings.Repeat("x", 60_000)+`"]`), rate, 5*time.Millisecond)
	})
	wg.Go(func() {
		send(ignored, slices.Repeat(frame(1, `421["e","`+strings.Repeat("x", 4_000)+`"]`), 10), 0, time.Minute)
	})
	return func() {
		close(done)
		wg.Wait()
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
