package export

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"initgrace/grace/protocol"
	"initgrace/server/eventlog"
	"initgrace/server/store"
	"initgrace/server/store/sqlite"
)

// BenchmarkExport exports logs of growing length from the file that a server
// writes. The heap must not grow with them (of participants: only with their
// number, here one in 40 events).
func BenchmarkExport(b *testing.B) {
	for _, n := range []int{100_000, 1_000_000} {
		path := filepath.Join(b.TempDir(), "study.db")
		fill(b, path, n)
		for _, o := range []Options{
			{Format: CSV}, {Format: JSONL}, {Format: Parquet}, {Table: "participants"}, {Table: "loads"},
			{Format: CSV, Pseudonyms: mustPseudonyms(b)},
		} {
			name := fmt.Sprintf("events=%d/%s-%s/pseudonyms=%v", n, o.Table, o.Format, o.Pseudonyms != nil)
			b.Run(name, func(b *testing.B) {
				log, err := sqlite.OpenLog(path)
				if err != nil {
					b.Fatal(err)
				}
				defer log.Close()
				runtime.GC()
				var peak uint64
				for b.Loop() {
					src := watched{log, 25, &peak}
					if _, err := Write(b.Context(), io.Discard, src, &o); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "events/s")
				b.ReportMetric(float64(peak)/(1<<20), "MiB-live")
			})
		}
	}
}

// watched notes how much memory is live while a log is read.
type watched struct {
	Source
	every int64 // pages
	peak  *uint64
}

func (w watched) Records(ctx context.Context, after int64, limit int) ([]eventlog.Record, error) {
	if after/page%w.every == 0 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		*w.peak = max(*w.peak, m.HeapAlloc)
	}
	return w.Source.Records(ctx, after, limit)
}

func mustPseudonyms(b *testing.B) *Pseudonyms {
	p, err := NewPseudonyms(make([]byte, 32))
	if err != nil {
		b.Fatal(err)
	}
	return p
}

// block is how many records of a log are made here; SQLite makes its copies,
// far faster than it takes records.
const block = 2000

var fillStart = time.Date(2026, 11, 3, 0, 0, 0, 0, time.UTC)

// fill writes a log: participants of whom each loads, is away, and goes.
func fill(b testing.TB, path string, n int) {
	b.Helper()
	db, err := sqlite.Open(path, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	var batch []eventlog.Record
	for i := range block {
		who, step := i/40, i%40
		r := eventlog.Record{
			At: fillStart.Add(time.Duration(i) * 10 * time.Millisecond), Mono: int64(i) * 10, Run: "20261103T000000Z-01020304", Seq: int64(i + 1),
			Participant: fmt.Sprintf("participant-%02d", who), Experiment: "grid", Group: fmt.Sprintf("group-%02d", who/2), Epoch: eventlog.Of(1),
		}
		switch {
		case step == 0:
			r.Kind = eventlog.GroupJoined
		case step == 39:
			r.Kind, r.Reason = eventlog.GroupLeft, "leave_timeout"
		case step%4 == 1:
			r.Kind, r.LoadID, r.Phase, r.Lease = eventlog.LoadStarted, fmt.Sprint("load-", step), "python", eventlog.Of(60_000)
		case step%4 == 3:
			r.Kind, r.LoadID, r.Phase, r.Reason, r.Duration = eventlog.LoadEnded, fmt.Sprint("load-", step-2), "python", eventlog.LoadOK, eventlog.Of(int64(20+i))
		default:
			r.Kind, r.From, r.To, r.Reason, r.Duration, r.PresenceSeq = eventlog.Presence, protocol.Active, protocol.Away, "silence", eventlog.Of(int64(20+i)), eventlog.Of(step)
		}
		batch = append(batch, r)
	}
	if err := db.Put(b.Context(), store.Batch{Records: batch}); err != nil {
		b.Fatal(err)
	}
	copies, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		b.Fatal(err)
	}
	defer copies.Close()
	var names, values []string
	for _, c := range eventlog.Events.Columns[1:] { // without the id, which is given
		names = append(names, c.Name)
		values = append(values, map[string]string{
			"at":          "strftime('%Y-%m-%dT%H:%M:%fZ', at, '+' || (20 * k) || ' seconds')",
			"mono_ms":     "mono_ms + 20000 * k",
			"seq":         "seq + 2000 * k",
			"participant": "participant || '-' || printf('%04d', k)",
			"group_id":    "group_id || '-' || printf('%04d', k)",
		}[c.Name])
		if values[len(values)-1] == "" {
			values[len(values)-1] = c.Name
		}
	}
	if _, err := copies.Exec(fmt.Sprintf(`WITH RECURSIVE copies(k) AS (SELECT 1 UNION ALL SELECT k + 1 FROM copies WHERE k < %d)
		INSERT INTO events (%s) SELECT %s FROM copies CROSS JOIN (SELECT * FROM events WHERE id <= %d)
		ORDER BY k, id`, n/block-1, strings.Join(names, ", "), strings.Join(values, ", "), block)); err != nil {
		b.Fatal(err)
	}
}
