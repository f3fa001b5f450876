package e2e

import (
	"strings"
	"testing"
	"time"

	"initgrace/grace/protocol"
	"initgrace/server"
)

// TestLoadFails: loadPyodide itself never settles when its WASM cannot be had.
// The page is told, the server that the load has failed, long before its lease
// runs out, and another try works. How long it takes is how long Pyodide takes.
func TestLoadFails(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, file string
		fail       func(o *overlay, file string)
		code       string
		console    []string // what Pyodide and the browser say of it
	}{
		{"wasm missing", "pyodide.asm.wasm", (*overlay).lose, "load_failed", []string{"status of 404"}},
		{"wasm corrupt", "pyodide.asm.wasm", (*overlay).corrupt, "load_failed", nil},
		{"standard library missing", "python_stdlib.zip", (*overlay).lose, "load_failed",
			[]string{"status of 404", "python_stdlib.zip", "standard library", "Python|encodings|Current thread", "^$"}},
		{"loader module missing", "pyodide.mjs", (*overlay).lose, "load_failed", []string{"status of 404"}},
		{"download stalls", "pyodide.asm.wasm", (*overlay).stall, "load_stalled", []string{"ERR_CONTENT_LENGTH_MISMATCH"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			files := pyodide(t)
			l := newStudy(t, study, func(cfg *server.Config) { cfg.Pyodide = files })
			player, partner := couple(l)
			player.Expect(c.console...)
			c.fail(files, c.file)
			defer files.find(c.file)
			at := time.Now()
			// Plainly: the compiled library takes the place of the other one.
			player.start("page.run(() => page.loadPyodide({ stallMs: 3000, steps: false }))")
			began := l.WaitFor("player", protocol.Loading, patience)
			ended := l.WaitFor("player", protocol.Active, patience)
			if ended.Reason != protocol.ReasonLoadFailed {
				t.Errorf("the load ended for %s", ended.Reason)
			}
			wantTook(t, "telling the server", ended.At.Sub(began.At), 0, patience)
			failed := await[struct {
				Code, Message string
				At            int64
			}](player, `page.outcome.then(() => ({}), (e) => ({ code: e.code, message: e.message, at: Date.now() }))`)
			wantTook(t, "telling the page", time.UnixMilli(failed.At).Sub(at), 0, patience)
			if failed.Code != c.code || failed.Message == "" {
				t.Errorf("the page was told %+v", failed)
			}
			if c.code == "load_failed" && !strings.Contains(failed.Message, c.file) && !strings.Contains(failed.Message, "magic") {
				t.Errorf("the message does not say what is wrong: %s", failed.Message)
			}
			if n := l.session("player").Totals.LoadFailures; n != 1 {
				t.Errorf("%d load failures are stored", n)
			}

			files.find(c.file)
			player.start("page.run(page.loadPyodide)")
			l.WaitFor("player", protocol.Loading, patience)
			l.WaitFor("player", protocol.Active, patience)
			await[any](player, "page.outcome")
			if v := await[int](player, `page.pyodide.runPython("6 * 7")`); v != 42 {
				t.Errorf("6 * 7 = %d", v)
			}
			wantTold(partner, "player", protocol.Loading, protocol.Active, protocol.Loading, protocol.Active)
		})
	}
}

// TestInitFails: what the page itself does after the load is a part of it.
func TestInitFails(t *testing.T) {
	l := newStudy(t, study, nil)
	player, _ := couple(l)
	failed := await[string](player, `page.loadPyodide({ init: (py) => py.runPython("1 / 0") }).then(() => "", (e) => e.message)`)
	l.WaitFor("player", protocol.Loading, patience)
	if c := l.WaitFor("player", protocol.Active, patience); c.Reason != protocol.ReasonLoadFailed {
		t.Errorf("the load ended for %s", c.Reason)
	}
	if !strings.Contains(failed, "ZeroDivisionError") {
		t.Errorf("the page was told %q", failed)
	}
}
