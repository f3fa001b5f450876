//go:build !js

package wasmclient

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"initgrace/grace/protocol"
	"initgrace/wasmclient/internal/siotest"
)

// Handlers see every event, in order, from the first one on, and until they are
// removed.
func TestHandlers(t *testing.T) {
	script := func(c *siotest.Conn) {
		c.Greet()
		c.Write(`42["early",{"n":1}]`)
		c.Write(`42["bare"]`)
		c.Write(`42["close","the server must not say this"]`)
		if _, ok := c.Next(); !ok {
			return
		}
		for i := range 100 {
			c.Emit("n", i)
		}
		c.Write(`42["last",[1, 2]]`)
		c.Wait()
	}
	bubble(t, script, func(t *testing.T, s *siotest.Server) {
		var j journal
		var listened []string
		c := connect(t, s, Options{
			Handlers: j.handlers("session", "early", "bare", "close", "last"),
			Listener: func(event string, data []byte) { listened = append(listened, event+" "+string(data)) },
		})
		var got []int
		running := false
		remove := c.On("n", func(data []byte) {
			if running {
				t.Error("two handlers at the same time")
			}
			running = true
			time.Sleep(time.Millisecond) // give another one the chance
			got = append(got, len(got))
			if string(data) != toJSON(t, len(got)-1) {
				t.Errorf("event %d is %s", len(got)-1, data)
			}
			running = false
		})
		never := c.On("n", func([]byte) { t.Error("removed, and called") })
		never()
		never() // twice is harmless
		if err := c.Emit(t.Context(), "go", nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if len(got) != 100 {
			t.Errorf("%d events", len(got))
		}
		remove()
		names := func() (out []string) {
			for _, e := range j.all() {
				out = append(out, strings.Fields(e)[0])
			}
			return out
		}
		if got := names(); !slices.Equal(got, []string{"session", "early", "bare", "last"}) {
			t.Errorf("events %q", got)
		}
		if e := j.all(); e[1] != `early {"n":1}` || e[2] != "bare " || e[3] != "last [1, 2]" {
			t.Errorf("payloads %q", e)
		}
		if e := j.all(); len(listened) != len(e)+100 || listened[0] != e[0] || listened[103] != e[3] {
			t.Errorf("the listener heard %q", listened)
		}
	})
}

// A handler may wait for an ack: acks do not come through handlers.
func TestHandlerMayCall(t *testing.T) {
	bubble(t, greetAndEcho, func(t *testing.T, s *siotest.Server) {
		var c *Client
		connected, result := make(chan bool), make(chan error, 1)
		c = connect(t, s, Options{Handlers: map[string]func([]byte){
			"session": func([]byte) { <-connected; result <- c.EmitAck(t.Context(), "x", nil, nil) },
		}})
		close(connected)
		if err := <-result; err != nil {
			t.Error(err)
		}
	})
}

// A panic in a handler ends the session with the panic's value and stack, and
// with a proper close of the socket.
func TestHandlerPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		code := make(chan websocket.StatusCode, 1)
		script := func(c *siotest.Conn) { c.Greet(); c.Write(`42["x"]`); c.Wait(); code <- c.Code }
		s := siotest.Pipe(t, script)
		var j journal
		c := connect(t, s, Options{Handlers: map[string]func([]byte){
			"x":        func([]byte) { panic("oh") },
			EventClose: j.handler("close"),
		}})
		<-c.Done()
		hasCode(t, c.Err(), CodePanic)
		var p *PanicError
		if !errors.As(c.Err(), &p) || p.Value != "oh" || !strings.Contains(string(p.Stack), "TestHandlerPanics") {
			t.Errorf("error %v", c.Err())
		}
		if got := <-code; got != websocket.StatusNormalClosure {
			t.Errorf("close code %d", got)
		}
		if e := j.all(); len(e) != 1 || !strings.Contains(e[0], `"panic"`) {
			t.Errorf("events %q", e)
		}
	})
}

// A reconnect carries what the session has become, and tells so.
func TestReconnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auths := make(chan protocol.Auth, 2)
		script := func(c *siotest.Conn) {
			c.Open(time.Hour, time.Hour)
			c.Connect()
			auths <- c.Auth
			c.Session(protocol.Session{Token: "token of " + string(rune('0'+c.N)), Epoch: uint64(c.N), Restored: c.N > 1})
			if c.N == 1 {
				c.Emit(protocol.EventMessage, protocol.Message{From: "p2", Seq: 41})
				time.Sleep(time.Second)
				return
			}
			c.Wait()
		}
		s := siotest.Pipe(t, script)
		var j journal
		c := connect(t, s, Options{Handlers: j.handlers("session", EventReconnecting, EventRestored)})
		if a := <-auths; a.Token != "" || a.Seq == nil || *a.Seq != 0 {
			t.Errorf("first auth %+v", a)
		}
		if a := <-auths; a.Token != "token of 1" || a.PageID != "page" || a.Seq == nil || *a.Seq != 41 {
			t.Errorf("second auth %+v", a)
		}
		synctest.Wait()
		if st := c.State(); st.Session.Token != "token of 2" || !st.Connected {
			t.Errorf("state %+v", st)
		}
		var names []string
		for _, e := range j.all() {
			names = append(names, strings.Fields(e)[0])
		}
		if !slices.Equal(names, []string{"session", "reconnecting", "session", "restored"}) {
			t.Errorf("events %q", j.all())
		}
		if e := j.all()[1]; !strings.Contains(e, `"attempt":1`) || !strings.Contains(e, `"delay_ms":`) {
			t.Errorf("%s", e)
		}
	})
}

// A connection that does not last makes the pauses longer; a steady one makes
// them short again.
func TestFlapping(t *testing.T) {
	script := func(c *siotest.Conn) {
		c.Greet()
		if c.N > 4 {
			time.Sleep(steady)
		}
	}
	bubble(t, script, func(t *testing.T, s *siotest.Server) {
		var j journal
		connect(t, s, Options{Handlers: j.handlers(EventReconnecting)})
		time.Sleep(40 * time.Second)
		var attempts []string
		for _, e := range j.all()[:6] {
			attempts = append(attempts, e[strings.Index(e, `"attempt":`)+10:][:1])
		}
		if !slices.Equal(attempts, []string{"1", "2", "3", "4", "1", "1"}) {
			t.Errorf("%q", j.all())
		}
	})
}

// What ends a session for good is not tried again.
func TestFinal(t *testing.T) {
	for _, c := range []struct {
		name  string
		frame string
		code  protocol.Code
	}{
		{"replaced", `42["replaced",{}]`, protocol.CodeReplaced},
		{"expired", `42["expired",{"reason":"blocked_timeout"}]`, CodeExpired},
		{"disconnected", "41", CodeDisconnected},
	} {
		t.Run(c.name, func(t *testing.T) {
			script := func(sc *siotest.Conn) { sc.Greet(); sc.Write(c.frame); sc.Wait() }
			bubble(t, script, func(t *testing.T, s *siotest.Server) {
				var j journal
				cl := connect(t, s, Options{Handlers: j.handlers("replaced", "expired", EventClose, EventReconnecting)})
				err := cl.EmitAck(t.Context(), "never acknowledged", nil, nil)
				hasCode(t, err, c.code)
				<-cl.Done()
				hasCode(t, cl.Err(), c.code)
				hasCode(t, cl.Emit(t.Context(), "x", nil), c.code)
				time.Sleep(time.Hour)
				if s.Count() != 1 {
					t.Errorf("%d connections", s.Count())
				}
				last := j.all()[len(j.all())-1]
				if !strings.HasPrefix(last, "close ") || !strings.Contains(last, string(c.code)) {
					t.Errorf("events %q", j.all())
				}
			})
		})
	}
}

// A refused reconnect ends the session.
func TestReconnectRefused(t *testing.T) {
	script := func(c *siotest.Conn) {
		if c.N == 1 {
			c.Greet()
			return
		}
		c.Open(time.Hour, time.Hour)
		c.Refuse(protocol.CodeBadToken)
		c.Wait()
	}
	bubble(t, script, func(t *testing.T, s *siotest.Server) {
		c := connect(t, s, Options{})
		<-c.Done()
		hasCode(t, c.Err(), protocol.CodeBadToken)
	})
}

// A server that says when it will be back is not asked before, even if it ends
// the namespace.
func TestServerRestarting(t *testing.T) {
	for _, goodbye := range []string{"41", "1"} {
		synctest.Test(t, func(t *testing.T) {
			back := make(chan time.Time, 1)
			script := func(c *siotest.Conn) {
				if c.N > 1 {
					back <- time.Now()
				}
				c.Greet()
				if c.N == 1 {
					c.Emit(protocol.EventServerRestarting, protocol.Restarting{DelayMS: 7000})
					time.Sleep(time.Second)
					c.Write(goodbye)
				}
				c.Wait()
			}
			s := siotest.Pipe(t, script)
			began := time.Now()
			connect(t, s, Options{})
			if d := (<-back).Sub(began); d != 7*time.Second {
				t.Errorf("came back after %v", d)
			}
		})
	}
}

// The client says goodbye behind what it has emitted, and closes the socket
// properly.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		frames, code := make(chan string, 10), make(chan websocket.StatusCode, 1)
		script := func(c *siotest.Conn) {
			c.Greet()
			for {
				f, ok := c.Read()
				if !ok {
					break
				}
				frames <- f
			}
			code <- c.Code
		}
		s := siotest.Pipe(t, script)
		var j journal
		c := connect(t, s, Options{Handlers: j.handlers(EventClose)})
		pending := make(chan error, 1)
		go func() { pending <- c.EmitAck(t.Context(), "a", nil, nil) }()
		synctest.Wait()
		_ = c.Emit(t.Context(), "b", nil)
		if err := c.Close(t.Context()); err != nil {
			t.Error(err)
		}
		hasCode(t, <-pending, protocol.CodeClosed)
		hasCode(t, c.Err(), protocol.CodeClosed)
		hasCode(t, c.Emit(t.Context(), "x", nil), protocol.CodeClosed)
		if got := []string{<-frames, <-frames, <-frames}; !slices.Equal(got, []string{`420["a"]`, `42["b"]`, "41"}) {
			t.Errorf("frames %q", got)
		}
		if got := <-code; got != websocket.StatusNormalClosure {
			t.Errorf("close code %d", got)
		}
		if got := j.all(); len(got) != 1 || !strings.Contains(got[0], `"closed"`) {
			t.Errorf("events %q", got)
		}
		if err := c.Close(t.Context()); err != nil {
			t.Errorf("the second time: %v", err)
		}
	})
}

// Close does not wait for a server that does not answer, a pause, or an attempt
// to connect.
func TestCloseIsBounded(t *testing.T) {
	for name, script := range map[string]func(*siotest.Conn){
		"stalled":    func(c *siotest.Conn) { c.Greet(); c.Stall(); c.Wait() },
		"in a pause": func(c *siotest.Conn) { c.Greet() },
		"connecting": func(c *siotest.Conn) {
			if c.N == 1 {
				c.Greet()
				return
			}
			c.Stall()
			c.Wait()
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, script, func(t *testing.T, s *siotest.Server) {
				c := connect(t, s, Options{})
				time.Sleep(490 * time.Millisecond)
				began := time.Now()
				if err := c.Close(context.Background()); err != nil {
					t.Error(err)
				}
				if d := time.Since(began); d > 2*closeTimeout {
					t.Errorf("took %v", d)
				}
			})
		})
	}
}

func TestCloseGivesUpWithItsContext(t *testing.T) {
	script := func(c *siotest.Conn) { c.Greet(); c.Stall(); c.Wait() }
	bubble(t, script, func(t *testing.T, s *siotest.Server) {
		c := connect(t, s, Options{})
		synctest.Wait()
		began := time.Now()
		if err := c.Close(within(t, time.Millisecond)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		<-c.Done()
		if d := time.Since(began); d != time.Millisecond {
			t.Errorf("everything ended after %v", d)
		}
	})
}

// State follows the events.
func TestState(t *testing.T) {
	script := func(c *siotest.Conn) {
		c.Greet()
		for _, step := range []struct {
			event   string
			payload any
		}{
			{protocol.EventPresence, protocol.PartnerState{Participant: "p1", State: protocol.Loading, Seq: 2}},
			{protocol.EventGroupReady, protocol.GroupReady{Group: "g", Members: []string{"p0", "p1", "p2"}}},
			{protocol.EventGroupEnd, protocol.GroupEnd{Group: "another"}},
			{protocol.EventGroupEnd, protocol.GroupEnd{Group: "g"}},
			{protocol.EventGroupReady, []int{1}},
			{protocol.EventPresence, "odd"},
		} {
			if _, ok := c.Next(); !ok {
				return
			}
			c.Emit(step.event, step.payload)
		}
		c.Wait()
	}
	bubble(t, script, func(t *testing.T, s *siotest.Server) {
		c := connect(t, s, Options{})
		step := func() State {
			_ = c.Emit(t.Context(), "next", nil)
			synctest.Wait()
			return c.State()
		}
		if s := step(); s.Presence.State != protocol.Loading || s.Presence.Seq != 2 {
			t.Errorf("presence %+v", s.Presence)
		}
		for i := range 2 {
			if s := step(); s.Session.Group != "g" || !slices.Equal(s.Session.Partners, []string{"p0", "p2"}) {
				t.Errorf("step %d: group %q of %q", i, s.Session.Group, s.Session.Partners)
			}
		}
		if s := step(); s.Session.Group != "" || s.Session.Partners != nil {
			t.Errorf("group %q of %q", s.Session.Group, s.Session.Partners)
		}
		step()
		if s := step(); s.Session.Group != "" || s.Presence.State != protocol.Loading {
			t.Errorf("odd payloads changed the state: %+v", s)
		}
	})
}

// Saves take turns, each from the version that the one before made.
func TestSaveState(t *testing.T) {
	script := func(c *siotest.Conn) {
		c.Greet()
		version := uint64(0)
		for {
			e, ok := c.Next()
			if !ok {
				return
			}
			var save protocol.StateSave
			if err := unmarshal(e.Payload, &save); err != nil || save.Version != version {
				c.Ack(e, protocol.NewError(protocol.CodeStaleVersion, "stale"))
				continue
			}
			version++
			time.Sleep(100 * time.Millisecond)
			c.Ack(e, protocol.StateSaved{OK: true, Version: version})
			if save.SceneID == "spoil" {
				version++
			}
		}
	}
	bubble(t, script, func(t *testing.T, s *siotest.Server) {
		c := connect(t, s, Options{})
		errs := make(chan error)
		for range 10 {
			go func() {
				_, err := c.SaveState(t.Context(), protocol.State{SceneID: "s", Globals: protocol.Raw(`{"a":1}`)})
				errs <- err
			}()
		}
		for range 10 {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
		if st := c.State(); st.Session.Version != 10 || string(st.Session.Globals) != `{"a":1}` {
			t.Errorf("state %+v", st.Session)
		}
		if v, err := c.SaveState(t.Context(), protocol.State{SceneID: "spoil"}); v != 11 || err != nil {
			t.Errorf("%d, %v", v, err)
		}
		_, err := c.SaveState(t.Context(), protocol.State{})
		hasCode(t, err, protocol.CodeStaleVersion)
	})
}

// A save whose ack came when nobody waited for it any more makes no later one stale.
func TestSaveAckedLate(t *testing.T) {
	script := func(c *siotest.Conn) {
		c.Greet()
		version, current := uint64(0), ""
		for n := 0; ; n++ {
			e, ok := c.Next()
			if !ok {
				return
			}
			var save protocol.StateSave
			_ = unmarshal(e.Payload, &save)
			if save.Version != version { // as server/events.go
				if save.Version+1 == version && save.SceneID == current {
					c.Ack(e, protocol.StateSaved{OK: true, Version: version})
				} else {
					c.Ack(e, protocol.NewError(protocol.CodeStaleVersion, "stale"))
				}
				continue
			}
			version++
			current = save.SceneID
			if n == 0 {
				time.Sleep(2 * time.Second)
			}
			c.Ack(e, protocol.StateSaved{OK: true, Version: version})
		}
	}
	bubble(t, script, func(t *testing.T, s *siotest.Server) {
		c := connect(t, s, Options{})
		_, err := c.SaveState(within(t, time.Second), protocol.State{SceneID: "1"})
		hasCode(t, err, protocol.CodeTimeout)
		time.Sleep(time.Minute)
		for i := range 3 {
			if _, err := c.SaveState(t.Context(), protocol.State{SceneID: "2"}); err != nil {
				t.Errorf("save %d: %v (client's version %d)", i, err, c.State().Session.Version)
			}
			time.Sleep(time.Minute)
		}
	})
}
