package relay

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

const (
	// maxQueued is how many bytes may wait to be written; one more ends the link
	// of a side that may not wait.
	maxQueued = 32 << 20
	// manyQueued has a side that may wait, wait.
	manyQueued = 1 << 20
	bufferSize = 64 << 10
)

// A link is the connection of two servers, as one of them sees it.
type link struct {
	conn net.Conn
	done chan struct{} // closed: it has ended
	wake chan struct{}

	mu    sync.Mutex
	room  sync.Cond
	queue []byte // messages
	ended bool
}

func newLink(conn net.Conn) *link {
	l := &link{conn: conn, done: make(chan struct{}), wake: make(chan struct{}, 1)}
	l.room.L = &l.mu
	return l
}

// patient is a connection whose other side is given up when it is silent.
type patient struct{ net.Conn }

func (p patient) Read(b []byte) (int, error) {
	p.SetReadDeadline(time.Now().Add(silence))
	return p.Conn.Read(b)
}

func (p patient) Write(b []byte) (written int, err error) {
	for written < len(b) && err == nil {
		var n int
		p.SetWriteDeadline(time.Now().Add(silence))
		n, err = p.Conn.Write(b[written:min(len(b), written+bufferSize)])
		written += n
	}
	return written, err
}

// send queues a message. It never blocks: a link that takes too little ends.
func (l *link) send(m message) {
	l.mu.Lock()
	l.put(&m)
	full := len(l.queue) > maxQueued
	l.mu.Unlock()
	if full {
		l.end()
	}
}

// wait queues a message when there is room for it.
func (l *link) wait(m message) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.queue) > manyQueued && !l.ended {
		l.room.Wait()
	}
	l.put(&m)
}

// put is called with the lock held.
func (l *link) put(m *message) {
	if l.ended {
		return
	}
	l.queue = appendMessage(l.queue, m)
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// take hands over what is queued, for the memory of what was taken before.
func (l *link) take(spare []byte) []byte {
	if cap(spare) > manyQueued {
		spare = nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	taken := l.queue
	l.queue = spare[:0]
	l.room.Broadcast()
	return taken
}

// write sends what is queued, and a beat from time to time, until the link ends.
func (l *link) write(beat func() message) {
	defer l.end()
	out := patient{l.conn}
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	var taken []byte
	for {
		select {
		case <-l.done:
			return
		case <-l.wake:
		case <-tick.C:
			l.send(beat())
		}
		if taken = l.take(taken); len(taken) == 0 {
			continue
		}
		if _, err := out.Write(taken); err != nil {
			return
		}
	}
}

// read hands over what arrives until the link ends, and says why it did.
func (l *link) read(handle func(message)) error {
	defer l.end()
	in := bufio.NewReaderSize(patient{l.conn}, bufferSize)
	var length [4]byte
	for {
		if _, err := io.ReadFull(in, length[:]); err != nil {
			return err
		}
		n := binary.BigEndian.Uint32(length[:])
		if n > maxMessage {
			return fmt.Errorf("relay: a message of %d bytes", n)
		}
		body := make([]byte, n)
		if _, err := io.ReadFull(in, body); err != nil {
			return err
		}
		var m message
		if err := m.decode(body); err != nil {
			return err
		}
		handle(m)
	}
}

func (l *link) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return
	}
	l.ended = true
	l.queue = nil
	close(l.done)
	l.room.Broadcast()
	l.conn.Close()
}
