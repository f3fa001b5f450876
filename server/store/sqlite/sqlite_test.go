package sqlite_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"initgrace/grace/protocol"
	"initgrace/server/eventlog"
	"initgrace/server/store"
	"initgrace/server/store/sqlite"
	"initgrace/server/store/storetest"
)

func TestFile(t *testing.T) {
	storetest.Run(t, func(t testing.TB, place string) store.Store {
		return open(t, filepath.Join(place, "sessions.db"), nil)
	})
}

func TestFullSync(t *testing.T) {
	storetest.RunVolatile(t, func(t testing.TB, place string) store.Store {
		return open(t, filepath.Join(place, "sessions.db"), &sqlite.Options{FullSync: true})
	})
}

func open(t testing.TB, path string, o *sqlite.Options) store.Store {
	t.Helper()
	s, err := sqlite.Open(path, o)
	if err != nil {
		t.Error(err)
		return nil
	}
	return s
}

// raw opens the file as another program would.
func raw(t testing.TB, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func exec1(t testing.TB, db *sql.DB, query string, args ...any) {
	t.Helper()
	if _, err := db.Exec(query, args...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

func TestUnusablePath(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	write := func(name, content string) string {
		if err := os.WriteFile(at(name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		return at(name)
	}
	pipe := at("pipe")
	if err := syscall.Mkfifo(pipe, 0o644); err != nil {
		t.Fatal(err)
	}
	newer := at("newer.db")
	open(t, newer, nil).Close()
	age := raw(t, newer)
	var ours int
	if err := age.QueryRow("PRAGMA user_version").Scan(&ours); err != nil {
		t.Fatal(err)
	}
	exec1(t, age, "PRAGMA user_version = 99")
	age.Close()
	foreign := at("foreign.db")
	exec1(t, raw(t, foreign), "CREATE TABLE places (url)")
	foreignID := at("foreign-id.db")
	exec1(t, raw(t, foreignID), "PRAGMA application_id = 7")

	for _, c := range []struct{ path, says string }{
		{dir, "is a directory"},
		{at("no/such/folder.db"), "its folder does not exist"},
		{write("file", "x") + "/sessions.db", "not a directory"},
		{pipe, "is not a regular file"},
		{write("notes.txt", strings.Repeat("These are my notes. ", 300)), "is not an SQLite database"},
		{write("short.txt", "hello"), "is not an SQLite database"},
		{newer, fmt.Sprintf("was written by a newer initgrace (schema 99, this one knows up to %d)", ours)},
		{foreign, "belongs to another program"},
		{foreignID, "belongs to another program"},
	} {
		var before []byte
		if c.path != pipe { // opening a pipe waits for its other end
			before, _ = os.ReadFile(c.path)
		}
		s, err := sqlite.Open(c.path, nil)
		if err == nil {
			s.Close()
			t.Errorf("%s: opened", c.path)
			continue
		}
		if want := "database " + c.path + ": " + c.says; err.Error() != want {
			t.Errorf("got  %s\nwant %s", err, want)
		}
		if c.path == pipe {
			continue
		}
		if after, _ := os.ReadFile(c.path); !bytes.Equal(before, after) {
			t.Errorf("%s was changed", c.path)
		}
	}
	// What was refused left nothing beside it.
	left, _ := filepath.Glob(at("*-*"))
	left = slices.DeleteFunc(left, func(p string) bool { return p == foreignID })
	if len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestReadOnly needs a user whom file permissions bind, so root starts the
// test again as somebody else.
func TestReadOnly(t *testing.T) {
	if dir := os.Getenv("INITGRACE_READONLY"); dir != "" {
		for _, name := range []string{"file.db", "locked/file.db", "locked/none.db"} {
			_, err := sqlite.Open(filepath.Join(dir, name), nil)
			fmt.Println(err)
		}
		for _, name := range []string{"file.db", "locked/file.db"} { // may still be exported
			log, err := sqlite.OpenLog(filepath.Join(dir, name))
			if err != nil {
				fmt.Println(err)
				continue
			}
			records, err := log.Records(t.Context(), 0, 10)
			fmt.Println(name, len(records), err)
			log.Close()
		}
		return
	}
	dir, err := os.MkdirTemp("", "initgrace-readonly") // t.TempDir is closed to others
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	locked := filepath.Join(dir, "locked")
	defer os.Chmod(locked, 0o755)
	if err := os.Mkdir(locked, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(dir, "file.db"), filepath.Join(locked, "file.db")} {
		s := open(t, path, nil)
		if err := s.Put(t.Context(), store.Batch{Records: []eventlog.Record{{Kind: eventlog.RunStarted}}}); err != nil {
			t.Fatal(err)
		}
		s.Close()
		if err := os.Chmod(path, 0o444); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Chmod(filepath.Join(locked, "file.db"), 0o666), os.Chmod(locked, 0o555), os.Chmod(dir, 0o777)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestReadOnly$")
	if runtime.GOOS != "linux" || os.Getuid() != 0 {
		exe, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		cmd = exec.Command(exe, "-test.run=^TestReadOnly$")
	} else {
		const nobody = 65534
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		cmd.Dir = "/"
	}
	cmd.Env = append(os.Environ(), "INITGRACE_READONLY="+dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{
		"database " + dir + "/file.db: is read-only, or its folder is\n",
		"database " + locked + "/file.db: is read-only, or its folder is\n",
		"database " + locked + "/none.db: cannot be created: its folder is not writable\n",
		"\nfile.db 1 <nil>\n",
		"\nlocked/file.db 1 <nil>\n",
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("not said: %sin\n%s", want, out)
		}
	}
}

func TestOddPaths(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, path := range []string{"plain.db", "a b?mode=memory#x%20.db", "ü%2f.db", ":memory:", "file:x.db", "it's;.db"} {
		s := open(t, path, nil)
		if s == nil {
			continue
		}
		if err := s.Put(t.Context(), store.Batch{Sessions: []store.Session{{Participant: "p"}}}); err != nil {
			t.Error(err)
		}
		s.Close()
		if info, err := os.Stat(path); err != nil || info.Size() == 0 {
			t.Errorf("%q: %v", path, err)
		}
	}
}

func TestLocked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.db")
	s := open(t, path, &sqlite.Options{BusyTimeout: 20 * time.Millisecond})
	defer s.Close()
	conn, err := raw(t, path).Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	if err := s.Put(t.Context(), store.Batch{Sessions: []store.Session{{Participant: "p"}}}); err == nil {
		t.Error("put past another program's lock")
	}
	if _, _, err := s.Session(t.Context(), "p"); err != nil {
		t.Errorf("reading while another program writes: %v", err)
	}
	_, err = sqlite.Open(path, &sqlite.Options{BusyTimeout: 20 * time.Millisecond})
	if want := "database " + path + ": is locked by another program"; err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
	if _, err := conn.ExecContext(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	if err := s.Put(t.Context(), store.Batch{Sessions: []store.Session{{Participant: "p"}}}); err != nil {
		t.Errorf("after the lock is gone: %v", err)
	}
}

// TestSchema reads the file as a researcher does: plain columns, and every one
// explained.
func TestSchema(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.db")
	s := open(t, path, nil)
	defer s.Close()
	at := time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)
	err := s.Put(t.Context(), store.Batch{Sessions: []store.Session{{
		Participant: "p", Presence: protocol.Loading, Since: at, Created: at, Updated: at,
		Loads:  []store.Load{{ID: "l", Phase: "pyodide", Expected: time.Second, StartedAt: at, DeadlineAt: at.Add(time.Minute)}},
		Totals: store.Totals{LoadTime: 1500 * time.Millisecond},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	db := raw(t, path)
	var since, began, experiment, kind sql.NullString
	var seconds float64
	err = db.QueryRow(`SELECT presence_since, open_loads ->> '$[0].started_at', experiment, typeof(load_ms),
		(julianday(open_loads ->> '$[0].deadline_at') - julianday(presence_since)) * 86400 FROM sessions`).
		Scan(&since, &began, &experiment, &kind, &seconds)
	if err != nil {
		t.Fatal(err)
	}
	if since.String != "2026-01-02T03:04:05.678Z" || began != since || experiment.Valid || kind.String != "integer" ||
		seconds < 59.99 || seconds > 60.01 {
		t.Errorf("since %v, began %v, experiment %v, type %v, %v s", since, began, experiment, kind, seconds)
	}

	comments := regexp.MustCompile(`(?m)(?:^\t(\w+) .*-- \S|(\w+) /\* \S)`) // the second: of an added column
	rows, err := db.Query(`SELECT m.sql, i.name FROM sqlite_master m, pragma_table_info(m.name) i WHERE m.type = 'table'`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	columns := 0
	for rows.Next() {
		var schema, column string
		if err := rows.Scan(&schema, &column); err != nil {
			t.Fatal(err)
		}
		columns++
		if !slices.ContainsFunc(comments.FindAllStringSubmatch(schema, -1), func(m []string) bool { return column == m[1] || column == m[2] }) {
			t.Errorf("column %s is not explained", column)
		}
	}
	if columns < 25+len(eventlog.Events.Columns) {
		t.Errorf("%d columns seen", columns)
	}
}

// TestDamagedRows edits every column by hand to what it must not be.
func TestDamagedRows(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.db")
	s := open(t, path, nil)
	defer s.Close()
	db := raw(t, path)
	for column, value := range map[string]any{
		"epoch": "three", "presence_seq": -1, "presence": "asleep", "presence_since": "yesterday",
		"created_at": 12, "updated_at": []byte{0xff, 0}, "open_loads": `{"id":1}`, "stager_state": "{",
		"globals": []byte{1, 2}, "state_version": 1.5, "connections": []byte("x"), "load_ms": "1h",
		"messages_sent": "\x00", "scenes": "{}", "waiting": `{"since":1}`, "vacancy": "[", "outcome_at": "soon",
	} {
		var batch []store.Session
		for i := range 70 { // more than one page of Seated
			batch = append(batch, store.Session{Participant: fmt.Sprintf("%s-%d", column, i), Presence: protocol.Active})
		}
		if err := s.Put(t.Context(), store.Batch{Sessions: batch}); err != nil {
			t.Fatal(err)
		}
		damaged := column + "-63"
		exec1(t, db, `UPDATE sessions SET `+column+` = ? WHERE participant = ?`, value, damaged)
		_, ok, err := s.Session(t.Context(), damaged)
		if ok || !errors.Is(err, store.ErrCorrupt) || !strings.Contains(err.Error(), damaged) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, %v", column, ok, err)
		}
		seen := 0
		err = s.Seated(t.Context(), func(store.Session) error { seen++; return nil })
		if seen != 69 || !errors.Is(err, store.ErrCorrupt) || !strings.Contains(err.Error(), damaged) {
			t.Errorf("%s: %d seen, %v", column, seen, err)
		}
		// The participant comes again: a new row heals it.
		if err := s.Put(t.Context(), store.Batch{Sessions: batch}); err != nil {
			t.Error(err)
		}
		if _, ok, err := s.Session(t.Context(), damaged); !ok || err != nil {
			t.Errorf("%s: not healed: %v", column, err)
		}
		exec1(t, db, `DELETE FROM sessions`)
	}
	// A participant that is a BLOB must not make the walk endless.
	exec1(t, db, `INSERT INTO sessions (participant, epoch, presence, presence_seq, state_version, messages_sent, connections, drops,
		loads, load_failures, load_ms, blocked_ms, away_ms, longest_block_ms) VALUES (x'FF', 0, 'active', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)`)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := s.Seated(ctx, func(store.Session) error { return nil }); err != nil {
		t.Error(err)
	}
	// A secret of the wrong length would sign tokens badly.
	exec1(t, db, `INSERT OR REPLACE INTO meta VALUES ('secret', 'short')`)
	if _, err := s.Secret(t.Context()); err == nil {
		t.Error("a secret of 5 bytes was accepted")
	}
}

// TestDamagedFile overwrites pages in the middle of the file.
func TestDamagedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.db")
	s := open(t, path, nil)
	var batch []store.Session
	for i := range 500 {
		batch = append(batch, store.Session{Participant: fmt.Sprint("p", i), Presence: protocol.Active, Group: strings.Repeat("g", 100)})
	}
	if err := s.Put(t.Context(), store.Batch{Sessions: batch}); err != nil {
		t.Fatal(err)
	}
	s.Close()
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := 4096 * 3; i < len(file)-4096; i++ {
		file[i] = byte(i * 31)
	}
	if err := os.WriteFile(path, file, 0o644); err != nil {
		t.Fatal(err)
	}
	s, err = sqlite.Open(path, nil)
	if err != nil {
		return // refused at once is as good
	}
	defer s.Close()
	if err := s.Seated(t.Context(), func(store.Session) error { return nil }); err == nil {
		t.Error("the damage went unnoticed")
	}
}

func BenchmarkPut(b *testing.B) {
	for _, sync := range []bool{false, true} {
		for _, batch := range []int{1, 10, 100} {
			b.Run(fmt.Sprintf("fullsync=%v/batch=%d", sync, batch), func(b *testing.B) {
				s := open(b, filepath.Join(b.TempDir(), "s.db"), &sqlite.Options{FullSync: sync})
				defer s.Close()
				sessions := benchSessions(batch)
				b.ReportAllocs()
				for b.Loop() {
					for i := range sessions {
						sessions[i].Seq++
					}
					if err := s.Put(b.Context(), store.Batch{Sessions: sessions}); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*batch), "µs/session")
			})
		}
	}
}

// BenchmarkPutRecords is the cost of the event log alone.
func BenchmarkPutRecords(b *testing.B) {
	for _, batch := range []int{1, 10, 100, 10_000} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) {
			s := open(b, filepath.Join(b.TempDir(), "s.db"), nil)
			defer s.Close()
			records := make([]eventlog.Record, batch)
			for i := range records {
				records[i] = eventlog.Record{
					At: time.Now(), Mono: 12345, Run: "20261103T040506Z-01020304", Seq: int64(i), Kind: eventlog.Presence,
					Participant: "participant-017", Experiment: "demo", Group: "group-1", Epoch: eventlog.Of(1), PresenceSeq: eventlog.Of(4),
					From: protocol.Active, To: protocol.Loading, Reason: "load_started", Phase: "pyodide",
					Expected: eventlog.Of(4000), Lease: eventlog.Of(60000), Duration: eventlog.Of(1234),
				}
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := s.Put(b.Context(), store.Batch{Records: records}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*batch), "µs/record")
		})
	}
}

// BenchmarkPutState shows what a large state costs, since every Put writes it again.
func BenchmarkPutState(b *testing.B) {
	for _, kib := range []int{1, 16, 256, 1024} {
		b.Run(fmt.Sprintf("KiB=%d", kib), func(b *testing.B) {
			s := open(b, filepath.Join(b.TempDir(), "s.db"), nil)
			defer s.Close()
			sessions := benchSessions(1)
			sessions[0].State.Globals = protocol.Raw(`"` + strings.Repeat("x", kib<<10) + `"`)
			for b.Loop() {
				sessions[0].Seq++
				if err := s.Put(b.Context(), store.Batch{Sessions: sessions}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func benchSessions(n int) []store.Session {
	sessions := make([]store.Session, n)
	at := time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)
	for i := range sessions {
		sessions[i] = store.Session{
			Participant: fmt.Sprintf("participant-%03d", i), Experiment: "demo", Group: "group-1", PageID: "0f8fad5b-d9cb",
			Presence: protocol.Loading, Reason: protocol.ReasonLoadStarted, Since: at, Created: at, Updated: at,
			Loads: []store.Load{{ID: "load-1", Phase: "pyodide", StartedAt: at, DeadlineAt: at.Add(time.Minute)}},
			State: protocol.State{SceneID: "play", StagerState: protocol.Raw(`{"at":3}`), Globals: protocol.Raw(`{"score":12}`)},
		}
	}
	return sessions
}
