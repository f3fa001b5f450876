package socketio

import (
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// slots is in how many steps a wheel turns. More would keep others waiting for a
// shorter time, by 2 ms of the slowest messages between 32 steps and these; but
// answers that come together cost a quarter less.
const slots = 8

// A wheel asks pages for a sign of life, each once in a turn. It does so for the
// connections that the module has let go, with one goroutine for all of them,
// where the module has one and a timer for each. It is turned by steps, so that
// a crowd that came at the same time does not answer at the same time for ever.
type wheel struct {
	interval, timeout time.Duration // Options.PingInterval and PingTimeout

	mu    sync.Mutex
	slots [slots][]*Conn
	next  int // the slot of the next connection
}

// A spot is where a connection is in a wheel, whose lock guards it.
type spot struct {
	taken       bool
	slot, place int
}

func (w *wheel) add(c *Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := &w.slots[w.next]
	c.spot = spot{true, w.next, len(*s)}
	*s = append(*s, c)
	w.next = (w.next + 1) % slots
}

// remove does nothing if the connection is not there.
func (w *wheel) remove(c *Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !c.spot.taken {
		return
	}
	c.spot.taken = false
	s := &w.slots[c.spot.slot]
	last := len(*s) - 1
	moved := (*s)[last]
	(*s)[c.spot.place], moved.spot.place = moved, c.spot.place
	(*s)[last] = nil
	*s = (*s)[:last]
}

// turn turns the wheel until stop is closed.
func (w *wheel) turn(stop <-chan struct{}) {
	step := max(w.interval/slots, time.Microsecond)
	tick := time.NewTicker(step)
	defer tick.Stop()
	began, done := time.Now(), int64(0)
	var due []*Conn
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		now := time.Now()
		steps := int64(now.Sub(began) / step)
		// A machine that was busy loses ticks; what is due is asked all the same,
		// and nobody twice.
		for done = max(done, steps-slots); done < steps; done++ {
			w.mu.Lock()
			due = append(due[:0], w.slots[done%slots]...)
			w.mu.Unlock()
			for _, c := range due {
				c.ask(now, w.timeout)
			}
		}
		clear(due) // it would keep them
	}
}

var enginePing = []byte("2")

// ask sends an Engine.IO ping. If the last one is not answered yet, it sends none,
// and ends the connection when that has been so for longer than the timeout.
func (c *Conn) ask(now time.Time, timeout time.Duration) {
	switch {
	case c.pinged.CompareAndSwap(false, true):
		c.asked = now
		c.put(enginePing)
	case now.Sub(c.asked) > timeout:
		c.pingTimeout("ping timeout")
	}
}

func (c *Conn) pingTimeout(words string) {
	c.end(Cause{Kind: Lost, Detail: words}, &closing{
		code: websocket.CloseGoingAway, text: words, by: time.Now().Add(linger),
	})
}
