package sqlite

import (
	"context"
	"fmt"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"initgrace/server/eventlog"
	"initgrace/server/store"
)

// Whatever the texts are, and however many, they come back, and the statements
// are bounded.
func TestStatementsAreBounded(t *testing.T) {
	db, err := Open(filepath.Join(t.TempDir(), "study.db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	at := time.Date(2026, 11, 3, 0, 0, 0, 0, time.UTC)
	var want []eventlog.Record
	for i := range 5 * maxInserts {
		r := eventlog.Record{At: at, Seq: int64(i), Run: "it's; --", Kind: "presence", Reason: fmt.Sprintf("'%d'); DROP TABLE events; --", i%(2*maxInserts))}
		if i%3 == 0 {
			r.LoadID = "a"
		}
		if i%5 == 0 {
			r.Count = eventlog.Of(i)
		}
		want = append(want, r)
	}
	for i := 0; i < len(want); i += 100 {
		if err := db.Put(t.Context(), store.Batch{Records: want[i:min(i+100, len(want))]}); err != nil {
			t.Fatal(err)
		}
		if n := len(db.log.inserts); n > 2*maxInserts {
			t.Fatalf("%d statements", n)
		}
	}
	got, err := db.Records(context.Background(), 0, len(want)+1)
	if err != nil || len(got) != len(want) {
		t.Fatalf("%d of %d came back, %v", len(got), len(want), err)
	}
	for i := range got {
		want[i].ID = int64(i + 1)
		if !reflect.DeepEqual(got[i], want[i]) {
			t.Fatalf("%+v came back, and it was %+v", got[i], want[i])
		}
	}
}
