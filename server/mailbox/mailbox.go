// Package mailbox keeps the messages that are on their way to a participant
// until they are known to be read, so that a lost connection, a frozen page or
// the death of the server costs none and doubles none. It is bounded; what the
// bound costs is told to the caller. It knows nothing of connections and is not
// safe for concurrent use.
package mailbox

import (
	"slices"

	"initgrace/server/store"
)

// Limits bound one mailbox. A zero field is its default.
type Limits struct {
	Messages int // default 4,096
	Bytes    int // of frames, default 1 MiB
	// Window is how many bytes may be on their way at once; one more message
	// may begin below it. A page that blocks does not read them, and Chromium
	// does not answer for it any more when 128 KiB are unread. Default 96 KiB.
	Window int
	// Pages is how many page instances are remembered by the ids of their
	// messages. Default 8.
	Pages int
}

// Box is a participant's mailbox. The zero value is empty, with default limits.
type Box struct {
	Limits Limits
	// Mailbox is what the store keeps, but for the messages.
	store.Mailbox

	read, emitted uint64   // Received <= read <= emitted <= Posted
	letters       []letter // not received, in order
	latest        map[string]uint64
	bytes         int // of letters
	flight        int // of those that are emitted and not read
}

type letter struct {
	seq       uint64
	from, key string
	frame     []byte
}

// Post adds a message whose frame depends on its number. A message with a key
// takes the place of the sender's earlier one of that key. It returns false,
// and changes nothing that matters, if there is no room.
func (b *Box) Post(from, key string, frame func(seq uint64) []byte) (uint64, bool) {
	f := frame(b.Posted + 1)
	old := -1
	if key != "" {
		if seq, ok := b.latest[keyOf(from, key)]; ok {
			old = b.find(seq)
		}
	}
	if !b.makeRoom(len(f), old) {
		return 0, false
	}
	if key != "" {
		// Making room may have moved or taken it.
		if seq, ok := b.latest[keyOf(from, key)]; ok {
			b.remove(b.find(seq))
		}
		if b.latest == nil {
			b.latest = make(map[string]uint64)
		}
		b.latest[keyOf(from, key)] = b.Posted + 1
	}
	b.Posted++
	b.letters = append(b.letters, letter{b.Posted, from, key, f})
	b.bytes += len(f)
	return b.Posted, true
}

// Restore puts back a message that was posted before.
func (b *Box) Restore(m store.Message, frame []byte) {
	b.letters = append(b.letters, letter{m.Seq, m.From, m.Key, frame})
	b.bytes += len(frame)
	b.Posted = max(b.Posted, m.Seq)
	if m.Key != "" {
		if b.latest == nil {
			b.latest = make(map[string]uint64)
		}
		b.latest[keyOf(m.From, m.Key)] = m.Seq
	}
}

// makeRoom makes room for a letter that replaces the one at old, or none if
// old < 0, by giving up the oldest that were read already: they are kept only
// for a page that might come back without them.
func (b *Box) makeRoom(size, old int) bool {
	n, bytes := len(b.letters)+1, b.bytes+size
	if old >= 0 {
		n, bytes = n-1, bytes-len(b.letters[old].frame)
	}
	give := 0
	for n > b.maxMessages() || bytes > b.maxBytes() {
		if give == len(b.letters) || b.letters[give].seq > b.read {
			return false
		}
		if give != old {
			n, bytes = n-1, bytes-len(b.letters[give].frame)
		}
		give++
	}
	if give > 0 {
		b.Receive(b.letters[give-1].seq)
	}
	return true
}

// Rewind begins a connection of a page that has read the messages up to seq.
// What was emitted after that on another connection may not have arrived.
func (b *Box) Rewind(seq uint64) {
	b.read = min(max(seq, b.Received), b.Posted)
	b.emitted, b.flight = b.read, 0
}

// Emit takes the messages up to number upTo that have not been emitted on this
// connection, in order, as far as the window allows.
func (b *Box) Emit(upTo uint64) (frames [][]byte) {
	i := b.after(b.emitted)
	for ; i < len(b.letters) && b.letters[i].seq <= upTo && b.flight < b.window(); i++ {
		l := &b.letters[i]
		frames = append(frames, l.frame)
		b.emitted = l.seq
		b.flight += len(l.frame)
	}
	return frames
}

// Emitted is the number of the last message that was emitted.
func (b *Box) Emitted() uint64 { return b.emitted }

// Read notes that the page has read the messages up to seq. They are kept.
func (b *Box) Read(seq uint64) {
	if seq = min(seq, b.emitted); seq <= b.read {
		return
	}
	for i := b.after(b.read); i < len(b.letters) && b.letters[i].seq <= seq; i++ {
		b.flight -= len(b.letters[i].frame)
	}
	b.read = seq
}

// Receive forgets the messages up to seq, and says whether that changed
// anything.
func (b *Box) Receive(seq uint64) bool {
	if seq = min(seq, b.Posted); seq <= b.Received {
		return false
	}
	b.emitted = max(b.emitted, seq)
	b.Read(seq)
	i := b.after(seq)
	for _, l := range b.letters[:i] {
		b.bytes -= len(l.frame)
		b.forget(l)
	}
	b.letters = slices.Delete(b.letters, 0, i)
	if len(b.letters) == 0 {
		b.letters = nil
	}
	b.Received = seq
	return true
}

// GiveUp forgets all messages and returns how many each sender has lost by it:
// those that are not known to be read.
func (b *Box) GiveUp() map[string]int {
	var lost map[string]int
	for _, l := range b.letters[b.after(b.read):] {
		if lost == nil {
			lost = make(map[string]int)
		}
		lost[l.from]++
	}
	b.Receive(b.Posted)
	return lost
}

// Again says whether the page has sent the message with that id before, and
// notes that it has now. Ids of a page grow.
func (b *Box) Again(page string, id uint64) bool {
	if id <= b.Last(page) {
		return true
	}
	b.note(store.Page{ID: page, Sent: id})
	return false
}

// note makes a page the latest. Never in place: an earlier version may be on
// its way to the store.
func (b *Box) note(page store.Page) {
	pages := slices.DeleteFunc(slices.Clone(b.Pages), func(p store.Page) bool { return p.ID == page.ID })
	pages = append(pages, page)
	if n := len(pages) - b.maxPages(); n > 0 {
		pages = pages[n:]
	}
	b.Pages = pages
}

// SetOver notes whether another page has taken a page's place.
func (b *Box) SetOver(page string, over bool) {
	if page != "" && b.Over(page) != over {
		b.note(store.Page{ID: page, Sent: b.Last(page), Over: over})
	}
}

// Over says whether another page has taken the page's place.
func (b *Box) Over(page string) bool {
	return slices.ContainsFunc(b.Pages, func(p store.Page) bool { return p.ID == page && p.Over })
}

// Last is the id of the page's last message, or 0.
func (b *Box) Last(page string) uint64 {
	for _, p := range b.Pages {
		if p.ID == page {
			return p.Sent
		}
	}
	return 0
}

// Len and Bytes tell how much is kept.
func (b *Box) Len() int   { return len(b.letters) }
func (b *Box) Bytes() int { return b.bytes }

// after is the place of the first letter with a number above seq.
func (b *Box) after(seq uint64) int {
	i, _ := slices.BinarySearchFunc(b.letters, seq+1, func(l letter, seq uint64) int {
		switch {
		case l.seq < seq:
			return -1
		case l.seq > seq:
			return 1
		}
		return 0
	})
	return i
}

// find is the place of the letter with that number, or -1.
func (b *Box) find(seq uint64) int {
	if i := b.after(seq - 1); i < len(b.letters) && b.letters[i].seq == seq {
		return i
	}
	return -1
}

func (b *Box) remove(i int) {
	if i < 0 {
		return
	}
	l := b.letters[i]
	b.bytes -= len(l.frame)
	if l.seq > b.read && l.seq <= b.emitted {
		b.flight -= len(l.frame)
	}
	b.forget(l)
	b.letters = slices.Delete(b.letters, i, i+1)
}

func (b *Box) forget(l letter) {
	if l.key != "" && b.latest[keyOf(l.from, l.key)] == l.seq {
		delete(b.latest, keyOf(l.from, l.key))
	}
}

func keyOf(from, key string) string { return from + "\x00" + key }

func (b *Box) maxMessages() int { return or(b.Limits.Messages, 4096) }
func (b *Box) maxBytes() int    { return or(b.Limits.Bytes, 1<<20) }
func (b *Box) window() int      { return or(b.Limits.Window, 96<<10) }
func (b *Box) maxPages() int    { return or(b.Limits.Pages, 8) }

func or(n, def int) int {
	if n > 0 {
		return n
	}
	return def
}
