package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	leanfmt "initgrace/web/internal/slim/lean/fmt"
)

type verb int

func (verb) String() string { return "a verb" }

// The stand-in says what fmt says, in the formats that ws_js.go has.
func TestLeanFmt(t *testing.T) {
	for _, c := range []struct {
		format string
		args   []any
	}{
		{"unclean connection close: %w", []any{io.EOF}},
		{"read limited at %d bytes", []any{int64(-32768)}},
		{"%w: %v", []any{io.EOF, errors.New("x")}},
		{"unexpected message type: %v", []any{verb(3)}},
		{"failed to WebSocket dial %q: %w", []any{"ws://h/", io.EOF}},
		{"status = %v and reason = %q", []any{verb(1), "going"}},
		{"100 %% of %v", []any{7}},
		{"nothing", nil},
	} {
		want, got := fmt.Errorf(c.format, c.args...), leanfmt.Errorf(c.format, c.args...)
		if got.Error() != want.Error() || errors.Is(got, io.EOF) != errors.Is(want, io.EOF) {
			t.Errorf("%s: %q, want %q", c.format, got, want)
		}
	}
}

// Another version of the module stops the build.
func TestUnknownSource(t *testing.T) {
	_, err := redirect([]byte("package websocket\n"), "v9.9.9")
	if err == nil || !strings.Contains(err.Error(), "v9.9.9 is not the one that this step knows") {
		t.Errorf("%v", err)
	}
}

// The workspace builds, and neither a TLS stack nor reflection is in it; nor
// has the rest of ws_js.go changed.
func TestWorkspace(t *testing.T) {
	dir, err := os.MkdirTemp("../../../bin", "slim-test-") // in the module, as go.work has relative paths
	if errors.Is(err, os.ErrNotExist) {
		if err = os.Mkdir("../../../bin", 0o755); err == nil {
			dir, err = os.MkdirTemp("../../../bin", "slim-test-")
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := run(dir); err != nil {
		t.Fatal(err)
	}
	work, err := filepath.Abs(filepath.Join(dir, "go.work"))
	if err != nil {
		t.Fatal(err)
	}
	list := exec.Command("go", "list", "-deps", "initgrace/wasmclient/cmd/loader")
	list.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm", "GOWORK="+work)
	out, err := list.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, p := range strings.Fields(string(out)) {
		switch p {
		case "fmt", "net", "net/http", "net/url", "crypto/tls", "reflect", "encoding/json", "os":
			t.Errorf("the loader imports %s", p)
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, "websocket/ws_js.go"))
	if err != nil {
		t.Fatal(err)
	}
	where := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", module)
	where.Env = append(os.Environ(), "GOWORK=off")
	from, err := where.Output()
	if err != nil {
		t.Fatal(err)
	}
	original, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(from)), "ws_js.go"))
	if err != nil {
		t.Fatal(err)
	}
	changed := 0
	a, b := strings.Split(string(text), "\n"), strings.Split(string(original), "\n")
	for i := range b {
		if a[i] != b[i] {
			changed++
			if !strings.Contains(a[i], "/internal/lean/") {
				t.Errorf("line %d is %s", i+1, a[i])
			}
		}
	}
	if len(a) != len(b) || changed != len(redirected) {
		t.Errorf("%d of %d lines have changed, and there are %d", changed, len(b), len(a))
	}
}
