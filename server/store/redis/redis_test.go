package redis_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	driver "github.com/redis/go-redis/v9"

	"initgrace/grace/protocol"
	"initgrace/server/eventlog"
	"initgrace/server/store"
	"initgrace/server/store/redis"
	"initgrace/server/store/redis/redistest"
	"initgrace/server/store/storetest"
)

// addressEnv names the Redis of the tests to the processes that they start.
const addressEnv = "INITGRACE_TEST_REDIS"

var server *redistest.Server // nil in those processes

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if os.Getenv(addressEnv) == "" {
		var err error
		if server, err = redistest.Start(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer server.Stop()
		os.Setenv(addressEnv, server.URL)
	}
	return m.Run()
}

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t testing.TB, place string) store.Store { return open(t, place+":", nil) })
}

func open(t testing.TB, prefix string, o *redis.Options) *redis.Store {
	t.Helper()
	if o == nil {
		o = &redis.Options{}
	}
	o.Prefix = prefix
	s, err := redis.Open(t.Context(), os.Getenv(addressEnv), o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func client(t testing.TB, url string) *driver.Client {
	t.Helper()
	o, err := driver.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	c := driver.NewClient(o)
	t.Cleanup(func() { c.Close() })
	return c
}

// TestRedisDies: what Put has acknowledged is there when Redis is killed and
// started again, and the store finds its way back by itself.
func TestRedisDies(t *testing.T) {
	own, err := redistest.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(own.Stop)
	s, err := redis.Open(t.Context(), own.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for round := range uint64(5) {
		for i := range uint64(20) {
			b := store.Batch{Sessions: []store.Session{{Participant: "p", Epoch: 100*round + i + 1}}, Records: make([]eventlog.Record, 1)}
			if err := s.Put(t.Context(), b); err != nil {
				t.Fatal(err)
			}
		}
		own.Kill()
		// One that is on its way meanwhile is stored when Redis is back, once.
		late := make(chan error, 1)
		go func() {
			late <- s.Put(t.Context(), store.Batch{Sessions: []store.Session{{Participant: "late", Epoch: round}}, Records: make([]eventlog.Record, 1)})
		}()
		if err := own.Restart(); err != nil {
			t.Fatal(err)
		}
		if err := <-late; err != nil {
			t.Fatal(err)
		}
		got, ok, err := s.Session(t.Context(), "p")
		if want := 100*round + 20; err != nil || !ok || got.Epoch != want {
			t.Errorf("epoch %d, want %d: %v", got.Epoch, want, err)
		}
		log, err := s.Records(t.Context(), 0, 1000)
		if want := int(21 * (round + 1)); err != nil || len(log) != want {
			t.Errorf("%d records, want %d: %v", len(log), want, err)
		}
	}
}

// TestInDoubt: a batch that was stored although Put could not say so comes again
// with the next one; the log has its records once.
func TestInDoubt(t *testing.T) {
	s := open(t, t.TempDir()+":", nil)
	defer s.Close()
	if err := s.Lead(t.Context(), "", nil); err != nil {
		t.Fatal(err)
	}
	put := func(run string, from, to int64) {
		var b store.Batch
		for seq := from; seq <= to; seq++ {
			b.Records = append(b.Records, eventlog.Record{Run: run, Seq: seq})
		}
		if err := s.Put(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	put("one", 1, 9)
	put("one", 8, 12) // also numbers, not texts
	put("one", 8, 12)
	put("two", 1, 2)
	put("two", 1, 3)
	log, err := s.Records(t.Context(), 0, 100)
	if err != nil || len(log) != 15 {
		t.Fatalf("%d records: %v", len(log), err)
	}
	for i, r := range log {
		if want := int64(i%12 + 1); r.ID != int64(i+1) || r.Seq != want {
			t.Errorf("record %d is %d of %s", r.ID, r.Seq, r.Run)
		}
	}
}

// TestGone: a Redis that stays away is an error in the time given.
func TestGone(t *testing.T) {
	own, err := redistest.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(own.Stop)
	s, err := redis.Open(t.Context(), own.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	own.Kill()
	began := time.Now()
	if err := s.Put(t.Context(), store.Batch{Sessions: []store.Session{{Participant: "p"}}}); err == nil {
		t.Error("stored in a Redis that is dead")
	}
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("took %v", took)
	}
}

// TestRetention: nothing is kept for ever but the secret and the counter of the
// log, which is trimmed.
func TestRetention(t *testing.T) {
	prefix := t.TempDir() + ":"
	s := open(t, prefix, &redis.Options{Retention: 300 * time.Millisecond, LogRecords: 1000})
	defer s.Close()
	if _, err := s.Secret(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 50 {
		err := s.Put(t.Context(), store.Batch{
			Sessions:  []store.Session{{Participant: "p", Presence: protocol.Active}},
			Messages:  []store.Message{{To: "p", Seq: 1, From: "q", Key: "k"}},
			Mailboxes: []store.Mailbox{{Participant: "p", Posted: 1}},
			Records:   make([]eventlog.Record, 100),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	c := client(t, os.Getenv(addressEnv))
	if n := c.XLen(t.Context(), prefix+"log").Val(); n < 1000 || n > 1200 {
		t.Errorf("the log has %d records", n)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if _, ok, err := s.Session(t.Context(), "p"); err != nil {
			t.Fatal(err)
		} else if !ok {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the session is still there")
		}
	}
	if err := s.Seated(t.Context(), func(p store.Session) error { return errors.New("seated: " + p.Participant) }); err != nil {
		t.Error(err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		keys := slices.DeleteFunc(c.Keys(t.Context(), prefix+"*").Val(), func(key string) bool {
			return c.PTTL(t.Context(), key).Val() > time.Second // the id of a batch, for a while
		})
		if len(keys) == 3 { // log, log:last, secret
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("left are %q", keys)
		}
	}
}

// TestDamaged: what was edited by hand is reported, and keeps nobody else out.
func TestDamaged(t *testing.T) {
	prefix := t.TempDir() + ":"
	s := open(t, prefix, nil)
	defer s.Close()
	err := s.Put(t.Context(), store.Batch{
		Sessions:  []store.Session{{Participant: "good"}, {Participant: "bad"}},
		Messages:  []store.Message{{To: "bad", Seq: 1, From: "good"}},
		Mailboxes: []store.Mailbox{{Participant: "bad", Posted: 1}},
		Records:   make([]eventlog.Record, 1),
	})
	if err != nil {
		t.Fatal(err)
	}
	c := client(t, os.Getenv(addressEnv))
	for _, text := range []string{"", "{", `{"Since":"yesterday"}`, `{"Globals":"{"}`} {
		c.Set(t.Context(), prefix+"session:bad", text, 0)
		if _, _, err := s.Session(t.Context(), "bad"); !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("%q: %v", text, err)
		}
		var seated []string
		err := s.Seated(t.Context(), func(p store.Session) error { seated = append(seated, p.Participant); return nil })
		if !errors.Is(err, store.ErrCorrupt) || len(seated) != 1 || seated[0] != "good" {
			t.Errorf("%q: seated are %q, %v", text, seated, err)
		}
	}
	c.HSet(t.Context(), prefix+"mail:bad", "1", "{")
	if _, _, err := s.Mailbox(t.Context(), "bad"); !errors.Is(err, store.ErrCorrupt) {
		t.Error(err)
	}
	c.XAdd(t.Context(), &driver.XAddArgs{Stream: prefix + "log", ID: "2-0", Values: []string{"row", "[1]"}})
	if _, err := s.Records(t.Context(), 0, 10); !errors.Is(err, store.ErrCorrupt) || !strings.Contains(err.Error(), "2-0") {
		t.Error(err)
	}
}

// TestAddress: an address that cannot be used is one line, without its password.
func TestAddress(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	for _, address := range []string{
		"", "localhost", "http://localhost", "redis://user:hunter2@127.0.0.1:1/0", "redis://:hunter2@%/0", "redis://:hunter2@127.0.0.1/x",
		"redis+sentinel://:hunter2@/", "redis+sentinel://:hunter2@127.0.0.1:1", "redis+sentinel://:hunter2@127.0.0.1:1/m/x", "redis+sentinel://:hunter2@127.0.0.1:1,127.0.0.1:2/main",
		"unix://:hunter2@" + filepath.Join(t.TempDir(), "none"),
	} {
		s, err := redis.Open(ctx, address, nil)
		if err == nil {
			s.Close()
			t.Errorf("%s: opened", address)
			continue
		}
		if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "\n") || !strings.HasPrefix(err.Error(), "redis ") {
			t.Errorf("%s: %v", address, err)
		}
	}
}

// TestNotDurable: a Redis that may lose what it acknowledged is warned of.
func TestNotDurable(t *testing.T) {
	own, err := redistest.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(own.Stop)
	for _, c := range []struct {
		setting, value string
		warns          bool
	}{{"appendfsync", "always", false}, {"appendfsync", "everysec", true}} {
		o, err := driver.ParseURL(own.URL)
		if err != nil {
			t.Fatal(err)
		}
		direct := driver.NewClient(o)
		if err := direct.ConfigSet(t.Context(), c.setting, c.value).Err(); err != nil {
			t.Fatal(err)
		}
		direct.Close()
		var log bytes.Buffer
		s, err := redis.Open(t.Context(), own.URL, &redis.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		s.Close()
		if got := strings.Contains(log.String(), "setting="+c.setting); got != c.warns {
			t.Errorf("%s %s: %q", c.setting, c.value, log.String())
		}
	}
}

// TestLead: one server leads; when it resigns or goes silent the next one does,
// and the former one can store nothing any more.
func TestLead(t *testing.T) {
	own, err := redistest.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(own.Stop)
	var servers [3]*redis.Store
	for i := range servers {
		if servers[i], err = redis.Open(t.Context(), own.URL, nil); err != nil {
			t.Fatal(err)
		}
		defer servers[i].Close()
	}
	first, second, third := servers[0], servers[1], servers[2]
	batch := store.Batch{Sessions: []store.Session{{Participant: "p"}}, Records: make([]eventlog.Record, 1)}
	nobody := func(leader string) { t.Errorf("follows %q", leader) }
	if err := first.Lead(t.Context(), "first:1", nobody); err != nil {
		t.Fatal(err)
	}
	followed := map[string]bool{}
	follow := func(leader string) { followed[leader] = true }
	impatient, cancel := context.WithTimeout(t.Context(), 4*time.Second)
	defer cancel()
	if err := second.Lead(impatient, "second:2", follow); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("two lead: %v", err)
	}
	if len(followed) != 1 || !followed["first:1"] {
		t.Errorf("followed %v", followed)
	}

	// A leader that ends lets the next one lead at once.
	led := make(chan error)
	go func() { led <- second.Lead(t.Context(), "second:2", follow) }()
	ended := time.Now()
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-led; err != nil {
		t.Fatal(err)
	}
	if took := time.Since(ended); took > 2*time.Second {
		t.Errorf("the next one leads after %v", took)
	}
	if err := second.Put(t.Context(), batch); err != nil {
		t.Error(err)
	}

	// One whose lease ran out because it was not running learns that another
	// one leads by the first thing that it wants to store.
	o, err := driver.ParseURL(own.URL)
	if err != nil {
		t.Fatal(err)
	}
	direct := driver.NewClient(o)
	defer direct.Close()
	direct.Del(t.Context(), "initgrace:leader")
	if err := third.Lead(t.Context(), "third:3", follow); err != nil {
		t.Fatal(err)
	}
	if err := second.Put(t.Context(), batch); !errors.Is(err, store.ErrSuperseded) {
		t.Errorf("the former leader stored: %v", err)
	}
	select {
	case <-second.Superseded():
	case <-time.After(10 * time.Second):
		t.Error("the former leader does not know")
	}
	if err := second.Close(); err != nil { // takes nothing from the third
		t.Error(err)
	}
	if err := third.Put(t.Context(), batch); err != nil {
		t.Error(err)
	}
	if log, err := third.Records(t.Context(), 0, 10); err != nil || len(log) != 2 {
		t.Errorf("%d records: %v", len(log), err)
	}

	// A Redis that was away leaves the leader in its place.
	own.Kill()
	if err := own.Restart(); err != nil {
		t.Fatal(err)
	}
	if err := third.Put(t.Context(), batch); err != nil {
		t.Error(err)
	}
	select {
	case <-third.Superseded():
		t.Error("superseded by nobody")
	default:
	}
}
