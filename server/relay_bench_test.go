package server

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"initgrace/grace/protocol"
	"initgrace/server/socketio"
)

// BenchmarkRelay is what a group message costs, clients included: pairs in
// which both send all the time, each with a number of messages whose ack is
// still to come. An ack means stored; a message is done when its sender has the
// ack and the partner has the message. In memory nothing outlives the process.
func BenchmarkRelay(b *testing.B) {
	for _, in := range []string{"file", "memory"} {
		for _, pairs := range []int{1, 25, 250} {
			for _, ahead := range []int{1, 16} {
				b.Run(fmt.Sprintf("in=%s/pairs=%d/ahead=%d", in, pairs, ahead), func(b *testing.B) { benchRelay(b, in, pairs, ahead) })
			}
		}
	}
}

func benchRelay(b *testing.B, in string, pairs, ahead int) {
	cfg := Config{Limits: socketio.Limits{Events: -1, Bytes: -1, Handshakes: -1}}
	if in == "file" {
		cfg.Store = openBenchDB(b)
	}
	r := start(b, cfg)
	var all []*plain
	for i := range 2 * pairs {
		p, _ := r.connect(fmt.Sprintf(`{"participant":"p%d","group":"g%d"}`, i, i/2))
		all = append(all, p)
	}
	b.ResetTimer()
	before, began := cpu(b), time.Now()
	var playing sync.WaitGroup
	for i, p := range all {
		mine := b.N/len(all) + min(max(b.N%len(all)-i, 0), 1)
		theirs := b.N/len(all) + min(max(b.N%len(all)-(i^1), 0), 1)
		playing.Go(func() {
			acks := make(chan struct{}, ahead)
			for range mine {
				acks <- struct{}{}
				ack := p.emit(protocol.EventSend, `{"data":{"action":"left","tick":1234}}`)
				playing.Go(func() { <-ack; <-acks })
			}
		})
		playing.Go(func() {
			for n := 0; n < theirs; {
				if e := <-p.events; e.name == protocol.EventMessage {
					if n++; n%500 == 0 { // more often than a page, which sends much less
						p.write(fmt.Sprintf(`42["ping",{"seq":%d}]`, n))
					}
				}
			}
		})
	}
	playing.Wait()
	b.ReportMetric(float64(b.N)/time.Since(began).Seconds(), "messages/s")
	b.ReportMetric((cpu(b)-before)/float64(b.N), "cpu-µs/message")
}
