package memory_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"initgrace/grace/protocol"
	"initgrace/server/eventlog"
	"initgrace/server/store"
	"initgrace/server/store/memory"
	"initgrace/server/store/storetest"
)

func TestStore(t *testing.T) {
	storetest.RunVolatile(t, func(testing.TB, string) store.Store { return memory.New() })
}

// More names than the table of texts holds, over many chunks: as when somebody
// connects over and over, only to be refused.
func TestManyTexts(t *testing.T) {
	s := memory.New()
	defer s.Close()
	const n, page = 70_000, 999
	at := time.Date(2026, 11, 3, 0, 0, 0, 0, time.UTC)
	for i := 0; i < n; i += 500 {
		var b store.Batch
		for j := range 500 {
			b.Records = append(b.Records, eventlog.Record{At: at, Seq: int64(i + j), Kind: eventlog.HandshakeRefused, Participant: fmt.Sprint("p\t", i+j), Detail: "x"})
		}
		if err := s.Put(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	seen := int64(0)
	for {
		got, err := s.Records(t.Context(), seen, page)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range got {
			want := eventlog.Record{ID: seen + 1, At: at, Seq: seen, Kind: eventlog.HandshakeRefused, Participant: fmt.Sprint("p ", seen), Detail: "x"}
			if r != want {
				t.Fatalf("got\n%+v\nwant\n%+v", r, want)
			}
			seen++
		}
		if len(got) < page {
			break
		}
	}
	if seen != n {
		t.Errorf("%d records, want %d", seen, n)
	}
}

// A server without a database may run for years.
func TestOldestRecordsAreForgotten(t *testing.T) {
	s := memory.New()
	defer s.Close()
	text := strings.Repeat("x", 480)
	const n, size = 160_000, 64 << 20
	for i := range n / 1000 {
		var b store.Batch
		for j := range 1000 {
			b.Records = append(b.Records, eventlog.Record{Seq: int64(1000*i + j), Kind: eventlog.HandshakeRefused, Detail: text})
		}
		if err := s.Put(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	kept, err := s.Records(t.Context(), 0, n)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range kept {
		if r.ID != kept[0].ID+int64(i) || r.Seq != r.ID-1 || r.Detail != text {
			t.Fatalf("after %d records: %+v", i, r)
		}
	}
	if last := kept[len(kept)-1]; last.ID != n {
		t.Errorf("the last one is %d, of %d", last.ID, n)
	}
	if bytes := len(kept) * len(text); bytes > size || bytes < size*3/4 {
		t.Errorf("%d bytes of text are kept", bytes)
	}
}

// BenchmarkPut is a batch as a server makes it when participants do nothing but
// load.
func BenchmarkPut(b *testing.B) {
	s := memory.New()
	now := time.Now()
	var batch store.Batch
	for i := range 25 {
		who := fmt.Sprint("participant-", i)
		batch.Sessions = append(batch.Sessions, store.Session{Participant: who, Group: "group-1", Epoch: 1, Presence: protocol.Active, Since: now, Created: now, Updated: now})
		one := eventlog.Record{At: now, Mono: 12345, Run: "20261103T000000Z-01020304", Seq: 77, Participant: who, Group: "group-1", Epoch: eventlog.Of(1),
			Kind: eventlog.LoadStarted, LoadID: "load-17", Lease: eventlog.Of(60_000)}
		batch.Records = append(batch.Records, one, one, one, one)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := s.Put(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
}
