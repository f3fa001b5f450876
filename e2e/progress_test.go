package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"initgrace/server"
)

// A film is what a window showed. Screenshots of a blocked page wait for it;
// these frames come from the compositor, which does not.
type film struct {
	mu     sync.Mutex
	frames []filmed
}

type filmed struct {
	at    time.Time
	png   []byte
	scale float64 // pixels of the picture for one of CSS
}

func (p *Page) film() *film {
	p.t.Helper()
	f := &film{}
	frames := chromedp.Events(p.ctx, cdppage.ScreencastFrame)
	go func() {
		for e, err := range frames {
			if err != nil {
				return
			}
			f.mu.Lock()
			f.frames = append(f.frames, filmed{time.UnixMicro(int64(1e6 * float64(e.Metadata.Timestamp))), e.Data, e.Metadata.DeviceWidth})
			f.mu.Unlock()
			_, _ = chromedp.Call(p.ctx, cdppage.ScreencastFrameAck, cdppage.ScreencastFrameAckParams{SessionID: e.SessionID})
		}
	}()
	if _, err := chromedp.Call(p.ctx, cdppage.StartScreencast, cdppage.StartScreencastParams{Format: cdppage.StartScreencastFormatPng}); err != nil {
		p.t.Fatal(err)
	}
	return f
}

// between are the first frame after a time and the first that is at least gap
// later, both before another time.
func (f *film) between(from, to time.Time, gap time.Duration) []filmed {
	f.mu.Lock()
	defer f.mu.Unlock()
	var found []filmed
	for _, frame := range f.frames {
		switch {
		case frame.at.Before(from) || frame.at.After(to):
		case len(found) == 0 || len(found) == 1 && frame.at.Sub(found[0].at) >= gap:
			found = append(found, frame)
		}
	}
	return found
}

// area is a part of a page, in CSS pixels.
type area struct{ Left, Top, Width, Height float64 }

// pixelsChanged counts the pixels that differ between two frames in an area.
func pixelsChanged(t *testing.T, a, b filmed, r area) int {
	t.Helper()
	var pictures [2]image.Image
	for i, f := range []filmed{a, b} {
		var err error
		if pictures[i], err = png.Decode(bytes.NewReader(f.png)); err != nil {
			t.Fatal(err)
		}
	}
	scale := float64(pictures[0].Bounds().Dx()) / a.scale
	n := 0
	for y := int(r.Top * scale); y < int(math.Ceil((r.Top+r.Height)*scale)); y++ {
		for x := int(r.Left * scale); x < int(math.Ceil((r.Left+r.Width)*scale)); x++ {
			r1, g1, b1, _ := pictures[0].At(x, y).RGBA()
			r2, g2, b2, _ := pictures[1].At(x, y).RGBA()
			if max(r1, r2)-min(r1, r2)+max(g1, g2)-min(g1, g2)+max(b1, b2)-min(b1, b2) > 0x3000 {
				n++
			}
		}
	}
	return n
}

// TestProgressMovesWhileBlocked: what shows that something goes on moves also
// while the page is frozen, in every phase; what a script moves does not.
// INITGRACE_SCREENSHOTS gets a picture of each phase, taken during its block.
func TestProgressMovesWhileBlocked(t *testing.T) {
	l := newStudy(t, "progress.html", nil)
	p := l.open(l.Pages, "player", "group=g")
	await[any](p, "page.connected")
	partner := l.open(study, "partner", "group=g")
	await[any](partner, "page.connected")
	phases := []struct{ progress, says string }{
		{`{"phase": "connecting"}`, "Connecting"},
		{`{"phase": "announced"}`, "Keeping your seat"},
		{`{"phase": "downloading", "fraction": 0.43, "elapsedMs": 500}`, "Downloading 43 %"},
		{`{"phase": "starting", "elapsedMs": 1000, "expectedMs": 6000}`, "Starting Python"},
		{`{"phase": "packages", "package": "numpy", "done": 2, "count": 5, "fraction": 0.4}`, "Installing numpy 2/5"},
		{`{"phase": "init", "elapsedMs": 4000, "expectedMs": 6000}`, "Preparing the study"},
		{`{"phase": "ready"}`, "Ready"},
		{`{"phase": "failed", "code": "load_failed", "message": "Pyodide could not be started: HTTP 503"}`, "HTTP 503"},
	}
	f := p.film()
	for _, width := range []int64{1000, 390} {
		if width < 1000 {
			if os.Getenv("INITGRACE_SCREENSHOTS") == "" {
				break
			}
			p.narrow()
		}
		for _, phase := range phases {
			var shown struct{ Phase string }
			if err := json.Unmarshal([]byte(phase.progress), &shown); err != nil {
				t.Fatal(err)
			}
			still := shown.Phase == "ready" || shown.Phase == "failed"
			var r struct {
				Spinner, Bar, Script area
				From, To             int64
				Text                 string
			}
			var frames []filmed
			for _, ms := range []int{2500, 10_000} { // a starved machine paints seldom
				r = await[struct {
					Spinner, Bar, Script area
					From, To             int64
					Text                 string
				}](p, fmt.Sprintf("page.freeze(%s, %d)", phase.progress, ms))
				// Frames on their way when the block began are not of it.
				from, to := time.UnixMilli(r.From).Add(500*time.Millisecond), time.UnixMilli(r.To)
				if frames = f.between(from, to, 500*time.Millisecond); still || len(frames) == 2 {
					break
				}
			}
			if !strings.Contains(r.Text, phase.says) {
				t.Errorf("%s: the element says %q", shown.Phase, r.Text)
			}
			if still { // nothing moves, so that there is no new frame
				p.shoot(fmt.Sprintf("progress-%s-%d", shown.Phase, width))
				if len(frames) > 0 && r.Spinner.Width > 0 {
					t.Errorf("%s: something moves", shown.Phase)
				}
				continue
			}
			if len(frames) < 2 {
				t.Errorf("%s: %d frames 500 ms apart during the block", shown.Phase, len(frames))
				continue
			}
			if n := pixelsChanged(t, frames[0], frames[1], r.Spinner); n < 20 {
				t.Errorf("%s: %d pixels of the spinner changed in %v", shown.Phase, n, frames[1].at.Sub(frames[0].at))
			}
			if n := pixelsChanged(t, frames[0], frames[1], r.Script); n != 0 {
				t.Errorf("%s: the page was not blocked: %d pixels of the script's number changed", shown.Phase, n)
			}
			if dir := os.Getenv("INITGRACE_SCREENSHOTS"); dir != "" {
				file := filepath.Join(dir, fmt.Sprintf("progress-%s-%d.png", shown.Phase, width))
				if err := os.WriteFile(file, frames[1].png, 0o644); err != nil {
					t.Error(err)
				}
			}
		}
	}
}

// TestProgressOfALoad: the element follows a real load that fails at first,
// and its button makes it go on.
func TestProgressOfALoad(t *testing.T) {
	files := pyodide(t)
	l := newStudy(t, "progress.html", func(cfg *server.Config) { cfg.Pyodide = files })
	p := l.open(l.Pages, "player", "")
	await[any](p, "page.connected")
	p.Expect("status of 404", "(?i)integrity") // the answer "not found" is not the wheel
	files.lose("pyodide.asm.wasm")
	p.start(`page.run(async () => {
		page.phases = [];
		page.element.session = page.session;
		page.session.on("progress", ({ phase }) => page.phases.at(-1) !== phase && page.phases.push(phase));
		page.element.strings = { retry: "Nochmal", failed: ({ code }) => "Fehler: " + code };
		page.pyodide = await page.element.attempt(() => page.session.loadPyodide({ init: () => {} }));
	})`)
	p.awaitPage(`page.element.shadowRoot.querySelector(".retry").checkVisibility()`)
	if text := await[string](p, `page.element.shadowRoot.querySelector("[role=alert]").textContent`); text != "Fehler: load_failed" {
		t.Errorf("the element says %q", text)
	}
	files.find("pyodide.asm.wasm")
	if text := await[string](p, `{ const b = page.element.shadowRoot.querySelector(".retry"); b.focus(); b.click(); b.textContent }`); text != "Nochmal" {
		t.Errorf("the button says %q", text)
	}
	await[any](p, "page.outcome")
	if part := await[string](p, `page.element.shadowRoot.activeElement?.getAttribute("part") ?? ""`); part != "now" {
		t.Errorf("the button has gone, and what has the focus is %q", part)
	}
	got := await[string](p, `page.phases.join(" ")`)
	if want := "announced downloading failed announced downloading starting init ready"; got != want {
		t.Errorf("it went through %q, want %q", got, want)
	}
	if phase := await[string](p, `page.session.close().then(() => page.element.phase)`); phase != "ready" {
		t.Errorf("the page has closed its session, and the element says %s", phase)
	}
	if v := await[string](p, `page.pyodide.runPython("import json; json.__file__.rpartition('.')[2]")`); v != "pyc" {
		t.Errorf("the standard library is not the compiled one: .%s", v)
	}
}

// TestProgressAttemptEnds: who waits for the button is told when the session ends,
// after which no try can help.
func TestProgressAttemptEnds(t *testing.T) {
	l := newStudy(t, "progress.html", nil)
	p := l.open(l.Pages, "player", "")
	await[any](p, "page.connected")
	p.start(`page.run(() => {
		page.element.session = page.session;
		return page.element.attempt(() => { throw new Error("always") }).catch((err) => err.code);
	})`)
	p.awaitPage(`page.element.shadowRoot.querySelector(".retry").checkVisibility()`)
	p.start("page.session.close()")
	if code := await[string](p, "page.outcome"); code != "closed" {
		t.Errorf("the attempt ended with %q", code)
	}
}
