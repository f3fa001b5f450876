package main

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"initgrace/server/study"
)

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// What cannot be used is refused in one line that names the flag, before
// anything is served.
func TestServeRefuses(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	empty := t.TempDir()
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--addr", taken.Addr().String()}, "--addr: .*address already in use"},
		{[]string{"--addr", "nonsense"}, "--addr: "},
		{[]string{"--db", filepath.Join(empty, "no", "such.db")}, "--db: .*folder does not exist"},
		{[]string{"--db", write(t, "x.db", "this is not a database, it is a text of some length")}, "--db: .*not an SQLite database"},
		{[]string{"--site", filepath.Join(empty, "none")}, "--site: .*no such file"},
		{[]string{"--site", write(t, "file", "")}, "--site: .*not a folder"},
		{[]string{"--site", empty}, "index.html"},
		{[]string{"--pyodide", empty}, "(?i)pyodide"},
		{[]string{"--origin", "nonsense"}, `origin "nonsense"`},
		{[]string{"--study", "none.yaml"}, "--study: .*no such file"},
		{[]string{"--study", write(t, "c.yaml", "policy:\n  load_cap: 3\n")}, `--study: .*c.yaml:2:13: 3 is not a duration`},
		{[]string{"--study", write(t, "c.yaml", "policy:\n  loadcap: 3s\n")}, `--study: .*c.yaml:2:3: unknown field "loadcap": did you mean load_cap`},
		{[]string{"--site", filepath.Dir(write(t, study.FileName, "experiments:\n  a:\n    group: {size: 1}\n"))}, `--site: .*initgrace.yaml:3:19: size 1`},
		{[]string{"--log-level", "loud"}, "log-level"},
	} {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		var out, log bytes.Buffer
		args := append([]string{"serve", "--addr", "127.0.0.1:0"}, c.args...)
		err := run(ctx, args, &out, &log)
		cancel()
		if err == nil || !regexp.MustCompile(c.want).MatchString(err.Error()) {
			t.Errorf("serve %v: error %v, want %s", c.args, err, c.want)
		}
		if strings.Contains(out.String(), "serves") {
			t.Errorf("serve %v: said %q", c.args, out.String())
		}
	}
}

// The study file of a site is found, and is not given away.
func TestStudyOfASite(t *testing.T) {
	path := write(t, study.FileName, "page_interval: 1s\npolicy:\n  probe_interval: off\n")
	s, err := readStudy("--study", "", filepath.Dir(path))
	if err != nil || s == nil || s.PageInterval != time.Second || s.Policy.ProbeInterval != -1 {
		t.Errorf("%+v, %v", s, err)
	}
	if s, err := readStudy("--study", "", t.TempDir()); s != nil || err != nil {
		t.Errorf("a site without one: %+v, %v", s, err)
	}
}

func TestSchema(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), []string{"schema"}, &out, new(bytes.Buffer)); err != nil || !bytes.Equal(out.Bytes(), study.Schema()) {
		t.Errorf("%.200s, %v", out.String(), err)
	}
}

func TestEnvironmentSetsFlags(t *testing.T) {
	t.Setenv("INITGRACE_DB", filepath.Join(t.TempDir(), "no", "such.db"))
	err := run(t.Context(), []string{"serve"}, new(bytes.Buffer), new(bytes.Buffer))
	if err == nil || !strings.Contains(err.Error(), "--db") {
		t.Errorf("error %v, want one about --db", err)
	}
}
