package server

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"initgrace/grace/protocol"
	"initgrace/server/store"
	"initgrace/server/store/memory"
	"initgrace/server/store/sqlite"
)

// mortal is a store that is cut off from its server, as kill -9 cuts it off:
// what is put afterwards is not stored.
type mortal struct {
	store.Store
	dead atomic.Bool
}

func (m *mortal) Put(ctx context.Context, b store.Batch) error {
	if m.dead.Load() {
		return nil
	}
	return m.Store.Put(ctx, b)
}

// lives is a server that can die and be started again on the same file.
type lives struct {
	t     *testing.T
	path  string
	store *mortal
	*rig
}

func startLives(t *testing.T) *lives {
	l := &lives{t: t, path: filepath.Join(t.TempDir(), "study.db")}
	l.again()
	return l
}

// again kills the server, if there is one, and starts another.
func (l *lives) again() {
	l.t.Helper()
	if l.store != nil {
		l.store.dead.Store(true)
	}
	db, err := sqlite.Open(l.path, nil)
	if err != nil {
		l.t.Fatal(err)
	}
	l.store = &mortal{Store: db}
	l.rig = start(l.t, Config{Store: l.store})
}

func (p *plain) message() protocol.Message {
	p.t.Helper()
	var m protocol.Message
	p.expect(protocol.EventMessage, &m)
	return m
}

// messages expects data, in this order.
func (p *plain) messages(from string, data ...string) (last uint64) {
	p.t.Helper()
	for _, want := range data {
		m := p.message()
		if m.From != from || string(m.Data) != want || m.Seq <= last {
			p.t.Fatalf("got %+v (%s) after %d, want %s of %s", m, m.Data, last, want, from)
		}
		last = m.Seq
	}
	return last
}

// none checks that no message has come and none will that was sent before.
func (p *plain) none() {
	p.t.Helper()
	p.call(protocol.EventPing, `{}`, nil)
	for len(p.events) > 0 {
		if e := <-p.events; e.name == protocol.EventMessage {
			p.t.Errorf("another message: %s", e.data)
		}
	}
}

func numbers(from, to int) (out []string) {
	for i := from; i <= to; i++ {
		out = append(out, fmt.Sprint(i))
	}
	return out
}

// A client that lost the ack sends again; the partner must not see it twice,
// and neither after the server has died.
func TestSentAgain(t *testing.T) {
	t.Parallel()
	l := startLives(t)
	const auth = `{"participant":"p","group":"g","page_id":"page"}`
	p, s := l.connect(auth)
	q, _ := l.connect(`{"participant":"q","group":"g","seq":0}`)
	if s.Sent != 0 {
		t.Errorf("session %+v", s)
	}
	send := func(id int, repeated bool) {
		t.Helper()
		var sent protocol.Sent
		p.call(protocol.EventSend, fmt.Sprintf(`{"id":%d,"data":%d}`, id, id), &sent)
		if !sent.OK || sent.Repeated != repeated || (sent.Seq == 0) != repeated {
			t.Errorf("id %d: %+v", id, sent)
		}
	}
	send(1, false)
	send(1, true)
	send(5, false) // the client's numbers need not be complete
	send(3, true)
	p, s = l.connect(auth)
	if s.Sent != 5 {
		t.Errorf("session %+v", s)
	}
	send(5, true)
	l.again()
	p, s = l.connect(auth)
	if s.Sent != 5 {
		t.Errorf("after a restart: %+v", s)
	}
	q2, _ := l.connect(`{"participant":"q","group":"g","seq":0}`)
	send(5, true)
	send(6, false)
	q.messages("p", "1", "5")
	q2.messages("p", "1", "5", "6") // a page that had read none
	q2.none()
	// Another page counts for itself.
	p, s = l.connect(`{"participant":"p","group":"g","page_id":"other"}`)
	if s.Sent != 0 {
		t.Errorf("another page: %+v", s)
	}
	send(1, false)
	q2.messages("p", "1")
	// And without a page there is no telling.
	p, _ = l.connect(`{"participant":"p","group":"g"}`)
	p.refused(protocol.EventSend, `{"id":1,"data":1}`, protocol.CodeInvalidPayload)
	p.refused(protocol.EventSend, `{"volatile":true,"id":1,"data":1}`, protocol.CodeInvalidPayload)
	p.refused(protocol.EventSend, `{"group":"other","data":1}`, protocol.CodeNotInGroup)
	p.refused(protocol.EventSend, fmt.Sprintf(`{"latest":%q,"data":1}`, strings.Repeat("x", maxLatest+1)), protocol.CodeInvalidPayload)
	p.call(protocol.EventSend, `{"group":"g","data":7}`, nil)
	q2.messages("p", "7")
}

// What was sent to a connection that did not bring it is sent again, from the
// number that the page has read; also by another server.
func TestReplayFromSeq(t *testing.T) {
	t.Parallel()
	l := startLives(t)
	p, _ := l.connect(`{"participant":"p","group":"g"}`)
	q, _ := l.connect(`{"participant":"q","group":"g","page_id":"page","seq":0}`)
	send := func(from, to int) {
		for _, n := range numbers(from, to) {
			p.call(protocol.EventSend, `{"data":`+n+`}`, nil)
		}
	}
	send(1, 3)
	q.messages("p", "1", "2", "3")
	q.die()
	send(4, 6) // some into the dead line, some held
	auth := func(seq int) string {
		return fmt.Sprintf(`{"participant":"q","group":"g","page_id":"page","seq":%d}`, seq)
	}
	q, s := l.connect(auth(3))
	if s.Seq != 3 {
		t.Errorf("session %+v", s)
	}
	q.messages("p", "4", "5", "6")
	q.none()
	l.again()
	p, _ = l.connect(`{"participant":"p","group":"g"}`)
	send(7, 8)
	q, _ = l.connect(auth(5))
	q.messages("p", "6", "7", "8")
	// What it has read is not kept, and it cannot have read what is not there.
	q.call(protocol.EventPing, `{"seq":7}`, nil)
	q.none()
	l.again()
	q, s = l.connect(auth(99))
	if s.Seq != 8 {
		t.Errorf("session %+v", s)
	}
	q.none()
	p, _ = l.connect(`{"participant":"p","group":"g"}`)
	send(9, 9)
	if last := q.messages("p", "9"); last != 9 {
		t.Errorf("number %d", last)
	}
	q, _ = l.connect(`{"participant":"q","group":"g"}`) // a plain client
	q.messages("p", "9")
}

// A client that does not count: its pongs show what it has read. What they do
// not show comes again.
func TestPlainClientIsAtLeastOnce(t *testing.T) {
	t.Parallel()
	r := start(t, Config{})
	p, q := pair(r)
	p.call(protocol.EventSend, `{"data":1}`, nil)
	q.messages("p", "1")
	for deadline := r.deadline(); ; { // until the pongs have shown it
		var s protocol.Session
		if q, s = r.connect(`{"participant":"q","group":"g"}`); s.Seq == 1 {
			break
		}
		q.call(protocol.EventPing, `{}`, nil)
		deadline.check("the receipt")
		q.pongs(2)
	}
	p.call(protocol.EventSend, `{"data":2}`, nil)
	q.messages("p", "2")
	q.freeze()
	p.call(protocol.EventSend, `{"data":3}`, nil)
	q, _ = r.connect(`{"participant":"q","group":"g"}`)
	q.expectMessageUpTo("3")
}

// A refreshed page that goes on from a saved state gets what the state does not
// know, if it has asked for that.
func TestKeptForTheSavedState(t *testing.T) {
	t.Parallel()
	l := startLives(t)
	p, _ := l.connect(`{"participant":"p","group":"g"}`)
	auth := func(page string, seq int) string {
		return fmt.Sprintf(`{"participant":"q","group":"g","keep":true,"page_id":%q,"seq":%d}`, page, seq)
	}
	q, _ := l.connect(auth("one", 0))
	for _, n := range numbers(1, 5) {
		p.call(protocol.EventSend, `{"data":`+n+`}`, nil)
	}
	q.messages("p", numbers(1, 5)...)
	q.call(protocol.EventPing, `{"seq":5}`, nil)
	var saved protocol.StateSaved
	q.call(protocol.EventStateSave, `{"scene_id":"x","seq":3,"version":0}`, &saved)
	if !saved.OK {
		t.Fatalf("%+v", saved)
	}
	q.pongs(3)
	q, s := l.connect(auth("one", 5)) // the page itself has them all
	if s.Seq != 5 {
		t.Errorf("session %+v", s)
	}
	q.none()
	q, s = l.connect(auth("two", 0)) // the next one has the state
	if s.Seq != 3 || s.SceneID != "x" {
		t.Errorf("session %+v", s)
	}
	q.messages("p", "4", "5")
	l.again()
	q, _ = l.connect(auth("three", 0))
	q.messages("p", "4", "5")
}

func TestLatestAndVolatile(t *testing.T) {
	t.Parallel()
	r := start(t, Config{})
	p, q := pair(r)
	send := func(rest string) {
		t.Helper()
		var sent protocol.Sent
		if p.call(protocol.EventSend, rest, &sent); !sent.OK {
			t.Errorf("%s: %+v", rest, sent)
		}
	}
	send(`{"data":"v0","volatile":true}`)
	if m := q.message(); m.Seq != 0 || string(m.Data) != `"v0"` {
		t.Errorf("%+v", m)
	}
	q.call(protocol.EventLoadStart, `{}`, nil)
	q.freeze()
	send(`{"data":"a1","latest":"a"}`)
	send(`{"data":"n1"}`)
	send(`{"data":"b1","latest":"b"}`)
	send(`{"data":"v1","volatile":true}`)
	send(`{"data":"w1","volatile":true,"latest":"w"}`)
	send(`{"data":"a2","latest":"a"}`)
	send(`{"data":"w2","volatile":true,"latest":"w"}`)
	send(`{"data":"n2"}`)
	q.thaw()
	q.call(protocol.EventLoadComplete, `{}`, nil)
	for _, want := range []string{`"n1"`, `"b1"`, `"a2"`, `"w2"`, `"n2"`} {
		if m := q.message(); string(m.Data) != want {
			t.Fatalf("got %s, want %s", m.Data, want)
		}
	}
	q.none()
}

// What a bound costs, and what the end of a seat costs, is told to the sender.
func TestDroppedMessagesAreTold(t *testing.T) {
	t.Parallel()
	r := start(t, Config{})
	p, q := pair(r)
	q.call(protocol.EventLoadStart, `{}`, nil)
	q.freeze()
	big := `{"data":"` + strings.Repeat("x", maxMessage-2) + `"}`
	var sent protocol.Sent
	n := 0
	for ; len(sent.Dropped) == 0; n++ {
		if n > 100 {
			t.Fatal("a mailbox without a bound")
		}
		p.call(protocol.EventSend, big, &sent)
	}
	if !sent.OK || sent.Dropped[0] != "q" || n < 60 {
		t.Errorf("message %d: %.200v", n, sent)
	}
	var d protocol.MessageDropped
	p.expect(protocol.EventMessageDropped, &d)
	if d.To != "q" || d.Seq != uint64(n) || d.Count != 1 || d.Reason != protocol.ReasonQueueFull {
		t.Errorf("%+v", d)
	}
	q.ws.Close(1001, "")
	p.expect(protocol.EventMessageDropped, &d)
	if d.To != "q" || d.Count != n-1 || d.Reason != protocol.ReasonLeaveTimeout {
		t.Errorf("%d sent: %+v", n, d)
	}
}

// After a long freeze a page is given its messages in portions.
func TestManyMessagesAfterAFreeze(t *testing.T) {
	t.Parallel()
	r := start(t, Config{})
	p, q := pair(r)
	q.call(protocol.EventLoadStart, `{}`, nil)
	q.freeze()
	const n = 60
	for i := range n {
		p.call(protocol.EventSend, fmt.Sprintf(`{"data":"%04d%s"}`, i, strings.Repeat("x", maxMessage-6)), nil)
	}
	q.thaw()
	q.call(protocol.EventLoadComplete, `{}`, nil)
	for i := range n {
		if m := q.message(); !strings.HasPrefix(string(m.Data), fmt.Sprintf(`"%04d`, i)) {
			t.Fatalf("message %d is %.10s", i, m.Data)
		}
	}
}

// failing is a store that cannot be written for a while.
type failing struct {
	store.Store
	failures atomic.Int64 // to come
}

func (f *failing) Put(ctx context.Context, b store.Batch) error {
	if f.failures.Add(-1) >= 0 {
		return errors.New("the disk is full")
	}
	return f.Store.Put(ctx, b)
}

// While nothing can be stored no message is acknowledged and none is seen; then
// each is, once, in order.
func TestMessagesWaitForTheStore(t *testing.T) {
	t.Parallel()
	f := &failing{Store: memory.New()}
	r := start(t, Config{Store: f})
	p, q := pair(r)
	f.failures.Store(3)
	var acks []<-chan []byte
	for _, n := range numbers(1, 20) {
		ack := make(chan []byte, 1)
		from := p.emit(protocol.EventSend, `{"data":`+n+`}`)
		go func() { ack <- <-from }()
		acks = append(acks, ack)
	}
	q.messages("p", numbers(1, 20)...)
	q.none()
	for i, ack := range acks {
		if got, want := string(<-ack), fmt.Sprintf(`{"ok":true,"seq":%d}`, i+1); got != want {
			t.Errorf("ack %s, want %s", got, want)
		}
	}
	if f.failures.Load() >= 0 {
		t.Error("the store has not failed often enough")
	}
}

// A state that cannot be stored at once is acknowledged when it is, and the next
// one, of whatever content, goes on from there.
func TestStateSaveWaitsForTheStore(t *testing.T) {
	t.Parallel()
	f := &failing{Store: memory.New()}
	r := start(t, Config{Store: f})
	p, _ := r.connect(`{"participant":"p","page_id":"1"}`)
	f.failures.Store(3)
	for n := range 3 {
		var saved struct {
			Version uint64
			Code    protocol.Code
		}
		p.call(protocol.EventStateSave, fmt.Sprintf(`{"scene_id":"trial %d","version":%d}`, n, n), &saved)
		if saved.Version != uint64(n+1) || saved.Code != "" {
			t.Errorf("trial %d: %+v", n, saved)
		}
	}
	if f.failures.Load() >= 0 {
		t.Error("the store has not failed often enough")
	}
}

// pongs waits until the client has answered n more pings.
func (p *plain) pongs(n int64) {
	p.t.Helper()
	for end, deadline := p.answered.Load()+n, (rigDeadline{p.t, time.Now().Add(patience)}); p.answered.Load() < end; {
		deadline.check("pings")
		time.Sleep(10 * time.Millisecond)
	}
	p.call(protocol.EventPing, `{}`, nil) // which comes behind the pong
}

type rigDeadline struct {
	t  testing.TB
	at time.Time
}

func (r *rig) deadline() rigDeadline { return rigDeadline{r.t, time.Now().Add(patience)} }

func (d rigDeadline) check(what string) {
	d.t.Helper()
	if time.Now().After(d.at) {
		d.t.Fatalf("%s did not come", what)
	}
}

// expectMessageUpTo passes over messages that come again.
func (p *plain) expectMessageUpTo(data string) {
	p.t.Helper()
	for string(p.message().Data) != data {
	}
}

// A tab that another one has replaced, and that was not told because its
// network was gone, does not take the place back; a page to which the person
// returns does.
func TestForgottenTabStaysAway(t *testing.T) {
	t.Parallel()
	r := start(t, Config{})
	const one, two = `{"participant":"p","page_id":"one"}`, `{"participant":"p","page_id":"two"}`
	a, _ := r.connect(one)
	a.die()
	b, _ := r.connect(two)
	back, err := r.dial(one)
	if err != nil {
		t.Fatal(err)
	}
	back.expect(protocol.EventReplaced, nil)
	<-back.closed
	b.call(protocol.EventPing, `{}`, nil) // undisturbed
	b.ws.Close(1001, "")
	r.await("p", protocol.Away, 1)
	_, s := r.connect(one) // the back button
	if !s.Restored {
		t.Errorf("%+v", s)
	}
}
