//go:build !js

package wasmclient

import "time"

func look() <-chan struct{} {
	over := make(chan struct{})
	time.AfterFunc(lastLook, func() { close(over) })
	return over
}
