//go:build !js

package wasmclient

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"initgrace/grace/protocol"
	"initgrace/wasmclient/internal/siotest"
)

// leases is a server that grants every load, writing down what it is told.
// Replies to single events can be replaced.
type leases struct {
	journal
	reply map[string]any           // event → ack, nil: none at all
	delay map[string]time.Duration // event → time before the ack
	after func(c *siotest.Conn, e siotest.Event)
}

func (l *leases) script(c *siotest.Conn) {
	c.Greet()
	for _, o := range c.Auth.Loads {
		l.add("declared again: " + o.Phase)
	}
	for {
		e, ok := c.Next()
		if !ok {
			return
		}
		var p struct {
			protocol.LoadProgress
			Error  bool
			Reason string
		}
		_ = unmarshal(e.Payload, &p)
		l.add(strings.TrimSpace(strings.TrimPrefix(e.Name, "pyodide_loading_") + " " + p.Phase + p.Reason))
		time.Sleep(l.delay[e.Name])
		reply, special := l.reply[e.Name]
		switch {
		case special && reply == nil:
		case special:
			c.Ack(e, reply)
		case e.Name == protocol.EventLoadStart:
			c.Ack(e, protocol.LoadAck{OK: true, ID: p.ID, LeaseMS: 60_000, CapMS: 180_000})
		default:
			c.Ack(e, siotest.OK)
		}
		if l.after != nil {
			l.after(c, e)
		}
	}
}

func (l *leases) expect(t *testing.T, want ...string) {
	t.Helper()
	synctest.Wait()
	if got := l.all(); !slices.Equal(got, want) {
		t.Errorf("the server was told\n%q\nwant\n%q", got, want)
	}
}

// testLoad runs a test in a bubble with a client and a loader.
func testLoad(t *testing.T, l *leases, test func(t *testing.T, c *Client, loader *Loader)) {
	t.Helper()
	bubble(t, l.script, func(t *testing.T, s *siotest.Server) {
		c := connect(t, s, Options{})
		test(t, c, NewLoader(c))
	})
}

// The load runs after the ack and not before, and is completed after it.
func TestLoad(t *testing.T) {
	l := &leases{delay: map[string]time.Duration{protocol.EventLoadStart: time.Second}}
	testLoad(t, l, func(t *testing.T, c *Client, loader *Loader) {
		began := time.Now()
		r, err := loader.Load(t.Context(), LoadOptions{ID: "py", Phase: "interpreter", Expected: 12 * time.Second, Run: func(_ context.Context, load *Load) error {
			if d := time.Since(began); d != time.Second {
				t.Errorf("Run was called after %v; the ack comes after a second", d)
			}
			l.add("run")
			if !load.Protected || !strings.HasPrefix(load.ID, "py-") {
				t.Errorf("load %+v", load)
			}
			time.Sleep(14 * time.Second)
			l.add("ran")
			return nil
		}})
		want := LoadResult{ID: r.ID, Protected: true, Lease: time.Minute, Cap: 3 * time.Minute, Wait: time.Second, Took: 14 * time.Second}
		if err != nil || r != want {
			t.Errorf("%+v, %v; want %+v", r, err, want)
		}
		l.expect(t, "start interpreter", "run", "ran", "complete")
		if len(c.loads) != 0 {
			t.Errorf("still open: %v", c.loads)
		}
	})
}

// Whatever goes wrong in Run, the server and the caller are told, and the next
// load has an id that the server has not seen.
func TestLoadFails(t *testing.T) {
	fault := errors.New("no network")
	l := &leases{}
	testLoad(t, l, func(t *testing.T, c *Client, loader *Loader) {
		first, err := loader.Load(t.Context(), LoadOptions{ID: "py", Run: func(context.Context, *Load) error { return fault }})
		if err != fault || !first.Protected {
			t.Errorf("%+v, %v", first, err)
		}
		_, err = loader.Load(t.Context(), LoadOptions{ID: "py", Run: func(context.Context, *Load) error { panic("oh") }})
		hasCode(t, err, CodePanic)
		var p *PanicError
		if !errors.As(err, &p) || p.Value != "oh" {
			t.Errorf("error %v", err)
		}
		third, err := loader.Load(t.Context(), LoadOptions{ID: "py", Run: func(context.Context, *Load) error { return nil }})
		if err != nil || third.ID == first.ID {
			t.Errorf("%+v after %+v, %v", third, first, err)
		}
		if c.Err() != nil {
			t.Errorf("the session ended: %v", c.Err())
		}
		l.expect(t, "start", "complete no network", "start", "complete panic: panic: oh", "start", "complete")
	})
}

// A refusal is not the end: the load runs, without a lease, and says so. The
// server, which knows of no such load, is not told of its end.
func TestLoadRefused(t *testing.T) {
	l := &leases{reply: map[string]any{protocol.EventLoadStart: protocol.NewError(protocol.CodeLoadBudget, "used up")}}
	testLoad(t, l, func(t *testing.T, c *Client, loader *Loader) {
		ran := false
		run := func(_ context.Context, load *Load) error { ran = !load.Protected; return nil }
		r, err := loader.Load(t.Context(), LoadOptions{Run: run})
		if err != nil || r.Protected || !ran {
			t.Errorf("%+v, %v, ran %t", r, err, ran)
		}
		hasCode(t, r.Unprotected, protocol.CodeLoadBudget)
		ran = false
		_, err = loader.Load(t.Context(), LoadOptions{RequireLease: true, Run: run})
		hasCode(t, err, protocol.CodeLoadBudget)
		if ran || len(c.loads) != 0 {
			t.Errorf("ran %t, open %v", ran, c.loads)
		}
		l.expect(t, "start", "start")
	})
}

// A server that does not answer holds a load up for AckTimeout only. It may
// have granted the lease all the same, so it is told of the end.
func TestLoadUnanswered(t *testing.T) {
	l := &leases{reply: map[string]any{protocol.EventLoadStart: nil}}
	testLoad(t, l, func(t *testing.T, c *Client, loader *Loader) {
		r, err := loader.Load(t.Context(), LoadOptions{AckTimeout: 2 * time.Second, Run: func(context.Context, *Load) error { return nil }})
		if err != nil || r.Protected || r.Wait != 2*time.Second+lastLook {
			t.Errorf("%+v, %v", r, err)
		}
		hasCode(t, r.Unprotected, protocol.CodeTimeout)
		_, err = loader.Load(t.Context(), LoadOptions{RequireLease: true, Run: func(context.Context, *Load) error { panic("ran") }})
		hasCode(t, err, protocol.CodeTimeout)
		l.expect(t, "start", "complete", "start", "complete ack_timeout: no ack for pyodide_loading_start in the time given")
	})
}

// Without a connection a load runs unprotected; the next connection declares
// it, and its end is told then.
func TestLoadWhileDisconnected(t *testing.T) {
	l := &leases{after: func(c *siotest.Conn, e siotest.Event) {
		if e.Name == "drop" {
			c.Drop()
		}
	}}
	bubble(t, l.script, func(t *testing.T, s *siotest.Server) {
		lost := make(chan bool, 1)
		c := connect(t, s, Options{
			Backoff:  Backoff{Min: 20 * time.Second, Max: 20 * time.Second},
			Handlers: map[string]func([]byte){EventReconnecting: func([]byte) { lost <- true }},
		})
		_ = c.Emit(t.Context(), "drop", nil)
		<-lost
		r, err := NewLoader(c).Load(t.Context(), LoadOptions{Phase: "p", Run: func(context.Context, *Load) error {
			time.Sleep(time.Minute)
			return nil
		}})
		if err != nil || r.Protected {
			t.Errorf("%+v, %v", r, err)
		}
		hasCode(t, r.Unprotected, protocol.CodeTimeout)
		l.expect(t, "drop", "declared again: p", "complete")
	})
}

// A connection that is lost during a load, or before the end of it was
// acknowledged, changes nothing: the load is declared again and completed.
func TestLoadSurvivesReconnects(t *testing.T) {
	drops := 0
	l := &leases{}
	l.after = func(c *siotest.Conn, e siotest.Event) {
		switch {
		case e.Name == "drop":
			c.Drop()
		case e.Name == protocol.EventLoadComplete && drops == 0:
			drops++
			c.Drop()
		}
	}
	l.reply = map[string]any{protocol.EventLoadComplete: nil}
	testLoad(t, l, func(t *testing.T, c *Client, loader *Loader) {
		r, err := loader.Load(t.Context(), LoadOptions{Phase: "p", AckTimeout: time.Second, Run: func(context.Context, *Load) error {
			_ = c.Emit(t.Context(), "drop", nil)
			time.Sleep(30 * time.Second)
			return errors.New("why")
		}})
		if err == nil || !r.Protected {
			t.Errorf("%+v, %v", r, err)
		}
		time.Sleep(30 * time.Second)
		l.expect(t, "start p", "drop", "declared again: p", "complete why", "declared again: p", "complete why")
	})
}

// A start that is lost with its connection is sent again, and answered.
func TestLoadStartIsSentAgain(t *testing.T) {
	first := true
	l := &leases{reply: map[string]any{protocol.EventLoadStart: nil}}
	l.after = func(c *siotest.Conn, e siotest.Event) {
		if first {
			first = false
			delete(l.reply, protocol.EventLoadStart)
			c.Drop()
		}
	}
	testLoad(t, l, func(t *testing.T, c *Client, loader *Loader) {
		r, err := loader.Load(t.Context(), LoadOptions{Phase: "p", Run: func(context.Context, *Load) error { return nil }})
		if err != nil || !r.Protected {
			t.Errorf("%+v, %v", r, err)
		}
		l.expect(t, "start p", "declared again: p", "start p", "complete")
	})
}

// Two calls for the same load are one load.
func TestLoadSingleFlight(t *testing.T) {
	l := &leases{}
	testLoad(t, l, func(t *testing.T, c *Client, loader *Loader) {
		var runs atomic.Int32
		load := func(ctx context.Context, id string, result chan<- LoadResult) {
			go func() {
				r, err := loader.Load(ctx, LoadOptions{ID: id, Run: func(context.Context, *Load) error {
					runs.Add(1)
					time.Sleep(time.Second)
					return nil
				}})
				if err != nil && !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
				result <- r
			}()
			synctest.Wait()
		}
		same, other := make(chan LoadResult, 3), make(chan LoadResult, 1)
		impatient, cancel := context.WithCancel(t.Context())
		load(t.Context(), "a", same)
		load(t.Context(), "a", same)
		load(t.Context(), "b", other)
		gaveUp := make(chan LoadResult, 1)
		load(impatient, "a", gaveUp)
		cancel()
		if r := <-gaveUp; r.ID != "" {
			t.Errorf("who does not wait got %+v", r)
		}
		a, a2, b := <-same, <-same, <-other
		if a != a2 || a.ID == b.ID || runs.Load() != 2 {
			t.Errorf("%+v, %+v, %+v; %d runs", a, a2, b, runs.Load())
		}
		load(t.Context(), "a", same)
		if again := <-same; again.ID == a.ID || runs.Load() != 3 {
			t.Errorf("%+v; %d runs", again, runs.Load())
		}
	})
}

func TestLoadProgress(t *testing.T) {
	l := &leases{}
	testLoad(t, l, func(t *testing.T, c *Client, loader *Loader) {
		_, err := loader.Load(t.Context(), LoadOptions{AckTimeout: time.Second, Run: func(ctx context.Context, load *Load) error {
			if err := load.Progress(ctx, "packages", 7, 3*time.Second); err != nil {
				t.Error(err)
			}
			l.reply = map[string]any{protocol.EventLoadProgress: protocol.NewError(protocol.CodeLoadEnded, "late")}
			hasCode(t, load.Progress(ctx, "init", 0.5, 0), protocol.CodeLoadEnded)
			l.reply = map[string]any{protocol.EventLoadProgress: nil}
			hasCode(t, load.Progress(ctx, "", 0, 0), protocol.CodeTimeout)
			return nil
		}})
		if err != nil {
			t.Error(err)
		}
		l.expect(t, "start", "progress packages", "progress init", "progress", "complete")
	})
}

// A caller who goes away before the ack gets no Run; the server is told.
func TestLoadCancelled(t *testing.T) {
	l := &leases{reply: map[string]any{protocol.EventLoadStart: nil}}
	testLoad(t, l, func(t *testing.T, c *Client, loader *Loader) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		_, err := loader.Load(ctx, LoadOptions{Run: func(context.Context, *Load) error { panic("ran") }})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
		l.expect(t, "start", "complete context canceled")
	})
}

// The end of the session ends the wait for the ack, and nothing is run that
// nobody can protect or use.
func TestLoadAndClose(t *testing.T) {
	l := &leases{reply: map[string]any{protocol.EventLoadStart: nil}}
	testLoad(t, l, func(t *testing.T, c *Client, loader *Loader) {
		time.AfterFunc(time.Second, func() { _ = c.Close(context.Background()) })
		_, err := loader.Load(t.Context(), LoadOptions{Run: func(context.Context, *Load) error { panic("ran") }})
		hasCode(t, err, protocol.CodeClosed)
	})
}

func TestWireID(t *testing.T) {
	if a, b := wireID(""), wireID(""); a == b || !strings.HasPrefix(a, "load-") {
		t.Errorf("%q, %q", a, b)
	}
	if id := wireID(strings.Repeat("é", 50)); len(id) > 64 || !strings.HasPrefix(id, strings.Repeat("é", 20)+"-") {
		t.Errorf("%q", id)
	}
}

func TestClip(t *testing.T) {
	for _, c := range []struct {
		s    string
		n    int
		want string
	}{{"abc", 3, "abc"}, {"abcd", 3, "abc"}, {"aéb", 2, "a"}, {"aéb", 3, "aé"}, {"é", 1, ""}, {"", 0, ""}} {
		if got := clip(c.s, c.n); got != c.want {
			t.Errorf("clip(%q, %d) = %q, want %q", c.s, c.n, got, c.want)
		}
	}
}

// Ticks that come late are blocks; in the background a second is not late.
func TestBlocks(t *testing.T) {
	at := time.Unix(1000, 0)
	b := blocks{last: at}
	step := func(d time.Duration, hidden bool) {
		at = at.Add(d)
		b.tick(at, hidden)
	}
	step(blockTick, false)
	step(blockTick+blockMin-1, false)
	step(time.Second, true)
	step(blockTick+blockMinHidden-1, true)
	if b.total != 0 || b.longest != 0 {
		t.Errorf("%+v", b)
	}
	step(blockTick+blockMin, false)
	step(blockTick+3*time.Second, true)
	step(blockTick+2*time.Second, false)
	if b.total != 5*time.Second+blockMin || b.longest != 3*time.Second {
		t.Errorf("total %v, longest %v", b.total, b.longest)
	}
}

// That a load is over is told also when too much else waits for a connection.
func TestCompleteBehindFullQueue(t *testing.T) {
	l := &leases{}
	script := func(c *siotest.Conn) {
		if c.N > 1 {
			time.Sleep(time.Second)
		}
		l.script(c)
	}
	bubble(t, script, func(t *testing.T, s *siotest.Server) {
		c := connect(t, s, Options{QueueSize: 4})
		_, err := NewLoader(c).Load(t.Context(), LoadOptions{Phase: "p", Run: func(context.Context, *Load) error {
			s.Drop()
			synctest.Wait()
			for range 5 {
				_ = c.Emit(t.Context(), "move", nil)
			}
			return nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if !strings.Contains(strings.Join(l.all(), "|"), "complete") {
			t.Error("never completed")
		}
	})
}

// A lease that was granted late is given back, however the load failed.
func TestCompleteAfterPanic(t *testing.T) {
	l := &leases{delay: map[string]time.Duration{protocol.EventLoadStart: 6 * time.Second}}
	bubble(t, l.script, func(t *testing.T, s *siotest.Server) {
		c := connect(t, s, Options{})
		_, err := NewLoader(c).Load(t.Context(), LoadOptions{Phase: "p", Run: func(context.Context, *Load) error { panic("oh") }})
		hasCode(t, err, CodePanic)
		time.Sleep(time.Minute)
		synctest.Wait()
		if !strings.Contains(strings.Join(l.all(), "|"), "complete") {
			t.Error("never completed")
		}
	})
}
