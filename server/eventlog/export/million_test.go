package export

import (
	"database/sql"
	"encoding/csv"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"initgrace/server/store/sqlite"
)

// sums are what a log adds up to, however it is read.
type sums struct{ rows, ids, durations, away, loads int64 }

// TestSumsOfALargeLog: the sums of the export are those of the table, which
// SQLite adds up itself, in each format; and the heap does not grow with the
// log. 60,000 events; a million with INITGRACE_LOAD_TESTS.
func TestSumsOfALargeLog(t *testing.T) {
	n := 60_000
	if os.Getenv("INITGRACE_LOAD_TESTS") != "" {
		n = 1_000_000
	}
	path := filepath.Join(t.TempDir(), "study.db")
	fill(t, path, n)
	want := sumsOfTable(t, path)
	if want.rows != int64(n) || want.durations == 0 || want.away == 0 || want.loads == 0 {
		t.Fatalf("the log is not what it should be: %+v", want)
	}
	log, err := sqlite.OpenLog(path)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	for _, format := range []Format{CSV, JSONL, Parquet} {
		file := filepath.Join(t.TempDir(), "events."+string(format))
		out, err := os.Create(file)
		if err != nil {
			t.Fatal(err)
		}
		var before runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		peak := before.HeapAlloc
		began := time.Now()
		rows, err := Write(t.Context(), out, watched{log, &peak}, &Options{Format: format})
		took := time.Since(began)
		if err != nil || rows != int64(n) {
			t.Fatalf("%s: %d rows, %v", format, rows, err)
		}
		out.Close()
		grown := float64(peak-before.HeapAlloc) / (1 << 20)
		t.Logf("%s: %d events, %.0f events/s, live heap at most %.1f MiB more than before", format, n, float64(n)/took.Seconds(), grown)
		if grown > 24 { // a page of 2,000 records, and Parquet's row group
			t.Errorf("%s: the heap grew by %.1f MiB", format, grown)
		}
		got := map[Format]func(*testing.T, string) sums{CSV: sumsOfCSV, JSONL: sumsOfJSONL, Parquet: sumsOfParquet}[format](t, file)
		if got != want {
			t.Errorf("%s adds up to %+v, and the log to %+v", format, got, want)
		}
	}
}

func sumsOfTable(t *testing.T, path string) (s sums) {
	db, err := sql.Open("sqlite", "file:"+path+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.QueryRow(`SELECT count(*), sum(id), coalesce(sum(duration_ms), 0),
		sum(coalesce(to_presence, '') = 'away'), sum(kind = 'load_started') FROM events`).
		Scan(&s.rows, &s.ids, &s.durations, &s.away, &s.loads)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *sums) add(id, duration int64, to, kind string) {
	s.rows++
	s.ids += id
	s.durations += duration
	if to == "away" {
		s.away++
	}
	if kind == "load_started" {
		s.loads++
	}
}

func sumsOfCSV(t *testing.T, file string) (s sums) {
	in, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	rows := csv.NewReader(in)
	rows.ReuseRecord = true
	head, err := rows.Read()
	if err != nil {
		t.Fatal(err)
	}
	column := map[string]int{}
	for i, name := range head {
		column[name] = i
	}
	number := func(text string) (n int64) {
		if text != "" {
			if n, err = strconv.ParseInt(text, 10, 64); err != nil {
				t.Fatal(err)
			}
		}
		return n
	}
	id, duration, to, kind := column["id"], column["duration_ms"], column["to_presence"], column["kind"]
	for {
		row, err := rows.Read()
		if err == io.EOF {
			return s
		}
		if err != nil {
			t.Fatal(err)
		}
		s.add(number(row[id]), number(row[duration]), row[to], row[kind])
	}
}

// exported is a row as JSON and Parquet have it; missing values are null.
type exported struct {
	ID       int64   `json:"id" parquet:"id"`
	Duration *int64  `json:"duration_ms" parquet:"duration_ms,optional"`
	To       *string `json:"to_presence" parquet:"to_presence,optional"`
	Kind     string  `json:"kind" parquet:"kind"`
}

func (s *sums) addExported(row *exported) {
	var duration int64
	if row.Duration != nil {
		duration = *row.Duration
	}
	to := ""
	if row.To != nil {
		to = *row.To
	}
	s.add(row.ID, duration, to, row.Kind)
}

func sumsOfJSONL(t *testing.T, file string) (s sums) {
	in, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	for rows := json.NewDecoder(in); ; {
		var row exported
		if err := rows.Decode(&row); err == io.EOF {
			return s
		} else if err != nil {
			t.Fatal(err)
		}
		s.addExported(&row)
	}
}

func sumsOfParquet(t *testing.T, file string) (s sums) {
	in, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	rows := parquet.NewGenericReader[exported](in)
	defer rows.Close()
	page := make([]exported, 1000)
	for {
		n, err := rows.Read(page)
		for i := range page[:n] {
			s.addExported(&page[i])
		}
		if err == io.EOF {
			return s
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
