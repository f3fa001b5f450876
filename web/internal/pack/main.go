// Command pack compresses what browsers download into web/dist, from where
// package web embeds it. Run it by `make build`, in the module's root.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"initgrace/server/static/bundle"
	"initgrace/web/internal/minify"
)

// pyodideFiles is the core of the npm package: what a page needs to run
// Python. Its README, types, source maps and consoles stay out.
var pyodideFiles = []string{
	"pyodide.mjs", "pyodide.js", "pyodide.asm.mjs", "pyodide.asm.wasm", "python_stdlib.zip", "pyodide-lock.json",
}

// bundled are the scripts that are served in one piece with what they import.
var bundled = []string{"loader.js", "worker.js", "pyodide/load.js", "pyodide/remote.js", "pyodide/worker.js", "pyodide/downloader.js"}

// parts are what is nothing but a part of those.
var parts = []string{
	"ahead.js", "clock.js", "ending.js", "errors.js", "hosts.js", "lifeline.js", "program.js", "task.js",
	"pyodide/aside.js", "pyodide/download.js", "pyodide/estimate.js", "pyodide/gentle.js", "pyodide/packages.js", "pyodide/plan.js", "pyodide/start.js", "pyodide/watch.js",
}

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "pack:", err)
		os.Exit(1)
	}
}

func run(args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("pack", flag.ContinueOnError)
	quality := flags.Int("brotli", 9, "Brotli quality of files over 256 KiB, 0 to 11")
	loader := flags.String("loader", "bin/loader.wasm", "the loader, built for GOOS=js")
	modules := flags.String("modules", "node_modules", "where npm has put its packages")
	pyodide := flags.String("pyodide", "node_modules/pyodide", "the npm package pyodide")
	compiled := flags.String("compiled", "bin/pyodide", "its compiled library, as web/pyodide/stdlib.mjs left it")
	out := flags.String("out", "web/dist", "where to write")
	if err := flags.Parse(args); err != nil {
		return err
	}
	version, err := packageVersion(*pyodide)
	if err != nil {
		return err
	}
	files := map[string]string{
		"initgrace/loader.js":         "web/loader.js",
		"initgrace/loader.wasm":       *loader,
		"initgrace/wasm_exec.js":      "wasm_exec.js",
		"initgrace/vendor/comlink.js": filepath.Join(*modules, "comlink/dist/esm/comlink.min.mjs"),
	}
	for _, pattern := range []string{"*.js", "*.d.ts", "pyodide/*.js"} { // its other files and types
		names, err := filepath.Glob(filepath.Join("web", pattern))
		if err != nil {
			return err
		}
		for _, name := range names {
			files[path.Join("initgrace", path.Dir(pattern), filepath.Base(name))] = name
		}
	}
	for _, name := range parts {
		delete(files, path.Join("initgrace", name))
	}
	small, err := os.MkdirTemp("", "initgrace-pack-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(small)
	if err := minified(files, small); err != nil {
		return err
	}
	for _, name := range pyodideFiles {
		files[path.Join("pyodide", version, name)] = filepath.Join(*pyodide, name)
	}
	for _, name := range []string{bundle.LibraryName, bundle.StartupName} {
		files[path.Join("pyodide", version, name)] = filepath.Join(*compiled, name)
	}
	if err := addTree(files, "demo", "web/demo"); err != nil {
		return err
	}
	if err := addTree(files, "admin", "web/admin"); err != nil {
		return err
	}
	files["admin/uplot.js"] = filepath.Join(*modules, "uplot/dist/uPlot.esm.js")
	files["admin/uplot.css"] = filepath.Join(*modules, "uplot/dist/uPlot.min.css")
	m, err := bundle.Pack(*out, version, files, *quality)
	if err != nil {
		return err
	}
	var raw, br, gz int64
	for _, f := range m.Files {
		raw += f.Size
		if f.Compressed() {
			br, gz = br+f.Brotli, gz+f.Gzip
		} else {
			br, gz = br+f.Size, gz+f.Size
		}
	}
	_, err = fmt.Fprintf(stdout, "%d files, %.1f MB: %.1f MB with brotli, %.1f MB with gzip\n",
		len(m.Files), float64(raw)/1e6, float64(br)/1e6, float64(gz)/1e6)
	return err
}

func packageVersion(dir string) (string, error) {
	b, err := os.ReadFile(filepath.Join(dir, "package.json"))
	if err != nil {
		return "", fmt.Errorf("%w (npm ci installs it)", err)
	}
	var p struct{ Version string }
	if err := json.Unmarshal(b, &p); err != nil {
		return "", fmt.Errorf("%s/package.json: %w", dir, err)
	}
	return p.Version, nil
}

// minified replaces the scripts of web/ by smaller ones, made in dir.
func minified(files map[string]string, dir string) error {
	for name, source := range files {
		if path.Ext(name) != ".js" || !strings.HasPrefix(source, "web") {
			continue
		}
		read := minify.File
		if slices.Contains(bundled, strings.TrimPrefix(name, "initgrace/")) {
			read = minify.Bundle
		}
		b, err := read(source)
		if err != nil {
			return err
		}
		files[name] = filepath.Join(dir, strings.ReplaceAll(name, "/", "_"))
		if err := os.WriteFile(files[name], b, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// addTree adds the files under dir as prefix/…, without hidden ones.
func addTree(files map[string]string, prefix, dir string) error {
	return filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(d.Name(), ".") {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		if err != nil {
			return err
		}
		files[path.Join(prefix, filepath.ToSlash(rel))] = p
		return nil
	})
}
