// Package storetest is the conformance suite of store.Store.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"initgrace/grace/protocol"
	"initgrace/server/store"
)

// An Open opens the store at a place: the path of an existing empty folder,
// unique to the test, which an implementation without files may use as a
// prefix of its keys. The same place opened again, also by another process, is
// the same store. It ends the test on an error. The suite closes the store.
type Open func(t testing.TB, place string) store.Store

// Run tests a store that outlives the process. It starts the test binary
// again and kills it; the test that calls Run must do nothing else before.
func Run(t *testing.T, open Open) {
	if place := crashPlace(); place != "" {
		t.Run("crash", func(t *testing.T) { crashWriter(open(t, place)) })
		return
	}
	RunVolatile(t, open)
	t.Run("reopen", func(t *testing.T) { testReopen(t, open) })
	t.Run("two at once", func(t *testing.T) { testTwoAtOnce(t, open) })
	t.Run("crash", func(t *testing.T) { testCrash(t, open) })
}

// RunVolatile tests what a store that forgets everything when it is closed
// must do as well.
func RunVolatile(t *testing.T, open Open) {
	for _, c := range []struct {
		name string
		test func(*testing.T, store.Store)
	}{
		{"every field", testEveryField},
		{"zero session", testZero},
		{"text", testText},
		{"times", testTimes},
		{"unknown participant", testUnknown},
		{"replace", testReplace},
		{"put is atomic", testAtomic},
		{"put nothing", testPutNothing},
		{"twice in one put", testTwice},
		{"results are copies", testCopies},
		{"seated", testSeated},
		{"assigned", testAssigned},
		{"seated stops", testSeatedStops},
		{"seated may use the store", testSeatedReentrant},
		{"records: every field", testRecordFields},
		{"records: text", testRecordText},
		{"records: pages", testRecordPages},
		{"records: with their sessions", testRecordsWithSessions},
		{"records: several writers", testRecordWriters},
		{"mail: every field", testMailFields},
		{"mail: received", testMailTrim},
		{"mail: latest", testMailLatest},
		{"mail: put is atomic", testMailAtomic},
		{"mail: snapshots", testMailSnapshots},
		{"mail: cancelled and closed", testMailCancelled},
		{"secret", testSecret},
		{"big state", testBigState},
		{"concurrency", testConcurrency},
		{"snapshots", testSnapshots},
		{"cancelled", testCancelled},
		{"closed", testClosed},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := open(t, t.TempDir())
			t.Cleanup(func() { s.Close() })
			c.test(t, s)
		})
	}
}

func testSecret(t *testing.T, s store.Store) {
	secrets := make([][]byte, 8)
	var wg sync.WaitGroup
	for i := range secrets {
		wg.Go(func() { secrets[i] = secret(t, s) })
	}
	wg.Wait()
	for _, x := range secrets {
		if !bytes.Equal(x, secrets[0]) {
			t.Fatal("two callers were given different secrets")
		}
	}
	secrets[0][0]++
	if bytes.Equal(secret(t, s), secrets[0]) {
		t.Error("the caller can change the stored secret")
	}
}

// testConcurrency lets each writer own a participant and read it back at once,
// while others read everything.
func testConcurrency(t *testing.T, s store.Store) {
	const writers, rounds = 8, 50
	var writing, reading sync.WaitGroup
	var done atomic.Bool
	for w := range writers {
		writing.Go(func() {
			p := full(fmt.Sprintf("p%d", w))
			for i := range rounds {
				p.Epoch = uint64(i)
				put(t, s, p)
				if got := get(t, s, p.Participant); got.Epoch != p.Epoch {
					t.Errorf("put epoch %d, got %d", p.Epoch, got.Epoch)
				}
			}
		})
	}
	for range 2 {
		reading.Go(func() {
			last := map[string]uint64{}
			for !done.Load() {
				for p, got := range seated(t, s) {
					if got.Epoch < last[p] {
						t.Errorf("%s went back from epoch %d to %d", p, last[p], got.Epoch)
					}
					last[p] = got.Epoch
				}
				secret(t, s)
			}
		})
	}
	writing.Wait()
	done.Store(true)
	reading.Wait()
}

// testSnapshots reads a session whose fields always belong together while it
// is being replaced.
func testSnapshots(t *testing.T, s store.Store) {
	version := func(i int) store.Session {
		p := full("p")
		p.Epoch, p.Version, p.Totals.Connections = uint64(i), uint64(i), i
		p.State.Globals = protocol.Raw(fmt.Sprintf(`"%0*d"`, 1+i%5000, i))
		return p
	}
	put(t, s, version(0))
	var writing sync.WaitGroup
	var done atomic.Bool
	writing.Go(func() {
		defer done.Store(true)
		for i := range 300 {
			put(t, s, version(i))
		}
	})
	for reads := 0; !done.Load() || reads == 0; reads++ {
		got := get(t, s, "p")
		same(t, got, stored(version(int(got.Epoch))))
	}
	writing.Wait()
}

func testCancelled(t *testing.T, s store.Store) {
	before := full("p")
	put(t, s, before)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	after := before
	after.Epoch++
	_, _, sessionErr := s.Session(ctx, "p")
	_, secretErr := s.Secret(ctx)
	_, recordsErr := s.Records(ctx, 0, 10)
	for what, err := range map[string]error{
		"put": s.Put(ctx, store.Batch{Sessions: []store.Session{after}}), "session": sessionErr, "secret": secretErr, "records": recordsErr,
		"seated": s.Seated(ctx, func(store.Session) error { return nil }),
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", what, err)
		}
	}
	same(t, get(t, s, "p"), stored(before))

	// In the middle: what Put reports is what happened, and the store goes on.
	for i := range 100 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*20*time.Microsecond)
		after := full("p")
		after.Epoch = uint64(1000 + i)
		was := get(t, s, "p").Epoch
		err := s.Put(ctx, store.Batch{Sessions: []store.Session{after, full("q")}})
		cancel()
		switch got := get(t, s, "p").Epoch; {
		case err == nil && got != after.Epoch:
			t.Fatalf("round %d: Put returned nil, epoch is %d", i, got)
		case err != nil && !errors.Is(err, context.DeadlineExceeded):
			t.Fatalf("round %d: %v", i, err)
		case err != nil && got != was:
			t.Fatalf("round %d: Put returned %v, and yet it stored", i, err)
		}
	}
}

func testClosed(t *testing.T, s store.Store) {
	put(t, s, full("p"))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("closing again: %v", err)
	}
	_, _, sessionErr := s.Session(t.Context(), "p")
	_, secretErr := s.Secret(t.Context())
	_, recordsErr := s.Records(t.Context(), 0, 10)
	_, assignedErr := s.Assigned(t.Context())
	for what, err := range map[string]error{
		"assigned": assignedErr,
		"put":      s.Put(t.Context(), store.Batch{Sessions: []store.Session{full("p")}}), "session": sessionErr, "secret": secretErr, "records": recordsErr,
		"seated": s.Seated(t.Context(), func(store.Session) error { return nil }),
	} {
		if err == nil {
			t.Errorf("%s works on a closed store", what)
		}
	}
}

func testReopen(t *testing.T, open Open) {
	place := t.TempDir()
	want, gone := full("p"), full("gone")
	gone.Presence = protocol.Gone
	var first []byte
	for i := range 3 {
		s := open(t, place)
		if i == 0 {
			first = secret(t, s)
			put(t, s, want, gone)
			putRecords(t, s, fullRecord())
			putMail(t, s, []store.Message{fullMessage("p", 3)}, fullMailbox("p"))
		}
		sameMail(t, s, fullMailbox("p"), fullMessage("p", 3))
		if log := records(t, s); len(log) != 1 {
			t.Errorf("%d records", len(log))
		}
		if !bytes.Equal(secret(t, s), first) {
			t.Error("the secret changed")
		}
		same(t, get(t, s, "p"), stored(want))
		same(t, get(t, s, "gone"), stored(gone))
		if got := seated(t, s); len(got) != 1 {
			t.Errorf("%d seated", len(got))
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	other := open(t, t.TempDir())
	defer other.Close()
	if bytes.Equal(secret(t, other), first) {
		t.Error("two stores have the same secret")
	}
}

// testTwoAtOnce has the same place open twice, as an old and a new server have
// it for a moment.
func testTwoAtOnce(t *testing.T, open Open) {
	place := t.TempDir()
	var stores [2]store.Store
	var opening sync.WaitGroup
	for i := range stores {
		opening.Go(func() { stores[i] = open(t, place) })
	}
	opening.Wait()
	for _, s := range stores {
		if s == nil {
			t.FailNow()
		}
		defer s.Close()
	}
	var secrets [2][]byte
	var wg sync.WaitGroup
	for i, s := range stores {
		wg.Go(func() {
			secrets[i] = secret(t, s)
			for n := range 50 {
				p := full(fmt.Sprintf("p%d", i))
				p.Epoch = uint64(n)
				put(t, s, p)
			}
		})
	}
	wg.Wait()
	if !bytes.Equal(secrets[0], secrets[1]) {
		t.Error("two secrets in one store")
	}
	for _, s := range stores {
		for _, p := range []string{"p0", "p1"} {
			if got := get(t, s, p); got.Epoch != 49 {
				t.Errorf("%s has epoch %d", p, got.Epoch)
			}
		}
	}
}

func secret(t testing.TB, s store.Store) []byte {
	t.Helper()
	x, err := s.Secret(t.Context())
	if err != nil || len(x) != 32 || bytes.Equal(x, make([]byte, 32)) {
		t.Errorf("secret: %d bytes, %v", len(x), err)
		return make([]byte, 32)
	}
	return x
}
