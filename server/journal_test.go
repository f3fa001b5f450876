package server

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"initgrace/grace/protocol"
	"initgrace/server/eventlog"
	"initgrace/server/store"
	"initgrace/server/store/memory"
	"initgrace/server/store/sqlite"
)

// logged is a rig whose log a test reads, as initgrace export does.
type logged struct {
	*rig
	path string
}

func startLogged(t *testing.T) logged {
	t.Helper()
	path := filepath.Join(t.TempDir(), "study.db")
	return logged{start(t, Config{Store: openDB(t, path)}), path}
}

func openDB(t *testing.T, path string) store.Store {
	t.Helper()
	db, err := sqlite.Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// events is the log so far, checked.
func (r logged) events() []eventlog.Record {
	r.t.Helper()
	db, err := sqlite.OpenLog(r.path)
	if err != nil {
		r.t.Fatal(err)
	}
	defer db.Close()
	log, err := db.Records(context.Background(), 0, 1_000_000)
	if err != nil {
		r.t.Fatal(err)
	}
	checkLog(r.t, log)
	return log
}

// of waits until a participant has a record of a kind, and returns what the
// log says of the participant.
func (r logged) of(participant string, kind eventlog.Kind) []eventlog.Record {
	r.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		log := r.events()
		if slices.ContainsFunc(log, func(e eventlog.Record) bool { return e.Participant == participant && e.Kind == kind }) {
			return slices.DeleteFunc(log, func(e eventlog.Record) bool { return e.Participant != participant })
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("no record of %s for %s", kind, participant)
		}
	}
}

// checkLog checks what must hold in every log.
func checkLog(t testing.TB, log []eventlog.Record) {
	t.Helper()
	defined, reasons := map[eventlog.Kind]eventlog.Definition{}, map[string]bool{"": true}
	for _, d := range eventlog.Kinds {
		defined[d.Kind] = d
	}
	for _, r := range eventlog.Reasons {
		reasons[r.Value] = true
	}
	common := []string{"id", "at", "mono_ms", "run", "seq", "kind", "participant", "experiment", "group_id", "epoch"}
	last, spell := map[string]eventlog.Record{}, map[string]eventlog.Record{}
	for i := range log {
		e := &log[i]
		d, ok := defined[e.Kind]
		if !ok {
			t.Errorf("%s is not defined", e.Kind)
		}
		for _, c := range eventlog.Events.Columns {
			filled := c.Value(e) != nil
			if filled && !slices.Contains(common, c.Name) && !slices.Contains(d.Fills, c.Name) {
				t.Errorf("%s has a value in %s: %+v", e.Kind, c.Name, *e)
			}
			if !filled && c.Required {
				t.Errorf("%s lacks %s", e.Kind, c.Name)
			}
		}
		if !reasons[e.Reason] {
			t.Errorf("reason %q of %s is not defined", e.Reason, e.Kind)
		}
		before := last[e.Run]
		if e.Seq != before.Seq+1 || e.Mono < before.Mono || e.Duration.Or(0) < 0 {
			t.Errorf("record %d at %d ms, %+v, follows %d at %d ms", e.Seq, e.Mono, *e, before.Seq, before.Mono)
		}
		last[e.Run] = *e
		// The times spent add up: each record of presence accounts for the time
		// since the one before.
		if e.Kind == eventlog.Presence || e.Kind == eventlog.Suspended {
			b, known := spell[e.Run+e.Participant]
			want := eventlog.Int{}
			if known && b.To != protocol.Gone {
				want = eventlog.Of(e.Mono - b.Mono)
			}
			if e.Duration != want || known && b.To != protocol.Gone && e.From != b.To {
				t.Errorf("%+v\nfollows %+v", *e, b)
			}
			spell[e.Run+e.Participant] = *e
		}
	}
}

// story is a log as one line for each record.
func story(log []eventlog.Record) string {
	var b strings.Builder
	for _, e := range log {
		fmt.Fprint(&b, e.Kind)
		switch e.Kind {
		case eventlog.Presence:
			fmt.Fprintf(&b, " %s>%s", e.From, e.To)
		case eventlog.Suspended:
			fmt.Fprintf(&b, " %s", e.From)
		case eventlog.HandshakeRefused, eventlog.Refused, eventlog.MessagesSent, eventlog.MessagesReceived, eventlog.Waiting, eventlog.GroupJoined:
			fmt.Fprintf(&b, " n=%d", e.Count.N)
		case eventlog.StateSaved:
			fmt.Fprintf(&b, " v%d %s %d", e.Version.N, e.Scene, e.Bytes.N)
		}
		for _, s := range []string{e.Reason, e.LoadID, e.Phase, e.Partner} {
			if s != "" {
				fmt.Fprint(&b, " ", s)
			}
		}
		fmt.Fprintln(&b)
	}
	return b.String()
}

func wantStory(t testing.TB, log []eventlog.Record, want string) {
	t.Helper()
	want = strings.ReplaceAll(strings.TrimSpace(want), "\t", "") + "\n"
	if got := story(log); got != want {
		t.Errorf("the log says\n%s\nwant\n%s", got, want)
	}
}

func TestLogOfALoad(t *testing.T) {
	t.Parallel()
	r := startLogged(t)
	p, _ := r.connect(`{"participant":"p","experiment":"grid","group":"g","page_id":"page-1"}`)
	r.connect(`{"participant":"q","experiment":"grid","group":"g"}`)
	p.call(protocol.EventStateSave, `{"scene_id":"play","globals":{"secret":1}}`, nil)
	p.call(protocol.EventLoadStart, `{"id":"l1","phase":"python","expected_ms":4000}`, nil)
	p.call(protocol.EventLoadProgress, `{"id":"l1","phase":"numpy"}`, nil)
	p.call(protocol.EventSend, `{"data":"hello"}`, nil)
	p.call(protocol.EventLoadComplete, `{"id":"l1","blocked_ms":30,"longest_block_ms":20}`, nil)
	p.call(protocol.EventLoadStart, `{"id":"l2"}`, nil)
	p.call(protocol.EventLoadComplete, `{"id":"l2","error":true,"reason":"out of\nmemory"}`, nil)
	p.call(protocol.EventLoadStart, `{"id":"l3"}`, nil)
	r.connect(`{"participant":"p","experiment":"grid","page_id":"page-2"}`)
	log := r.of("p", eventlog.MessagesSent)
	wantStory(t, log[:len(log)-1], `
		connected connected
		group_joined n=1
		presence >active connected
		state_saved v1 play 42
		load_started l1 python
		presence active>loading load_started python
		load_progress l1 numpy
		presence loading>loading load_progress numpy
		load_ended ok l1 numpy
		presence loading>active load_ended
		load_started l2
		presence active>loading load_started
		load_ended failed l2
		presence loading>active load_failed
		load_started l3
		presence active>loading load_started
		disconnected replaced
		messages_sent n=1
		connected refreshed
		load_ended abandoned l3`)
	started, ended := log[4], log[8]
	if started.Expected.N != 4000 || started.Lease.N != 8000 || ended.Blocked.N != 30 || ended.LongestBlock.N != 20 ||
		ended.Duration != eventlog.Of(ended.Mono-started.Mono) && ended.Duration != eventlog.Of(ended.Mono-started.Mono-1) {
		t.Errorf("load: %+v\nended %+v", started, ended)
	}
	if failed := log[12]; failed.Detail != "out of memory" || failed.LongestBlock.Known {
		t.Errorf("failed load: %+v", failed)
	}
	for _, e := range log {
		if e.Experiment != "grid" || e.Group != "g" || !e.Epoch.Known {
			t.Errorf("of whom? %+v", e)
		}
	}
}

func TestLogOfTheEnd(t *testing.T) {
	t.Parallel()
	r := startLogged(t)
	a, _ := r.connect(`{"participant":"a"}`)
	b, _ := r.connect(`{"participant":"b"}`)
	for _, c := range []*plain{a, b} {
		c.call(protocol.EventJoin, `{}`, nil)
		c.call(protocol.EventJoin, `{}`, nil) // a second time changes nothing
	}
	b.expect(protocol.EventGroupReady, nil)
	a.call(protocol.EventLoadStart, `{}`, nil)
	a.freeze()
	for range 3 {
		b.call(protocol.EventSend, `{"data":1}`, nil)
	}
	a.ws.Close(1001, "")
	b.expect(protocol.EventGroupEnd, nil)
	log := r.of("a", eventlog.Gone)
	wantStory(t, log, `
		connected connected
		presence >active connected
		waiting n=2
		group_joined n=2
		load_started load-1
		presence active>loading load_started
		disconnected page_closed
		messages_received n=3
		presence loading>away page_closed
		load_ended abandoned load-1
		presence away>gone leave_timeout
		dropped leave_timeout
		group_left leave_timeout
		gone leave_timeout`)
	of := r.of("b", eventlog.GroupLeft)
	if last := of[len(of)-1]; last.Partner != "a" || !strings.HasPrefix(last.Group, groupPrefix) {
		t.Errorf("the partner's group ended as %+v", last)
	}
}

func TestLogAcrossARestart(t *testing.T) {
	t.Parallel()
	r := startLogged(t)
	p, s := r.connect(`{"participant":"p","page_id":"page-1","group":"g"}`)
	p.call(protocol.EventLoadStart, `{"id":"l1"}`, nil)
	r.stop()
	r2 := logged{start(t, Config{Store: openDB(t, r.path)}), r.path}
	p, _ = r2.connect(`{"participant":"p","page_id":"page-1","token":"` + s.Token + `"}`)
	p.call(protocol.EventLoadComplete, `{"id":"l1"}`, nil)
	r2.stop()
	wantStory(t, r2.of("p", eventlog.Connected), `
		connected connected
		group_joined n=1
		presence >active connected
		load_started l1
		presence active>loading load_started
		disconnected server_restart
		suspended loading server_restart
		presence loading>away server_restart
		connected reconnected
		presence away>loading reconnected
		load_ended ok l1
		presence loading>active load_ended
		disconnected server_restart
		suspended active server_restart`)
	var runs []string
	for _, e := range r2.events() {
		if e.Kind == eventlog.RunStarted || e.Kind == eventlog.RunStopped {
			runs = append(runs, string(e.Kind))
			if e.Kind == eventlog.RunStarted && !strings.Contains(e.Detail, `"load_cap_ms":15000`) {
				t.Errorf("policy %q", e.Detail)
			}
		}
	}
	if want := []string{"run_started", "run_stopped", "run_started", "run_stopped"}; !slices.Equal(runs, want) {
		t.Errorf("runs %q", runs)
	}
}

// Who was away before a restart is so in the log of the next run from its start.
func TestLogOfOneAwayAcrossARestart(t *testing.T) {
	t.Parallel()
	policy := quick()
	policy.LeaveTimeout = 20 * time.Second
	path := filepath.Join(t.TempDir(), "study.db")
	r := logged{start(t, Config{Store: openDB(t, path), Policy: policy}), path}
	p, _ := r.connect(`{"participant":"p","page_id":"page-1"}`)
	p.ws.Close(1001, "")
	r.await("p", protocol.Away, 1)
	r.stop()
	r2 := logged{start(t, Config{Store: openDB(t, path), Policy: policy}), path}
	r2.connect(`{"participant":"p","page_id":"page-1"}`)
	r2.stop()
	wantStory(t, r2.of("p", eventlog.Connected), `
		connected connected
		presence >active connected
		disconnected page_closed
		presence active>away page_closed
		suspended away server_restart
		presence away>away server_restart
		connected reconnected
		presence away>active reconnected
		disconnected server_restart
		suspended active server_restart`)
}

// What was granted for too short a time is measured all the same.
func TestLogOfALateLoad(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "study.db")
	policy := quick()
	policy.LoadTimeout = 300 * time.Millisecond
	r := logged{start(t, Config{Store: openDB(t, path), Policy: policy}), path}
	p, _ := r.connect(`{"participant":"p"}`)
	p.call(protocol.EventLoadStart, `{"id":"l1"}`, nil)
	r.await("p", protocol.Active, 2) // the lease ran out, the page answers
	p.refused(protocol.EventLoadComplete, `{"id":"l1","blocked_ms":7,"longest_block_ms":6}`, protocol.CodeLoadEnded)
	log := r.of("p", eventlog.Refused)
	wantStory(t, log, `
		connected connected
		presence >active connected
		load_started l1
		presence active>loading load_started
		load_ended expired l1
		presence loading>active lease_expired
		load_late l1
		refused n=1 load_ended`)
	if e := log[4]; e.Duration.N != 300 || e.Lease.N != 300 {
		t.Errorf("expired after %+v of %+v", e.Duration, e.Lease)
	}
	if e := log[6]; e.Blocked.N != 7 || e.LongestBlock.N != 6 {
		t.Errorf("late: %+v", e)
	}
}

// Anybody can make the server refuse, and a page can save as often as it
// likes: the log grows slowly, and still adds up.
func TestLogUnderAFlood(t *testing.T) {
	t.Parallel()
	r := startLogged(t)
	p, _ := r.connect(`{"participant":"p"}`)
	const n = 700
	for i := range n {
		p.emit(strings.Repeat("x", i), `{}`)
		p.emit(protocol.EventStateSave, fmt.Sprintf(`{"scene_id":"s%d","version":%d}`, i, i))
	}
	p.call(protocol.EventLoadStart, `{"id":"l"}`, nil)
	for range n {
		p.emit(protocol.EventLoadComplete, `{"id":"l"}`) // late but the first
	}
	p.call(protocol.EventPing, `{}`, nil)
	for range 30 {
		r.dial(`{"participant":"p","token":"1.x"}`)
	}
	p.line.Conn.Close()
	r.await("p", protocol.Away, 1)
	r.stop()
	count, rows := map[eventlog.Kind]int64{}, map[eventlog.Kind]int{}
	var version int64
	for _, e := range r.events() {
		count[e.Kind] += e.Count.Or(1)
		rows[e.Kind]++
		if len(e.Detail) > 500 {
			t.Errorf("a detail of %d bytes", len(e.Detail))
		}
		if e.Kind == eventlog.StateSaved {
			if e.Version.N != version+e.Count.Or(1) {
				t.Errorf("version %d after %d stands for %d", e.Version.N, version, e.Count.Or(1))
			}
			version = e.Version.N
		}
	}
	if count[eventlog.Refused] != 2*n-1 || rows[eventlog.Refused] > 4 {
		t.Errorf("%d rows of refused stand for %d, want %d", rows[eventlog.Refused], count[eventlog.Refused], 2*n-1)
	}
	if rows[eventlog.LoadLate] > chatterRate*15 {
		t.Errorf("%d rows of late loads", rows[eventlog.LoadLate])
	}
	if saved := rows[eventlog.StateSaved]; saved < chatterBurst || saved > chatterBurst+chatterRate*15 {
		t.Errorf("%d rows of state_saved", saved)
	}
	if count[eventlog.HandshakeRefused] != 30 || rows[eventlog.HandshakeRefused] > 10 {
		t.Errorf("%d rows of refused handshakes stand for %d", rows[eventlog.HandshakeRefused], count[eventlog.HandshakeRefused])
	}
}

// brokenStore refuses to store while it is broken.
type brokenStore struct {
	store.Store
	broken atomic.Bool
	failed atomic.Int64
}

func (b *brokenStore) Put(ctx context.Context, batch store.Batch) error {
	if b.broken.Load() {
		b.failed.Add(1)
		return errors.New("the disk is full")
	}
	return b.Store.Put(ctx, batch)
}

// While the disk is full nothing is acked as stored; what happened meanwhile
// is in the log afterwards, once and in order.
func TestLogWhileTheDiskIsFull(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "study.db")
	broken := &brokenStore{Store: openDB(t, path)}
	r := logged{start(t, Config{Store: broken}), path}
	p, _ := r.connect(`{"participant":"p"}`)
	broken.broken.Store(true)
	p.refused(protocol.EventLoadStart, `{"id":"l1"}`, protocol.CodeStore)
	p.refused(protocol.EventLoadComplete, `{"id":"l1"}`, protocol.CodeStore)
	broken.broken.Store(false)
	p.call(protocol.EventLoadStart, `{"id":"l2"}`, nil)
	wantStory(t, r.of("p", eventlog.LoadEnded), `
		connected connected
		presence >active connected
		load_started l1
		presence active>loading load_started
		load_ended ok l1
		presence loading>active load_ended
		load_started l2
		presence active>loading load_started`)
}

// countingStore is a store that can be broken and keeps no records, only
// whether they came once and in order.
type countingStore struct {
	brokenStore
	seq, gaps atomic.Int64
}

func (c *countingStore) Put(ctx context.Context, b store.Batch) error {
	records := b.Records
	b.Records = nil
	if err := c.brokenStore.Put(ctx, b); err != nil {
		return err
	}
	for _, e := range records {
		if e.Seq != c.seq.Add(1) {
			c.gaps.Add(1)
		}
	}
	return nil
}

// A disk that stays full bounds what is kept in memory: the loop stops
// listening, and nobody is given up for not having been heard.
func TestLogIsBounded(t *testing.T) {
	t.Parallel()
	db := &countingStore{brokenStore: brokenStore{Store: memory.New()}}
	r := start(t, Config{Store: db})
	p, _ := r.connect(`{"participant":"p"}`)
	db.broken.Store(true)
	var ran atomic.Int64
	const each, tasks = 1000, 80
	for range tasks {
		r.srv.loop.post(func(l *loop, now time.Time) {
			ran.Add(1)
			for range each {
				l.record(now, eventlog.Record{Kind: eventlog.Connected})
			}
		})
	}
	for full := time.Now().Add(patience); ran.Load() < maxPending/each; {
		if time.Now().After(full) {
			t.Fatalf("%d tasks ran, want %d", ran.Load(), maxPending/each)
		}
		time.Sleep(10 * time.Millisecond)
	}
	policy := quick()
	time.Sleep(policy.SilenceTimeout + policy.ReconnectTimeout + time.Second) // the outage
	if n := ran.Load(); n > maxPending/each+1 {
		t.Errorf("%d tasks ran, want %d", n, maxPending/each)
	}
	db.broken.Store(false)
	p.call(protocol.EventLoadStart, `{}`, nil)
	if h := r.history("p"); slices.Contains(h, protocol.Gone) {
		t.Errorf("history %v", h)
	}
	if n := db.seq.Load(); n < each*tasks || db.gaps.Load() > 0 {
		t.Errorf("%d records of at least %d, %d gaps", n, each*tasks, db.gaps.Load())
	}
}
