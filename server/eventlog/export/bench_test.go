package export

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"runtime"
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
					src := watched{log, &peak}
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
	peak *uint64
}

func (w watched) Records(ctx context.Context, after int64, limit int) ([]eventlog.Record, error) {
	if after/page%25 == 0 {
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

// fill writes a log: participants of whom each loads, is away, and goes.
func fill(b testing.TB, path string, n int) {
	b.Helper()
	db, err := sqlite.Open(path, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	at := time.Date(2026, 11, 3, 0, 0, 0, 0, time.UTC)
	var batch []eventlog.Record
	for i := range n {
		who, step := i/40, i%40
		r := eventlog.Record{
			At: at.Add(time.Duration(i) * 10 * time.Millisecond), Mono: int64(i) * 10, Run: "20261103T000000Z-01020304", Seq: int64(i + 1),
			Participant: fmt.Sprintf("participant-%06d", who), Experiment: "grid", Group: fmt.Sprintf("group-%05d", who/2), Epoch: eventlog.Of(1),
		}
		switch {
		case step == 0:
			r.Kind = eventlog.GroupJoined
		case step == 39:
			r.Kind, r.Reason = eventlog.GroupLeft, "leave_timeout"
		case step%4 == 1:
			r.Kind, r.LoadID, r.Phase, r.Lease = eventlog.LoadStarted, fmt.Sprint("load-", step), "python", eventlog.Of(60_000)
		case step%4 == 3:
			r.Kind, r.LoadID, r.Phase, r.Reason, r.Duration = eventlog.LoadEnded, fmt.Sprint("load-", step-2), "python", eventlog.LoadOK, eventlog.Of(20)
		default:
			r.Kind, r.From, r.To, r.Reason, r.Duration, r.PresenceSeq = eventlog.Presence, protocol.Active, protocol.Away, "silence", eventlog.Of(20), eventlog.Of(step)
		}
		if batch = append(batch, r); len(batch) == 10_000 || i == n-1 {
			if err := db.Put(b.Context(), store.Batch{Records: batch}); err != nil {
				b.Fatal(err)
			}
			batch = batch[:0]
		}
	}
}
