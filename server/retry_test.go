package server

import (
	"slices"
	"testing"
	"time"

	"github.com/coder/websocket"

	"initgrace/grace/protocol"
)

// A client that hears nothing gives up its connection and makes another. That
// is no absence, unless it does not arrive.
func TestRetryingIsNotLeaving(t *testing.T) {
	t.Parallel()
	r := start(t, Config{})
	p, q := pair(r)
	began := time.Now()
	p.ws.Close(protocol.CloseRetry, "")
	p, s := r.connect(`{"participant":"p","group":"g"}`)
	if s.Epoch != 2 || !s.Restored {
		t.Errorf("session %+v", s)
	}
	if took := time.Since(began); took < quick().SilenceTimeout { // or the machine is too slow to tell
		if h := r.history("p"); !slices.Equal(h, []protocol.Presence{protocol.Active}) {
			t.Errorf("history %v", h)
		}
	}

	before := len(r.history("p"))
	p.call(protocol.EventPing, `{}`, nil)
	closed := time.Now()
	p.ws.Close(protocol.CloseRetry, "")
	state := q.expectState("p", protocol.Away)
	if took := time.Since(closed); took < quick().SilenceTimeout*9/10 {
		t.Errorf("away %v after it was heard last", took)
	}
	if state.Reason != protocol.ReasonSilence {
		t.Errorf("reason %s", state.Reason)
	}
	q.expectState("p", protocol.Gone)
	if h := r.history("p")[before:]; !slices.Equal(h, []protocol.Presence{protocol.Away, protocol.Gone}) {
		t.Errorf("history %v", h)
	}
}

// What is sent while a client that retries has no socket follows the session.
func TestHeldWhileRetrying(t *testing.T) {
	t.Parallel()
	policy := quick()
	policy.SilenceTimeout, policy.PageTimeout = 10*time.Second, 20*time.Second // long enough for any machine
	r := start(t, Config{Policy: policy})
	p, q := pair(r)
	p.ws.Close(protocol.CloseRetry, "")
	socket := make(chan bool)
	for deadline := r.deadline(); ; deadline.check("the end of the socket") {
		r.srv.loop.post(func(l *loop, now time.Time) { socket <- l.members["p"].peer != nil })
		if !<-socket {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if err := (seats{r.srv.loop}).Notify(t.Context(), "p", "hello"); err != nil {
		t.Fatal(err)
	}
	q.call(protocol.EventSend, `{"data":1}`, nil)
	p, _ = r.connect(`{"participant":"p","group":"g"}`)
	p.expect(protocol.EventNotice, nil)
	p.messages("q", "1")
	if h := r.history("p"); !slices.Equal(h, []protocol.Presence{protocol.Active}) {
		t.Errorf("history %v", h)
	}
}

// What the browser closes for the page is told at once all the same.
func TestClosedIsLeaving(t *testing.T) {
	t.Parallel()
	r := start(t, Config{})
	p, q := pair(r)
	p.ws.Close(websocket.StatusGoingAway, "")
	if s := q.expectState("p", protocol.Away); s.Reason != protocol.ReasonPageClosed {
		t.Errorf("reason %s", s.Reason)
	}
}
