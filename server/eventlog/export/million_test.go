package export

import (
	"bytes"
	"database/sql"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
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
// log. 30,000 events, of which more than the limit would be live if all were
// kept; a million with INITGRACE_LOAD_TESTS. What R and pandas read by their own
// conventions, in the types that they choose, adds up to the same.
func TestSumsOfALargeLog(t *testing.T) {
	n := 30_000
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
		rows, err := Write(t.Context(), out, watched{log, int64(n / 30_000), &peak}, &Options{Format: format})
		took := time.Since(began)
		if err != nil || rows != int64(n) {
			t.Fatalf("%s: %d rows, %v", format, rows, err)
		}
		out.Close()
		grown := float64(peak-before.HeapAlloc) / (1 << 20)
		t.Logf("%s: %d events, %.0f events/s, live heap at most %.1f MiB more than before", format, n, float64(n)/took.Seconds(), grown)
		if grown > 12 { // a page of 2,000 records, and Parquet's row group
			t.Errorf("%s: the heap grew by %.1f MiB", format, grown)
		}
		got := map[Format]func(*testing.T, string) sums{CSV: sumsOfCSV, JSONL: sumsOfJSONL, Parquet: sumsOfParquet}[format](t, file)
		if got != want {
			t.Errorf("%s adds up to %+v, and the log to %+v", format, got, want)
		}
		if format == CSV {
			t.Run("pandas", func(t *testing.T) { checkReader(t, pandas(t), "testdata/read.py", file, want, n) })
			t.Run("R", func(t *testing.T) { checkReader(t, rscript(t), "testdata/read.R", file, want, n) })
		}
	}
}

// checkReader compares what a program of another language makes of a file.
func checkReader(t *testing.T, interpreter, script, file string, want sums, n int) {
	cmd := exec.Command(interpreter, script, file)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s%s", err, out, &stderr)
	}
	last := fillStart.Add(time.Duration(n-1) * 10 * time.Millisecond)
	expected := fmt.Sprintf("rows %d\nids %d\ndurations %d\naway %d\nloads %d\nfirst %s\nlast %s\n", want.rows, want.ids, want.durations, want.away, want.loads,
		fillStart.Format("2006-01-02 15:04:05.000"), last.Format("2006-01-02 15:04:05.000"))
	if string(out) != expected {
		t.Errorf("%s reads\n%swant\n%s", interpreter, out, expected)
	}
}

// pandas is a Python that has it; there may be several on a machine.
func pandas(t *testing.T) string {
	t.Helper()
	for _, python := range []string{"python3", "/usr/bin/python3"} {
		if exec.Command(python, "-c", "import pandas").Run() == nil {
			return python
		}
	}
	t.Skip("pandas is not installed")
	return ""
}

func rscript(t *testing.T) string {
	t.Helper()
	r := program(t, "Rscript")
	if exec.Command(r, "-e", "library(readr); library(dplyr)").Run() != nil {
		t.Skip("R has no readr and dplyr")
	}
	return r
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
