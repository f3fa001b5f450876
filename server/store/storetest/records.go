package storetest

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"initgrace/grace/protocol"
	"initgrace/server/eventlog"
	"initgrace/server/store"
)

// fullRecord returns a record in which every column but id has a value;
// testRecordFields checks that, so that a new one cannot be forgotten here.
func fullRecord() eventlog.Record {
	return eventlog.Record{
		At: time.Date(2026, 11, 3, 4, 5, 6, 789e6, time.UTC), Mono: 1234, Run: "run-1", Seq: 7, Kind: eventlog.LoadEnded,
		Participant: "p1", Experiment: "grid world", Group: "g1", Partner: "p2",
		Epoch: eventlog.Of(3), PresenceSeq: eventlog.Of(4), From: protocol.Loading, To: protocol.Away, Reason: "ok",
		LoadID: "load-1", Phase: "pyodide", Scene: "play",
		Expected: eventlog.Of(5), Lease: eventlog.Of(6), Duration: eventlog.Of(0), Blocked: eventlog.Of(-8),
		LongestBlock: eventlog.Of(math.MaxInt64), Count: eventlog.Of(math.MinInt64), Bytes: eventlog.Of(10), Version: eventlog.Of(11),
		Detail: "all is well",
	}
}

func testRecordFields(t *testing.T, s store.Store) {
	want, zero := fullRecord(), eventlog.Record{}
	for _, c := range eventlog.Events.Columns[1:] {
		if c.Value(&want) == nil {
			t.Fatalf("the suite's example leaves %s missing", c.Name)
		}
	}
	putRecords(t, s, want, zero, want)
	got := records(t, s)
	if len(got) != 3 {
		t.Fatalf("%d records, want 3", len(got))
	}
	for i, w := range []eventlog.Record{want, zero, want} {
		w.ID = got[i].ID
		if got[i] != w {
			t.Errorf("got\n%+v\nwant\n%+v", got[i], w)
		}
	}
	// Times lose what is below a millisecond, and their zone.
	far := want
	far.At = time.Date(2026, 3, 29, 2, 30, 0, 123_999_999, time.FixedZone("far", 14*3600))
	putRecords(t, s, far)
	if got := records(t, s)[3].At; got != time.Date(2026, 3, 28, 12, 30, 0, 123e6, time.UTC) {
		t.Errorf("a time came back as %v", got)
	}
}

func testRecordText(t *testing.T, s store.Store) {
	texts := []string{
		"ä ö ü 日本語 😀", "line\nbreak\r\n\tand\x00nul", "not \xff UTF-8", strings.Repeat("é", 400), strings.Repeat("x", 70_000),
		`'; DROP TABLE events; --`, "=1+1", " ", "null", "NA", "0",
	}
	for _, text := range texts {
		r := fullRecord()
		r.Detail, r.Participant, r.LoadID, r.Kind, r.Run = text, text, text, eventlog.Kind(text), text
		putRecords(t, s, r)
	}
	for i, r := range records(t, s) {
		want := eventlog.Clean(texts[i])
		for _, got := range []string{r.Detail, r.Participant, r.LoadID, string(r.Kind), r.Run} {
			if got != want {
				t.Errorf("text %d came back as %.100q, want %.100q", i, got, want)
			}
		}
	}
}

func testRecordPages(t *testing.T, s store.Store) {
	const n = 700
	if got := records(t, s); len(got) != 0 {
		t.Fatalf("an empty log has %d records", len(got))
	}
	var all []eventlog.Record
	for i := range n {
		r := fullRecord()
		r.Seq = int64(i)
		all = append(all, r)
	}
	putRecords(t, s, all[:1]...)
	putRecords(t, s, all[1:500]...)
	putRecords(t, s, all[500:]...)
	for _, limit := range []int{1, 7, 350, n, 10 * n} {
		var after, seq int64
		for {
			page, err := s.Records(t.Context(), after, limit)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range page {
				if r.ID <= after || r.Seq != seq {
					t.Fatalf("limit %d: id %d after %d, seq %d instead of %d", limit, r.ID, after, r.Seq, seq)
				}
				after, seq = r.ID, seq+1
			}
			if len(page) < limit {
				break
			}
		}
		if seq != n {
			t.Errorf("limit %d: %d records, want %d", limit, seq, n)
		}
	}
	for _, limit := range []int{0, -1} {
		if page, err := s.Records(t.Context(), 0, limit); len(page) != 0 || err != nil {
			t.Errorf("limit %d: %d records, %v", limit, len(page), err)
		}
	}
	if page, err := s.Records(t.Context(), math.MaxInt64, 10); len(page) != 0 || err != nil {
		t.Errorf("after the last id: %d records, %v", len(page), err)
	}
}

// testRecordsWithSessions checks that a batch of both is stored as one, and
// that records alone and sessions alone are too.
func testRecordsWithSessions(t *testing.T, s store.Store) {
	r := fullRecord()
	for _, b := range []store.Batch{
		{Sessions: []store.Session{full("p1")}, Records: []eventlog.Record{r, r}},
		{Sessions: []store.Session{full("p2")}},
		{Records: []eventlog.Record{r}},
	} {
		if err := s.Put(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	if got := len(records(t, s)); got != 3 {
		t.Errorf("%d records, want 3", got)
	}
	same(t, get(t, s, "p1"), stored(full("p1")))
	same(t, get(t, s, "p2"), stored(full("p2")))
}

func testRecordWriters(t *testing.T, s store.Store) {
	const writers, rounds = 4, 15
	var writing sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			for i := range rounds {
				r := fullRecord()
				r.Run, r.Seq = fmt.Sprint(w), int64(i)
				putRecords(t, s, r)
				if log := records(t, s); !slices.ContainsFunc(log, func(x eventlog.Record) bool { return x.Run == r.Run && x.Seq == r.Seq }) {
					t.Errorf("writer %d does not find its record %d", w, i)
				}
			}
		})
	}
	writing.Wait()
	next := map[string]int64{}
	for _, r := range records(t, s) {
		if r.Seq != next[r.Run] {
			t.Fatalf("writer %s: record %d follows %d", r.Run, r.Seq, next[r.Run]-1)
		}
		next[r.Run]++
	}
	for w := range writers {
		if n := next[fmt.Sprint(w)]; n != rounds {
			t.Errorf("writer %d: %d records, want %d", w, n, rounds)
		}
	}
}

func putRecords(t testing.TB, s store.Store, records ...eventlog.Record) {
	t.Helper()
	if err := s.Put(t.Context(), store.Batch{Records: records}); err != nil {
		t.Errorf("put: %v", err)
	}
}

// records reads the whole log.
func records(t testing.TB, s store.Store) []eventlog.Record {
	t.Helper()
	var all []eventlog.Record
	for after := int64(0); ; {
		page, err := s.Records(t.Context(), after, 1000)
		if err != nil {
			t.Fatalf("records: %v", err)
		}
		all = append(all, page...)
		if len(page) < 1000 {
			return all
		}
		after = page[len(page)-1].ID
	}
}
