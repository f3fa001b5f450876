// Package reflect stands in for the standard library's in the browser's build
// of github.com/coder/websocket, for the text of one panic that cannot happen.
package reflect

// Type is the type of something.
type Type struct{}

// TypeOf knows no types.
func TypeOf(any) Type { return Type{} }

func (Type) String() string { return "neither text nor bytes" }
