// Package net stands in for the standard library's, of which the browser's
// build of github.com/coder/websocket takes one error.
package net

import "errors"

// ErrClosed is what the standard library calls it.
var ErrClosed = errors.New("use of closed network connection")
