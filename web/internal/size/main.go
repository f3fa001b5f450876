// Command size says what a page has to download before it can connect, and
// fails when that is over the budget. Sizes are those of what is packed, with
// Brotli at its best quality, 11, whatever the build's own.
package main

import (
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/andybalholm/brotli"

	"initgrace/web/internal/minify"
)

// Budgets in bytes, compressed.
const (
	wasmBudget = 600_000
	jsBudget   = 12_000
)

func main() {
	if err := run(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "size:", err)
		os.Exit(1)
	}
}

func run(stdout io.Writer) error {
	wasm, err := compressed("bin/loader.wasm")
	if err != nil {
		return err
	}
	js, err := scripts("web/loader.js")
	if err != nil {
		return err
	}
	total := 0
	for _, file := range js {
		n, err := compressed(file)
		if err != nil {
			return err
		}
		fmt.Fprintf(stdout, "%8d %s\n", n, file)
		total += n
	}
	fmt.Fprintf(stdout, "%8d JavaScript in all, of %d\n%8d bin/loader.wasm, of %d\n", total, jsBudget, wasm, wasmBudget)
	switch {
	case wasm > wasmBudget:
		return fmt.Errorf("bin/loader.wasm is %d bytes over its budget. What it imports is in "+
			"GOOS=js GOARCH=wasm go list -deps ./wasmclient/cmd/loader; fmt alone would be 150 KB", wasm-wasmBudget)
	case total > jsBudget:
		return fmt.Errorf("the JavaScript is %d bytes over its budget", total-jsBudget)
	}
	return nil
}

// local are the scripts that a script names: imports, and workers' addresses.
var local = regexp.MustCompile(`(?m)(?:^import (?:.* from )?|new URL\()"([./a-z-]+\.js)"`)

// scripts are a script, those that it needs, and Go's own.
func scripts(first string) ([]string, error) {
	found := []string{first}
	for i := 0; i < len(found); i++ {
		text, err := os.ReadFile(found[i])
		if err != nil {
			return nil, err
		}
		for _, m := range local.FindAllSubmatch(text, -1) {
			if f := path.Join(path.Dir(found[i]), string(m[1])); !slices.Contains(found, f) {
				found = append(found, f)
			}
		}
	}
	return append(found, "wasm_exec.js"), nil
}

func compressed(file string) (int, error) {
	read := os.ReadFile
	if strings.HasPrefix(file, "web/") {
		read = minify.File
	}
	b, err := read(filepath.FromSlash(file))
	if err != nil {
		return 0, err
	}
	var n counter
	w := brotli.NewWriterLevel(&n, brotli.BestCompression)
	if _, err := w.Write(b); err != nil {
		return 0, err
	}
	err = w.Close()
	return int(n), err
}

type counter int

func (c *counter) Write(b []byte) (int, error) { *c += counter(len(b)); return len(b), nil }
