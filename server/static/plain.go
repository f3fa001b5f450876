package static

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"path"
	"strings"

	"initgrace/server/static/bundle"
)

// plain serves an ordinary file system as it is. Paths arrive without a
// leading slash. http.FileServerFS lists folders and takes types from the
// system; this one does neither.
type plain struct {
	fs fs.FS
}

func (p *plain) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Path
	if name == "" || strings.HasSuffix(name, "/") {
		name += "index.html"
	}
	if !fs.ValidPath(name) || secret(name) {
		notFound(w, r)
		return
	}
	f, err := p.fs.Open(name)
	switch {
	case errors.Is(err, fs.ErrPermission):
		failed(w, http.StatusForbidden)
		return
	case err != nil: // not there, or a path through a file, or out of the folder
		notFound(w, r)
		return
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		failed(w, http.StatusInternalServerError)
		return
	case info.IsDir():
		p.redirectToFolder(w, r, name)
		return
	case !info.Mode().IsRegular():
		notFound(w, r)
		return
	}
	w.Header().Set("Content-Type", bundle.Type(name))
	revalidate(w)
	if t := info.ModTime(); !t.IsZero() { // an embed.FS has no times
		w.Header().Set("ETag", fmt.Sprintf(`"%x-%x"`, t.UnixNano(), info.Size()))
	}
	content, ok := f.(io.ReadSeeker)
	if !ok {
		b, err := io.ReadAll(f)
		if err != nil {
			failed(w, http.StatusInternalServerError)
			return
		}
		content = bytes.NewReader(b)
	}
	http.ServeContent(w, r, name, info.ModTime(), content)
}

// redirectToFolder adds the slash without which a page's relative links would
// lead elsewhere. The target is relative, because the handler may be mounted
// anywhere.
func (p *plain) redirectToFolder(w http.ResponseWriter, r *http.Request, name string) {
	if _, err := fs.Stat(p.fs, path.Join(name, "index.html")); err != nil {
		notFound(w, r)
		return
	}
	target := "./" + path.Base(name) + "/"
	if r.URL.RawQuery != "" {
		target += "?" + r.URL.RawQuery
	}
	w.Header().Set("Location", target)
	w.WriteHeader(http.StatusMovedPermanently)
}

// secret reports what a study's folder may hold and nobody may download:
// hidden files (.git, .env), the study file with its payment codes, copies of it
// included, and the database, if it was put there.
func secret(name string) bool {
	for part := range strings.SplitSeq(name, "/") {
		if strings.HasPrefix(part, ".") {
			return true
		}
	}
	if strings.HasPrefix(strings.ToLower(path.Base(name)), "initgrace.y") {
		return true
	}
	ext := strings.ToLower(path.Ext(name))
	return strings.HasPrefix(ext, ".db") || strings.HasPrefix(ext, ".sqlite")
}
