// Package hold keeps back what a participant's page cannot read at the moment:
// while it is frozen, everything sent to it would pile up unread in the
// browser, and Chromium stops answering protocol pings once about 128 KiB have
// (so that more data would look like death). The queue is bounded; what the
// bound costs is told to the caller.
package hold

import "slices"

// Limits bound one participant's queue. A zero field is its default.
type Limits struct {
	Frames int // default 1,024
	Bytes  int // default 1 MiB
}

// Queue holds frames in order. The zero value is empty, with default limits.
type Queue struct {
	Limits Limits
	frames []Frame
	bytes  int
}

// A Frame is what is held, and how many messages had been posted by then: they
// are kept elsewhere, and go before it.
type Frame struct {
	After uint64
	Data  []byte
	key   string
}

// Push appends a frame. A frame with a key replaces an earlier one with the
// same key, which leaves its place: only the latest is wanted. Push returns
// false, holding nothing, when the queue is full.
func (q *Queue) Push(key string, data []byte, after uint64) bool {
	old := q.find(key)
	frames, size := len(q.frames)+1, q.bytes+len(data)
	if old >= 0 {
		frames, size = frames-1, size-len(q.frames[old].Data)
	}
	if frames > q.frameLimit() || size > q.byteLimit() {
		return false
	}
	if old >= 0 {
		q.bytes -= len(q.frames[old].Data)
		q.frames = append(q.frames[:old], q.frames[old+1:]...)
	}
	q.frames = append(q.frames, Frame{after, data, key})
	q.bytes += len(data)
	return true
}

// Take empties the queue, in order.
func (q *Queue) Take() []Frame {
	out := q.frames
	q.frames, q.bytes = nil, 0
	return out
}

// Len and Bytes tell how much is held.
func (q *Queue) Len() int   { return len(q.frames) }
func (q *Queue) Bytes() int { return q.bytes }

// find is the place of the frame with the key, or -1.
func (q *Queue) find(key string) int {
	if key == "" {
		return -1
	}
	return slices.IndexFunc(q.frames, func(f Frame) bool { return f.key == key })
}

func (q *Queue) frameLimit() int {
	if q.Limits.Frames > 0 {
		return q.Limits.Frames
	}
	return 1024
}

func (q *Queue) byteLimit() int {
	if q.Limits.Bytes > 0 {
		return q.Limits.Bytes
	}
	return 1 << 20
}
