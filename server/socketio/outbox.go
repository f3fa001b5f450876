package socketio

import (
	"sync"
	"time"

	"initgrace/grace/protocol/sio"
)

// An outbox is what waits to be written to one connection: the module's
// packets, events and acks in the order in which they were put, and beside
// them the WebSocket control frames. It belongs to the connection and not to
// a transport, so that an upgrade loses and reorders nothing.
//
// Either a WebSocket drains it, by a goroutine that exists only while there is
// something to write, or long-polling does, by the goroutine of a GET.
type outbox struct {
	limit int           // in bytes, for frames and flying together
	poll  chan struct{} // wakes a GET; nil without long-polling

	mu      sync.Mutex
	frames  [][]byte
	bytes   int        // in frames
	flying  int        // taken by the one who writes, not yet written
	ws      *webSocket // nil while long-polling carries the connection
	writing bool       // ws.write runs
	ping    bool       // a probe is to be written
	pong    []byte     // a ping is to be answered with this
	closer  *closing   // the end has begun
	shut    bool       // nothing more is taken out
	ended   bool       // the end is written, or cannot be
	watch   chan struct{}

	farewell sio.EngineType // the last packet of long-polling
}

// A closing says how a connection is to end on the wire.
type closing struct {
	code    int // of the WebSocket close frame
	text    string
	flush   bool      // write what is queued first
	goodbye bool      // then DISCONNECT: the client is not to come back
	by      time.Time // when writing ends, finished or not
}

// put queues a frame. It reports false if that would exceed the limit; after
// the end it does nothing and reports true.
func (o *outbox) put(frame []byte) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closer != nil || o.shut {
		return true
	}
	if o.bytes+o.flying+len(frame) > o.limit {
		return false
	}
	o.append(frame)
	o.wake()
	return true
}

func (o *outbox) append(frame []byte) {
	o.frames = append(o.frames, frame)
	o.bytes += len(frame)
}

// probe asks for a WebSocket ping; several that were not written yet are one.
func (o *outbox) probe() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ws != nil && o.closer == nil && !o.shut {
		o.ping = true
		o.wake()
	}
}

// answer queues the pong for a WebSocket ping. Only the last one is kept, as
// RFC 6455 allows, so that pings cannot fill the queue.
func (o *outbox) answer(payload []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closer == nil && !o.shut {
		o.pong = payload
		o.wake()
	}
}

// close begins the end; the first call counts.
func (o *outbox) close(c closing) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closer != nil || o.shut {
		return
	}
	if !c.flush {
		o.frames, o.bytes = nil, 0
	}
	if c.goodbye {
		o.append([]byte("41"))
	}
	o.closer = &c
	if o.ws != nil {
		o.ws.net.endBy(c.by)
	}
	o.wake()
}

// quiet has a waiting GET answered by NOOP instead of CLOSE: the client itself
// has closed.
func (o *outbox) quiet() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.farewell = sio.Noop
}

// carry makes a WebSocket the one that drains the queue.
func (o *outbox) carry(ws *webSocket) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ws = ws
	if o.closer != nil {
		ws.net.endBy(o.closer.by)
	}
	if len(o.frames) > 0 || o.closer != nil {
		o.wake()
	}
}

// onWebSocket says whether a WebSocket carries the connection.
func (o *outbox) onWebSocket() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.ws != nil
}

// abandon drops everything: there is nobody to write to.
func (o *outbox) abandon() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.shut = true
	o.frames, o.bytes, o.flying = nil, 0, 0
	o.end()
}

// cut ends everything now.
func (o *outbox) cut() {
	o.abandon()
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ws != nil {
		o.ws.net.Close()
	}
}

// end notes that the end is written or given up. The lock is held.
func (o *outbox) end() {
	if !o.ended && o.watch != nil {
		close(o.watch)
	}
	o.ended = true
}

// written returns a channel that is closed when the end is written or given up.
func (o *outbox) written() <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.watch == nil {
		o.watch = make(chan struct{})
		if o.ended {
			close(o.watch)
		}
	}
	return o.watch
}

// wake sees to it that somebody drains the queue. The lock is held.
func (o *outbox) wake() {
	switch {
	case o.shut:
	case o.ws == nil:
		select {
		case o.poll <- struct{}{}:
		default: // the next GET looks before it waits
		}
	case !o.writing:
		o.writing = true
		go o.ws.write()
	}
}

// A batch is what a WebSocket writes in one go: control frames first, a close
// frame last.
type batch struct {
	frames [][]byte
	ping   bool
	pong   []byte
	closer *closing
}

// take hands over what there is to write. When it reports false, there is
// nothing, and the one who writes must stop.
func (o *outbox) take() (batch, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.shut {
		o.writing = false
		o.end()
		return batch{}, false
	}
	b := batch{frames: o.frames, ping: o.ping, pong: o.pong, closer: o.closer}
	o.flying = o.bytes
	o.frames, o.bytes, o.ping, o.pong = nil, 0, false, nil
	o.shut = b.closer != nil
	o.writing = len(b.frames) > 0 || b.ping || b.pong != nil || b.closer != nil
	return b, o.writing
}

// wrote counts n bytes of what was taken as written.
func (o *outbox) wrote(n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.flying = max(0, o.flying-n)
}

// takePoll hands the frames to a GET of long-polling. A close packet has a GET
// of its own: the official client handles it before the packets that came with
// it, and would not see a DISCONNECT.
func (o *outbox) takePoll() [][]byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ws != nil {
		return nil
	}
	frames := o.frames
	o.frames, o.bytes = nil, 0
	if len(frames) == 0 && o.closer != nil && !o.shut {
		frames = [][]byte{{byte(o.farewell)}}
		o.shut = true
		o.end()
	}
	return frames
}

// owesPoll says whether a GET is to fetch what was queued before the end, or
// the answer to the client's own close.
func (o *outbox) owesPoll() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.ws == nil && o.closer != nil && !o.shut && (o.closer.flush || o.farewell == sio.Noop)
}

// isEnded says whether the end is written or given up.
func (o *outbox) isEnded() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.ended
}

// queued is how many bytes are not yet written.
func (o *outbox) queued() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.bytes + o.flying
}
