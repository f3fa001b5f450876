package wasmclient

import "time"

// blocks adds up how long a page was blocked, from ticks that should come every
// blockTick and come late. It is pure: a tick says when it came.
type blocks struct {
	last           time.Time
	total, longest time.Duration
}

const (
	blockTick = 50 * time.Millisecond
	// blockMin is the shortest delay that counts as a block.
	blockMin = 100 * time.Millisecond
	// blockMinHidden is the same in the background, where browsers slow timers
	// down to one a second.
	blockMinHidden = 1500 * time.Millisecond
)

func (b *blocks) tick(now time.Time, hidden bool) {
	least := blockMin
	if hidden {
		least = blockMinHidden
	}
	if late := now.Sub(b.last) - blockTick; late >= least {
		b.total += late
		b.longest = max(b.longest, late)
	}
	b.last = now
}
