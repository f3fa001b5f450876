package static

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/andybalholm/brotli"

	"initgrace/server/static/bundle"
)

var buildTime = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

var script = strings.Repeat("export const answer = 42;\n", 100)

// testBundle packs a small bundle the way `make build` does.
func testBundle(t testing.TB, more map[string]string) fs.FS {
	t.Helper()
	src, dst := t.TempDir(), t.TempDir()
	files := make(map[string]string)
	contents := map[string]string{
		"initgrace/loader.js":             script,
		"initgrace/loader.wasm":           "\x00asm" + strings.Repeat("wasm", 1000),
		"pyodide/9.9.9/pyodide.mjs":       script,
		"pyodide/9.9.9/python_stdlib.zip": "PK\x03\x04 this does not shrink",
		"pyodide/9.9.9/pyodide-lock.json": `{"packages": {}}` + strings.Repeat(" ", 500),
		"demo/index.html":                 "<!doctype html>" + strings.Repeat("<p>hello</p>", 100),
		"demo/env.py":                     strings.Repeat("x = 1\n", 100),
	}
	maps.Copy(contents, more)
	for name, content := range contents {
		file := filepath.Join(src, strings.ReplaceAll(name, "/", "_"))
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		files[name] = file
	}
	if _, err := bundle.Pack(dst, "9.9.9", files, 5); err != nil {
		t.Fatal(err)
	}
	return os.DirFS(dst)
}

func newHandler(t testing.TB, o Options) http.Handler {
	t.Helper()
	o.Dist = testBundle(t, nil)
	h, err := New(&o)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// ask sends one request; headers are name, value, name, value…
func ask(t testing.TB, h http.Handler, method, target string, headers ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequest(method, target, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func body(t testing.TB, r *http.Response) string {
	t.Helper()
	var from io.Reader = r.Body
	switch coding := r.Header.Get("Content-Encoding"); coding {
	case "br":
		from = brotli.NewReader(r.Body)
	case "gzip":
		z, err := gzip.NewReader(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		from = z
	case "":
	default:
		t.Fatalf("Content-Encoding %q", coding)
	}
	b, err := io.ReadAll(from)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func wantHeader(t testing.TB, r *http.Response, name, want string) {
	t.Helper()
	if got := r.Header.Get(name); got != want {
		t.Errorf("%s: %q, want %q", name, got, want)
	}
}

func TestNegotiation(t *testing.T) {
	h := newHandler(t, Options{})
	tags := make(map[string]string)
	for _, c := range []struct{ accept, coding string }{
		{"gzip, deflate, br, zstd", "br"},
		{"br;q=0, gzip", "gzip"},
		{"br ; Q=0.0 , GZIP;q=0.5", "gzip"},
		{"gzip", "gzip"},
		{"*", "br"},
		{"*;q=0", ""},
		{"br;q=0, *", "gzip"},
		{"br;q=nonsense", ""},
		{"brotli, x-gzip", ""},
		{"identity", ""},
		{"", ""},
	} {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			r := ask(t, h, method, "/initgrace/loader.js", "Accept-Encoding", c.accept)
			if r.StatusCode != http.StatusOK {
				t.Fatalf("%s with %q: %s", method, c.accept, r.Status)
			}
			wantHeader(t, r, "Content-Encoding", c.coding)
			wantHeader(t, r, "Content-Type", "text/javascript; charset=utf-8")
			wantHeader(t, r, "Cache-Control", "no-cache")
			wantHeader(t, r, "Vary", "Accept-Encoding")
			sent, err := io.ReadAll(r.Body)
			if err != nil {
				t.Fatal(err)
			}
			if method == http.MethodHead {
				if len(sent) > 0 {
					t.Errorf("HEAD with %q: %d bytes of body", c.accept, len(sent))
				}
				continue
			}
			if r.ContentLength != int64(len(sent)) {
				t.Errorf("with %q: Content-Length %d of %d bytes", c.accept, r.ContentLength, len(sent))
			}
			r.Body = io.NopCloser(bytes.NewReader(sent))
			if got := body(t, r); got != script {
				t.Errorf("with %q: %d bytes, want the script's %d", c.accept, len(got), len(script))
			}
			tag := r.Header.Get("ETag")
			if other, seen := tags[tag]; seen && other != c.coding {
				t.Errorf("the ETag %s names two codings, %q and %q", tag, other, c.coding)
			}
			tags[tag] = c.coding
		}
	}
	if len(tags) != 3 {
		t.Errorf("%d ETags for three codings: %v", len(tags), tags)
	}
}

func TestNotModified(t *testing.T) {
	site := fstest.MapFS{"index.html": {Data: []byte("mine"), ModTime: buildTime}}
	for _, c := range []struct {
		name, path string
		options    Options
	}{
		{"packed", "/initgrace/loader.wasm", Options{}},
		{"immutable", "/pyodide/9.9.9/pyodide.mjs", Options{}},
		{"config", "/initgrace/config.json", Options{}},
		{"plain", "/", Options{Site: site}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHandler(t, c.options)
			tag := ask(t, h, "GET", c.path, "Accept-Encoding", "br").Header.Get("ETag")
			if len(tag) < 4 || tag[0] != '"' || tag[len(tag)-1] != '"' {
				t.Fatalf("ETag %q is not a strong one", tag)
			}
			for _, match := range []string{tag, "W/" + tag, `"other", ` + tag, "*"} {
				for _, method := range []string{"GET", "HEAD"} {
					r := ask(t, h, method, c.path, "Accept-Encoding", "br", "If-None-Match", match)
					if r.StatusCode != http.StatusNotModified {
						t.Errorf("%s If-None-Match %s: %s", method, match, r.Status)
					}
					wantHeader(t, r, "ETag", tag)
					if r.Header.Get("Cache-Control") == "" {
						t.Error("a 304 without Cache-Control")
					}
					if got := body(t, &http.Response{Body: r.Body}); got != "" {
						t.Errorf("a 304 with a body of %d bytes", len(got))
					}
				}
			}
			for _, other := range []string{`"other"`, "", strings.Trim(tag, `"`)} {
				if r := ask(t, h, "GET", c.path, "Accept-Encoding", "br", "If-None-Match", other); r.StatusCode != http.StatusOK {
					t.Errorf("If-None-Match %s: %s", other, r.Status)
				}
			}
			if c.name == "packed" {
				if r := ask(t, h, "GET", c.path, "Accept-Encoding", "gzip", "If-None-Match", tag); r.StatusCode != http.StatusOK {
					t.Errorf("the ETag of the br form matched the gzip form: %s", r.Status)
				}
			}
		})
	}
}

func TestWhatIsServed(t *testing.T) {
	h := newHandler(t, Options{})
	for _, c := range []struct{ path, contentType, cache string }{
		{"/", "text/html; charset=utf-8", "no-cache"},
		{"/index.html", "text/html; charset=utf-8", "no-cache"},
		{"/?PROLIFIC_PID=1", "text/html; charset=utf-8", "no-cache"},
		{"/env.py", "text/x-python; charset=utf-8", "no-cache"},
		{"/initgrace/loader.wasm", "application/wasm", "no-cache"},
		{"/initgrace/config.json", "application/json", "no-cache"},
		{"/pyodide/9.9.9/pyodide.mjs", "text/javascript; charset=utf-8", "public, max-age=31536000, immutable"},
		{"/pyodide/9.9.9/python_stdlib.zip", "application/zip", "public, max-age=31536000, immutable"},
		{"/pyodide/9.9.9/pyodide-lock.json", "application/json", "public, max-age=31536000, immutable"},
	} {
		r := ask(t, h, "GET", c.path, "Accept-Encoding", "gzip")
		if r.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", c.path, r.Status)
		}
		wantHeader(t, r, "Content-Type", c.contentType)
		wantHeader(t, r, "Cache-Control", c.cache)
		wantHeader(t, r, "Content-Security-Policy", DefaultCSP)
		wantHeader(t, r, "X-Content-Type-Options", "nosniff")
		wantHeader(t, r, "Referrer-Policy", "no-referrer")
	}
	if r := ask(t, h, "GET", "/pyodide/9.9.9/python_stdlib.zip", "Accept-Encoding", "br"); r.Header.Get("Content-Encoding") != "" {
		t.Error("an archive was compressed again")
	}
}

func TestConfigTellsThePage(t *testing.T) {
	var c Config
	if err := json.Unmarshal([]byte(body(t, ask(t, newHandler(t, Options{}), "GET", "/initgrace/config.json"))), &c); err != nil {
		t.Fatal(err)
	}
	if c.Pyodide == nil || c.Pyodide.Version != "9.9.9" || c.Pyodide.IndexURL != "/pyodide/9.9.9/" {
		t.Fatalf("pyodide: %+v", c.Pyodide)
	}
	if got := c.Pyodide.Files["pyodide.mjs"]; got != int64(len(script)) {
		t.Errorf("pyodide.mjs has %d bytes, want the uncompressed %d", got, len(script))
	}
}

func TestRefusals(t *testing.T) {
	h := newHandler(t, Options{Site: fstest.MapFS{
		"index.html":       {Data: []byte("mine")},
		".env":             {Data: []byte("SECRET")},
		".git/config":      {Data: []byte("SECRET")},
		"initgrace.yaml":   {Data: []byte("SECRET")},
		"Initgrace.yml~":   {Data: []byte("SECRET")},
		"data/a.db":        {Data: []byte("SECRET")},
		"data/a.db-wal":    {Data: []byte("SECRET")},
		"data/a.sqlite3":   {Data: []byte("SECRET")},
		"data/page.html":   {Data: []byte("page")},
		"sub/index.html":   {Data: []byte("sub")},
		"sub/..strange.js": {Data: []byte("SECRET")},
	}})
	for _, path := range []string{
		"/nothing", "/initgrace/", "/initgrace/nothing", "/initgrace/manifest.json", "/manifest.json",
		"/pyodide/", "/pyodide/9.9.8/pyodide.mjs", "/pyodide/9.9.9/", "/pyodide/9.9.9/pyodide.mjs.br",
		"/initgrace/loader.js.gz", "/.env", "/.git/config", "/initgrace.yaml", "/Initgrace.yml~", "/data/a.db", "/data/a.db-wal", "/data/a.sqlite3",
		"/data/", "/data", "/sub/..strange.js", "/index.html/", "/a%00b",
	} {
		r := ask(t, h, "GET", path, "Accept-Encoding", "br")
		if r.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %s", path, r.Status)
		}
		if b := body(t, r); len(b) > 100 || strings.Contains(b, "SECRET") {
			t.Errorf("%s: body %q", path, b)
		}
		wantHeader(t, r, "Cache-Control", "no-store")
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS"} {
		r := ask(t, h, method, "/")
		if r.StatusCode != http.StatusMethodNotAllowed || r.Header.Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: %s, Allow %q", method, r.Status, r.Header.Get("Allow"))
		}
	}
}

func TestNoWayOutOfTheFolder(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "site")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for file, content := range map[string]string{
		filepath.Join(parent, "outside.txt"): "SECRET", filepath.Join(dir, "index.html"): "mine",
	} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("../outside.txt", filepath.Join(dir, "link.txt")); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	srv := httptest.NewServer(newHandler(t, Options{Site: root.FS()}))
	defer srv.Close()
	for _, path := range []string{
		"/../outside.txt", "/%2e%2e/outside.txt", "/..%2foutside.txt", "/x/../../outside.txt",
		`/..\outside.txt`, "/..%5coutside.txt", "//" + parent + "/outside.txt", "/link.txt",
	} {
		r, err := http.NewRequest("GET", srv.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.URL.Opaque = path // on the wire as it stands
		res, err := srv.Client().Do(r)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		b := body(t, res)
		res.Body.Close()
		if res.StatusCode == http.StatusOK || strings.Contains(b, "SECRET") {
			t.Errorf("%s: %s %q", path, res.Status, b)
		}
	}
	if r := ask(t, newHandler(t, Options{Site: root.FS()}), "GET", "/"); body(t, r) != "mine" {
		t.Error("the site itself is not served")
	}
}

func TestPlainSite(t *testing.T) {
	h := newHandler(t, Options{Site: fstest.MapFS{
		"index.html":       {Data: []byte("mine"), ModTime: buildTime},
		"module.mjs":       {Data: []byte("export {}"), ModTime: buildTime},
		"lib.WASM":         {Data: []byte("\x00asm"), ModTime: buildTime},
		"a b/own.whl":      {Data: []byte("PK"), ModTime: buildTime},
		"strange.xyz":      {Data: []byte("<script>"), ModTime: buildTime},
		"sub/index.html":   {Data: []byte("sub"), ModTime: buildTime},
		"video.mp4":        {Data: []byte("0123456789"), ModTime: buildTime},
		"embedded/file.js": {Data: []byte("1")},
	}})
	for path, want := range map[string]string{
		"/": "text/html; charset=utf-8", "/module.mjs": "text/javascript; charset=utf-8",
		"/lib.WASM": "application/wasm", "/a%20b/own.whl": "application/zip",
		"/strange.xyz": "application/octet-stream", "/embedded/file.js": "text/javascript; charset=utf-8",
	} {
		for _, method := range []string{"GET", "HEAD"} {
			r := ask(t, h, method, path)
			if r.StatusCode != http.StatusOK {
				t.Errorf("%s %s: %s", method, path, r.Status)
			}
			wantHeader(t, r, "Content-Type", want)
			wantHeader(t, r, "Cache-Control", "no-cache")
		}
	}
	r := ask(t, h, "GET", "/sub?participant=1")
	if r.StatusCode != http.StatusMovedPermanently {
		t.Errorf("a folder without slash: %s", r.Status)
	}
	wantHeader(t, r, "Location", "./sub/?participant=1")
	r = ask(t, h, "GET", "/video.mp4", "Range", "bytes=2-4")
	if got := body(t, r); r.StatusCode != http.StatusPartialContent || got != "234" {
		t.Errorf("a range of a plain file: %s %q", r.Status, got)
	}
}

func TestPyodideFolder(t *testing.T) {
	folder := fstest.MapFS{
		"package.json":      {Data: []byte(`{"name": "pyodide", "version": "1.2.3"}`)},
		"pyodide.mjs":       {Data: []byte("export {}")},
		"pyodide.asm.wasm":  {Data: []byte("\x00asm")},
		"python_stdlib.zip": {Data: []byte("PK")},
		"pyodide-lock.json": {Data: []byte("{}")},
	}
	h := newHandler(t, Options{Pyodide: folder})
	r := ask(t, h, "GET", "/pyodide/1.2.3/pyodide.asm.wasm")
	if r.StatusCode != http.StatusOK {
		t.Fatal(r.Status)
	}
	wantHeader(t, r, "Content-Type", "application/wasm")
	// The folder is the researcher's: it may change under the same version.
	wantHeader(t, r, "Cache-Control", "no-cache")
	if r := ask(t, h, "GET", "/pyodide/9.9.9/pyodide.mjs"); r.StatusCode != http.StatusNotFound {
		t.Errorf("the embedded Pyodide is still there: %s", r.Status)
	}
	if b := body(t, ask(t, h, "GET", "/initgrace/config.json")); !strings.Contains(b, `"/pyodide/1.2.3/"`) {
		t.Errorf("config.json: %s", b)
	}
	for name, spoil := range map[string]func(fstest.MapFS){
		"empty":          func(f fstest.MapFS) { clear(f) },
		"no wasm":        func(f fstest.MapFS) { delete(f, "pyodide.asm.wasm") },
		"no version":     func(f fstest.MapFS) { f["package.json"] = &fstest.MapFile{Data: []byte(`{}`)} },
		"broken json":    func(f fstest.MapFS) { f["package.json"] = &fstest.MapFile{Data: []byte(`{`)} },
		"version a path": func(f fstest.MapFS) { f["package.json"] = &fstest.MapFile{Data: []byte(`{"version":"../x"}`)} },
	} {
		spoiled := make(fstest.MapFS)
		for k, v := range folder {
			spoiled[k] = v
		}
		spoil(spoiled)
		if _, err := New(&Options{Pyodide: spoiled, Dist: testBundle(t, nil)}); err == nil || !strings.Contains(err.Error(), "not an unpacked Pyodide") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNotBuilt(t *testing.T) {
	h, err := New(&Options{Dist: fstest.MapFS{"README": {}}})
	if err != nil {
		t.Fatal(err)
	}
	r := ask(t, h, "GET", "/")
	if b := body(t, r); r.StatusCode != http.StatusNotFound || !strings.Contains(b, "make build") {
		t.Errorf("%s %q", r.Status, b)
	}
	if r := ask(t, h, "GET", "/initgrace/loader.js"); r.StatusCode != http.StatusNotFound {
		t.Error(r.Status)
	}
	if b := body(t, ask(t, h, "GET", "/initgrace/config.json")); b != `{"protocol":1}` {
		t.Errorf("config.json: %s", b)
	}
	if _, err := New(&Options{Dist: fstest.MapFS{bundle.ManifestName: {Data: []byte("{")}}}); err == nil {
		t.Error("a damaged manifest was accepted")
	}
	if _, err := New(&Options{Site: fstest.MapFS{}}); err == nil || !strings.Contains(err.Error(), "index.html") {
		t.Errorf("a site without index.html: %v", err)
	}
}

// A bundle whose files are missing or damaged must not be cached for a year.
func TestDamagedBundle(t *testing.T) {
	manifest := `{"pyodide": "9.9.9", "files": {"pyodide/9.9.9/pyodide.mjs":
		{"type": "text/javascript", "sha256": "0123456789abcdef0123456789abcdef", "size": 9, "br": 5, "gz": 5}}}`
	h, err := New(&Options{Dist: fstest.MapFS{
		bundle.ManifestName:            {Data: []byte(manifest)},
		"pyodide/9.9.9/pyodide.mjs.gz": {Data: []byte("not gzip")},
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, accept := range []string{"br", "identity"} {
		r := ask(t, h, "GET", "/pyodide/9.9.9/pyodide.mjs", "Accept-Encoding", accept)
		if r.StatusCode != http.StatusInternalServerError {
			t.Errorf("%s: %s", accept, r.Status)
		}
		wantHeader(t, r, "Cache-Control", "no-store")
		wantHeader(t, r, "ETag", "")
		wantHeader(t, r, "Content-Encoding", "")
	}
}

// startup is what stdlib.mjs says of a compiled library.
func startup(plain string) map[string]string {
	library := "PK\x03\x04 byte code"
	return map[string]string{
		"pyodide/9.9.9/python_stdlib_compiled.zip": library,
		"pyodide/9.9.9/startup.json": fmt.Sprintf(`{"pyodide": "9.9.9", "plain": %q, "sha256": %q, "size": %d, "imports": ["os", "json"]}`,
			hashOf(plain), hashOf(library), len(library)),
	}
}

func hashOf(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// The compiled library is for the Pyodide that it was made for, wherever that
// comes from, and for no other.
func TestCompiledLibrary(t *testing.T) {
	folder := func(version, library string) fs.FS {
		return fstest.MapFS{
			"package.json": {Data: []byte(`{"version": "` + version + `"}`)}, "pyodide.mjs": {}, "pyodide.asm.wasm": {},
			"python_stdlib.zip": {Data: []byte(library)}, "pyodide-lock.json": {Data: []byte("{}")},
		}
	}
	for _, c := range []struct {
		name    string
		pyodide fs.FS
		offered bool
	}{
		{"embedded", nil, true},
		{"the same in a folder", folder("9.9.9", "plain"), true},
		{"another version", folder("9.9.8", "plain"), false},
		{"the same version with another library", folder("9.9.9", "patched"), false},
	} {
		h, err := New(&Options{Dist: testBundle(t, startup("plain")), Pyodide: c.pyodide})
		if err != nil {
			t.Fatal(err)
		}
		var config Config
		if err := json.Unmarshal([]byte(body(t, ask(t, h, "GET", "/initgrace/config.json"))), &config); err != nil {
			t.Fatal(err)
		}
		compiled := config.Pyodide.Compiled
		if compiled == nil || !c.offered {
			if (compiled != nil) != c.offered {
				t.Errorf("%s: offered %+v", c.name, compiled)
			}
			continue
		}
		if len(compiled.Imports) != 2 || compiled.Size != 14 {
			t.Errorf("%s: %+v", c.name, compiled)
		}
		r := ask(t, h, "GET", compiled.URL)
		if b := body(t, r); r.StatusCode != http.StatusOK || hashOf(b) != compiled.SHA256 {
			t.Errorf("%s: %s %q", c.name, r.Status, b)
		}
		wantHeader(t, r, "Cache-Control", "public, max-age=31536000, immutable")
	}
	stale := startup("plain")
	stale["pyodide/9.9.9/python_stdlib_compiled.zip"] += " of another build"
	if _, err := New(&Options{Dist: testBundle(t, stale)}); err == nil {
		t.Error("a library that is not the one described was accepted")
	}
}

// Pages are told of packages, and may ask another server, only as configured.
func TestPackages(t *testing.T) {
	lock := `{"pyodide": "9.9.9", "packages": {}}`
	packages := fstest.MapFS{"pyodide-lock.json": {Data: []byte(lock)}, "tiny-1.0-py3-none-any.whl": {Data: []byte("PK")}}
	for _, c := range []struct {
		o    Options
		urls string
		csp  string
		lock string
	}{
		{Options{}, "", "connect-src 'self';", ""},
		{Options{Packages: packages}, "/pyodide/9.9.9/packages/", "connect-src 'self';", "/pyodide/9.9.9/packages/pyodide-lock.json"},
		{Options{PackageCDN: "public"}, "https://cdn.jsdelivr.net/pyodide/v9.9.9/full/", "connect-src 'self' https://cdn.jsdelivr.net;", ""},
		{Options{Packages: packages, PackageCDN: "http://mirror.lab:81/py/{version}"},
			"/pyodide/9.9.9/packages/ http://mirror.lab:81/py/9.9.9/", "connect-src 'self' http://mirror.lab:81;", "/pyodide/9.9.9/packages/pyodide-lock.json"},
	} {
		h := newHandler(t, c.o)
		r := ask(t, h, "GET", "/initgrace/config.json")
		var config Config
		if err := json.Unmarshal([]byte(body(t, r)), &config); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(config.Pyodide.PackageURLs, " "); got != c.urls || config.Pyodide.LockURL != c.lock {
			t.Errorf("%q: %q, lock %q", c.urls, got, config.Pyodide.LockURL)
		}
		if csp := r.Header.Get("Content-Security-Policy"); !strings.Contains(csp, c.csp) {
			t.Errorf("%q: %s", c.urls, csp)
		}
		if c.lock != "" && body(t, ask(t, h, "GET", c.lock)) != lock {
			t.Errorf("%q: the lock file is not served", c.urls)
		}
	}
	for _, cdn := range []string{"mirror", "/packages", "ftp://mirror/", "https://x; script-src *", "https://*.lab/", "https://a b/"} {
		if _, err := New(&Options{Dist: testBundle(t, nil), PackageCDN: cdn}); err == nil || !strings.Contains(err.Error(), "CDN") {
			t.Errorf("the CDN %q: %v", cdn, err)
		}
	}
	other := fstest.MapFS{"pyodide-lock.json": {Data: []byte(`{"pyodide": "1.2.3"}`)}}
	if _, err := New(&Options{Dist: testBundle(t, nil), Packages: other}); err == nil || !strings.Contains(err.Error(), "1.2.3") {
		t.Errorf("packages of another Pyodide: %v", err)
	}
}
