package e2e

import (
	"archive/zip"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"initgrace/server"
	"initgrace/server/wheels"
)

// labPackages is a folder with a package of the test's own, as
// `initgrace pyodide add` makes it.
func labPackages(t *testing.T) (dir, wheel string) {
	t.Helper()
	dir = t.TempDir()
	wheel = "tiny_env-1.0-py3-none-any.whl"
	file := filepath.Join(t.TempDir(), wheel)
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	z := zip.NewWriter(f)
	for name, content := range map[string]string{
		"tiny_env.py": "answer = 42\n", "tiny_env-1.0.dist-info/RECORD": "",
		"tiny_env-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: tiny-env\nVersion: 1.0\n",
		"tiny_env-1.0.dist-info/WHEEL":    "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
	} {
		w, err := z.Create(name)
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
	f.Close()
	b, err := os.ReadFile("../node_modules/pyodide/" + wheels.LockName)
	if err != nil {
		t.Fatal(err)
	}
	lock, err := wheels.ReadLock(b)
	if err != nil {
		t.Fatal(err)
	}
	lock.Pyodide = "314.0.7"
	adder := wheels.Adder{Dir: dir, Lock: lock, From: &url.URL{Scheme: "http", Host: "127.0.0.1:9", Path: "/"}}
	if err := adder.Add(t.Context(), file); err != nil {
		t.Fatal(err)
	}
	return dir, wheel
}

const loadTiny = `page.loadPyodide({ packages: ["tiny-env"] }).then(
	() => String(page.pyodide.runPython("import tiny_env; tiny_env.answer")), (err) => err.code)`

// TestPackages: packages come from the server's folder by name, and only if
// they are what the lock file says.
func TestPackages(t *testing.T) {
	dir, wheel := labPackages(t)
	files := &overlay{layers: nil}
	files.layers = append(files.layers, os.DirFS(dir))
	l := newStudy(t, study, func(cfg *server.Config) { cfg.Packages = files })
	p := l.open(study, "player", "")
	await[any](p, "page.connected")
	p.Expect("integrity|digest", "ERR_FAILED|Failed to load resource")
	files.corrupt(wheel)
	if got := await[string](p, loadTiny); got != "package_failed" {
		t.Errorf("a damaged package: %s", got)
	}
	files.find(wheel)
	if got := await[string](p, loadTiny); got != "42" {
		t.Errorf("from the folder: %s", got)
	}
}

// TestPackageStalls: what a page that has started Python adds to it may stand
// still, for ever. Pyodide adds one thing at a time, and another try does not
// wait for it.
func TestPackageStalls(t *testing.T) {
	dir, wheel := labPackages(t)
	files := &overlay{layers: []fs.FS{os.DirFS(dir)}}
	l := newStudy(t, study, func(cfg *server.Config) { cfg.Packages = files })
	p := l.open(study, "player", "")
	await[any](p, "page.connected")
	await[any](p, "page.session.preload()")
	files.stall(wheel)
	defer files.find(wheel)
	load := func(stallMS int) string {
		return await[string](p, fmt.Sprintf(`page.loadPyodide({ packages: ["tiny-env"], stallMs: %d }).then(
			() => String(page.pyodide.runPython("import tiny_env; tiny_env.answer")), (err) => err.code)`, stallMS))
	}
	if got := load(3000); got != "load_stalled" {
		t.Errorf("while the package stands still: %s", got)
	}
	files.mend(wheel)
	if got := load(60_000); got != "42" {
		t.Errorf("another try: %s", got)
	}
}

// TestPackageCDN: what the folder has not comes from the CDN, if there is one.
func TestPackageCDN(t *testing.T) {
	dir, wheel := labPackages(t)
	var asked []string
	cdn := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Path)
		w.Header().Set("Access-Control-Allow-Origin", "*")
		http.ServeFile(w, r, filepath.Join(dir, filepath.Base(r.URL.Path)))
	}))
	t.Cleanup(cdn.Close)
	files := &overlay{layers: nil}
	files.layers = append(files.layers, os.DirFS(dir))
	files.lose(wheel)
	l := newStudy(t, study, func(cfg *server.Config) {
		cfg.Packages, cfg.PackageCDN = files, cdn.URL+"/v{version}/full"
	})
	p := l.open(study, "player", "")
	await[any](p, "page.connected")
	p.Expect("status of 404", "(?i)integrity") // the answer "not found" is not the wheel
	if got := await[string](p, loadTiny); got != "42" {
		t.Errorf("from the CDN: %s", got)
	}
	if len(asked) != 1 || asked[0] != "/v314.0.7/full/"+wheel {
		t.Errorf("the CDN was asked for %q", asked)
	}
}
