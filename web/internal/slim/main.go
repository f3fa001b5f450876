// Command slim prepares the loader's build. The browser's half of
// github.com/coder/websocket, ws_js.go, imports fmt, net, net/http and reflect
// for some error texts and two signatures, and with them a TLS stack and more:
// 700 KB, compressed, of a download of which the WebSocket is 15.
//
// Into a directory it writes the module's own files that a browser needs,
// unchanged but for those four imports, which lead to the small stand-ins in
// lean/, and a Go workspace in which that copy takes the module's place:
//
//	go run ./web/internal/slim -out bin/slim
//	GOWORK=$PWD/bin/slim/go.work GOOS=js GOARCH=wasm go build ./wasmclient/cmd/loader
//
// It knows one version of ws_js.go, by its hash, and stops at any other, so
// that an update of the module is looked at before it is believed. Without the
// workspace everything builds and works as well; it is only larger.
package main

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strconv"
	"strings"
)

const (
	module = "github.com/coder/websocket"
	// known is the SHA-256 of the ws_js.go that was looked at: v1.8.15's.
	known = "afde6fe4b98c1d28a9cb2f0e27203e8d8fa2c14cc779947698040bf9bc7decb7"
)

// files are what a browser needs of the module. NetConn and the masking of
// frames, which a browser does itself, are not among them.
var files = []string{"ws_js.go", "errors.go", "stringer.go", "internal/bpool/bpool.go", "internal/wsjs/wsjs_js.go", "go.mod", "LICENSE.txt"}

// redirected are the imports of ws_js.go that lead to the directory of the same
// last name in lean/.
var redirected = []string{"fmt", "net", "net/http", "reflect"}

//go:embed lean
var lean embed.FS

func main() {
	out := flag.String("out", "bin/slim", "where to write")
	flag.Parse()
	if err := run(*out); err != nil {
		fmt.Fprintln(os.Stderr, "slim:", err)
		os.Exit(1)
	}
}

func run(out string) error {
	// On a fresh machine it is not there yet: nothing has needed it so far.
	if _, err := goCommand("mod", "download", module); err != nil {
		return err
	}
	text, err := goCommand("list", "-m", "-json", module, "initgrace")
	if err != nil {
		return err
	}
	dirs, versions := map[string]string{}, map[string]string{}
	for d := json.NewDecoder(bytes.NewReader(text)); d.More(); {
		var m struct{ Path, Dir, Version, GoVersion string }
		if err := d.Decode(&m); err != nil {
			return err
		}
		dirs[m.Path], versions[m.Path] = m.Dir, m.Version
		if m.Version == "" {
			versions[m.Path] = m.GoVersion
		}
	}
	copied := filepath.Join(out, "websocket")
	if err := os.RemoveAll(copied); err != nil {
		return err
	}
	for _, name := range files {
		b, err := os.ReadFile(filepath.Join(dirs[module], filepath.FromSlash(name)))
		if err != nil {
			return fmt.Errorf("%s %s is not as it was when this step was written: %w", module, versions[module], err)
		}
		if name == "ws_js.go" {
			if b, err = redirect(b, versions[module]); err != nil {
				return err
			}
		}
		if err := write(filepath.Join(copied, filepath.FromSlash(name)), b); err != nil {
			return err
		}
	}
	err = fs.WalkDir(lean, "lean", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(p, "_test.go") {
			return err
		}
		b, err := lean.ReadFile(p)
		if err != nil {
			return err
		}
		return write(filepath.Join(copied, "internal", filepath.FromSlash(p)), b)
	})
	if err != nil {
		return err
	}
	absolute, err := filepath.Abs(out)
	if err != nil {
		return err
	}
	root, err := filepath.Rel(absolute, dirs["initgrace"])
	if err != nil {
		return err
	}
	work := fmt.Sprintf("go %s\n\nuse %s\n\nreplace %s => ./websocket\n", versions["initgrace"], filepath.ToSlash(root), module)
	return write(filepath.Join(out, "go.work"), []byte(work))
}

// redirect changes the imports of ws_js.go, and nothing else.
func redirect(source []byte, version string) ([]byte, error) {
	if sum := sha256.Sum256(source); hex.EncodeToString(sum[:]) != known {
		return nil, fmt.Errorf("ws_js.go of %s %s is not the one that this step knows (its SHA-256 is %x).\n"+
			"See what it now imports and uses of %s, let web/internal/slim/lean have that, and put the new hash into web/internal/slim/main.go",
			module, version, sum, strings.Join(redirected, ", "))
	}
	for _, name := range redirected {
		old := []byte("\n\t" + strconv.Quote(name) + "\n")
		if n := bytes.Count(source, old); n != 1 {
			return nil, fmt.Errorf("ws_js.go imports %q %d times", name, n)
		}
		lead := "\n\t" + strconv.Quote(path.Join(module, "internal/lean", path.Base(name))) + "\n"
		source = bytes.Replace(source, old, []byte(lead), 1)
	}
	return source, nil
}

func write(file string, b []byte) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, b, 0o644)
}

// goCommand runs a command of Go's in the module as it is, without bin/slim.
func goCommand(args ...string) ([]byte, error) {
	cmd := exec.Command("go", args...)
	cmd.Env = append(os.Environ(), "GOWORK=off")
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, complaints.Bytes())
	}
	return out, nil
}
