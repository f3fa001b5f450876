package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"initgrace/grace"
	"initgrace/server"
	"initgrace/server/store/sqlite"
)

// lab is a running server with a database.
type lab struct {
	t   *testing.T
	db  string
	url string
}

func startLab(t *testing.T) lab {
	t.Helper()
	path := filepath.Join(t.TempDir(), "study.db")
	db, err := sqlite.Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	srv, err := server.New(server.Config{
		Store: db, PageInterval: 50 * time.Millisecond, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Policy: grace.Policy{
			ProbeInterval: 50 * time.Millisecond, SilenceTimeout: 1600 * time.Millisecond, BlockedAfter: 300 * time.Millisecond,
			BlockedTimeout: 5 * time.Second, LeaveTimeout: 300 * time.Millisecond,
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(srv)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := srv.Close(ctx); err != nil {
			t.Error(err)
		}
		web.Close()
	})
	return lab{t, path, web.URL}
}

// participant is a page that follows the protocol by hand.
type participant struct {
	t      *testing.T
	ws     *websocket.Conn
	frozen chan bool // what the page is told to be
	acks   chan string
}

func (s lab) join(auth string) *participant {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	ws, _, err := websocket.Dial(ctx, s.url+"/socket.io/?EIO=4&transport=websocket", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { ws.CloseNow() })
	p := &participant{s.t, ws, make(chan bool), make(chan string, 10)}
	frames := make(chan string, 100)
	go func() {
		defer close(frames)
		for {
			_, data, err := ws.Read(context.Background())
			if err != nil {
				return
			}
			frames <- string(data)
		}
	}()
	go func() {
		frozen, asked := false, false
		for {
			select {
			case frozen = <-p.frozen:
				if asked && !frozen {
					p.send("3")
				}
				asked = false
			case f, ok := <-frames:
				switch {
				case !ok:
					return
				case f == "2" && frozen:
					asked = true
				case f == "2":
					p.send("3")
				case f[0] == '0':
					p.send("40" + auth)
				case strings.HasPrefix(f, "43"):
					p.acks <- f
				case strings.HasPrefix(f, `42["session",`):
					p.acks <- f
				}
			}
		}
	}()
	p.ack()
	return p
}

func (p *participant) send(frame string) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	p.ws.Write(ctx, websocket.MessageText, []byte(frame)) // a failure shows in the acks
}

func (p *participant) ack() string {
	p.t.Helper()
	select {
	case a := <-p.acks:
		return a
	case <-time.After(10 * time.Second):
		p.t.Fatal("no ack")
		return ""
	}
}

func (p *participant) call(event, payload string) string {
	p.t.Helper()
	p.send(fmt.Sprintf(`421["%s",%s]`, event, payload))
	return p.ack()
}

// exported runs the command and returns what it wrote.
func exported(t *testing.T, args ...string) string {
	t.Helper()
	var out, log bytes.Buffer
	if err := run(t.Context(), append([]string{"export"}, args...), &out, &log); err != nil {
		t.Fatalf("export %v: %v", args, err)
	}
	return out.String()
}

func rows(t *testing.T, text string) []map[string]string {
	t.Helper()
	lines, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var out []map[string]string
	for _, line := range lines[1:] {
		m := map[string]string{}
		for i, name := range lines[0] {
			m[name] = line[i]
		}
		out = append(out, m)
	}
	return out
}

// TestExport is the way of the data: pages, a server, and what the researcher
// gets, while the server runs and after it.
func TestExport(t *testing.T) {
	s := startLab(t)
	anna := s.join(`{"participant":"anna","experiment":"grid","group":"g-1","page_id":"a"}`)
	bert := s.join(`{"participant":"bert","experiment":"grid","group":"g-1","page_id":"b"}`)
	s.join(`{"participant":"carl","experiment":"other"}`)
	anna.call("state_save", `{"scene_id":"trial-1"}`)
	anna.call("pyodide_loading_start", `{"id":"anna-load","phase":"python"}`)
	const block = 700 * time.Millisecond
	anna.frozen <- true
	time.Sleep(block) // the freeze
	anna.frozen <- false
	anna.call("pyodide_loading_complete", `{"id":"anna-load","blocked_ms":690,"longest_block_ms":650}`)
	bert.frozen <- true
	time.Sleep(block)
	bert.frozen <- false
	if a := bert.call("send", `{"data":1}`); !strings.Contains(a, `"ok":true`) {
		t.Fatalf("send: %s", a)
	}
	bert.ws.Close(websocket.StatusGoingAway, "")

	// The tidy tables of the running server, until bert is gone.
	var people []map[string]string
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		people = rows(t, exported(t, "--db", s.db, "--table", "participants"))
		if len(people) == 3 && people[1]["outcome"] == "gone" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("bert is not gone: %v", people)
		}
	}
	a, b := people[0], people[1]
	seconds := func(s string) float64 {
		t.Helper()
		var f float64
		if err := json.Unmarshal([]byte(s), &f); err != nil {
			t.Errorf("%q is not a number", s)
		}
		return f
	}
	if seconds(a["loading_s"]) < block.Seconds()/2 || a["blocked_s"] != "0.000" || a["loads"] != "1" || a["drops"] != "0" ||
		a["longest_block_s"] != "0.650" || a["partner_ids"] != "bert" || a["partner_wait_s"] != a["loading_s"] || a["last_scene"] != "trial-1" {
		t.Errorf("anna: %v", a)
	}
	if seconds(b["blocked_s"]) < 0.2 || seconds(b["blocked_s"]) > 2*block.Seconds() || b["blocks"] != "1" || b["drops"] != "1" ||
		b["outcome_reason"] != "leave_timeout" || b["messages_sent"] != "1" || seconds(b["away_s"]) < 0.3 {
		t.Errorf("bert: %v", b)
	}
	loads := rows(t, exported(t, "--db", s.db, "--table", "loads"))
	if len(loads) != 1 || loads[0]["result"] != "ok" || loads[0]["loading_s"] != a["loading_s"] || loads[0]["lease_s"] != "60.000" {
		t.Errorf("loads: %v", loads)
	}

	// The sums of the tables are those of the log.
	spent := map[string]float64{}
	events := rows(t, exported(t, "--db", s.db))
	for _, e := range events {
		if e["from_presence"] != "" {
			spent[e["participant"]+" "+e["from_presence"]] += seconds(e["duration_ms"]) / 1000
		}
	}
	for key, want := range map[string]string{"anna loading": a["loading_s"], "bert blocked": b["blocked_s"], "bert away": b["away_s"], "bert active": b["active_s"]} {
		if got := fmt.Sprintf("%.3f", spent[key]); got != want {
			t.Errorf("%s: %s in the log, %s in the table", key, got, want)
		}
	}
	if last := events[len(events)-1]; events[0]["kind"] != "run_started" || last["id"] != fmt.Sprint(len(events)) {
		t.Errorf("events from %v to %v", events[0], last)
	}

	// Filters, files, pseudonyms.
	if other := rows(t, exported(t, "--db", s.db, "--experiment", "other", "--table", "participants")); len(other) != 1 || other[0]["participant"] != "carl" {
		t.Errorf("of the other experiment: %v", other)
	}
	if late := exported(t, "--db", s.db, "--since", "2200-01-01", "--format", "jsonl"); late != "" {
		t.Errorf("of the future: %s", late)
	}
	dir := t.TempDir()
	key, out := filepath.Join(dir, "key"), filepath.Join(dir, "out.parquet")
	exported(t, "--db", s.db, "--format", "parquet", "--out", out, "--pseudonymise", key)
	if file, err := os.ReadFile(out); err != nil || !bytes.HasPrefix(file, []byte("PAR1")) || bytes.Contains(file, []byte("anna")) {
		t.Errorf("%d bytes of parquet, %v", len(file), err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if p := rows(t, exported(t, "--db", s.db, "--table", "participants", "--pseudonymise", key)); p[0]["partner_ids"] != p[1]["participant"] {
		t.Errorf("pseudonyms: %v", p)
	}
	if book := exported(t, "--codebook", "--format", "markdown"); !strings.Contains(book, "| `blocked_s` |") {
		t.Errorf("codebook: %.500s", book)
	}
}

// What cannot be exported is refused in one line that names the flag, and
// nothing is written.
func TestExportRefuses(t *testing.T) {
	dir := t.TempDir()
	db := filepath.Join(dir, "study.db")
	s, err := sqlite.Open(db, nil)
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	out := filepath.Join(dir, "out.csv")
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "--db: which"},
		{[]string{"--db", filepath.Join(dir, "none.db")}, "--db: .*does not exist"},
		{[]string{"--db", dir}, "--db: .*is a directory"},
		{[]string{"--db", write(t, "x.db", strings.Repeat("These are my notes. ", 300))}, "--db: .*not an SQLite database"},
		{[]string{"--db", db, "--format", "markdown"}, "--format: "},
		{[]string{"--db", db, "--format", "xlsx"}, "--format must be one of"},
		{[]string{"--db", db, "--table", "people"}, "--table must be one of"},
		{[]string{"--db", db, "--since", "yesterday"}, "--since: .*yesterday"},
		{[]string{"--db", db, "--since", "2026-11-03", "--until", "2026-11-02 12:00"}, "--since .* is not before --until"},
		{[]string{"--db", db, "--out", db}, "--out: that is the database"},
		{[]string{"--db", db, "--out", filepath.Join(dir, "no", "such.csv")}, "--out: .*no such file"},
		{[]string{"--db", db, "--pseudonymise", write(t, "key", "short")}, "--pseudonymise: .*too short"},
	} {
		var stdout bytes.Buffer
		args := append([]string{"export", "--out", out}, c.args...)
		err := run(t.Context(), args, &stdout, io.Discard)
		if err == nil || !regexp.MustCompile(c.want).MatchString(err.Error()) || strings.Contains(err.Error(), "\n") {
			t.Errorf("export %v: %v, want %s", c.args, err, c.want)
		}
		if _, err := os.Stat(out); err == nil || stdout.Len() > 0 {
			t.Fatalf("export %v wrote something", c.args)
		}
	}
	if info, err := os.Stat(db); err != nil || info.Size() == 0 {
		t.Errorf("the database: %v, %v", info, err)
	}
}
