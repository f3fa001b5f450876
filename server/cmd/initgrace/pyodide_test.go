package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"initgrace/server/wheels"
)

// A lab fills its folder from a local server and is told what is wrong.
func TestPyodideAdd(t *testing.T) {
	content := "not looked into"
	sum := sha256.Sum256([]byte(content))
	dir := t.TempDir()
	for name, text := range map[string]string{
		"package.json": `{"version": "9.9.9"}`, "pyodide.mjs": "", "pyodide.asm.wasm": "", "python_stdlib.zip": "",
		wheels.LockName: fmt.Sprintf(`{"packages": {"tiny": {"name": "tiny", "version": "1.0", "file_name": "tiny-1.0-py3-none-any.whl", "sha256": %q, "depends": []}}}`,
			hex.EncodeToString(sum[:])),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cdn := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/py/9.9.9/tiny-1.0-py3-none-any.whl" {
			http.NotFound(w, r)
			return
		}
		fmt.Fprint(w, content)
	}))
	defer cdn.Close()
	packages := filepath.Join(t.TempDir(), "packages")
	add := func(args ...string) (string, error) {
		var out, progress strings.Builder
		err := run(t.Context(), append([]string{"pyodide", "add", "--pyodide", dir, "--packages", packages, "--from", cdn.URL + "/py/{version}"}, args...), &out, &progress)
		return progress.String() + out.String(), err
	}
	for range 2 { // the second time everything is there
		if out, err := add("Tiny"); err != nil || !strings.HasPrefix(out, "tiny 1.0\n1 packages are in ") {
			t.Errorf("%q, %v", out, err)
		}
	}
	if b, err := os.ReadFile(filepath.Join(packages, "tiny-1.0-py3-none-any.whl")); err != nil || string(b) != content {
		t.Errorf("%q, %v", b, err)
	}
	if _, err := add("tin"); err == nil || !strings.Contains(err.Error(), "there is tiny") {
		t.Errorf("a name that is wrong: %v", err)
	}
	if _, err := add("tiny", "--from", "elsewhere"); err == nil || !strings.Contains(err.Error(), "--from") {
		t.Errorf("no URL: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "package.json"), []byte(`{"version": "9.9.10"}`), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := add("tiny"); err == nil || !strings.Contains(err.Error(), "for Pyodide 9.9.9, not 9.9.10") {
		t.Errorf("a folder of another version: %v", err)
	}
}
