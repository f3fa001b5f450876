package wasmclient

import (
	"time"

	"initgrace/wasmclient/internal/jsx"
)

// blockMeter feeds blocks while a load runs.
type blockMeter struct {
	quit   chan struct{}
	result chan blocks
}

func measureBlocks() *blockMeter {
	m := &blockMeter{quit: make(chan struct{}), result: make(chan blocks, 1)}
	go m.run()
	return m
}

func (m *blockMeter) run() {
	b := blocks{last: time.Now()}
	defer func() { m.result <- b }()
	defer jsx.Recover(func(error) {})
	t := time.NewTicker(blockTick)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			b.tick(time.Now(), jsx.Hidden())
		case <-m.quit:
			b.tick(time.Now(), jsx.Hidden())
			return
		}
	}
}

func (m *blockMeter) stop() (total, longest time.Duration) {
	close(m.quit)
	b := <-m.result
	return b.total, b.longest
}
