package wheels

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// wheel makes a pure-Python wheel with one module.
func wheel(t testing.TB, name string, requires ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	metadata := "Metadata-Version: 2.1\nName: " + name + "\nVersion: 1.0\n"
	for _, r := range requires {
		metadata += "Requires-Dist: " + r + "\n"
	}
	for file, content := range map[string]string{
		name + "/__init__.py": "answer = 42\n", name + "-1.0.dist-info/METADATA": metadata + "\nRequires-Dist: prose\n",
		name + "-1.0.dist-info/WHEEL":  "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
		name + "-1.0.dist-info/RECORD": "",
	} {
		w, err := z.Create(file)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// cdn is a local server with wheels, and the lock file that names them.
func cdn(t *testing.T) (lock string, from *url.URL, files map[string][]byte, asked *[]string) {
	t.Helper()
	files = map[string][]byte{}
	packages := map[string]any{}
	for name, depends := range map[string][]string{"base": {}, "middle": {"Base"}, "top": {"middle", "base"}, "round_a": {"round-b"}, "round-b": {"round.a"}} {
		file := name + "-1.0-py3-none-any.whl"
		files[file] = wheel(t, name)
		sum := sha256.Sum256(files[file])
		packages[canonical(name)] = map[string]any{
			"name": name, "version": "1.0", "file_name": file, "sha256": hex.EncodeToString(sum[:]), "depends": depends, "extra_field": true,
		}
	}
	b, err := json.Marshal(map[string]any{"info": map[string]string{"python": "3.14.2"}, "packages": packages})
	if err != nil {
		t.Fatal(err)
	}
	asked = new([]string)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := strings.TrimPrefix(r.URL.Path, "/full/")
		*asked = append(*asked, name)
		if files[name] == nil {
			http.NotFound(w, r)
			return
		}
		w.Write(files[name])
	}))
	t.Cleanup(s.Close)
	from, err = url.Parse(s.URL + "/full/")
	if err != nil {
		t.Fatal(err)
	}
	return string(b), from, files, asked
}

func adder(t *testing.T, dir, lock string, from *url.URL) *Adder {
	t.Helper()
	l, err := ReadLock([]byte(lock))
	if err != nil {
		t.Fatal(err)
	}
	l.Pyodide = "9.9.9"
	return &Adder{Dir: dir, Lock: l, From: from}
}

func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, strings.TrimSuffix(e.Name(), "-1.0-py3-none-any.whl"))
	}
	return strings.Join(out, " ")
}

func TestAdd(t *testing.T) {
	lock, from, files, asked := cdn(t)
	dir := filepath.Join(t.TempDir(), "packages")
	a := adder(t, dir, lock, from)
	var told []string
	a.Progress = func(p *Package, bytes, total int64, done bool) {
		if done {
			told = append(told, p.Name)
		} else if total != int64(len(files[p.File])) || bytes > total {
			t.Errorf("%s: %d of %d bytes", p.Name, bytes, total)
		}
	}
	if err := a.Add(t.Context(), "Top"); err != nil {
		t.Fatal(err)
	}
	if got := names(t, dir); got != "base middle pyodide-lock.json top" {
		t.Errorf("the folder holds %s", got)
	}
	if !slices.Equal(told, []string{"base", "middle", "top"}) {
		t.Errorf("told of %v", told)
	}

	// Another time: what is there stays, what was damaged meanwhile is replaced.
	b, err := os.ReadFile(filepath.Join(dir, LockName))
	if err != nil {
		t.Fatal(err)
	}
	for _, kept := range []string{`"extra_field": true`, `"python": "3.14.2"`, `"pyodide": "9.9.9"`} {
		if !strings.Contains(string(b), kept) {
			t.Errorf("the lock file lost %s", kept)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "base-1.0-py3-none-any.whl"), []byte("junk"), 0o644); err != nil {
		t.Fatal(err)
	}
	*asked = nil
	if err := adder(t, dir, string(b), from).Add(t.Context(), "top", "round-a"); err != nil {
		t.Fatal(err)
	}
	if want := []string{"base-1.0-py3-none-any.whl", "round-b-1.0-py3-none-any.whl", "round_a-1.0-py3-none-any.whl"}; !slices.Equal(*asked, want) {
		t.Errorf("asked for %v, want %v", *asked, want)
	}
}

func TestAddOwnWheel(t *testing.T) {
	lock, from, _, _ := cdn(t)
	src, dir := t.TempDir(), t.TempDir()
	own := filepath.Join(src, "my_env-2.0-py3-none-any.whl")
	content := wheel(t, "my_env", "middle (>=1)", `gymnasium ; extra == "all"`, "base")
	if err := os.WriteFile(own, content, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := adder(t, dir, lock, from).Add(t.Context(), own); err != nil {
		t.Fatal(err)
	}
	if got := names(t, dir); got != "base middle my_env-2.0-py3-none-any.whl pyodide-lock.json" {
		t.Errorf("the folder holds %s", got)
	}
	b, err := os.ReadFile(filepath.Join(dir, LockName))
	if err != nil {
		t.Fatal(err)
	}
	var written struct {
		Packages map[string]struct {
			Depends, Imports []string
			SHA256           string
			InstallDir       string `json:"install_dir"`
		}
	}
	if err := json.Unmarshal(b, &written); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(content)
	if p := written.Packages["my-env"]; fmt.Sprint(p.Depends, p.Imports) != "[middle base] [my_env]" || p.SHA256 != hex.EncodeToString(sum[:]) || p.InstallDir != "site" {
		t.Errorf("written: %+v", p)
	}
}

func TestAddRefuses(t *testing.T) {
	lock, from, files, _ := cdn(t)
	src := t.TempDir()
	write := func(name string, content []byte) string {
		file := filepath.Join(src, name)
		if err := os.WriteFile(file, content, 0o644); err != nil {
			t.Fatal(err)
		}
		return file
	}
	for _, c := range []struct {
		name, add string
		says      string
		is        error
		spoil     func()
	}{
		{"an unknown package", "numpi", "numpi", ErrUnknown, nil},
		{"an unknown dependency", write("needy-1.0-py3-none-any.whl", wheel(t, "needy", "nowhere>=2")), "nowhere, which needy needs", ErrUnknown, nil},
		{"a wheel for another system", write("fast-1.0-cp314-cp314-manylinux_x86_64.whl", wheel(t, "fast")), "manylinux", nil, nil},
		{"no wheel's name", write("thing.whl", wheel(t, "thing")), "not the name of a wheel", nil, nil},
		{"no wheel", write("junk-1.0-py3-none-any.whl", []byte("junk")), "zip", nil, nil},
		{"a missing wheel", filepath.Join(src, "none-1.0-py3-none-any.whl"), "no such file", nil, nil},
		{"a missing file", "base", "404", nil, func() { delete(files, "base-1.0-py3-none-any.whl") }},
		{"a damaged file", "middle", "SHA-256", ErrHash, func() {
			files["base-1.0-py3-none-any.whl"] = wheel(t, "base")
			files["middle-1.0-py3-none-any.whl"] = []byte("evil")
		}},
	} {
		if c.spoil != nil {
			c.spoil()
		}
		dir := t.TempDir()
		err := adder(t, dir, lock, from).Add(t.Context(), c.add)
		if err == nil || !strings.Contains(err.Error(), c.says) || c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("%s: %v", c.name, err)
		}
		if got := names(t, dir); strings.Contains(got, "middle") || strings.Contains(got, "lock") || strings.Contains(got, "part") {
			t.Errorf("%s left %s", c.name, got)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := adder(t, t.TempDir(), lock, from).Add(ctx, "top"); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	evil := strings.ReplaceAll(lock, "top-1.0-py3-none-any.whl", "../..")
	if err := adder(t, t.TempDir(), evil, from).Add(t.Context(), "top"); err == nil {
		t.Error("a file outside of the folder was taken")
	}
}

func TestReadLockRefuses(t *testing.T) {
	for _, lock := range []string{"", "{", "[]", `{"info": {}}`, `{"packages": []}`, `{"packages": {"x": 1}}`, `{"pyodide": 3, "packages": {}}`} {
		if _, err := ReadLock([]byte(lock)); err == nil || !strings.Contains(err.Error(), LockName) {
			t.Errorf("%q: %v", lock, err)
		}
	}
}
