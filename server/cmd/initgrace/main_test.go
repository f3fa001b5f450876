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

	"initgrace/grace"
	"initgrace/server"
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
		{[]string{"--config", "none.yaml"}, "--config: .*no such file"},
		{[]string{"--config", write(t, "c.yaml", "policy:\n  load_cap: 3\n")}, `--config: .*\[2:13\] 3 is not a duration`},
		{[]string{"--config", write(t, "c.yaml", "policy:\n  load_cap: -3s\n")}, `--config: .*\[2:13\] -3s must be positive`},
		{[]string{"--config", write(t, "c.yaml", "policy:\n  loadcap: 3s\n")}, `(?s)--config: .*\[2:3\] unknown field "loadcap"`},
		{[]string{"--config", write(t, "c.yaml", "policy:\n  silence_timeout: off\n")}, "policy: SilenceTimeout .* cannot be switched off"},
		{[]string{"--config", write(t, "c.yaml", "policy:\n  probe_interval: 9s\n")}, "policy: ProbeInterval 9s must be shorter than SilenceTimeout 4s"},
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

func TestConfigFile(t *testing.T) {
	path := write(t, "c.yaml", "page_interval: 1s\npolicy:\n  probe_interval: off\n  load_cap: 2m\n  load_count: -1\n")
	var cfg server.Config
	if err := readConfig("--config", path, &cfg); err != nil {
		t.Fatal(err)
	}
	want := grace.Policy{ProbeInterval: -1, LoadCap: 2 * time.Minute, LoadCount: -1}
	if cfg.PageInterval != time.Second || cfg.Policy != want {
		t.Errorf("page interval %v, policy %+v", cfg.PageInterval, cfg.Policy)
	}
}

func TestEnvironmentSetsFlags(t *testing.T) {
	t.Setenv("INITGRACE_DB", filepath.Join(t.TempDir(), "no", "such.db"))
	err := run(t.Context(), []string{"serve"}, new(bytes.Buffer), new(bytes.Buffer))
	if err == nil || !strings.Contains(err.Error(), "--db") {
		t.Errorf("error %v, want one about --db", err)
	}
}
