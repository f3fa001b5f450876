package relay

import (
	"net"
	"testing"
)

// BenchmarkLink is what it costs both sides to pass one event on, and its answer back.
func BenchmarkLink(b *testing.B) {
	one, two := net.Pipe()
	b.ReportAllocs()
	x, y := newLink(one), newLink(two)
	go x.write(func() message { return message{} })
	go y.write(func() message { return message{} })
	go y.read(func(m message) {
		if m.kind == event {
			y.send(message{kind: frame, client: m.client, data: m.args[0]})
		}
	})
	got := make(chan struct{}, 1024)
	go x.read(func(m message) {
		if m.kind == frame {
			got <- struct{}{}
		}
	})
	payload := []byte(`{"data":{"action":"left","step":17}}`)
	b.ResetTimer()
	go func() {
		for i := range b.N {
			x.wait(message{kind: event, client: uint64(i), name: "send", args: [][]byte{payload}, ackID: uint64(i), ack: true})
		}
	}()
	for range b.N {
		<-got
	}
}
