package wasmclient

import "initgrace/wasmclient/internal/jsx"

// look is over, after lastLook, when everything has been read that the browser
// had by then. It takes a timer of the browser's for that. One of Go's has its
// effect whenever Go is entered and it is due: behind a block that is when Go
// goes on, when the page calls it, or when the first message comes in, and so
// before that is read.
func look() <-chan struct{} { return jsx.After(lastLook) }
