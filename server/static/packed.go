package static

import (
	"io"
	"io/fs"
	"net/http"
	"strings"

	"initgrace/server/static/bundle"
)

// packed serves a bundle. Paths arrive without a leading slash.
type packed struct {
	fs     fs.FS
	files  map[string]bundle.File
	prefix string // of the bundle's paths
}

func (p *packed) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := p.prefix + r.URL.Path
	if strings.HasSuffix(name, "/") {
		name += "index.html"
	}
	f, ok := p.files[name] // only what is listed reaches the file system
	if !ok {
		notFound(w, r)
		return
	}
	// A strong ETag names the bytes, so that each coding needs its own.
	tag, size, open := f.SHA256[:32], f.Size, func() (io.ReadCloser, error) { return p.fs.Open(name) }
	if f.Compressed() {
		w.Header().Set("Vary", "Accept-Encoding")
		switch accept := strings.Join(r.Header.Values("Accept-Encoding"), ","); {
		case accepts(accept, "br"):
			w.Header().Set("Content-Encoding", "br")
			tag, size = tag+"-br", f.Brotli
			open = func() (io.ReadCloser, error) { return p.fs.Open(name + bundle.BrotliSuffix) }
		case accepts(accept, "gzip"):
			w.Header().Set("Content-Encoding", "gzip")
			tag, size = tag+"-gz", f.Gzip
			open = func() (io.ReadCloser, error) { return p.fs.Open(name + bundle.GzipSuffix) }
		default: // rare: the file is not stored a third time for it
			open = func() (io.ReadCloser, error) { return bundle.Gunzip(p.fs, name) }
		}
	}
	w.Header().Set("Content-Type", f.Type)
	if w.Header().Get("Cache-Control") == "" {
		revalidate(w)
	}
	writeTagged(w, r, tag, size, open)
}
