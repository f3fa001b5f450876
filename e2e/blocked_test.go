package e2e

import (
	"testing"
	"time"

	"initgrace/grace/protocol"
	"initgrace/server"
)

// longBlock is one block in one piece, beyond the 16 s that Engine.IO
// tolerates when it is configured with 8 s + 8 s.
const longBlock = 18 * time.Second

func TestBusyLoop(t *testing.T) {
	l := newStudy(t, plain, nil)
	player, partner := couple(l)
	work(player, "page.block(18000)")
	began := l.WaitFor("player", protocol.Loading, patience)
	ended := l.WaitFor("player", protocol.Active, patience)
	wantTook(t, "the load", ended.At.Sub(began.At), longBlock, longBlock+patience)
	await[any](player, "page.outcome")
	wantKept(l, player, partner, 1)
}

func TestSynchronousPython(t *testing.T) {
	l := newStudy(t, study, nil)
	player, partner := couple(l)
	player.start("page.run(page.loadPyodide)")
	l.WaitFor("player", protocol.Loading, patience)
	l.WaitFor("player", protocol.Active, patience)
	work(player, "page.python(18)")
	began := l.WaitFor("player", protocol.Loading, patience)
	ended := l.WaitFor("player", protocol.Active, patience)
	wantTook(t, "the Python", ended.At.Sub(began.At), longBlock, longBlock+patience)
	await[any](player, "page.outcome")
	wantKept(l, player, partner, 2)
}

// TestPyodide blocks by nothing but loadPyodide on a slow machine: for longer than
// an undeclared block may last, and without the loader's steps for longer than
// silence is tolerated where the browser cannot be asked.
func TestPyodide(t *testing.T) {
	onPages(t, func(t *testing.T, pages string) {
		l := newStudy(t, pages, nil)
		player, partner := couple(l)
		player.throttle(6)
		player.start("(page.stop = page.meter(), page.run(page.loadPyodide))")
		l.WaitFor("player", protocol.Loading, patience)
		l.WaitFor("player", protocol.Active, 3*patience)
		player.throttle(1)
		await[any](player, "page.outcome")
		longest := time.Duration(await[float64](player, "page.stop()")) * time.Millisecond
		least := l.Policy.PageTimeout
		if pages == study { // it starts Python in steps
			least = l.Policy.BlockedAfter
		}
		wantTook(t, "the longest block", longest, least, l.Policy.LoadTimeout)
		wantKept(l, player, partner, 1)
	})
}

// TestControl is the busy loop again, without the signal and without asking
// the browser: the participant is dropped. Were this test to fail, the others
// would prove nothing.
func TestControl(t *testing.T) {
	l := newStudy(t, plain, func(c *server.Config) { c.Policy.ProbeInterval = -1 })
	player, partner := couple(l)
	player.start("page.run(async () => page.block(24000))")
	l.WaitFor("player", protocol.Away, patience)
	gone := l.WaitFor("player", protocol.Gone, patience)
	if gone.Reason != protocol.ReasonReconnectTimeout {
		t.Errorf("gone for %s", gone.Reason)
	}
	await[any](player, "page.outcome")
	l.wantHistory("player", protocol.Active, protocol.Away, protocol.Gone)
	wantTold(partner, "player", protocol.Away, protocol.Gone)
	await[any](player, "page.until(() => page.disconnects.length === 1)")
}

// TestUndeclaredBlock has no signal, and the browser is asked: the partner is
// told that the page does not respond, and nobody is dropped.
func TestUndeclaredBlock(t *testing.T) {
	l := newStudy(t, plain, nil)
	player, partner := couple(l)
	player.start("page.run(async () => page.block(4000))")
	blocked := l.WaitFor("player", protocol.Blocked, patience)
	l.WaitFor("player", protocol.Active, patience)
	if blocked.Reason != protocol.ReasonPageSilent {
		t.Errorf("blocked for %s", blocked.Reason)
	}
	await[any](player, "page.outcome")
	l.wantHistory("player", protocol.Active, protocol.Blocked, protocol.Active)
	wantTold(partner, "player", protocol.Blocked, protocol.Active)
}

// TestUndeclaredBlockTooLong is given up after BlockedTimeout.
func TestUndeclaredBlockTooLong(t *testing.T) {
	l := newStudy(t, plain, nil)
	player, partner := couple(l)
	at := time.Now()
	player.start("page.run(async () => page.block(8000))")
	gone := l.WaitFor("player", protocol.Gone, patience)
	wantTook(t, "giving up", gone.At.Sub(at), l.Policy.BlockedTimeout-pageInterval-time.Second, l.Policy.BlockedTimeout+slack)
	await[any](player, "page.outcome")
	l.wantHistory("player", protocol.Active, protocol.Blocked, protocol.Gone)
	wantTold(partner, "player", protocol.Blocked, protocol.Gone)
}

// TestAckedIsStored: whenever a page begins to block, its lease is stored.
func TestAckedIsStored(t *testing.T) {
	onPages(t, func(t *testing.T, pages string) {
		l := newStudy(t, pages, func(c *server.Config) { c.Policy.LoadCount = -1; c.Policy.LoadBudget = -1 })
		player, partner := couple(l)
		const loads = 50
		type outcome struct {
			ID   string
			From int64 // when the block began, by the clock that the server has as well
			Took float64
		}
		outcomes := await[[]outcome](player, `(async () => {
			const all = [];
			for (let i = 0; i < 50; i++) all.push(await page.guarded(() => page.block(40)));
			return all;
		})()`)
		if len(outcomes) != loads {
			t.Fatalf("%d loads", len(outcomes))
		}
		for i, o := range outcomes {
			// The page's clock has whole milliseconds.
			stored := l.Store.loadStoredAt("player", o.ID).Truncate(time.Millisecond)
			if from := time.UnixMilli(o.From); stored.IsZero() || stored.After(from) {
				t.Errorf("load %d (%+v) was stored %v after the block began", i, o, stored.Sub(from))
			}
			if o.Took < 40 {
				t.Errorf("load %d took %v ms", i, o.Took)
			}
		}
		wantKept(l, player, partner, loads)
	})
}
