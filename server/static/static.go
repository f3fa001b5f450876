// Package static serves what browsers download: the loader under /initgrace/,
// Pyodide under /pyodide/<version>/, and the study at /.
//
// The embedded files are stored compressed only, as web/internal/pack left
// them, and reach the browser as they are. Ready-made handlers for that were
// read and not taken: statigz matches Accept-Encoding by substring, sends
// ETags without quotes, hashes every file at each start, and takes content
// types from the system.
package static

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"path"
	"strings"

	"initgrace/grace/protocol"
	"initgrace/server/static/bundle"
	"initgrace/web"
)

// Where things are served.
const (
	loaderPath  = "/initgrace/"
	configPath  = "/initgrace/config.json"
	pyodidePath = "/pyodide/"
)

// Options configure a handler. Nil is fine: everything embedded.
type Options struct {
	// Site is served at /. Nil: the embedded demo study. Hidden files, the
	// study file and databases in it are not served, folders are not listed.
	Site fs.FS
	// Pyodide is the unpacked npm package pyodide or a release of it. Nil: the
	// embedded one.
	Pyodide fs.FS
	// Packages is a folder with packages for Pyodide, as `initgrace pyodide add`
	// fills it. Nil: Pyodide's core alone.
	Packages fs.FS
	// PackageCDN is where pages find packages that are not in Packages: a URL,
	// {version} stands for Pyodide's, or "public", Pyodide's own CDN. Empty:
	// nowhere; no page then asks any other server.
	PackageCDN string
	// ContentSecurityPolicy replaces the default one, DefaultCSP.
	ContentSecurityPolicy string
	// Dist replaces the embedded bundle, web.Dist().
	Dist fs.FS
}

// Config is what /initgrace/config.json tells a page, so that no page needs to
// know the version of Pyodide.
type Config struct {
	Protocol int            `json:"protocol"`
	Pyodide  *PyodideConfig `json:"pyodide,omitempty"` // absent when there is none
}

// PyodideConfig says where Pyodide is.
type PyodideConfig struct {
	Version string `json:"version"`
	// IndexURL is what loadPyodide takes as indexURL.
	IndexURL string `json:"index_url"`
	// Files are the sizes in bytes, uncompressed, by name: for progress.
	Files map[string]int64 `json:"files"`
	// Compiled is absent when there is none for this Pyodide.
	Compiled *CompiledConfig `json:"compiled,omitempty"`
	// LockURL is where the lock file is, if not beside Pyodide.
	LockURL string `json:"lock_url,omitempty"`
	// PackageURLs are folders with packages, the first that has one wins.
	PackageURLs []string `json:"package_urls,omitempty"`
}

// CompiledConfig says where the compiled standard library is, with which a
// start freezes the page for a shorter time.
type CompiledConfig struct {
	URL     string   `json:"url"`
	SHA256  string   `json:"sha256"` // in hex
	Size    int64    `json:"size"`   // in bytes, uncompressed
	Imports []string `json:"imports"`
}

// New returns the handler of everything that is not Socket.IO. It fails if
// Site has no index.html or Pyodide is not a Pyodide. A binary that was built
// without the browser files works for API use and says on its pages how to
// build them.
func New(o *Options) (http.Handler, error) {
	if o == nil {
		o = &Options{}
	}
	dist := o.Dist
	if dist == nil {
		dist = web.Dist()
	}
	manifest, err := bundle.Read(dist)
	notBuilt := errors.Is(err, bundle.ErrNotBuilt)
	switch {
	case notBuilt:
		manifest = &bundle.Manifest{}
	case err != nil:
		return nil, fmt.Errorf("the embedded browser files: %w", err)
	}
	embedded := &packed{fs: dist, files: manifest.Files}
	mux := http.NewServeMux()

	mux.Handle(loaderPath, http.StripPrefix("/", embedded))

	config := Config{Protocol: protocol.Version}
	switch {
	case o.Pyodide != nil:
		if config.Pyodide, err = inspectPyodide(o.Pyodide); err != nil {
			return nil, err
		}
		at := config.Pyodide.IndexURL
		mux.Handle(at, http.StripPrefix(at, &plain{fs: o.Pyodide}))
	case manifest.Pyodide != "":
		config.Pyodide = embeddedPyodide(manifest)
		mux.Handle(config.Pyodide.IndexURL, immutable(http.StripPrefix("/", embedded)))
	}
	csp := o.ContentSecurityPolicy
	if config.Pyodide != nil {
		if err := addCompiled(mux, config.Pyodide, o.Pyodide, embedded, manifest); err != nil {
			return nil, err
		}
		cdn, err := addPackages(mux, config.Pyodide, o)
		if err != nil {
			return nil, err
		}
		if csp == "" {
			csp = policyWith(cdn)
		}
	}
	mux.Handle(pyodidePath, http.HandlerFunc(notFound))
	configure, err := serveConfig(config)
	if err != nil {
		return nil, err
	}
	mux.Handle(configPath, configure)

	switch {
	case o.Site != nil:
		if _, err := fs.Stat(o.Site, "index.html"); err != nil {
			return nil, fmt.Errorf("the site has no index.html: %w", err)
		}
		mux.Handle("/", http.StripPrefix("/", &plain{fs: o.Site}))
	case notBuilt:
		mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
			http.Error(w, bundle.ErrNotBuilt.Error(), http.StatusNotFound)
		})
	default:
		mux.Handle("/", http.StripPrefix("/", &packed{fs: dist, files: manifest.Files, prefix: "demo/"}))
	}
	return Secure(readOnly(mux), csp), nil
}

// serveConfig answers with c, which does not change while the server runs.
func serveConfig(c Config) (http.HandlerFunc, error) {
	body, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(body)
	tag := hex.EncodeToString(sum[:16])
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		revalidate(w)
		writeTagged(w, r, tag, int64(len(body)), func() (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(body)), nil
		})
	}, nil
}

func embeddedPyodide(m *bundle.Manifest) *PyodideConfig {
	c := &PyodideConfig{
		Version: m.Pyodide, IndexURL: pyodidePath + m.Pyodide + "/", Files: make(map[string]int64),
	}
	for name, f := range m.Files {
		if file, ok := strings.CutPrefix("/"+name, c.IndexURL); ok {
			c.Files[file] = f.Size
		}
	}
	return c
}

// inspectPyodide refuses a folder from which no page could load Pyodide.
func inspectPyodide(fsys fs.FS) (*PyodideConfig, error) {
	var p struct{ Name, Version string }
	b, err := fs.ReadFile(fsys, "package.json")
	if err != nil {
		return nil, fmt.Errorf("not an unpacked Pyodide: %w", err)
	}
	if err := json.Unmarshal(b, &p); err != nil {
		return nil, fmt.Errorf("not an unpacked Pyodide: package.json: %w", err)
	}
	if p.Version == "" || path.Clean(p.Version) != p.Version || strings.ContainsAny(p.Version, "/{} ") {
		return nil, fmt.Errorf("not an unpacked Pyodide: package.json names the version %q", p.Version)
	}
	c := &PyodideConfig{Version: p.Version, IndexURL: pyodidePath + p.Version + "/", Files: make(map[string]int64)}
	for _, name := range []string{"pyodide.mjs", "pyodide.asm.wasm", "python_stdlib.zip", "pyodide-lock.json"} {
		info, err := fs.Stat(fsys, name)
		if err != nil {
			return nil, fmt.Errorf("not an unpacked Pyodide: %w", err)
		}
		c.Files[name] = info.Size()
	}
	return c, nil
}
