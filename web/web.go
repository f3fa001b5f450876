// Package web carries what browsers download: the loader, Pyodide and the demo
// study, compressed, with a manifest (package initgrace/server/static/bundle).
package web

import (
	"embed"
	"io/fs"
)

//go:embed all:dist
var dist embed.FS

// Dist is the output of `make build`. Before the first build it holds no
// manifest, so that the module compiles without npm and without network.
func Dist() fs.FS {
	sub, err := fs.Sub(dist, "dist")
	if err != nil {
		panic(err) // "dist" is a valid path
	}
	return sub
}
