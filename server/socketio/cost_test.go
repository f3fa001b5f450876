package socketio

import (
	"sync"
	"testing"
	"time"

	"initgrace/grace/protocol"
)

// The benchmarks run the wall and the bare module side by side, each in a
// process of its own, turn by turn, so that a noisy machine disturbs both
// alike. What they report is the CPU time and the memory of those processes.

func both(b *testing.B) (wall, bare *child) {
	return startChild(b, childWall), startChild(b, childBare)
}

// slowly gives the bare module time to listen: it loses a CONNECT that follows
// the handshake at once.
func slowly(c *tcpClient) *tcpClient {
	c.await("0{")
	time.Sleep(10 * time.Millisecond)
	c.send(1, "40")
	c.await("40{")
	return c
}

// echo is the Handler whose cost is none.
type echo struct{}

func (echo) Authorize(Client, Handshake) *protocol.Error { return nil }
func (echo) Connected(Client)                            {}
func (echo) PagePong(Client)                             {}
func (echo) BrowserPong(Client, time.Duration)           {}
func (echo) Disconnected(Client, Cause)                  {}
func (echo) Event(c Client, e Event) {
	if e.Ack {
		c.Ack(e.AckID, e.Args[0])
	}
}

// BenchmarkEvent is the cost of one event and its ack, for events that come
// one by one on 20 connections.
func BenchmarkEvent(b *testing.B) {
	const conns, rounds = 20, 50
	wall, bare := both(b)
	spent := map[*child]time.Duration{}
	clients := map[*child][]*tcpClient{}
	for _, c := range []*child{wall, bare} {
		for range conns {
			clients[c] = append(clients[c], slowly(dialTCP(b, c.addr)))
		}
	}
	event := frame(1, `421["e",{"participant":"p-0001","phase":"runtime","expected_ms":15000}]`)
	for b.Loop() {
		for _, c := range []*child{wall, bare} {
			before, _ := c.cost(b)
			for range rounds {
				for _, cl := range clients[c] {
					cl.nc.Write(event)
				}
				for _, cl := range clients[c] {
					cl.await(`431[`)
				}
			}
			after, _ := c.cost(b)
			spent[c] += after - before
		}
	}
	n := float64(b.N * conns * rounds)
	b.ReportMetric(float64(spent[wall])/n, "wall-ns/event")
	b.ReportMetric(float64(spent[bare])/n, "bare-ns/event")
	b.ReportMetric(float64(spent[wall])/float64(spent[bare]), "ratio")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkConnection is the cost of connecting, being admitted and staying.
func BenchmarkConnection(b *testing.B) {
	const conns, connecting = 500, 20
	wall, bare := both(b)
	spent := map[*child]time.Duration{}
	held := map[*child]int64{}
	for b.Loop() {
		for _, c := range []*child{wall, bare} {
			beforeCPU, beforeMem := c.cost(b)
			// At the same time, or the first would be too old for the bare
			// module before the last has come: nobody here answers pings.
			var coming sync.WaitGroup
			for range connecting {
				coming.Go(func() {
					for range conns / connecting {
						slowly(dialTCP(b, c.addr))
					}
				})
			}
			coming.Wait()
			afterCPU, afterMem := c.cost(b)
			spent[c] += afterCPU - beforeCPU
			held[c] += afterMem - beforeMem
		}
	}
	n := float64(b.N * conns)
	b.ReportMetric(float64(spent[wall])/n/1e3, "wall-us/connection")
	b.ReportMetric(float64(spent[bare])/n/1e3, "bare-us/connection")
	b.ReportMetric(float64(spent[wall])/float64(spent[bare]), "cpu-ratio")
	b.ReportMetric(float64(held[wall])/n, "wall-B/connection")
	b.ReportMetric(float64(held[bare])/n, "bare-B/connection")
	b.ReportMetric(float64(held[wall])/float64(held[bare]), "memory-ratio")
	b.ReportMetric(0, "ns/op")
}
