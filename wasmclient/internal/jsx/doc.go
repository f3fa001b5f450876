// Package jsx is the wall around syscall/js: what a JS call throws comes back
// as an error, a promise is awaited on a goroutine, and a Go function that JS
// calls never blocks, never panics through, and says when it is released.
package jsx
