package e2e

import (
	"slices"
	"testing"
	"time"

	"initgrace/grace"
	"initgrace/grace/protocol"
	"initgrace/server"
)

// TestRendererKilled: the partner is told at once, the seat is held for the
// person to come back, and is given up once.
func TestRendererKilled(t *testing.T) {
	onPages(t, func(t *testing.T, pages string) {
		l := newStudy(t, pages, nil)
		player, partner := couple(l)
		player.identify()
		work(player, "page.block(60000)")
		l.WaitFor("player", protocol.Loading, patience)
		player.awaitBlocked()
		wantGone(l, partner, player.killRenderer())
	})
}

// TestTabClosed during a load is not held for the whole lease.
func TestTabClosed(t *testing.T) {
	onPages(t, func(t *testing.T, pages string) {
		l := newStudy(t, pages, nil)
		player, partner := couple(l)
		player.identify()
		work(player, "page.block(60000)")
		l.WaitFor("player", protocol.Loading, patience)
		player.awaitBlocked()
		wantGone(l, partner, player.closeTab())
	})
}

// wantGone checks the end of a page that ended during a load.
func wantGone(l *Lab, partner *Page, at time.Time) {
	l.t.Helper()
	away := l.WaitFor("player", protocol.Away, patience)
	gone := l.WaitFor("player", protocol.Gone, patience)
	wantTook(l.t, "noticing the end", away.At.Sub(at), -10*time.Millisecond, 3*slack)
	wantTook(l.t, "the hold", gone.At.Sub(away.At), l.Policy.LeaveTimeout, l.Policy.LeaveTimeout+slack)
	if away.Reason != protocol.ReasonPageClosed || gone.Reason != protocol.ReasonLeaveTimeout {
		l.t.Errorf("away for %s, gone for %s", away.Reason, gone.Reason)
	}
	wantTold(partner, "player", protocol.Loading, protocol.Away, protocol.Gone)
	told := await[int64](partner, `page.seen.find((e) => e.name === "partner_state" && e.data.state === "away").at`)
	wantTook(l.t, "telling the partner", time.UnixMilli(told).Sub(at), -10*time.Millisecond, 3*slack)
	l.wantHistory("player", protocol.Active, protocol.Loading, protocol.Away, protocol.Gone)
	if s := l.session("player"); s.Presence != protocol.Gone || len(s.Loads) != 0 {
		l.t.Errorf("stored: %s with the loads %v", s.Presence, s.Loads)
	}
}

// TestRefresh during a load ends the old page's lease and restores the session.
func TestRefresh(t *testing.T) {
	onPages(t, func(t *testing.T, pages string) {
		t.Parallel()
		t.Run("while downloading", func(t *testing.T) { testRefresh(t, pages, "new Promise(() => {})", false) })
		t.Run("while blocked", func(t *testing.T) { testRefresh(t, pages, "page.block(6000)", true) })
	})
}

func testRefresh(t *testing.T, pages, js string, blocks bool) {
	l := newStudy(t, pages, func(c *server.Config) { c.Policy.LeaveTimeout = 0 }) // a busy machine takes its time
	player, partner := couple(l)
	player.identify()
	saved := await[protocol.StateSaved](player,
		`page.save({ scene_id: "play", stager_state: { at: 3 }, globals: { score: 12 } })`)
	if !saved.OK {
		t.Fatal("the state was not saved")
	}
	work(player, js)
	loading := l.WaitFor("player", protocol.Loading, patience)
	if blocks {
		player.awaitBlocked()
	}
	player.refresh()
	again := l.waitFor("player", "come back", patience, func(c grace.Change) bool {
		return c.To == protocol.Active && c.Epoch == loading.Epoch+1
	})
	if again.Reason != protocol.ReasonRefreshed {
		t.Errorf("back for %s", again.Reason)
	}
	if again.At.After(loading.Deadline) {
		t.Error("the lease ran out before the page was back")
	}
	if s := l.session("player"); len(s.Loads) != 0 || s.Presence != protocol.Active {
		t.Errorf("stored: %s with the loads %v", s.Presence, s.Loads)
	}
	player.awaitPage("typeof page !== 'undefined' && page.connected !== undefined")
	got := await[protocol.Session](player, "page.connected")
	if !got.Restored || got.SceneID != "play" || string(got.StagerState) != `{"at":3}` ||
		string(got.Globals) != `{"score":12}` || got.Version != saved.Version {
		t.Errorf("the session after the refresh: %+v", got)
	}
	if h := l.History("player"); slices.Contains(h, protocol.Gone) {
		t.Errorf("history %v", h)
	}
	await[any](partner, `page.until(() => page.partner("player").at(-1).state === "active")`)
	// The old page's lease counts no more: a block without one is a block.
	player.start("page.run(async () => page.block(3500))")
	l.WaitFor("player", protocol.Blocked, patience)
	l.WaitFor("player", protocol.Active, patience)
}
