//go:build !js

package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// found is every first submatch in some files, sorted, once.
func found(t *testing.T, glob, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(glob)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(string(text), -1) {
			out = append(out, m[1])
		}
	}
	if len(out) == 0 {
		t.Fatalf("nothing in %s is like %s", glob, pattern)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// loader.d.ts knows exactly the codes that there are: the server's, the
// client's and the loader's own JavaScript's.
func TestTypesKnowTheCodes(t *testing.T) {
	documented := found(t, root+"/web/loader.d.ts", `\| "([a-z_]+)";? //`)
	made := slices.Concat(
		found(t, root+"/grace/protocol/codes.go", `Code += "([a-z_]+)"`),
		found(t, root+"/wasmclient/codes.go", `protocol\.Code = "([a-z_]+)"`),
		found(t, root+"/web/*.js", `fault\("([a-z_]+)"`),
		found(t, root+"/web/pyodide/*.js", `fault\("([a-z_]+)"`),
	)
	slices.Sort(made)
	if made = slices.Compact(made); !slices.Equal(made, documented) {
		t.Errorf("codes made:\n%s\ndocumented:\n%s", strings.Join(made, " "), strings.Join(documented, " "))
	}
}

// loader.d.ts knows exactly the events that there are.
func TestTypesKnowTheEvents(t *testing.T) {
	types, err := os.ReadFile(root + "/web/loader.d.ts")
	if err != nil {
		t.Fatal(err)
	}
	_, events, _ := strings.Cut(string(types), "export interface SessionEvents {")
	events, _, _ = strings.Cut(events, "\n}")
	var documented []string
	for _, m := range regexp.MustCompile(`(?m)^\t([a-z_]+):`).FindAllStringSubmatch(events, -1) {
		documented = append(documented, m[1])
	}
	slices.Sort(documented)
	protocol, err := os.ReadFile(root + "/grace/protocol/protocol.go")
	if err != nil {
		t.Fatal(err)
	}
	_, emitted, _ := strings.Cut(string(protocol), "// Events that the server emits.")
	emitted, _, _ = strings.Cut(emitted, ")")
	var made []string
	for _, m := range regexp.MustCompile(`Event[A-Za-z]+ += "([a-z_]+)"`).FindAllStringSubmatch(emitted, -1) {
		made = append(made, m[1])
	}
	made = slices.Concat(made,
		found(t, root+"/wasmclient/codes.go", `Event[A-Za-z]+ += "([a-z_]+)"`),
		found(t, root+"/web/*.js", `emitLocal\("([a-z_]+)"`),
		found(t, root+"/web/pyodide/*.js", `emitLocal\("([a-z_]+)"`))
	slices.Sort(made)
	if made = slices.Compact(made); !slices.Equal(made, documented) {
		t.Errorf("events made:\n%s\ndocumented:\n%s", strings.Join(made, " "), strings.Join(documented, " "))
	}
}
