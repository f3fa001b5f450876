package static

import (
	"errors"
	"io/fs"
	"net/http"

	"initgrace/server/static/bundle"
	"initgrace/web"
)

// Dashboard serves the embedded pages of the dashboard, whose paths begin with
// /admin/. It sets no security headers and asks for nothing. A nil dist is the
// embedded bundle, web.Dist().
func Dashboard(dist fs.FS) (http.Handler, error) {
	if dist == nil {
		dist = web.Dist()
	}
	manifest, err := bundle.Read(dist)
	if errors.Is(err, bundle.ErrNotBuilt) {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.Error(w, bundle.ErrNotBuilt.Error(), http.StatusNotFound)
		}), nil
	}
	if err != nil {
		return nil, err
	}
	files := &packed{fs: dist, files: manifest.Files}
	return http.StripPrefix("/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		revalidate(w)
		files.ServeHTTP(w, r)
	})), nil
}
