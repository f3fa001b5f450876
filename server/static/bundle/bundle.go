// Package bundle is the form in which files for browsers are embedded: each
// compressed once, at build time, and listed in a manifest with its content
// type, its hash and its sizes. web/internal/pack writes it, server/static
// serves it.
package bundle

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
)

// ManifestName is the manifest's name in the root of the bundle.
const ManifestName = "manifest.json"

// Suffixes of the stored forms. A file that does not shrink is stored as it
// is, without suffix.
const (
	BrotliSuffix = ".br"
	GzipSuffix   = ".gz"
)

// ErrNotBuilt says that a bundle has no manifest.
var ErrNotBuilt = errors.New("the browser files are not built in: run make build")

// Manifest lists a bundle.
type Manifest struct {
	// Pyodide is the version of the Pyodide under pyodide/<version>/.
	Pyodide string `json:"pyodide"`
	// Files by slash-separated path, without suffix.
	Files map[string]File `json:"files"`
}

// File describes one file. Sizes are bytes; a browser that shows progress
// needs Size, because content-length is the compressed one.
type File struct {
	Type   string `json:"type"` // Content-Type
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size"`
	Brotli int64  `json:"br,omitempty"` // 0: not stored
	Gzip   int64  `json:"gz,omitempty"` // 0: not stored
	// Quality is Brotli's, so that another one packs again.
	Quality int `json:"br_quality,omitempty"`
}

// Compressed reports whether the file is stored compressed, in both forms.
func (f File) Compressed() bool { return f.Brotli > 0 }

// Read reads the manifest in the root of fsys, or fails with ErrNotBuilt.
func Read(fsys fs.FS) (*Manifest, error) {
	b, err := fs.ReadFile(fsys, ManifestName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotBuilt
	}
	if err != nil {
		return nil, err
	}
	m := new(Manifest)
	if err := json.Unmarshal(b, m); err != nil {
		return nil, fmt.Errorf("%s: %w", ManifestName, err)
	}
	return m, nil
}
