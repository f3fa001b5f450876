//go:build !js

package wasmclient

import "time"

// blockMeter measures nothing: only a page can be blocked.
type blockMeter struct{}

func measureBlocks() blockMeter { return blockMeter{} }

func (blockMeter) stop() (total, longest time.Duration) { return 0, 0 }
