package export

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"initgrace/grace/protocol"
	"initgrace/server/eventlog"
	"initgrace/server/store"
	"initgrace/server/store/sqlite"
)

// TestWorkedExamples runs the examples of web/analysis on a log with a known
// answer: all of them give it.
func TestWorkedExamples(t *testing.T) {
	t.Parallel() // most of it is done by other programs
	scripts, err := filepath.Abs("../../../web/analysis")
	if err != nil {
		t.Fatal(err)
	}
	db := filepath.Join(t.TempDir(), "study.db")
	s, err := sqlite.Open(db, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	if err := s.Put(t.Context(), store.Batch{Records: trials()}); err != nil {
		t.Fatal(err)
	}
	log, err := sqlite.OpenLog(db)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	events := filepath.Join(t.TempDir(), "events.csv")
	if err := os.WriteFile(events, write(t, log, nil), 0o600); err != nil {
		t.Fatal(err)
	}
	want := []string{"participant,blocked_s", "007,5.001", "NA,7.000", "end,20.000", "over,6.250", "twice,6.000"}
	named := func(name string) func(*testing.T) string {
		return func(t *testing.T) string { return program(t, name) }
	}
	for _, c := range []struct {
		name    string
		program func(*testing.T) string // skips where the example cannot run
		args    []string
	}{
		{"python", named("python3"), []string{"exclude.py", events, "trial-2", "5"}},
		{"pandas", pandas, []string{"exclude_pandas.py", events, "trial-2", "5"}},
		{"R", rscript, []string{"exclude.R", events, "trial-2", "5"}},
		{"sqlite", named("sqlite3"), []string{"-readonly", "-csv", "-header", db,
			".param set :trial 'trial-2'", ".param set :seconds 5", ".read exclude.sql"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(c.program(t), c.args...)
			cmd.Dir = scripts
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			out, err := cmd.Output()
			got := strings.Fields(string(out))
			if len(got) > 0 {
				slices.Sort(got[1:]) // languages sort differently
			}
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("got %q, %v\n%s\nwant %q", got, err, &stderr, want)
			}
		})
	}
}

// trials is a log of participants who are blocked at various times: trial-2 is
// from 60 s to 120 s.
func trials() []eventlog.Record {
	start := time.Date(2026, 10, 25, 0, 59, 0, 0, time.UTC) // summer time ends in Europe
	var log []eventlog.Record
	add := func(who string, ms int64, r eventlog.Record) {
		r.Participant, r.Mono, r.At, r.Run, r.Seq = who, ms, start.Add(time.Duration(ms)*time.Millisecond), "run", int64(len(log)+1)
		log = append(log, r)
	}
	for who, blocks := range map[string][][2]int64{ // from, to
		"007":   {{70_000, 75_001}},
		"NA":    {{70_000, 77_000}},
		"limit": {{70_000, 75_000}},                     // not more than 5 s
		"early": {{10_000, 40_000}},                     // in another trial
		"late":  {{130_000, 150_000}},                   // in another trial
		"over":  {{50_000, 66_250}},                     // counts from the beginning of the trial
		"end":   {{100_000, 140_000}},                   // counts to its end
		"twice": {{61_000, 64_000}, {100_000, 103_000}}, // in sum
		"never": nil,
	} {
		at := []struct {
			ms    int64
			scene string
		}{{0, "trial-1"}, {60_000, "trial-2"}, {120_000, "trial-3"}}
		for _, b := range blocks {
			for len(at) > 0 && at[0].ms <= b[1] {
				add(who, at[0].ms, eventlog.Record{Kind: eventlog.StateSaved, Scene: at[0].scene})
				at = at[1:]
			}
			add(who, b[0], eventlog.Record{Kind: eventlog.Presence, From: protocol.Active, To: protocol.Blocked, Duration: eventlog.Of(1)})
			add(who, b[1], eventlog.Record{Kind: eventlog.Presence, From: protocol.Blocked, To: protocol.Active, Duration: eventlog.Of(b[1] - b[0])})
		}
		for _, a := range at {
			add(who, a.ms, eventlog.Record{Kind: eventlog.StateSaved, Scene: a.scene})
		}
	}
	return log
}
