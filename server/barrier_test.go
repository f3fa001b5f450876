package server

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"initgrace/grace/protocol"
)

// answered decodes an answer that is yet to come.
func (p *plain) answer(from <-chan json.RawMessage, reply any) {
	p.t.Helper()
	select {
	case data := <-from:
		if err := json.Unmarshal(data, reply); err != nil {
			p.t.Fatalf("%s: %v", data, err)
		}
	case <-time.After(patience):
		p.t.Fatal("no answer")
	}
}

func (p *plain) opens(from <-chan json.RawMessage, members string) {
	p.t.Helper()
	var open struct {
		protocol.BarrierOpen
		Code protocol.Code `json:"code"`
	}
	if p.answer(from, &open); !open.OK || open.Name != "ready" || strings.Join(open.Members, " ") != members {
		p.t.Errorf("answer %+v, want members %s", open, members)
	}
}

func TestBarrier(t *testing.T) {
	t.Parallel()
	l := startLives(t)
	auth := func(p string) string { return `{"participant":"` + p + `","group":"g"}` }
	a, _ := l.connect(auth("a"))
	b, _ := l.connect(auth("b"))
	c, _ := l.connect(auth("c"))
	c.refused(protocol.EventBarrier, `{}`, protocol.CodeInvalidPayload)
	c.refused(protocol.EventBarrier, `{"name":"a b"}`, protocol.CodeInvalidPayload)
	c.refused(protocol.EventBarrier, `{"name":"x","timeout_ms":3600001}`, protocol.CodeInvalidPayload)
	alone, _ := l.connect(`{"participant":"alone"}`)
	alone.refused(protocol.EventBarrier, `{"name":"x"}`, protocol.CodeNotInGroup)

	// One that nobody else reaches.
	var late protocol.Error
	a.answer(a.emit(protocol.EventBarrier, `{"name":"lonely","timeout_ms":100}`), &late)
	if late.Code != protocol.CodeBarrierTimeout || !strings.Contains(late.Message, "b, c") {
		t.Errorf("%+v", late)
	}

	const ready = `{"name":"ready"}`
	fromA := a.emit(protocol.EventBarrier, ready)
	var w protocol.BarrierWaiting
	for w.Name != "ready" {
		a.expect(protocol.EventBarrierWaiting, &w)
	}
	if !slices.Equal(w.Reached, []string{"a"}) || !slices.Equal(w.Missing, []string{"b", "c"}) {
		t.Errorf("%+v", w)
	}
	b.emit(protocol.EventBarrier, ready)
	for len(w.Missing) > 1 {
		a.expect(protocol.EventBarrierWaiting, &w)
	}
	b, _ = l.connect(auth("b")) // refreshed, and does not ask again
	c.emit(protocol.EventBarrier, ready)
	a.opens(fromA, "a b c")
	b.opens(b.emit(protocol.EventBarrier, ready), "a b c") // it is open

	// It is open after a restart too, and what was reached before is reached.
	c.call(protocol.EventPing, `{}`, nil)
	a.emit(protocol.EventBarrier, `{"name":"next"}`)
	for w.Name != "next" {
		a.expect(protocol.EventBarrierWaiting, &w)
	}
	l.again()
	b, _ = l.connect(auth("b"))
	b.opens(b.emit(protocol.EventBarrier, ready), "a b c")
	b.emit(protocol.EventBarrier, `{"name":"next"}`)
	for w = (protocol.BarrierWaiting{}); w.Name != "next"; {
		b.expect(protocol.EventBarrierWaiting, &w)
	}
	if !slices.Equal(w.Reached, []string{"a", "b"}) {
		t.Errorf("after a restart: %+v", w)
	}
}

// Whose seat is given up is not waited for.
func TestBarrierWithoutTheGone(t *testing.T) {
	t.Parallel()
	r := start(t, Config{})
	a, _ := r.connect(`{"participant":"a","group":"g"}`)
	b, _ := r.connect(`{"participant":"b","group":"g"}`)
	c, _ := r.connect(`{"participant":"c","group":"g"}`)
	fromA := a.emit(protocol.EventBarrier, `{"name":"ready"}`)
	fromB := b.emit(protocol.EventBarrier, `{"name":"ready"}`)
	c.ws.Close(1001, "")
	a.opens(fromA, "a b")
	b.opens(fromB, "a b")
	// And a group that is over has no barriers.
	x, _ := r.connect(`{"participant":"x"}`)
	y, _ := r.connect(`{"participant":"y"}`)
	x.call(protocol.EventJoin, `{}`, nil)
	y.call(protocol.EventJoin, `{}`, nil)
	x.expect(protocol.EventGroupReady, nil)
	fromX := x.emit(protocol.EventBarrier, `{"name":"ready"}`)
	x.expect(protocol.EventBarrierWaiting, nil)
	y.ws.Close(1001, "")
	var e protocol.Error
	if x.answer(fromX, &e); e.Code != protocol.CodeNotInGroup {
		t.Errorf("%+v", e)
	}
}

// The members know for whom they wait, and until when; and when they need not.
func TestPause(t *testing.T) {
	t.Parallel()
	r := start(t, Config{})
	p, q := pair(r)
	p.call(protocol.EventLoadStart, `{"phase":"python","expected_ms":4000}`, nil)
	var paused protocol.GroupPaused
	q.expect(protocol.EventGroupPaused, &paused)
	if paused.Group != "g" || paused.Participant != "p" || paused.State != protocol.Loading || paused.DeadlineMS <= 0 ||
		len(paused.Members) != 1 || paused.Members[0].Phase != "python" || paused.Members[0].ExpectedMS != 4000 {
		t.Errorf("%+v", paused)
	}
	q.call(protocol.EventLoadStart, `{}`, nil)
	p.call(protocol.EventLoadComplete, `{}`, nil)
	for paused.Participant != "q" || len(paused.Members) != 1 {
		p.expect(protocol.EventGroupPaused, &paused)
	}
	q.call(protocol.EventLoadComplete, `{}`, nil)
	var resumed protocol.GroupResumed
	p.expect(protocol.EventGroupResumed, &resumed)
	q.expect(protocol.EventGroupResumed, &resumed)
	if resumed.Group != "g" {
		t.Errorf("%+v", resumed)
	}
	p.die()
	q.expect(protocol.EventGroupPaused, &paused)
	for paused.State != protocol.Away {
		q.expect(protocol.EventGroupPaused, &paused)
	}
	if paused.DeadlineMS <= 0 {
		t.Errorf("%+v", paused)
	}
}

// Who comes back knows at once how the partners are, and what group there is.
func TestPartnerStatesInLists(t *testing.T) {
	t.Parallel()
	r := start(t, Config{})
	p, _ := pair(r)
	p.call(protocol.EventLoadStart, `{"phase":"python","expected_ms":4000}`, nil)
	q, err := r.dial(`{"participant":"q","group":"g"}`)
	if err != nil {
		t.Fatal(err)
	}
	var list struct {
		Partners []string                `json:"partners"`
		States   []protocol.PartnerState `json:"states"`
	}
	q.expect(protocol.EventSession, &list)
	if len(list.States) != 1 || !slices.Equal(list.Partners, []string{"p"}) {
		t.Fatalf("%+v", list)
	}
	if s := list.States[0]; s.Participant != "p" || s.State != protocol.Loading || s.Phase != "python" || s.ExpectedMS != 4000 || s.DeadlineMS <= 0 {
		t.Errorf("%+v", s)
	}
	a, _ := r.connect(`{"participant":"a"}`)
	b, _ := r.connect(`{"participant":"b"}`)
	b.call(protocol.EventLoadStart, `{}`, nil)
	b.call(protocol.EventJoin, `{}`, nil)
	a.call(protocol.EventJoin, `{}`, nil)
	a.expect(protocol.EventGroupReady, &list)
	if len(list.States) != 1 || list.States[0].Participant != "b" || list.States[0].State != protocol.Loading {
		t.Errorf("%+v", list)
	}
}

// One slow answer, behind a freeze, is not what is said of the connection.
func TestLatencyOfAParticipant(t *testing.T) {
	t.Parallel()
	r := start(t, Config{})
	p, q := pair(r)
	var pong protocol.Pong
	for _, ms := range []string{"20", "22", "21", "9000", "20"} {
		p.call(protocol.EventPing, `{"id":1,"latency_ms":`+ms+`}`, &pong)
	}
	if pong.MedianMS != 21 || pong.JitterMS < 1 || pong.MaxLatency != 20 {
		t.Errorf("%+v", pong)
	}
	q.call(protocol.EventPing, `{"id":1,"latency_ms":50}`, &pong)
	p.call(protocol.EventPing, `{"id":2,"latency_ms":21}`, &pong)
	if pong.MaxLatency != 50 {
		t.Errorf("%+v", pong)
	}
}
