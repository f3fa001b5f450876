package web_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// run runs a command in a directory.
func run(t *testing.T, dir, name string, args ...string) (string, error) {
	t.Helper()
	c := exec.Command(name, args...)
	c.Dir = dir
	out, err := c.CombinedOutput()
	return string(out), err
}

func mustRun(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	out, err := run(t, dir, name, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return out
}

// TestNpmPackage: what npm pack makes can be installed into an empty project
// without network, loads, and has types that a strict compiler takes, for every
// call that there is.
func TestNpmPackage(t *testing.T) {
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Dir(here)
	tsc := filepath.Join(root, "node_modules/.bin/tsc")
	for file, remedy := range map[string]string{tsc: "npm ci", filepath.Join(root, "bin/loader.wasm"): "make wasm"} {
		if _, err := os.Stat(file); err != nil {
			t.Fatalf("%v; run %s", err, remedy)
		}
	}
	dir := t.TempDir()
	// A copy, since packing puts files beside the sources for a moment.
	copied := filepath.Join(dir, "copy")
	for _, name := range []string{
		"LICENSE", "wasm_exec.js", "bin/loader.wasm", "node_modules/comlink/LICENSE", "node_modules/comlink/dist/esm/comlink.min.mjs",
	} {
		copyFile(t, filepath.Join(root, name), filepath.Join(copied, name))
	}
	for _, pattern := range []string{"*.js", "*.d.ts", "package.json", "pyodide/*.js"} {
		names, err := filepath.Glob(filepath.Join(here, pattern))
		if err != nil || len(names) == 0 {
			t.Fatalf("%s: %q, %v", pattern, names, err)
		}
		for _, name := range names {
			rel, err := filepath.Rel(root, name)
			if err != nil {
				t.Fatal(err)
			}
			copyFile(t, name, filepath.Join(copied, rel))
		}
	}
	mustRun(t, filepath.Join(copied, "web"), "npm", "pack", "--ignore-scripts=false", "--silent", "--pack-destination", dir)
	packed, err := filepath.Glob(filepath.Join(dir, "initgrace-*.tgz"))
	if err != nil || len(packed) != 1 {
		t.Fatalf("packed %q, %v", packed, err)
	}
	project := filepath.Join(dir, "project")
	write(t, filepath.Join(project, "package.json"), `{"name":"study","private":true,"type":"module"}`)
	mustRun(t, project, "npm", "install", "--offline", "--no-audit", "--no-fund", packed[0])
	for _, name := range []string{"loader.js", "loader.d.ts", "loader.wasm", "wasm_exec.js", "worker.js", "auto.js", "jspsych-plugin.js", "pyodide/load.js", "vendor/comlink.js", "LICENSE"} {
		if info, err := os.Stat(filepath.Join(project, "node_modules/initgrace", name)); err != nil || info.Size() == 0 {
			t.Errorf("not in the package: %s (%v)", name, err)
		}
	}
	out := mustRun(t, project, "node", "--input-type=module", "-e",
		`import { version } from "initgrace"; import plugin from "initgrace/jspsych-plugin.js"; console.log(version, plugin.info.name)`)
	if want := "0.1.0 initgrace-pyodide"; strings.TrimSpace(out) != want {
		t.Errorf("it says %q, want %q", out, want)
	}

	example, err := os.ReadFile("testdata/every-call.ts")
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(project, "every-call.ts"), string(example))
	check := func() (string, error) {
		return run(t, project, tsc, "--noEmit", "--strict", "--target", "es2022", "--lib", "es2022,dom", "--types", "",
			"--module", "nodenext", "--moduleResolution", "nodenext", "every-call.ts")
	}
	if out, err := check(); err != nil {
		t.Errorf("tsc: %v\n%s", err, out)
	}
	// A wrong call is noticed: the types are not any.
	for right, wrong := range map[string]string{
		`session.join({ size: 2 }`:                                     `session.join({ size: "2" }`,
		`session.on("load", (load) => console.log(load.longestBlockMs`: `session.on("load", (load) => console.log(load.longest`,
		`retries: 1`: `retries: "once"`,
	} {
		text := strings.Replace(string(example), right, wrong, 1)
		if text == string(example) {
			t.Fatalf("the example has no %s", right)
		}
		write(t, filepath.Join(project, "every-call.ts"), text)
		if _, err := check(); err == nil {
			t.Errorf("tsc takes %s", wrong)
		}
	}

	types, err := os.ReadFile("loader.d.ts")
	if err != nil {
		t.Fatal(err)
	}
	_, session, _ := strings.Cut(string(types), "export interface Session {")
	session, _, _ = strings.Cut(session, "\n}\n")
	members := regexp.MustCompile(`(?m)^\t(?:readonly )?([a-zA-Z]+)[(<:]`).FindAllStringSubmatch(session, -1)
	if len(members) < 20 {
		t.Errorf("only %d members of Session were found", len(members))
	}
	for _, m := range members {
		if !strings.Contains(string(example), "session."+m[1]) {
			t.Errorf("testdata/every-call.ts has no session.%s", m[1])
		}
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	write(t, to, string(b))
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
