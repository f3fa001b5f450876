package server

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"initgrace/grace/protocol"
)

// Bugs of other systems' recovery, each as it would show here. Elsewhere are
//   - aspnetcore#64607, a page that is dead after the expiry and does not say
//     so: TestUndeclaredFreezeIsNot (it is told), and TestFinal of wasmclient;
//   - JATOS#336, a beat period above the idle limit: TestContradictionsAreRefused;
//   - Dallinger#1947, groups that begin with phantoms: TestNoGroupWithAPhantom,
//     TestNoGroupEverStartsShort;
//   - colyseus#361, a leave that is told minutes late: TestTabClosed and
//     TestRendererKilled of e2e;
//   - conditions drawn again on a reload: TestKilled;
//   - a start that is sent again and extends: TestInvariant6 of grace;
//   - a fallback that ends grace early, or not at all when it fails:
//     TestFallbackHoldsTheLeaseToItsEnd of wasmclient/cmd/loader, and
//     TestInitFails of e2e;
//   - a second interpreter after a reconnect: TestReconnectDuringPreloadLoadsOnce
//     of wasmclient/cmd/loader;
//   - a suppressed end of a tab that loads, and nothing scheduled after it:
//     TestTabClosed and TestNetworkCutForGood of e2e.

// socket.io#4880 and #4273: a connection that was replaced ends later, by
// itself or by its silence, and takes the newer one's session with it.
func TestStaleSocketEndsLater(t *testing.T) {
	t.Parallel()
	r := start(t, Config{})
	old, _ := r.connect(`{"participant":"p","page_id":"one"}`)
	old.die() // does not even hear that it is replaced
	p, _ := r.connect(`{"participant":"p","page_id":"one","seq":0}`)
	for end := time.Now().Add(quick().SilenceTimeout + time.Second); time.Now().Before(end); {
		p.call(protocol.EventPing, `{}`, nil)
		time.Sleep(20 * time.Millisecond)
	}
	if h := r.history("p"); !slices.Equal(h, []protocol.Presence{protocol.Active}) {
		t.Errorf("history %v", h)
	}
}

// The original system: a client that returned before its old socket was known
// to be dead was locked out, and what was meant for it still went to that one.
func TestReturnBeforeTheOldSocketIsKnownDead(t *testing.T) {
	t.Parallel()
	r := start(t, Config{})
	q, _ := r.connect(`{"participant":"q","group":"g"}`)
	old, _ := r.connect(`{"participant":"p","group":"g","page_id":"one","seq":0}`)
	q.expectState("p", protocol.Active)
	old.die()
	at := time.Now()
	p, s := r.connect(`{"participant":"p","group":"g","page_id":"one","seq":0}`)
	if took := time.Since(at); !s.Restored || took > quick().SilenceTimeout {
		t.Errorf("restored %v after %v", s.Restored, took)
	}
	q.call(protocol.EventSend, `{"data":1}`, nil)
	p.messages("q", "1")
	p.call(protocol.EventSend, `{"data":2}`, nil)
	q.messages("p", "2")
	q.call(protocol.EventLoadStart, `{}`, nil)
	p.expectState("q", protocol.Loading)
	if h := r.history("p"); !slices.Equal(h, []protocol.Presence{protocol.Active}) {
		t.Errorf("history %v", h)
	}
}

// colyseus#950: the leave that was put off strikes although the client is back.
func TestDeferredLeaveAfterTheReturn(t *testing.T) {
	t.Parallel()
	r := start(t, Config{})
	p, _ := r.connect(`{"participant":"p"}`)
	p.ws.Close(1001, "")
	r.await("p", protocol.Away, 1)
	p, s := r.connect(`{"participant":"p"}`)
	for end := time.Now().Add(quick().LeaveTimeout + time.Second); time.Now().Before(end); {
		p.call(protocol.EventPing, `{}`, nil)
		time.Sleep(20 * time.Millisecond)
	}
	if !s.Restored || slices.Contains(r.history("p"), protocol.Gone) {
		t.Errorf("restored %v, history %v", s.Restored, r.history("p"))
	}
}

// socket.io#5282 and #5538: a session in which nothing had happened yet is not
// recovered, and what comes after the recovery is lost.
func TestRecoveryWithNoEarlierEvents(t *testing.T) {
	t.Parallel()
	l := startLives(t)
	l.connect(`{"participant":"q","group":"g","page_id":"one","seq":0}`)
	l.again()
	q, s := l.connect(`{"participant":"q","group":"g","page_id":"one","seq":0}`)
	p, _ := l.connect(`{"participant":"p","group":"g"}`)
	if !s.Restored || s.Seq != 0 {
		t.Errorf("session %+v", s)
	}
	p.call(protocol.EventSend, `{"data":1}`, nil)
	q.messages("p", "1")
}

// The original system: a complete that comes with the reconnect arrived before
// the identity and was lost, and the grace entry swallowed a later real leave.
func TestCompleteWithTheReconnectThenALeave(t *testing.T) {
	t.Parallel()
	r := start(t, Config{})
	const auth = `{"participant":"p","group":"g","page_id":"one","loads":[{"id":"a"}]}`
	p, _ := r.connect(`{"participant":"p","group":"g","page_id":"one"}`)
	q, _ := r.connect(`{"participant":"q","group":"g"}`)
	p.call(protocol.EventLoadStart, `{"id":"a"}`, nil)
	p.die()
	p, _ = r.connect(auth)
	p.call(protocol.EventLoadComplete, `{"id":"a"}`, nil)
	r.await("p", protocol.Active, 2)
	left := time.Now()
	p.ws.Close(1001, "")
	q.expectState("p", protocol.Away)
	q.expectState("p", protocol.Gone)
	if took := time.Since(left); took > quick().LeaveTimeout+3*time.Second {
		t.Errorf("gone after %v", took)
	}
}

// What a client must not do, and what of it leaves everything as it was.
func TestBadInputLosesNothing(t *testing.T) {
	t.Parallel()
	r := start(t, Config{})
	p, s := r.connect(`{"participant":"p","page_id":"one"}`)
	p.call(protocol.EventStateSave, `{"scene_id":"here","version":0}`, nil)
	other, _ := r.connect(`{"participant":"other"}`)
	_ = other
	for _, token := range []string{"x", s.Token + "x", "1." + strings.Repeat("A", 43), token([]byte("another secret"), "p", 1)} {
		if _, err := r.dial(fmt.Sprintf(`{"participant":"p","token":%q}`, token)); err == nil || !strings.Contains(err.Error(), string(protocol.CodeBadToken)) {
			t.Errorf("token %q: %v", token, err)
		}
	}
	p.refused(protocol.EventStateSave, `{"scene_id":"elsewhere","version":0}`, protocol.CodeStaleVersion) // and still connected
	p.refused(protocol.EventStateSave, `{"scene_id":"`+strings.Repeat("x", maxState)+`","version":1}`, protocol.CodeTooLarge)
	p.write(`42["state_save",{"version":1,"scene_id":"` + strings.Repeat("x", 10<<20) + `"}]`) // more than a packet may have
	<-p.closed
	p, s = r.connect(`{"participant":"p","page_id":"one"}`)
	if s.SceneID != "here" || s.Version != 1 {
		t.Errorf("session %+v", s)
	}
	p.refused(protocol.EventSend, `{"data":1}`, protocol.CodeNotInGroup)
	p.call(protocol.EventJoin, `{}`, nil)
	other.call(protocol.EventJoin, `{}`, nil)
	p.expect(protocol.EventGroupReady, nil)
	p.refused(protocol.EventJoin, `{}`, protocol.CodeInGroup)
	p.refused(protocol.EventSend, `{"group":"g","data":1}`, protocol.CodeNotInGroup)
}
