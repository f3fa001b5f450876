package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"

	"initgrace/server/faultproxy"
)

// patience is how long a test waits for what must happen. Only a failing test
// waits that long; every deadline that is itself tested has its own.
const patience = 60 * time.Second

// browserCtx is the suite's browser.
var browserCtx context.Context

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	var stop func()
	var err error
	if browserCtx, stop, err = startBrowser(); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	defer stop()
	return m.Run()
}

// startBrowser does not take chromedp's default flags: they switch off the
// throttling that real participants' pages live with.
func startBrowser() (context.Context, func(), error) {
	path, err := findBrowser()
	if err != nil {
		return nil, nil, err
	}
	flags := []chromedp.ExecAllocatorOption{chromedp.ExecPath(path), chromedp.WindowSize(1000, 800)}
	for _, name := range []string{
		"headless", "disable-gpu", "no-first-run", "no-default-browser-check", "disable-background-networking",
		"disable-component-update", "disable-sync", "disable-default-apps", "disable-breakpad", "disable-dev-shm-usage", "mute-audio",
	} {
		flags = append(flags, chromedp.Flag(name, true))
	}
	if os.Getuid() == 0 {
		flags = append(flags, chromedp.NoSandbox)
	}
	alloc, stopAlloc := chromedp.NewExecAllocator(context.Background(), flags...)
	ctx, _ := chromedp.NewContext(alloc)
	if err := chromedp.Do(ctx); err != nil {
		stopAlloc()
		return nil, nil, fmt.Errorf("starting %s: %w", path, err)
	}
	return ctx, func() {
		closing, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		if err := chromedp.Cancel(closing); err != nil {
			fmt.Fprintln(os.Stderr, "e2e: closing the browser:", err)
		}
		stopAlloc()
	}, nil
}

func findBrowser() (string, error) {
	names := []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"}
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("no browser: none of %s found", strings.Join(names, ", "))
}

// A Page is one participant's window.
type Page struct {
	t      testing.TB
	name   string
	ctx    context.Context
	cancel context.CancelFunc
	gone   bool              // closed or crashed by the test
	pid    int               // of its renderer, once identified
	net    *faultproxy.Proxy // the participant's network, if the Lab is Proxied

	mu       sync.Mutex
	console  []chromedp.ConsoleMessage
	expected []*regexp.Regexp
	flushed  chan string
}

// open opens a window in a browser context of its own and loads url.
func open(t testing.TB, name, url string) *Page {
	t.Helper()
	p := &Page{t: t, name: name, flushed: make(chan string, 1)}
	p.ctx, p.cancel = chromedp.NewContext(browserCtx, chromedp.WithNewBrowserContext())
	messages := chromedp.Console(p.ctx) // opens the window
	go func() {
		for m, err := range messages {
			if err != nil {
				return
			}
			p.record(m)
		}
	}()
	t.Cleanup(p.finish)
	if url != "" {
		p.goTo(url)
	}
	return p
}

// Expect names console errors and exceptions that belong to the test.
func (p *Page) Expect(patterns ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range patterns {
		p.expected = append(p.expected, regexp.MustCompile(s))
	}
}

const flushMark = "e2e: everything before has been read: "

func (p *Page) record(m chromedp.ConsoleMessage) {
	if token, ok := strings.CutPrefix(m.Text, flushMark); ok {
		p.flushed <- token
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.console = append(p.console, m)
}

// finish judges the console, keeps what explains a failure, and closes the
// window.
func (p *Page) finish() {
	if !p.gone {
		p.flush()
	}
	p.mu.Lock()
	for _, m := range p.console {
		if m.Type != chromedp.ConsoleError && !m.IsException() {
			continue
		}
		matches := func(r *regexp.Regexp) bool { return r.MatchString(m.Text) }
		if !slices.ContainsFunc(p.expected, matches) {
			p.t.Errorf("page %s: %s (%s:%d)", p.name, m, m.URL, m.Line)
		}
	}
	p.mu.Unlock()
	if p.t.Failed() {
		p.keep()
	}
	p.cancel()
}

// flush waits until the console has been read up to now. A blocked page is
// waited for.
func (p *Page) flush() {
	token := fmt.Sprint(time.Now().UnixNano())
	if err := p.try(patience, chromedp.Evaluate[chromedp.Void](fmt.Sprintf("console.debug(%q)", flushMark+token))); err != nil {
		p.t.Errorf("page %s: its console cannot be read: %v", p.name, err)
		return
	}
	select {
	case <-p.flushed:
	case <-time.After(patience):
		p.t.Errorf("page %s: its console cannot be read", p.name)
	}
}

func (p *Page) keep() {
	dir := artifacts(p.t)
	p.mu.Lock()
	var text strings.Builder
	for _, m := range p.console {
		fmt.Fprintf(&text, "%s %s\n", m.Time.Format("15:04:05.000"), m)
	}
	p.mu.Unlock()
	os.WriteFile(filepath.Join(dir, p.name+"-console.txt"), []byte(text.String()), 0o644)
	if p.gone {
		return
	}
	ctx, cancel := context.WithTimeout(p.ctx, 10*time.Second)
	defer cancel()
	if png, err := chromedp.Run(ctx, chromedp.FullScreenshot(100)); err == nil {
		os.WriteFile(filepath.Join(dir, p.name+".png"), png, 0o644)
	}
}

// artifacts is the folder of a failed test.
func artifacts(t testing.TB) string {
	root := os.Getenv("INITGRACE_ARTIFACTS")
	if root == "" {
		root = filepath.Join(os.TempDir(), "initgrace-e2e")
	}
	dir := filepath.Join(root, strings.ReplaceAll(t.Name(), "/", "_"))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Log(err)
	}
	t.Logf("artifacts: %s", dir)
	return dir
}

func (p *Page) try(within time.Duration, a chromedp.Action[chromedp.Void]) error {
	ctx, cancel := context.WithTimeout(p.ctx, within)
	defer cancel()
	return chromedp.Do(ctx, a)
}

func (p *Page) do(what string, a chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	if err := p.try(patience, a); err != nil {
		p.t.Fatalf("page %s: %s: %v", p.name, what, err)
	}
}

func (p *Page) goTo(url string) {
	p.t.Helper()
	p.do("opening "+url, chromedp.Navigate(url))
}

// start runs a statement that the page carries on by itself; nothing is waited
// for, so that the page may block.
func (p *Page) start(js string) {
	p.t.Helper()
	p.do(js, chromedp.Evaluate[chromedp.Void]("void ("+js+")"))
}

// await evaluates an expression, waits for its promise, and returns its value.
// It waits while the page is blocked.
func await[T any](p *Page, js string) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](js, chromedp.EvalAwaitPromise))
	if err != nil {
		p.t.Fatalf("page %s: %s: %v", p.name, js, err)
	}
	return v
}

// throttle makes the page's CPU slower by a factor.
func (p *Page) throttle(factor float64) {
	p.t.Helper()
	if _, err := chromedp.Call(p.ctx, emulation.SetCPUThrottlingRate, emulation.SetCPUThrottlingRateParams{Rate: factor}); err != nil {
		p.t.Fatal(err)
	}
}

// refresh asks for a reload as the user does, and does not wait for it.
func (p *Page) refresh() {
	p.t.Helper()
	go p.try(patience, chromedp.Reload()) // it ends when the page is there, or with the test
}

// closeTab closes the window as the user does, and returns when that was.
func (p *Page) closeTab() time.Time {
	p.t.Helper()
	p.gone = true
	id := chromedp.FromContext(p.ctx).Target.TargetID
	at := time.Now()
	if _, err := chromedp.CallBrowser(browserCtx, target.CloseTarget, target.CloseTargetParams{TargetID: id}); err != nil {
		p.t.Fatal(err)
	}
	return at
}

// awaitPage waits until an expression is true. Unlike await it survives that
// the page is loaded anew meanwhile.
func (p *Page) awaitPage(js string) {
	p.t.Helper()
	var err error
	for deadline := time.Now().Add(2 * patience); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		var ok bool
		ctx, cancel := context.WithTimeout(p.ctx, patience)
		ok, err = chromedp.Run(ctx, chromedp.Evaluate[bool]("Boolean("+js+")"))
		cancel()
		if ok {
			return
		}
	}
	p.t.Fatalf("page %s: this did not become true: %s (%v)", p.name, js, err)
}

// shoot takes a picture for the documentation, if INITGRACE_SCREENSHOTS names
// a folder for it.
func (p *Page) shoot(name string) {
	p.t.Helper()
	dir := os.Getenv("INITGRACE_SCREENSHOTS")
	if dir == "" {
		return
	}
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	png, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644)
	}
	if err != nil {
		p.t.Errorf("page %s: taking a picture: %v", p.name, err)
	}
}

// shootBoth takes one as the page is, and one as it is on a phone.
func (p *Page) shootBoth(name string) {
	p.t.Helper()
	if p.shoot(name); os.Getenv("INITGRACE_SCREENSHOTS") == "" {
		return
	}
	p.narrow()
	p.shoot(name + "-phone")
	if _, err := chromedp.Call(p.ctx, emulation.ClearDeviceMetricsOverride, cdp.Empty{}); err != nil {
		p.t.Fatal(err)
	}
}

// narrow makes the window a phone's.
func (p *Page) narrow() {
	p.t.Helper()
	_, err := chromedp.Call(p.ctx, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
		Width: 390, Height: 844, DeviceScaleFactor: 2, Mobile: true,
	})
	if err != nil {
		p.t.Fatal(err)
	}
}
