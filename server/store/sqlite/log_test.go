package sqlite

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"initgrace/grace/protocol"
	"initgrace/server/eventlog"
	"initgrace/server/store"
)

func openStore(t *testing.T, path string) *Store {
	t.Helper()
	s, err := Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// An older file comes to have a log when a server opens it, and nothing of
// what it had is lost. Exporting does not change it.
func TestOlderSchema(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.db")
	db, err := connect(path, &Options{}, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := migrate(t.Context(), db, ladder[:1]); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(`INSERT INTO sessions (participant, epoch, presence, presence_seq, state_version, messages_sent, connections,
		drops, loads, load_failures, load_ms, blocked_ms, away_ms, longest_block_ms) VALUES ('p', 3, 'away', 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)`); err != nil {
		t.Fatal(err)
	}
	db.Close()
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenLog(path); err == nil || !strings.Contains(err.Error(), "was written by an older initgrace (schema 1)") {
		t.Errorf("exporting from schema 1: %v", err)
	}
	if after, _ := os.ReadFile(path); string(after) != string(before) {
		t.Error("exporting changed the file")
	}
	s := openStore(t, path)
	if err := s.Put(t.Context(), store.Batch{Records: []eventlog.Record{{Kind: eventlog.RunStarted}}}); err != nil {
		t.Fatal(err)
	}
	if p, ok, err := s.Session(t.Context(), "p"); !ok || err != nil || p.Epoch != 3 || p.Presence != protocol.Away {
		t.Errorf("%+v, %v, %v", p, ok, err)
	}
	if records, err := s.Records(t.Context(), 0, 10); len(records) != 1 || err != nil {
		t.Errorf("%d records, %v", len(records), err)
	}
}

func TestOpenLogRefuses(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := os.WriteFile(at("notes.txt"), []byte(strings.Repeat("These are my notes. ", 300)), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, says := range map[string]string{
		"":                 "no file is named",
		at("none.db"):      "does not exist",
		at("no/such.db"):   "its folder does not exist",
		dir:                "is a directory",
		at("notes.txt"):    "is not an SQLite database",
		at("notes.txt/db"): "not a directory",
	} {
		if _, err := OpenLog(path); err == nil || err.Error() != "database "+path+": "+says {
			t.Errorf("%q: %v, want %s", path, err, says)
		}
	}
	if left, _ := filepath.Glob(at("*")); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}

// The log is read while a server writes to it: always a whole prefix.
func TestOpenLogWhileWriting(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.db")
	s := openStore(t, path)
	var writing sync.WaitGroup
	var done atomic.Bool
	const batch, batches = 3, 200
	written := int64(0)
	put := func() {
		var b store.Batch
		for i := range int64(batch) {
			b.Records = append(b.Records, eventlog.Record{Kind: eventlog.RunStarted, At: time.Now(), Seq: written + i + 1})
		}
		written += batch
		if err := s.Put(t.Context(), b); err != nil {
			t.Error(err)
		}
	}
	put()
	writing.Go(func() {
		defer done.Store(true)
		for range batches - 1 {
			put()
		}
	})
	for last, end := 0, false; last < batch*batches; {
		if end {
			t.Fatalf("%d records at the end, want %d", last, batch*batches)
		}
		end = done.Load()
		log, err := OpenLog(path)
		if err != nil {
			t.Fatal(err)
		}
		records, err := log.Records(t.Context(), 0, 1_000_000)
		if err != nil {
			t.Fatal(err)
		}
		if len(records)%batch != 0 || len(records) < last {
			t.Fatalf("%d records after %d, in batches of %d", len(records), last, batch)
		}
		for i, r := range records {
			if r.Seq != int64(i+1) || r.ID != r.Seq {
				t.Fatalf("record %d is %+v", i, r)
			}
		}
		last = len(records)
		log.Close()
	}
	writing.Wait()
}

// A row that was edited by hand is named.
func TestDamagedRecord(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.db")
	s := openStore(t, path)
	for _, edit := range []string{"at = 'yesterday'", "mono_ms = 'soon'", "duration_ms = 1.5", "participant = x'ff00'", "kind = 7", "seq = ''"} {
		good := eventlog.Record{Kind: eventlog.RunStarted, At: time.Now()}
		if err := s.Put(t.Context(), store.Batch{Records: []eventlog.Record{good, good, good}}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.writer.Exec(`UPDATE events SET ` + edit + ` WHERE id = 2`); err != nil {
			t.Fatal(err)
		}
		_, err := s.Records(t.Context(), 0, 10)
		if edit == "kind = 7" { // the column's affinity makes it a text
			if err != nil {
				t.Errorf("%s: %v", edit, err)
			}
		} else if !errors.Is(err, store.ErrCorrupt) || !strings.Contains(err.Error(), "event 2: ") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", edit, err)
		}
		if _, err := s.writer.Exec(`DELETE FROM events`); err != nil {
			t.Fatal(err)
		}
	}
}
