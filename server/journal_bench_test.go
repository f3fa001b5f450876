package server

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"initgrace/grace/protocol"
	"initgrace/server/store"
	"initgrace/server/store/sqlite"
)

// withoutLog stores no records.
type withoutLog struct{ store.Store }

func (w withoutLog) Put(ctx context.Context, b store.Batch) error {
	b.Records = nil
	return w.Store.Put(ctx, b)
}

// BenchmarkLog is what the event log costs a server, clients included: 50
// participants in pairs, who load and then send each other a number of messages
// (none: the worst case, nothing but what is logged). Compare cpu-µs/round of
// log=true and log=false.
func BenchmarkLog(b *testing.B) {
	for _, messages := range []int{0, 20} {
		for _, logs := range []bool{false, true} {
			b.Run(fmt.Sprintf("messages=%d/log=%v", messages, logs), func(b *testing.B) { benchLog(b, messages, logs) })
		}
	}
}

func benchLog(b *testing.B, messages int, logs bool) {
	db := openBenchDB(b)
	if !logs {
		db = withoutLog{db}
	}
	policy := quick()
	policy.LoadCount, policy.LoadBudget = -1, -1
	r := start(b, Config{Store: db, Policy: policy})
	const participants = 50
	var all []*plain
	for i := range participants {
		p, _ := r.connect(fmt.Sprintf(`{"participant":"p%d","group":"g%d"}`, i, i/2))
		all = append(all, p)
	}
	b.ResetTimer()
	before := cpu(b)
	var playing sync.WaitGroup
	for i, p := range all {
		playing.Go(func() {
			for n := i; n < b.N; n += participants {
				<-p.emit(protocol.EventLoadStart, `{}`)
				<-p.emit(protocol.EventLoadComplete, `{}`)
				for range messages {
					<-p.emit(protocol.EventSend, `{"data":{"action":"left"}}`)
				}
				for len(p.events) > 0 {
					<-p.events
				}
			}
		})
	}
	playing.Wait()
	b.ReportMetric((cpu(b)-before)/float64(b.N), "cpu-µs/round")
}

func openBenchDB(b *testing.B) store.Store {
	db, err := sqlite.Open(filepath.Join(b.TempDir(), "study.db"), nil)
	if err != nil {
		b.Fatal(err)
	}
	return db
}

// cpu is what the process has used, in microseconds.
func cpu(b *testing.B) float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e3
}
