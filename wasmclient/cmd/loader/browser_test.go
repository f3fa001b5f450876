//go:build !js

package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"initgrace/grace/protocol"
	"initgrace/wasmclient/internal/siotest"
)

// One browser and one build of loader.wasm for all tests, and one host:
// INITGRACE_HOST says whether Go runs in a worker (the default) or on the page.
var (
	host    = cmp.Or(os.Getenv("INITGRACE_HOST"), protocol.HostWorker)
	browser context.Context
	wasm    string // file
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "loader")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	wasm = filepath.Join(dir, "loader.wasm")
	// As the Makefile builds it.
	slim := filepath.Join(dir, "slim")
	prepare := exec.Command("go", "run", "initgrace/web/internal/slim", "-out", slim)
	build := exec.Command("go", "build", "-o", wasm, ".")
	build.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm", "GOEXPERIMENT=nogreenteagc", "GOWORK="+filepath.Join(slim, "go.work"))
	join := exec.Command("go", "run", "initgrace/web/internal/segments", wasm)
	for _, c := range []*exec.Cmd{prepare, build, join} {
		if out, err := c.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "building the loader: %v\n%s", err, out)
			return 1
		}
	}
	flags := []chromedp.ExecAllocatorOption{chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck, chromedp.Headless, chromedp.DisableGPU}
	for _, name := range []string{"disable-background-networking", "disable-component-update", "disable-sync", "disable-dev-shm-usage"} {
		flags = append(flags, chromedp.Flag(name, true))
	}
	if os.Getuid() == 0 {
		flags = append(flags, chromedp.NoSandbox)
	}
	alloc, stop := chromedp.NewExecAllocator(context.Background(), flags...)
	defer stop()
	ctx, cancel := chromedp.NewContext(alloc)
	defer cancel()
	if err := chromedp.Do(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "starting the browser:", err)
		return 1
	}
	browser = ctx
	return m.Run()
}

// site is a test's web server: the loader's files, the page, Pyodide if it is
// installed, and a Socket.IO server that follows a script.
type site struct {
	*siotest.Server
	url   string
	hides atomic.Int32 // beacons of pages that are being left
	// override, if it returns true, has answered the request.
	mu       sync.Mutex
	override func(w http.ResponseWriter, r *http.Request) bool
}

const root = "../../.."

var files = map[string]string{
	"/":                   "testdata/page.html",
	"/elsewhere":          "testdata/page.html",
	"/testdata/scenes.js": "testdata/scenes.js",
}

func newSite(t *testing.T, script func(*siotest.Conn)) *site {
	t.Helper()
	s := &site{Server: siotest.New(t, script)}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	override := s.override
	s.mu.Unlock()
	switch file := files[r.URL.Path]; {
	case override != nil && override(w, r):
	case r.URL.Path == "/socket.io/":
		s.Server.ServeHTTP(w, r)
	case r.URL.Path == "/initgrace/wasm_exec.js":
		w.Header().Set("Content-Type", "text/javascript")
		for _, name := range []string{root + "/wasm_exec.js", "testdata/faults.js"} {
			b, err := os.ReadFile(name)
			if err != nil {
				panic(err) // the test fails
			}
			_, _ = w.Write(b)
		}
	case r.URL.Path == "/initgrace/beat":
		w.WriteHeader(http.StatusNoContent)
	case r.URL.Path == "/initgrace/pagehide":
		s.hides.Add(1)
		s.Drop() // as the real server does: a page in the back/forward cache keeps its socket
		w.WriteHeader(http.StatusNoContent)
	case r.URL.Path == "/initgrace/loader.wasm":
		w.Header().Set("Cache-Control", "no-store") // a test that takes it away means it
		http.ServeFile(w, r, wasm)
	case strings.HasPrefix(r.URL.Path, "/pyodide/"):
		if filepath.Ext(r.URL.Path) == ".mjs" {
			w.Header().Set("Content-Type", "text/javascript")
		}
		http.ServeFile(w, r, root+"/node_modules"+r.URL.Path)
	case file == "" && strings.HasPrefix(r.URL.Path, "/initgrace/"):
		http.ServeFile(w, r, root+"/web"+strings.TrimPrefix(r.URL.Path, "/initgrace"))
	case file == "testdata/page.html":
		b, err := os.ReadFile(file)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_, _ = w.Write(bytes.ReplaceAll(b, []byte("{{host}}"), []byte(host)))
	case file != "":
		http.ServeFile(w, r, file)
	default:
		http.NotFound(w, r)
	}
}

// serve replaces answers until the test says otherwise.
func (s *site) serve(override func(w http.ResponseWriter, r *http.Request) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.override = override
}

// page is one tab with a browser context of its own. What it throws and nobody
// catches fails the test, unless the text contains one of tolerates.
type page struct {
	t   *testing.T
	ctx context.Context
}

// patience bounds everything that a test waits for.
const patience = 2 * time.Minute

func (s *site) open(t *testing.T, tolerates ...string) *page {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	p := &page{t, ctx}
	console := chromedp.Console(ctx)
	read := make(chan struct{})
	go func() {
		defer close(read)
		for m, err := range console {
			if err != nil {
				return
			}
			tolerated := slices.ContainsFunc(tolerates, func(part string) bool { return strings.Contains(m.Text, part) })
			if m.IsException() && !tolerated {
				t.Errorf("uncaught in the page: %s", m.Text)
			} else {
				t.Logf("console: %s", m.Text)
			}
		}
	}()
	t.Cleanup(func() { cancel(); <-read })
	p.goTo(s.url + "/")
	return p
}

func (p *page) goTo(url string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.Navigate(url)); err != nil {
		p.t.Fatal(err)
	}
}

// scene plays a scene and reads what it returns into result.
func (p *page) scene(result any, name string, args any) {
	p.t.Helper()
	a, err := json.Marshal(args)
	if err != nil {
		p.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	expression := fmt.Sprintf("scene(%q, %s).then(JSON.stringify)", name, a)
	out, err := chromedp.Run(ctx, chromedp.Evaluate[string](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		p.t.Fatalf("scene %s: %v", name, err)
	}
	if err := json.Unmarshal([]byte(out), result); err != nil {
		p.t.Fatalf("scene %s returned %s: %v", name, out, err)
	}
}

// outcome is how a promise was settled.
type outcome struct {
	Value               json.RawMessage
	Name, Code, Message string
	Now                 properties
}

// properties are a session's.
type properties struct {
	Participant, Token, Group, Presence string
	Restored, Expired, Connected        bool
	Host                                string
	Partners                            []string
	Version                             int
	State                               struct {
		SceneID     string          `json:"scene_id"`
		StagerState json.RawMessage `json:"stager_state"`
		Globals     json.RawMessage `json:"globals"`
	}
	Policy   map[string]int64
	LastLoad *loadResult
	Events   [][2]json.RawMessage
}

// names are the events' names, in order.
func (p properties) names() string {
	var out []string
	for _, e := range p.Events {
		var name string
		_ = json.Unmarshal(e[0], &name)
		out = append(out, name)
	}
	return strings.Join(out, " ")
}

func wantCode(t *testing.T, what string, o outcome, code string) {
	t.Helper()
	if o.Code != code || o.Message == "" || o.Name != "InitgraceError" {
		t.Errorf("%s: %s %q (%s); want code %q", what, o.Name, o.Code, o.Message, code)
	}
}

func wantValue(t *testing.T, what string, o outcome, json string) {
	t.Helper()
	if string(o.Value) != json {
		t.Errorf("%s: %s, %q %s; want %s", what, o.Value, o.Code, o.Message, json)
	}
}
