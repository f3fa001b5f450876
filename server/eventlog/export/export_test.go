package export

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"initgrace/grace/protocol"
	"initgrace/server/eventlog"
	"initgrace/server/eventlog/tidy"
)

// memory is a log in memory.
type memory []eventlog.Record

func (m memory) Records(ctx context.Context, after int64, limit int) ([]eventlog.Record, error) {
	i, _ := slices.BinarySearchFunc(m, after+1, func(r eventlog.Record, id int64) int { return int(r.ID - id) })
	return slices.Clone(m[i:min(i+limit, len(m))]), ctx.Err()
}

// awkward is a log with everything that has ever broken a reader.
func awkward() memory {
	texts := []string{
		"plain", "with, comma", `with "quotes"`, "'quoted'", "=1+1", "+1", "-1", "@SUM(A1)", " leading", "trailing ", "a\\b", `\.`, `\N`,
		"ä ö ü", "日本語", "😀", "\u202eright to left", "NA", "NULL", "null", "NaN", "nan", "None", "true", "#N/A", "#", "007", "1e5", "1,5",
		"2026-11-03", "<b>&amp;</b>", "\ufeffbom", "%s", "{", "[", "'", "''", strings.Repeat("long ", 100),
	}
	at := time.Date(2026, 3, 29, 0, 59, 59, 999e6, time.UTC) // summer time begins in Europe
	var log memory
	for i, text := range texts {
		id := fmt.Sprint("p-", i%3)
		log = append(log, eventlog.Record{
			ID: int64(2*i + 1), At: at.Add(time.Duration(i) * time.Second), Mono: int64(i), Run: "run", Seq: int64(i + 1), Kind: eventlog.LoadEnded,
			Participant: id, Experiment: fmt.Sprint("e", i%2), Group: "g-1", Partner: "p-1",
			Epoch: eventlog.Of(i), From: protocol.Loading, To: protocol.Away, Reason: "ok",
			LoadID: eventlog.Clean(text), Phase: eventlog.Clean(text), Scene: text, Detail: text,
			Expected: eventlog.Of(0), Duration: eventlog.Of(int64(math.MaxInt64)), Bytes: eventlog.Of(-5),
		}, eventlog.Record{ // nearly everything is missing
			ID: int64(2*i + 2), At: at.Add(time.Duration(i) * time.Second), Run: "run", Seq: int64(i + 1), Kind: eventlog.RunStarted,
		})
	}
	return log
}

func write(t testing.TB, from Source, o *Options) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := Write(t.Context(), &b, from, o); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// cells is what a text format must say of a row; armed as CSV protects it.
func cells[T any](columns []eventlog.Column[T], row *T, armed bool) []string {
	var out []string
	for _, c := range columns {
		s := ""
		switch v := c.Value(row).(type) {
		case string:
			s = v
			if armed && c.Free {
				s = disarm(v)
			}
		case int64:
			s = strconv.FormatInt(v, 10)
			if c.Type == eventlog.Seconds {
				s = fmt.Sprintf("%.3f", float64(v)/1000)
			}
		case time.Time:
			s = v.Format("2006-01-02T15:04:05.000Z")
		}
		out = append(out, s)
	}
	return out
}

func header[T any](columns []eventlog.Column[T]) []string {
	var names []string
	for _, c := range columns {
		names = append(names, c.Name)
	}
	return names
}

func checkRows(t *testing.T, reader string, got [][]string, log memory) {
	t.Helper()
	want := [][]string{header(eventlog.Events.Columns)}
	for i := range log {
		want = append(want, cells(eventlog.Events.Columns, &log[i], true))
	}
	if len(got) != len(want) {
		t.Fatalf("%s: %d lines, want %d", reader, len(got), len(want))
	}
	for i := range want {
		if !slices.Equal(got[i], want[i]) {
			t.Errorf("%s: line %d\ngot  %q\nwant %q", reader, i, got[i], want[i])
		}
	}
}

func TestCSV(t *testing.T) {
	log := awkward()
	text := write(t, log, nil)
	if bytes.Count(text, []byte("\n")) != len(log)+1 || bytes.ContainsAny(text, "\r\x00") || text[len(text)-1] != '\n' {
		t.Error("a row is not a line")
	}
	rows, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	checkRows(t, "encoding/csv", rows, log)
	// No cell of a page's own text is a formula, and each can be had back.
	for _, row := range rows[1:] {
		for i, c := range eventlog.Events.Columns {
			if c.Free && row[i] != "" && strings.ContainsAny(row[i][:1], "=+-@\t\r") {
				t.Errorf("%s is armed: %q", c.Name, row[i])
			}
		}
	}
	for i, r := range log {
		detail := rows[i+1][len(rows[0])-1]
		if got := strings.TrimPrefix(detail, "'"); got != r.Detail {
			t.Errorf("%q came back as %q", r.Detail, got)
		}
	}
}

// TestCSVElsewhere reads it with the parsers of other languages.
func TestCSVElsewhere(t *testing.T) {
	t.Parallel()
	log := awkward()
	path := filepath.Join(t.TempDir(), "events.csv")
	if err := os.WriteFile(path, write(t, log, nil), 0o600); err != nil {
		t.Fatal(err)
	}
	const python = `import csv, json, sys
with open(sys.argv[1], newline="", encoding="utf-8") as f: json.dump(list(csv.reader(f, strict=True)), sys.stdout)`
	const sqlite = `.mode csv
.import "%s" t
.mode json
SELECT * FROM t;`
	r := func(t *testing.T, code string) {
		back := filepath.Join(t.TempDir(), "back.csv")
		cmd := exec.Command(rscript(t), "-e", code, path, back)
		cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		checkBack(t, back, log)
	}
	t.Run("R", func(t *testing.T) {
		t.Parallel()
		r(t, `a <- commandArgs(TRUE); write.csv(read.csv(a[1], colClasses = "character", na.strings = ""), a[2], row.names = FALSE, na = "")`)
	})
	t.Run("readr", func(t *testing.T) {
		t.Parallel()
		r(t, `a <- commandArgs(TRUE); library(readr); write_csv(read_csv(a[1], na = "", col_types = cols(.default = "c"), trim_ws = FALSE), a[2], na = "")`)
	})
	t.Run("pandas", func(t *testing.T) {
		t.Parallel()
		back := filepath.Join(t.TempDir(), "back.csv")
		out, err := exec.Command(pandas(t), "-c", `import pandas as pd, sys
pd.read_csv(sys.argv[1], dtype="string", keep_default_na=False, na_values=[""]).to_csv(sys.argv[2], index=False)`, path, back).CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		checkBack(t, back, log)
	})
	t.Run("python", func(t *testing.T) {
		t.Parallel()
		out, err := exec.Command(program(t, "python3"), "-c", python, path).Output()
		if err != nil {
			t.Fatal(err)
		}
		var rows [][]string
		if err := json.Unmarshal(out, &rows); err != nil {
			t.Fatal(err)
		}
		checkRows(t, "python", rows, log)
	})
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		cmd := exec.Command(program(t, "sqlite3"))
		cmd.Stdin = strings.NewReader(fmt.Sprintf(sqlite, path))
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		var objects []map[string]string
		if err := json.Unmarshal(out, &objects); err != nil {
			t.Fatal(err)
		}
		names := header(eventlog.Events.Columns)
		rows := [][]string{names}
		for _, o := range objects {
			var row []string
			for _, n := range names {
				row = append(row, o[n])
			}
			rows = append(rows, row)
		}
		checkRows(t, "sqlite", rows, log)
	})
}

// checkBack compares what a program has read and written again.
func checkBack(t *testing.T, path string, log memory) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	checkRows(t, "what came back", rows, log)
}

func program(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skip(name + " is not installed")
	}
	return path
}

func TestJSONL(t *testing.T) {
	log := awkward()
	lines := strings.Split(strings.TrimSuffix(string(write(t, log, &Options{Format: JSONL})), "\n"), "\n")
	if len(lines) != len(log) {
		t.Fatalf("%d lines, want %d", len(lines), len(log))
	}
	for i, line := range lines {
		d := json.NewDecoder(strings.NewReader(line))
		d.UseNumber()
		var o map[string]any
		if err := d.Decode(&o); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		if len(o) != len(eventlog.Events.Columns) {
			t.Errorf("%d keys in %s", len(o), line)
		}
		for j, want := range cells(eventlog.Events.Columns, &log[i], false) {
			c := eventlog.Events.Columns[j]
			switch v := o[c.Name].(type) {
			case nil:
				if want != "" {
					t.Errorf("line %d: %s is null, want %q", i, c.Name, want)
				}
			case string:
				if v != want || c.Type == eventlog.Integer {
					t.Errorf("line %d: %s is %q, want %q", i, c.Name, v, want)
				}
			case json.Number:
				if v.String() != want || c.Type == eventlog.Text {
					t.Errorf("line %d: %s is %v, want %q", i, c.Name, v, want)
				}
			}
		}
	}
}

func TestParquet(t *testing.T) {
	log := awkward()
	var many memory // more than one row group
	for len(many) < rowGroup+100 {
		for _, r := range log {
			r.ID = int64(len(many) + 1)
			many = append(many, r)
		}
	}
	file := write(t, many, &Options{Format: Parquet})
	f, err := parquet.OpenFile(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	if len(f.RowGroups()) != 2 || f.NumRows() != int64(len(many)) {
		t.Errorf("%d row groups, %d rows", len(f.RowGroups()), f.NumRows())
	}
	for i, field := range f.Schema().Fields() {
		c := eventlog.Events.Columns[i]
		logical := field.Type().LogicalType()
		ok := field.Name() == c.Name && field.Optional() != c.Required && logical != nil
		if want := map[eventlog.Type]string{
			eventlog.Text: "STRING", eventlog.Integer: "INT(64,true)", eventlog.Time: "TIMESTAMP(isAdjustedToUTC=true,unit=MILLIS)",
		}[c.Type]; !ok || logical.String() != want {
			ok = false
		}
		if !ok {
			t.Errorf("column %d is %v, want %s", i, field, c.Name)
		}
	}
	rows := parquet.NewReader(f)
	defer rows.Close()
	buffer, n := make([]parquet.Row, 100), 0
	for {
		k, err := rows.ReadRows(buffer)
		for _, row := range buffer[:k] {
			for j, v := range row {
				c := eventlog.Events.Columns[j]
				var got any
				switch {
				case v.IsNull():
				case c.Type == eventlog.Text:
					got = string(v.ByteArray())
				case c.Type == eventlog.Time:
					got = time.UnixMilli(v.Int64()).UTC()
				default:
					got = v.Int64()
				}
				if want := c.Value(&many[n]); got != want {
					t.Fatalf("row %d: %s is %v, want %v", n, c.Name, got, want)
				}
			}
			n++
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if n != len(many) {
		t.Errorf("%d rows read of %d", n, len(many))
	}
}

// story is a log of two participants with known sums.
func story() memory {
	at := time.Date(2026, 11, 3, 4, 5, 6, 0, time.UTC)
	var log memory
	add := func(ms int64, who string, r eventlog.Record) {
		r.ID, r.Seq, r.Run, r.Mono, r.At = int64(len(log)+1), int64(len(log)+1), "run", ms, at.Add(time.Duration(ms)*time.Millisecond)
		r.Participant, r.Group = who, "group-of-anna"
		r.Experiment = "grid"
		log = append(log, r)
	}
	change := func(ms int64, who string, from, to protocol.Presence, spent int64) {
		r := eventlog.Record{Kind: eventlog.Presence, From: from, To: to, Reason: string(protocol.ReasonEvidence)}
		if from != "" {
			r.Duration = eventlog.Of(spent)
		}
		add(ms, who, r)
	}
	for _, who := range []string{"anna", "bert"} {
		add(0, who, eventlog.Record{Kind: eventlog.Connected, Detail: "page of " + who})
		add(0, who, eventlog.Record{Kind: eventlog.GroupJoined})
		change(0, who, "", protocol.Active, 0)
	}
	add(1000, "anna", eventlog.Record{Kind: eventlog.LoadStarted, LoadID: "anna-1", Phase: "python", Lease: eventlog.Of(60_000)})
	change(1000, "anna", protocol.Active, protocol.Loading, 1000)
	add(13_345, "anna", eventlog.Record{Kind: eventlog.LoadEnded, LoadID: "anna-1", Phase: "python", Reason: eventlog.LoadFailed,
		Duration: eventlog.Of(12_345), LongestBlock: eventlog.Of(9_000), Blocked: eventlog.Of(9_500), Detail: "anna has no memory"})
	change(13_345, "anna", protocol.Loading, protocol.Active, 12_345)
	change(20_000, "bert", protocol.Active, protocol.Blocked, 20_000)
	change(26_500, "bert", protocol.Blocked, protocol.Active, 6_500)
	add(30_000, "", eventlog.Record{Kind: eventlog.RunStopped})
	return log
}

func table(t *testing.T, text []byte) []map[string]string {
	t.Helper()
	rows, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var out []map[string]string
	for _, row := range rows[1:] {
		m := map[string]string{}
		for i, name := range rows[0] {
			m[name] = row[i]
		}
		out = append(out, m)
	}
	return out
}

func TestTidyTables(t *testing.T) {
	people := table(t, write(t, story(), &Options{Table: "participants"}))
	loads := table(t, write(t, story(), &Options{Table: "loads"}))
	if len(people) != 2 || len(loads) != 1 {
		t.Fatalf("%d participants, %d loads", len(people), len(loads))
	}
	for _, c := range []struct {
		row  map[string]string
		want map[string]string
	}{
		{people[0], map[string]string{
			"participant": "anna", "partner_ids": "bert", "loading_s": "12.345", "blocked_s": "0.000", "partner_wait_s": "12.345",
			"longest_block_s": "9.000", "loads_failed": "1", "present_s": "30.000", "first_at": "2026-11-03T04:05:06.000Z", "outcome": "active",
		}},
		{people[1], map[string]string{
			"participant": "bert", "blocked_s": "6.500", "longest_blocked_s": "6.500", "partner_wait_s": "6.500", "longest_block_s": "", "blocks": "1",
		}},
		{loads[0], map[string]string{
			"participant": "anna", "load_id": "anna-1", "result": "failed", "duration_s": "12.345", "loading_s": "12.345", "lease_s": "", "partner_wait_s": "12.345",
		}},
	} {
		for name, want := range c.want {
			if c.row[name] != want {
				t.Errorf("%s: %s is %q, want %q", c.row["participant"], name, c.row[name], want)
			}
		}
	}
}

func TestFilters(t *testing.T) {
	log := awkward()
	at := func(i int) time.Time { return log[2*i].At }
	for _, c := range []struct {
		o    Options
		want int
	}{
		{Options{}, len(log)},
		{Options{Experiment: "e1"}, len(log) / 4},
		{Options{Experiment: "none"}, 0},
		{Options{Since: at(3)}, len(log) - 6},
		{Options{Until: at(3)}, 6},
		{Options{Since: at(3), Until: at(5)}, 4},
		{Options{Table: "participants", Experiment: "e0"}, 3},
		{Options{Table: "participants", Until: at(1)}, 1},
		{Options{Table: "loads", Experiment: "e1"}, len(log) / 4},
	} {
		var b bytes.Buffer
		rows, err := Write(t.Context(), &b, log, &c.o)
		if got := len(table(t, b.Bytes())); err != nil || got != c.want || rows != int64(got) {
			t.Errorf("%+v: %d rows, said %d, want %d, %v", c.o, got, rows, c.want, err)
		}
	}
}

func TestPseudonyms(t *testing.T) {
	key := []byte(strings.Repeat("k", 32))
	p, err := NewPseudonyms(key)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []Format{CSV, JSONL, Parquet} {
		for _, name := range Tables {
			if text := write(t, story(), &Options{Table: name, Format: f, Pseudonyms: p}); bytes.Contains(text, []byte("anna")) || bytes.Contains(text, []byte("bert")) {
				t.Errorf("%s as %s still names somebody", name, f)
			}
		}
	}
	events := table(t, write(t, story(), &Options{Pseudonyms: p}))
	people := table(t, write(t, story(), &Options{Table: "participants", Pseudonyms: p}))
	loads := table(t, write(t, story(), &Options{Table: "loads", Pseudonyms: p}))
	anna, bert := people[0], people[1]
	if anna["partner_ids"] != bert["participant"] || bert["partner_ids"] != anna["participant"] || anna["group_id"] != bert["group_id"] ||
		loads[0]["participant"] != anna["participant"] || events[0]["participant"] != anna["participant"] || events[6]["load_id"] != loads[0]["load_id"] {
		t.Errorf("the tables cannot be joined: %v, %v, %v", anna, bert, loads[0])
	}
	if anna["experiment"] != "grid" || loads[0]["phase"] != "python" || loads[0]["detail"] != "" || anna["loading_s"] != "12.345" {
		t.Errorf("%v\n%v", anna, loads[0])
	}
	// As printf 'p\0anna' | openssl dgst -sha256 -hmac kkkk… has it.
	if got, want := p.Of(eventlog.Participant, "anna"), "pb74c59418c31f2d544c5a2b8"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	other, _ := NewPseudonyms([]byte(strings.Repeat("x", 32)))
	if p.Of(eventlog.Participant, "anna") == other.Of(eventlog.Participant, "anna") || p.Of(eventlog.Participant, "x")[1:] == p.Of(eventlog.Group, "x")[1:] {
		t.Error("another key, or another kind of name, gives the same pseudonym")
	}
	if _, err := NewPseudonyms([]byte("short")); err == nil {
		t.Error("a short key was accepted")
	}
}

// The memory of what is known is bounded, and forgetting changes nothing.
func TestPseudonymsForget(t *testing.T) {
	p, _ := NewPseudonyms([]byte(strings.Repeat("k", 32)))
	first := p.Of(eventlog.Participant, "0")
	for i := range maxKnown + 10 {
		p.Of(eventlog.Participant, strconv.Itoa(i))
	}
	if len(p.known) > maxKnown || p.Of(eventlog.Participant, "0") != first {
		t.Errorf("%d known", len(p.known))
	}
}

func TestKeyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	a, made, open, err := PseudonymsFrom(path)
	if err != nil || !made || open {
		t.Fatalf("made %v, open %v, %v", made, open, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	b, made, open, err := PseudonymsFrom(path)
	if err != nil || made || open || a.Of(eventlog.Participant, "p") != b.Of(eventlog.Participant, "p") {
		t.Errorf("again: made %v, open %v, %v", made, open, err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, open, err := PseudonymsFrom(path); !open || err != nil {
		t.Errorf("open %v, %v", open, err)
	}
	if err := os.WriteFile(path, []byte("  short \n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := PseudonymsFrom(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a short key: %v", err)
	}
	if _, _, _, err := PseudonymsFrom(filepath.Join(path, "none")); err == nil {
		t.Error("a path that cannot be was accepted")
	}
}

// A reader that fails, and a writer that is full, are told.
func TestErrors(t *testing.T) {
	for _, name := range Tables {
		for _, f := range []Format{CSV, JSONL, Parquet} {
			if _, err := Write(t.Context(), io.Discard, failing{}, &Options{Table: name, Format: f}); !errors.Is(err, errFailing) {
				t.Errorf("%s as %s: %v", name, f, err)
			}
			if _, err := Write(t.Context(), full{}, story(), &Options{Table: name, Format: f}); !errors.Is(err, errFull) {
				t.Errorf("%s as %s to a full disk: %v", name, f, err)
			}
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Write(ctx, io.Discard, story(), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := Write(t.Context(), io.Discard, story(), &Options{Table: "none"}); err == nil {
		t.Error("an unknown table was written")
	}
	if _, err := Write(t.Context(), io.Discard, story(), &Options{Format: Markdown}); err == nil {
		t.Error("data was written as markdown")
	}
}

var errFailing, errFull = errors.New("failing"), errors.New("full")

type failing struct{}

func (failing) Records(context.Context, int64, int) ([]eventlog.Record, error) {
	return nil, errFailing
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errFull }

// The codebook explains every column of every table that is exported, and
// every value of those that have few.
func TestCodebook(t *testing.T) {
	var b bytes.Buffer
	if err := WriteCodebook(&b, CSV); err != nil {
		t.Fatal(err)
	}
	explained := map[string]string{}
	for _, row := range table(t, b.Bytes()) {
		key := row["table"] + "." + row["column"] + "." + row["value"]
		if explained[key] != "" || row["meaning"] == "" {
			t.Errorf("%s is explained twice or not at all", key)
		}
		explained[key] = row["meaning"]
	}
	for _, name := range Tables {
		lines := strings.SplitN(string(write(t, story(), &Options{Table: name})), "\n", 2)
		for _, column := range strings.Split(lines[0], ",") {
			if explained[name+"."+column+"."] == "" {
				t.Errorf("%s.%s is not explained", name, column)
			}
		}
	}
	for _, e := range story() {
		if explained["events.kind."+string(e.Kind)] == "" || e.Reason != "" && explained["events.reason."+e.Reason] == "" && explained["loads.result."+e.Reason] == "" {
			t.Errorf("%s because of %s is not explained", e.Kind, e.Reason)
		}
	}
	b.Reset()
	if err := WriteCodebook(&b, Markdown); err != nil {
		t.Fatal(err)
	}
	for key := range explained {
		parts := strings.Split(key, ".")
		name := parts[len(parts)-1]
		if name == "" {
			name = parts[1]
		}
		if name != "" && !strings.Contains(b.String(), "\n| `"+name+"`") {
			t.Errorf("the markdown does not list %s", key)
		}
	}
	for _, line := range strings.Split(b.String(), "\n") {
		if n := strings.Count(strings.ReplaceAll(line, `\|`, ""), "|"); strings.HasPrefix(line, "|") && n != 6 && n != 3 {
			t.Errorf("%d bars in %s", n, line)
		}
	}
	for _, f := range []Format{JSONL, Parquet} {
		if err := WriteCodebook(io.Discard, f); err != nil {
			t.Errorf("%s: %v", f, err)
		}
	}
	if err := WriteCodebook(full{}, Markdown); !errors.Is(err, errFull) {
		t.Errorf("to a full disk: %v", err)
	}
}

func TestTablesAreWellDefined(t *testing.T) {
	wellDefined(t, &eventlog.Events)
	wellDefined(t, &tidy.Participants)
	wellDefined(t, &tidy.Loads)
	wellDefined(t, &Codebook)
}

// wellDefined checks that columns have their own fields, of the right type.
func wellDefined[T any](t *testing.T, table *eventlog.Table[T]) {
	var row T
	fields := map[any]string{}
	for _, c := range table.Columns {
		f := c.Field(&row)
		if other, twice := fields[f]; twice {
			t.Errorf("%s: %s and %s are the same field", table.Name, c.Name, other)
		}
		fields[f] = c.Name
		ok := false
		switch f.(type) {
		case *string:
			ok = c.Type == eventlog.Text
		case *int64, *eventlog.Int:
			ok = c.Type == eventlog.Integer || c.Type == eventlog.Seconds
		case *time.Time:
			ok = c.Type == eventlog.Time
		}
		if !ok || strings.HasSuffix(c.Name, "_s") != (c.Type == eventlog.Seconds) || c.Free && c.Type != eventlog.Text {
			t.Errorf("%s: %s is a %s in a %T", table.Name, c.Name, c.Type, f)
		}
	}
}
