package wasmclient

import (
	"slices"
	"sync"
	"sync/atomic"

	"initgrace/grace/protocol"
)

// dispatcher hands events to handlers, one at a time and in order, on a
// goroutine of its own: a handler may wait for an ack.
type dispatcher struct {
	listener func(event string, json []byte) // nil: none
	panicked func(value any)                 // in a handler

	mu       sync.Mutex
	handlers map[string][]*handler
	queue    []event
	closed   bool          // run ends when the queue is empty
	handed   atomic.Uint64 // number of the last message given to the handlers
	wake     chan struct{}
}

type event struct {
	name string
	data []byte
}

type handler struct{ f func(json []byte) }

func (d *dispatcher) init(o *Options, panicked func(value any)) {
	d.listener, d.panicked = o.Listener, panicked
	d.wake = make(chan struct{}, 1)
	d.handlers = make(map[string][]*handler)
	for name, f := range o.Handlers {
		d.add(name, f)
	}
}

// On registers a handler for an event, the server's or one of those named in
// this package. It is called with the event's payload as JSON, nil if there is
// none, and must not keep the bytes. The returned function removes it; a call
// that is under way goes on. Events of before are not repeated: see
// Options.Handlers.
func (c *Client) On(event string, f func(json []byte)) (remove func()) {
	return c.events.add(event, f)
}

func (d *dispatcher) add(name string, f func([]byte)) (remove func()) {
	h := &handler{f}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.handlers[name] = append(d.handlers[name], h)
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.handlers[name] = slices.DeleteFunc(slices.Clone(d.handlers[name]), func(o *handler) bool { return o == h })
	}
}

func (d *dispatcher) put(name string, data []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return
	}
	d.queue = append(d.queue, event{name, data})
	d.signal()
}

// make puts an event of this package's own.
func (d *dispatcher) make(name string, payload any) {
	data, err := marshal(payload)
	if err != nil {
		panic(err) // our own types
	}
	d.put(name, data)
}

// close ends run when everything has been handed over.
func (d *dispatcher) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	d.signal()
}

func (d *dispatcher) signal() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

func (d *dispatcher) run() {
	for range d.wake {
		for {
			e, handlers, ok := d.next()
			if !ok {
				break
			}
			d.hand(e, handlers)
		}
		d.mu.Lock()
		over := d.closed && len(d.queue) == 0
		d.mu.Unlock()
		if over {
			return
		}
	}
}

// hand calls the handlers of an event. A panic ends the session, of which the
// others are still told.
func (d *dispatcher) hand(e event, handlers []*handler) {
	defer func() {
		if r := recover(); r != nil {
			d.panicked(r)
		}
	}()
	if e.name == protocol.EventMessage {
		if seq := seqOf(e.data); seq > 0 {
			d.handed.Store(seq)
		}
	}
	if d.listener != nil {
		d.listener(e.name, e.data)
	}
	for _, h := range handlers {
		h.f(e.data)
	}
}

// next takes the first event and its handlers as they are now.
func (d *dispatcher) next() (e event, handlers []*handler, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.queue) == 0 {
		d.queue = nil
		return e, nil, false
	}
	e = d.queue[0]
	d.queue[0] = event{}
	d.queue = d.queue[1:]
	return e, d.handlers[e.name], true
}
