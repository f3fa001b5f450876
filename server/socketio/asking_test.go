package socketio

import (
	"math/rand/v2"
	"testing"
	"time"
)

// size is how many connections are asked.
func (w *wheel) size() (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.slots {
		n += len(s)
	}
	return n
}

// Whoever comes and goes, everybody who is there is asked once in a turn.
func TestWheel(t *testing.T) {
	s := &Server{limits: Limits{}.withDefaults()}
	w := &wheel{interval: 64 * time.Millisecond, timeout: time.Hour}
	var all []*Conn
	there := make(map[*Conn]bool)
	for range 1000 {
		c := &Conn{srv: s}
		c.out.limit = s.limits.Outbound
		c.out.poll = make(chan struct{}, 1) // nobody writes
		all = append(all, c)
		w.add(c)
		there[c] = true
		if rand.IntN(2) == 0 {
			gone := all[rand.IntN(len(all))]
			w.remove(gone)
			delete(there, gone)
		}
	}
	if n := w.size(); n != len(there) {
		t.Fatalf("%d are asked, %d are there", n, len(there))
	}
	asked := func() (n int) {
		for _, c := range all {
			switch q := c.QueuedBytes(); {
			case q > 0 && !there[c]:
				t.Fatal("one who left is asked")
			case q > 1:
				t.Fatalf("%d pings and no answer", q)
			case q == 1:
				n++
			}
		}
		return n
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() { w.turn(stop); close(stopped) }()
	began := time.Now()
	waitFor(t, "everybody to be asked", func() bool { return asked() == len(there) })
	if d := time.Since(began); d < w.interval/2 {
		t.Errorf("they were asked in %v, at the same time", d)
	}
	close(stop)
	<-stopped
}
