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

// worker is the address of a worker's script, as a script names it.
var worker = regexp.MustCompile(`new URL\("([./a-z-]+\.js)"`)

// scripts are a script with what it imports, its workers, and Go's own.
func scripts(first string) ([]string, error) {
	text, err := minify.Bundle(first)
	if err != nil {
		return nil, err
	}
	found := []string{first}
	for _, m := range worker.FindAllSubmatch(text, -1) {
		found = append(found, path.Join(path.Dir(first), string(m[1])))
	}
	if len(found) == 1 {
		return nil, fmt.Errorf("%s names no worker", first)
	}
	return append(found, "wasm_exec.js"), nil
}

func compressed(file string) (int, error) {
	read := os.ReadFile
	if strings.HasPrefix(file, "web/") {
		read = minify.Bundle
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
