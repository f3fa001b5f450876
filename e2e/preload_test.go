package e2e

import (
	"slices"
	"testing"

	"initgrace/grace/protocol"
)

// TestPreload: what is downloaded while the page connects, preloaded in a worker
// and joined by a load is one load to the server.
func TestPreload(t *testing.T) {
	l := newStudy(t, study, nil)
	player := l.open(study, "player", "prefetch=yes")
	await[any](player, "page.connected")
	player.start(`page.run(async () => {
		const ahead = page.session.preload({ worker: true });
		const python = await page.session.loadPyodide({ worker: true, init: (python) => python.runPython("x = 6") });
		await ahead;
		return python.runPython("x * 7");
	})`)
	if n := await[int](player, "page.outcome"); n != 42 {
		t.Errorf("Python says %d", n)
	}
	l.WaitFor("player", protocol.Loading, patience)
	l.WaitFor("player", protocol.Active, patience)
	// While 25 MB arrive, a page on a machine with other things to do may be silent
	// for long enough to be called blocked.
	history := slices.DeleteFunc(l.History("player"), func(p protocol.Presence) bool { return p == protocol.Blocked })
	if history = slices.Compact(history); !slices.Equal(history, []protocol.Presence{protocol.Active, protocol.Loading, protocol.Active}) {
		t.Errorf("the player went through %v", l.History("player"))
	}
	if totals := l.session("player").Totals; totals.Loads != 1 || totals.LoadFailures != 0 {
		t.Errorf("the stored totals are %+v", totals)
	}
	hints := await[int](player, `document.querySelectorAll("link[rel=preload], link[rel=modulepreload]").length`)
	if hints != 5 {
		t.Errorf("%d files were asked for while connecting", hints)
	}
}
