package bundle

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"path"
)

// Names of what web/pyodide/stdlib.mjs makes for a Pyodide, beside its files.
const (
	LibraryName = "python_stdlib_compiled.zip"
	StartupName = "startup.json"
)

// Startup describes the compiled standard library of a Pyodide.
type Startup struct {
	Pyodide string `json:"pyodide"` // the version that it belongs to
	Plain   string `json:"plain"`   // SHA-256 of the python_stdlib.zip it was made from, in hex
	SHA256  string `json:"sha256"`  // of the library
	Size    int64  `json:"size"`    // of the library, in bytes
	// Imports are the modules that a start imports, each after those it needs.
	Imports []string `json:"imports"`
}

// ReadStartup reads what a bundle has for its Pyodide; nil: nothing.
func ReadStartup(fsys fs.FS, m *Manifest) (*Startup, error) {
	name := path.Join("pyodide", m.Pyodide, StartupName)
	f, ok := m.Files[name]
	if !ok {
		return nil, nil
	}
	b, err := ReadFile(fsys, name, f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	s := new(Startup)
	if err := json.Unmarshal(b, s); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	library := m.Files[path.Join("pyodide", m.Pyodide, LibraryName)]
	if s.Pyodide != m.Pyodide || s.SHA256 != library.SHA256 {
		return nil, fmt.Errorf("%s is of another build: make clean, make build", name)
	}
	return s, nil
}

// ReadFile reads a file as it was.
func ReadFile(fsys fs.FS, name string, f File) ([]byte, error) {
	if !f.Compressed() {
		return fs.ReadFile(fsys, name)
	}
	z, err := Gunzip(fsys, name)
	if err != nil {
		return nil, err
	}
	defer z.Close()
	return io.ReadAll(z)
}

// Gunzip opens a compressed file as it was.
func Gunzip(fsys fs.FS, name string) (io.ReadCloser, error) {
	f, err := fsys.Open(name + GzipSuffix)
	if err != nil {
		return nil, err
	}
	z, err := gzip.NewReader(f)
	if err != nil {
		f.Close()
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{z, f}, nil
}
