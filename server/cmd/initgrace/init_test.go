package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"initgrace/server/study"
)

// What init writes is a study that the server takes, and init overwrites
// nothing.
func TestInit(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "study")
	var out bytes.Buffer
	if err := run(t.Context(), []string{"init", dir}, &out, &out); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "serve --site "+dir) {
		t.Errorf("said %q", out.String())
	}
	s, err := study.Read(filepath.Join(dir, study.FileName))
	if err != nil || s.Only() == nil || s.Only().Size != 2 {
		t.Fatalf("%+v, %v", s, err)
	}
	// Every line that is commented out is a right one, too.
	text, err := os.ReadFile(filepath.Join(dir, study.FileName))
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for line := range strings.SplitSeq(string(text), "\n") {
		indent := line[:len(line)-len(strings.TrimLeft(line, " "))]
		if rest, ok := strings.CutPrefix(line[len(indent):], "# "); ok && strings.Contains(strings.SplitN(rest, " ", 2)[0], ":") && indent != "" {
			line = indent + rest
		}
		all = append(all, line)
	}
	full, err := study.Parse(study.FileName, []byte(strings.Join(all, "\n")))
	if err != nil {
		t.Fatalf("with everything commented in: %v\n%s", err, strings.Join(all, "\n"))
	}
	if p := full.Only(); p.Seed == nil || !p.SameCondition || p.MaxLatency == 0 || p.BlockSize != 4 || p.Completion.Link == "" {
		t.Errorf("commented in: %+v", p)
	}

	if err := os.WriteFile(filepath.Join(dir, "study.js"), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "index.html")); err != nil {
		t.Fatal(err)
	}
	err = run(t.Context(), []string{"init", dir}, &out, &out)
	if err == nil || !strings.Contains(err.Error(), "is there already") || strings.Contains(err.Error(), "\n") {
		t.Errorf("again: %v", err)
	}
	if text, _ := os.ReadFile(filepath.Join(dir, "study.js")); string(text) != "mine" {
		t.Errorf("overwritten by %.40q", text)
	}
	if _, err := os.Stat(filepath.Join(dir, "index.html")); err == nil {
		t.Error("wrote a part of it")
	}
}
