package sqlite

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"initgrace/grace/protocol"
	"initgrace/server/eventlog"
	"initgrace/server/store"
)

// BenchmarkPut is a batch as a server makes it when participants do nothing but
// load: a session each, with and without the four records of a load.
func BenchmarkPut(b *testing.B) {
	for _, size := range []int{1, 25} {
		for _, records := range []int{0, 4} {
			b.Run(fmt.Sprintf("sessions=%d/records=%d", size, size*records), func(b *testing.B) {
				db, err := Open(filepath.Join(b.TempDir(), "study.db"), nil)
				if err != nil {
					b.Fatal(err)
				}
				defer db.Close()
				now := time.Now()
				var batch store.Batch
				for i := range size {
					who := fmt.Sprint("participant-", i)
					batch.Sessions = append(batch.Sessions, store.Session{Participant: who, Group: "group-1", Epoch: 1, Presence: protocol.Active, Since: now, Created: now, Updated: now})
					one := eventlog.Record{At: now, Mono: 12345, Run: "20261103T000000Z-01020304", Seq: 77, Participant: who, Group: "group-1", Epoch: eventlog.Of(1)}
					for _, fill := range []func(*eventlog.Record){
						func(r *eventlog.Record) {
							r.Kind, r.LoadID, r.Lease = eventlog.LoadStarted, "load-17", eventlog.Of(60_000)
						},
						func(r *eventlog.Record) {
							r.Kind, r.From, r.To, r.Reason, r.PresenceSeq, r.Lease, r.Duration = eventlog.Presence, protocol.Active, protocol.Loading, "load_started", eventlog.Of(7), eventlog.Of(60_000), eventlog.Of(120)
						},
						func(r *eventlog.Record) {
							r.Kind, r.LoadID, r.Reason, r.Lease, r.Duration = eventlog.LoadEnded, "load-17", "ok", eventlog.Of(60_000), eventlog.Of(5)
						},
						func(r *eventlog.Record) {
							r.Kind, r.From, r.To, r.Reason, r.PresenceSeq, r.Duration = eventlog.Presence, protocol.Loading, protocol.Active, "load_ended", eventlog.Of(8), eventlog.Of(5)
						},
					}[:records] {
						r := one
						fill(&r)
						batch.Records = append(batch.Records, r)
					}
				}
				b.ReportAllocs()
				for b.Loop() {
					if err := db.Put(context.Background(), batch); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
