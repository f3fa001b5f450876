package grace_test

import (
	"errors"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The architecture of the module is who may import whom. These rules hold for
// every file whatever its build constraints, so also for those that only a
// browser build sees. A package that does not exist breaks none.

// A rule limits what some files import.
type rule struct {
	name  string
	files func(file string) bool     // slash-separated, from the module's root
	allow func(imported string) bool // an import path
	why   string
}

const module = "initgrace"

var rules = []rule{
	{
		name:  "the policy imports little and nothing that does anything",
		files: code("grace"),
		allow: oneOf("container/heap", "fmt", "slices", "strconv", "time", module+"/grace/protocol"),
		why: "grace decides and does not act: with no os, net, log, sync, context or math/rand there is no I/O, nothing " +
			"concurrent and nothing random in it, so that every verdict can be replayed from its inputs",
	},
	{
		name:  "the vocabulary imports nothing but JSON",
		files: code("grace/protocol"),
		allow: oneOf("encoding/json"),
		why:   "grace/protocol is compiled into the browser's download, where every import is paid for by each participant",
	},
	{
		name:  "the wire codec imports little",
		files: allOf(not(code("grace/protocol")), codeBelow("grace/protocol")),
		allow: oneOf("encoding/json", "errors", "strconv", "unicode/utf8", below(module+"/grace/protocol")),
		why:   "it is compiled into the browser's download too (fmt alone would cost more than the codec), and it does no I/O",
	},
	{
		name:  "the client knows the protocol and not the server",
		files: codeBelow("wasmclient"),
		allow: oneOf(stdlib, below(module+"/grace/protocol"), below(module+"/wasmclient"), below("github.com/coder/websocket")),
		why: "what a browser downloads must not contain the policy or the server, and a client that shares no code with " +
			"the server but the protocol proves that the protocol suffices",
	},
	{
		name:  "one wall around the Socket.IO module",
		files: not(anyOf(anyIn("server/socketio"), codeBelow("e2e/bench/servers"))),
		allow: not(oneOf(below("github.com/zishang520"), below("github.com/gorilla/websocket"))),
		why: "the module can be crashed, reordered and flooded from outside unless everything passes through the guard " +
			"in server/socketio; nothing else may touch it, or the library of its sockets, but what it is compared with",
	},
	{
		name:  "one wall around syscall/js",
		files: not(anyOf(anyIn("wasmclient/internal/jsx"), jsOnly)),
		allow: not(oneOf("syscall/js")),
		why: "its values panic on a wrong type and its functions leak unless released: both are dealt with once, in " +
			"wasmclient/internal/jsx, and elsewhere only in *_js.go files, which no native build contains",
	},
	{
		name:  "the embedded files know nothing",
		files: code("web"), // not the commands below it that pack the files
		allow: oneOf("embed", "io/fs"),
		why:   "web holds files for the browser; how they are compressed, typed and served is the server's business",
	},
}

// jsOnly is the files that only a browser build contains, by their names.
func jsOnly(f string) bool {
	return strings.HasSuffix(f, "_js.go") || strings.HasSuffix(f, "_js_test.go")
}

// code is the files of a package, without its tests.
func code(dir string) func(string) bool {
	return func(f string) bool { return path.Dir(f) == dir && !strings.HasSuffix(f, "_test.go") }
}

// codeBelow is the files of a package and those below it, without tests.
func codeBelow(dir string) func(string) bool {
	return func(f string) bool { return strings.HasPrefix(f, dir+"/") && !strings.HasSuffix(f, "_test.go") }
}

// anyIn is the files of a package, tests included.
func anyIn(dir string) func(string) bool { return func(f string) bool { return path.Dir(f) == dir } }

func not(f func(string) bool) func(string) bool { return func(s string) bool { return !f(s) } }

func allOf(fs ...func(string) bool) func(string) bool {
	return func(s string) bool {
		return !slices.ContainsFunc(fs, func(f func(string) bool) bool { return !f(s) })
	}
}

func anyOf(fs ...func(string) bool) func(string) bool {
	return func(s string) bool { return slices.ContainsFunc(fs, func(f func(string) bool) bool { return f(s) }) }
}

// oneOf takes import paths, and functions of them.
func oneOf(allowed ...any) func(string) bool {
	return func(s string) bool {
		for _, a := range allowed {
			switch a := a.(type) {
			case string:
				if s == a {
					return true
				}
			case func(string) bool:
				if a(s) {
					return true
				}
			}
		}
		return false
	}
}

// below is a package and everything below it.
func below(pkg string) func(string) bool {
	return func(s string) bool { return s == pkg || strings.HasPrefix(s, pkg+"/") }
}

// stdlib knows the standard library by the first element of its import paths.
func stdlib(s string) bool {
	first, _, _ := strings.Cut(s, "/")
	return !strings.Contains(first, ".") && first != module
}

func TestArchitecture(t *testing.T) {
	root := moduleRoot(t)
	checked := 0
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != root && (d.Name() == "node_modules" || d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".")):
			return filepath.SkipDir
		case d.IsDir() || filepath.Ext(name) != ".go":
			return nil
		}
		file, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range parsed.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			for _, r := range breaks(filepath.ToSlash(file), imported) {
				t.Errorf("%s imports %q. Rule: %s, because %s.", file, imported, r.name, r.why)
			}
		}
		checked++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if checked < 7 { // this package alone has more
		t.Errorf("only %d files were found below %s", checked, root)
	}
}

func breaks(file, imported string) (broken []rule) {
	for _, r := range rules {
		if r.files(file) && !r.allow(imported) {
			broken = append(broken, r)
		}
	}
	return broken
}

// moduleRoot is the directory of go.mod.
func moduleRoot(t *testing.T) string {
	dir, err := filepath.Abs(".")
	for ; err == nil; dir = filepath.Dir(dir) {
		if _, err = os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if errors.Is(err, fs.ErrNotExist) && dir != filepath.Dir(dir) {
			err = nil
		}
	}
	t.Fatal(err)
	return ""
}

// TestArchitectureRules tries each rule on imports that it must and must not
// object to, so that a rule which matches nothing is noticed.
func TestArchitectureRules(t *testing.T) {
	for _, c := range []struct {
		file, imported string
		ok             bool
	}{
		{"grace/tracker.go", "time", true},
		{"grace/tracker.go", module + "/grace/protocol", true},
		{"grace/tracker.go", "os", false},
		{"grace/tracker.go", "sync", false},
		{"grace/tracker.go", "math/rand/v2", false},
		{"grace/tracker.go", module + "/server", false},
		{"grace/tracker.go", module + "/grace/protocol/sio", false},
		{"grace/tracker_test.go", "os", true},
		{"grace/protocol/codes.go", "encoding/json", true},
		{"grace/protocol/codes.go", "fmt", false},
		{"grace/protocol/codes.go", "errors", false},
		{"grace/protocol/sio/packet.go", "unicode/utf8", true},
		{"grace/protocol/sio/packet.go", module + "/grace/protocol", true},
		{"grace/protocol/sio/packet.go", "fmt", false},
		{"grace/protocol/sio/packet.go", module + "/grace", false},
		{"wasmclient/client.go", "net/http", true},
		{"wasmclient/client.go", "github.com/coder/websocket", true},
		{"wasmclient/client.go", module + "/grace/protocol/sio", true},
		{"wasmclient/cmd/loader/main_js.go", module + "/wasmclient/internal/jsx", true},
		{"wasmclient/client.go", module + "/grace", false},
		{"wasmclient/client.go", module + "/server", false},
		{"wasmclient/internal/sio/x.go", module + "/server/store", false},
		{"wasmclient/client.go", "github.com/google/uuid", false},
		{"server/socketio/server.go", "github.com/zishang520/socket.io/v2/socket", true},
		{"server/socketio/server_test.go", "github.com/gorilla/websocket", true},
		{"server/loop.go", "github.com/zishang520/engine.io/v2/types", false},
		{"server/server_test.go", "github.com/gorilla/websocket", false},
		{"e2e/proxy.go", "github.com/gorilla/websocket", false},
		{"wasmclient/internal/jsx/value.go", "syscall/js", true},
		{"wasmclient/cmd/loader/main_js.go", "syscall/js", true},
		{"wasmclient/loader_js_test.go", "syscall/js", true},
		{"wasmclient/loader.go", "syscall/js", false},
		{"web/web.go", "embed", true},
		{"web/web.go", "net/http", false},
		{"web/web_test.go", "net/http", true},
		{"web/internal/pack/main.go", "os", true},
	} {
		if broken := breaks(c.file, c.imported); (len(broken) == 0) != c.ok {
			t.Errorf("%s may import %s: %v, want %v", c.file, c.imported, len(broken) == 0, c.ok)
		}
	}
}
