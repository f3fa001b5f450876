//go:build !js

package wasmclient

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"initgrace/grace/protocol"
	"initgrace/wasmclient/internal/siotest"
)

func greetAndEcho(c *siotest.Conn) {
	if c.Greet() {
		c.Echo()
	}
}

func TestEmitAck(t *testing.T) {
	script := func(c *siotest.Conn) {
		c.Greet()
		for {
			e, ok := c.Next()
			switch {
			case !ok:
				return
			case e.Name == "send":
				c.Ack(e, protocol.Sent{OK: true, Seq: 7})
			case e.Name == "join":
				c.Ack(e, protocol.NewError(protocol.CodeInGroup, "in g"))
			case e.Name == "bare refusal":
				c.Ack(e, map[string]any{"ok": false})
			case e.Name == "empty":
				c.Write("43" + strconv.FormatUint(e.ID, 10) + "[]")
			case e.Name == "number":
				c.Ack(e, 5)
			}
		}
	}
	bubble(t, script, func(t *testing.T, s *siotest.Server) {
		c := connect(t, s, Options{})
		var sent protocol.Sent
		if err := c.EmitAck(t.Context(), protocol.EventSend, protocol.Send{Data: protocol.Raw(`{"a":1}`)}, &sent); err != nil || sent.Seq != 7 {
			t.Errorf("%+v, %v", sent, err)
		}
		hasCode(t, c.EmitAck(t.Context(), "join", nil, nil), protocol.CodeInGroup)
		hasCode(t, c.EmitAck(t.Context(), "bare refusal", nil, nil), protocol.CodeInternal)
		if err := c.EmitAck(t.Context(), "empty", nil, &sent); err != nil {
			t.Error(err)
		}
		var n int
		if err := c.EmitAck(t.Context(), "number", nil, &n); err != nil || n != 5 {
			t.Errorf("%d, %v", n, err)
		}
		hasCode(t, c.EmitAck(t.Context(), "number", nil, &sent), CodeProtocol)
		hasCode(t, c.EmitAck(t.Context(), "x", make(chan int), nil), protocol.CodeInvalidPayload)
	})
}

// A timeout looks once more for an ack that has arrived meanwhile.
func TestEmitAckTimeout(t *testing.T) {
	const deadline = time.Second
	for _, c := range []struct {
		after time.Duration
		acked bool
	}{
		{deadline - time.Millisecond, true},
		{deadline + lastLook - time.Millisecond, true},
		{deadline + lastLook + time.Millisecond, false},
	} {
		script := func(sc *siotest.Conn) {
			sc.Greet()
			e, _ := sc.Next()
			time.Sleep(c.after)
			sc.Ack(e, siotest.OK)
			sc.Echo()
		}
		bubble(t, script, func(t *testing.T, s *siotest.Server) {
			cl := connect(t, s, Options{})
			err := cl.EmitAck(within(t, deadline), "x", nil, nil)
			if c.acked != (err == nil) {
				t.Errorf("ack after %v: %v", c.after, err)
			}
			if err != nil {
				hasCode(t, err, protocol.CodeTimeout)
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%v is not a DeadlineExceeded", err)
				}
			}
			time.Sleep(time.Second) // the late ack arrives and finds nobody
			if err := cl.EmitAck(t.Context(), "y", nil, nil); err != nil {
				t.Errorf("after a late ack: %v", err)
			}
		})
	}
}

func TestEmitAckCancelled(t *testing.T) {
	script := func(c *siotest.Conn) { c.Greet(); c.Wait() }
	bubble(t, script, func(t *testing.T, s *siotest.Server) {
		c := connect(t, s, Options{})
		ctx, cancel := context.WithCancel(t.Context())
		began := time.Now()
		time.AfterFunc(time.Second, cancel)
		if err := c.EmitAck(ctx, "x", nil, nil); err != context.Canceled || time.Since(began) != time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		if err := c.EmitAck(ctx, "x", nil, nil); err != context.Canceled {
			t.Errorf("with a context that is over: %v", err)
		}
		if err := c.Emit(ctx, "x", nil); err != context.Canceled {
			t.Errorf("with a context that is over: %v", err)
		}
	})
}

// What was not acknowledged is sent again on the next connection, under the
// same id and in the same order; what was acknowledged, or given up, is not.
func TestResend(t *testing.T) {
	var j journal
	script := func(c *siotest.Conn) {
		if c.N > 1 {
			time.Sleep(time.Second)
		}
		c.Greet()
		for {
			e, ok := c.Next()
			if !ok {
				return
			}
			j.add(fmt.Sprintf("%d %s %d %t", c.N, e.Name, e.ID, e.Ack))
			if c.N > 1 || e.Name == "acked" {
				c.Ack(e, siotest.OK)
			}
			if e.Name == "drop" {
				return
			}
		}
	}
	bubble(t, script, func(t *testing.T, s *siotest.Server) {
		c := connect(t, s, Options{})
		if err := c.EmitAck(t.Context(), "acked", nil, nil); err != nil {
			t.Fatal(err)
		}
		results := make(chan error, 3)
		call := func(ctx context.Context, name string) {
			go func() { results <- c.EmitAck(ctx, name, nil, nil) }()
			synctest.Wait()
		}
		call(t.Context(), "a")
		_ = c.Emit(t.Context(), "gone with the connection", nil)
		call(within(t, 50*time.Millisecond), "given up")
		call(t.Context(), "b")
		time.Sleep(time.Second)
		_ = c.Emit(t.Context(), "drop", nil)
		synctest.Wait()
		_ = c.Emit(t.Context(), "waited", nil)
		for range 3 {
			if err := <-results; err != nil && !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
		}
		synctest.Wait()
		want := []string{
			"1 acked 0 true", "1 a 1 true", "1 gone with the connection 0 false", "1 given up 2 true", "1 b 3 true", "1 drop 0 false",
			"2 a 1 true", "2 b 3 true", "2 waited 0 false",
		}
		if got := j.all(); !slices.Equal(got, want) {
			t.Errorf("the server saw\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

// A second ack of the same id, and one of an id never used, change nothing.
func TestDuplicateAcks(t *testing.T) {
	script := func(c *siotest.Conn) {
		c.Greet()
		for {
			e, ok := c.Next()
			if !ok {
				return
			}
			c.Write("43999[]")
			c.Ack(e, e.ID)
			c.Ack(e, e.ID+100)
		}
	}
	bubble(t, script, func(t *testing.T, s *siotest.Server) {
		c := connect(t, s, Options{})
		for want := range uint64(3) {
			var id uint64
			if err := c.EmitAck(t.Context(), "x", nil, &id); err != nil || id != want {
				t.Errorf("ack %d, %v; want %d", id, err, want)
			}
		}
	})
}

// While there is no connection emits wait, up to the bounds, and arrive in
// order.
func TestQueue(t *testing.T) {
	var j journal
	script := func(c *siotest.Conn) {
		if c.N > 1 {
			time.Sleep(time.Second)
		}
		c.Greet()
		for c.N > 1 {
			e, ok := c.Next()
			if !ok {
				return
			}
			j.add(e.Name + string(e.Payload))
			c.Ack(e, siotest.OK)
		}
	}
	bubble(t, script, func(t *testing.T, s *siotest.Server) {
		lost := make(chan bool, 1)
		c := connect(t, s, Options{QueueSize: 4, QueueBytes: 200, Handlers: map[string]func([]byte){
			EventReconnecting: func([]byte) { lost <- true },
		}})
		<-lost
		hasCode(t, c.Emit(t.Context(), "large", strings.Repeat("x", 200)), CodeQueueFull)
		_ = c.Emit(t.Context(), "e", 1)
		acked := make(chan error, 1)
		go func() { acked <- c.EmitAck(t.Context(), "a", 2, nil) }()
		synctest.Wait()
		_ = c.Emit(t.Context(), "e", 3)
		if err := c.Emit(t.Context(), "e", 4); err != nil {
			t.Error(err)
		}
		hasCode(t, c.Emit(t.Context(), "e", 5), CodeQueueFull)
		hasCode(t, c.EmitAck(t.Context(), "a", 5, nil), CodeQueueFull)
		if err := <-acked; err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if got, want := j.all(), []string{"e1", "a2", "e3", "e4"}; !slices.Equal(got, want) {
			t.Errorf("the server saw %q, want %q", got, want)
		}
		// The queue is empty again.
		for i := range 10 {
			if err := c.EmitAck(t.Context(), "a", i, nil); err != nil {
				t.Error(err)
			}
		}
	})
}

// On a connection that takes nothing the client does not buffer without bound.
func TestQueueWhileStalled(t *testing.T) {
	script := func(c *siotest.Conn) {
		c.Greet()
		c.Stall()
		c.Wait()
	}
	bubble(t, script, func(t *testing.T, s *siotest.Server) {
		c := connect(t, s, Options{QueueBytes: 1000})
		synctest.Wait()
		var err error
		for range 100 {
			if err = c.Emit(t.Context(), "x", strings.Repeat("x", 90)); err != nil {
				break
			}
		}
		hasCode(t, err, CodeQueueFull)
	})
}

// A payload that the server has said it does not take is refused here, where
// the page can learn of it.
func TestTooLarge(t *testing.T) {
	bubble(t, greetAndEcho, func(t *testing.T, s *siotest.Server) {
		c := connect(t, s, Options{})
		hasCode(t, c.EmitAck(t.Context(), "x", strings.Repeat("x", 1<<20), nil), protocol.CodeTooLarge)
		if err := c.EmitAck(t.Context(), "x", strings.Repeat("x", 1<<19), nil); err != nil {
			t.Error(err)
		}
	})
}

// Many goroutines, many drops: every call is acknowledged exactly once.
func TestConcurrentCalls(t *testing.T) {
	const callers, each = 8, 50
	script := func(c *siotest.Conn) {
		c.Greet()
		for n := 0; ; n++ {
			e, ok := c.Next()
			if !ok || c.N < 5 && n == 40 {
				return
			}
			c.Ack(e, e.Payload)
		}
	}
	s := siotest.Listen(t, script)
	c := connect(t, s, Options{Backoff: Backoff{Min: time.Millisecond, Max: time.Millisecond}})
	errs := make(chan error, callers)
	for i := range callers {
		go func() {
			for k := range each {
				want := strconv.Itoa(i*1000 + k)
				var got protocol.Raw
				if err := c.EmitAck(t.Context(), "x", protocol.Raw(want), &got); err != nil || string(got) != want {
					errs <- fmt.Errorf("%s: %s, %w", want, got, err)
					return
				}
			}
			errs <- nil
		}()
	}
	for range callers {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if s.Count() != 5 {
		t.Errorf("%d connections", s.Count())
	}
}

// A deadline that has passed has its code wherever it is noticed.
func TestTimeoutsHaveACode(t *testing.T) {
	script := func(c *siotest.Conn) { c.Greet(); c.Wait() }
	bubble(t, script, func(t *testing.T, s *siotest.Server) {
		c := connect(t, s, Options{})
		go c.SaveState(t.Context(), protocol.State{SceneID: "1"})
		synctest.Wait()
		_, err := c.SaveState(within(t, time.Second), protocol.State{SceneID: "2"})
		hasCode(t, err, protocol.CodeTimeout)
		ctx, cancel := context.WithTimeout(t.Context(), 0)
		defer cancel()
		hasCode(t, c.EmitAck(ctx, "x", nil, nil), protocol.CodeTimeout)
	})
}

// What the server cannot take is refused here also during a handshake: it would be
// sent again on every connection, and close each.
func TestTooLargeInAHandshake(t *testing.T) {
	script := func(c *siotest.Conn) {
		if c.N == 2 {
			time.Sleep(time.Second) // between the dial and Open
		}
		c.Greet()
		for {
			f, ok := c.Read()
			if !ok || len(f) > 1<<20 || c.N == 1 {
				return // as the server does
			}
		}
	}
	bubble(t, script, func(t *testing.T, s *siotest.Server) {
		c := connect(t, s, Options{})
		_ = c.Emit(t.Context(), "drop", nil)
		for s.Count() < 2 {
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(100 * time.Millisecond)
		err := c.EmitAck(within(t, 2*time.Minute), "x", strings.Repeat("x", 1<<20), nil)
		hasCode(t, err, protocol.CodeTooLarge)
	})
}

func TestNotUTF8(t *testing.T) {
	script := func(c *siotest.Conn) {
		c.Greet()
		for {
			f, ok := c.Read()
			if !ok || strings.ToValidUTF8(f, "") != f {
				return
			}
		}
	}
	bubble(t, script, func(t *testing.T, s *siotest.Server) {
		c := connect(t, s, Options{})
		err := c.EmitAck(within(t, 2*time.Minute), "x", protocol.Raw("\"\xff\""), nil)
		hasCode(t, err, protocol.CodeInvalidPayload)
	})
}
