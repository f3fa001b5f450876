//go:build !js

package main

import (
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"initgrace/grace/protocol"
)

// pythonRan is how a scene of the real Pyodide ended.
type pythonRan struct {
	outcome
	Took   float64
	Files  []string
	Native bool // fetch is the browser's own again
}

// The real Pyodide: what goes wrong while it starts is told within seconds,
// although Pyodide itself would never say so, and another try in the same page
// works.
func TestPyodide(t *testing.T) {
	if _, err := os.Stat(root + "/node_modules/pyodide/pyodide.asm.wasm"); err != nil {
		t.Skip("Pyodide is not installed: npm ci")
	}
	var j journal
	s := newSite(t, j.study)
	p := s.open(t)
	var now properties
	p.scene(&now, "open", nil)

	try := func(args map[string]any, override func(w http.ResponseWriter, r *http.Request) bool) pythonRan {
		t.Helper()
		s.serve(override)
		args["indexURL"] = "/pyodide"
		var r pythonRan
		p.scene(&r, "pyodide", args)
		t.Logf("%v: %q %s (%.0f ms, saw %q)", args, r.Code, r.Message, r.Took, r.Files)
		if !r.Native {
			t.Error("fetch is not given back")
		}
		return r
	}
	fails := func(r pythonRan, code, why string) {
		t.Helper()
		wantCode(t, why, r.outcome, code)
		complete := j.find(protocol.EventLoadComplete)
		if last := complete[len(complete)-1].payload; !strings.Contains(r.Message, why) || !strings.Contains(last, `"error":true`) {
			t.Errorf("told the page %q, the server %s; want %q", r.Message, last, why)
		}
	}
	answer := func(path string, h http.HandlerFunc) func(w http.ResponseWriter, r *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.HasSuffix(r.URL.Path, path) {
				return false
			}
			h(w, r)
			return true
		}
	}
	asm := "/pyodide.asm.wasm"
	fails(try(map[string]any{}, answer("/pyodide.mjs", http.NotFound)), "load_failed", "pyodide.mjs")
	fails(try(map[string]any{}, answer(asm, http.NotFound)), "load_failed", "HTTP 404")
	fails(try(map[string]any{}, answer(asm, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
	})), "load_failed", "HTTP 503")
	fails(try(map[string]any{}, answer(asm, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, "\x00asm\x01\x00\x00\x00")
	})), "load_failed", "MIME")
	fails(try(map[string]any{}, answer(asm, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/wasm")
		_, _ = io.WriteString(w, "\x00asm, and then nonsense")
	})), "load_failed", "expected version 01 00 00 00")
	fails(try(map[string]any{}, answer(asm, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/wasm")
		_, _ = io.WriteString(w, "\x00asm\x01\x00\x00\x00")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})), "load_failed", "")
	hang := make(chan struct{})
	fails(try(map[string]any{"stallMs": 3000}, answer(asm, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/wasm")
		_, _ = io.WriteString(w, "\x00asm\x01\x00\x00\x00")
		_ = http.NewResponseController(w).Flush()
		select {
		case <-hang:
		case <-r.Context().Done():
		}
	})), "load_stalled", "nothing has been loaded for 3 s")
	close(hang)

	// From here on everything is served. Pyodide resolves although the package
	// is not there.
	fails(try(map[string]any{"packages": []string{"/nowhere-1.0-py3-none-any.whl"}}, nil), "package_failed", "nowhere-1.0-py3-none-any.whl")
	began := time.Now()
	r := try(map[string]any{}, nil)
	wantValue(t, "Python", r.outcome, "5050")
	if !slices.Contains(r.Files, "pyodide.asm.wasm") || !slices.Contains(r.Files, "python_stdlib.zip") {
		t.Errorf("progress was told of %q", r.Files)
	}
	complete := j.find(protocol.EventLoadComplete)
	t.Logf("started in %v: %s", time.Since(began).Round(time.Millisecond), complete[len(complete)-1].payload)
}
