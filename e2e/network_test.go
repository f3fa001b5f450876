package e2e

import (
	"testing"
	"time"

	"initgrace/grace/protocol"
	"initgrace/server"
	"initgrace/server/faultproxy"
)

// proxied is a couple in the middle of a load, the player blocked for some
// milliseconds, with a network of its own before each of them.
func proxied(l *Lab, js string) (player, partner *Page) {
	l.t.Helper()
	l.Proxied = true
	player, partner = couple(l)
	player.Expect("WebSocket connection to .* failed")
	player.identify()
	work(player, js)
	l.WaitFor("player", protocol.Loading, patience)
	player.awaitBlocked()
	return player, partner
}

// TestNetworkGap holds every byte in the middle of a block: away quickly, back
// on the same socket when the gap ends.
func TestNetworkGap(t *testing.T) {
	l := newStudy(t, plain, nil)
	player, partner := proxied(l, "page.block(10000)")
	cut := time.Now()
	player.net.Pause(faultproxy.Both)
	wantSilence(l, cut)
	resumed := time.Now()
	player.net.Resume()
	back := l.WaitFor("player", protocol.Loading, patience)
	wantTook(t, "noticing the end of the gap", back.At.Sub(resumed), 0, l.Policy.ProbeInterval+slack)
	l.WaitFor("player", protocol.Active, patience)
	await[any](player, "page.outcome")
	l.wantHistory("player", protocol.Active, protocol.Loading, protocol.Away, protocol.Loading, protocol.Active)
	wantTold(partner, "player", protocol.Loading, protocol.Away, protocol.Loading, protocol.Active)
	if n := await[int](player, "page.connects"); n != 1 {
		t.Errorf("%d connections", n)
	}
}

// TestNetworkHalfOpen loses one direction only.
func TestNetworkHalfOpen(t *testing.T) {
	t.Parallel()
	for name, lost := range map[string]faultproxy.Direction{"up": faultproxy.Up, "down": faultproxy.Down} {
		t.Run(name, func(t *testing.T) {
			l := newStudy(t, plain, nil)
			player, partner := proxied(l, "page.block(7000)")
			cut := time.Now()
			player.net.Pause(lost)
			wantSilence(l, cut)
			player.net.Resume()
			l.WaitFor("player", protocol.Loading, patience)
			l.WaitFor("player", protocol.Active, patience)
			wantTold(partner, "player", protocol.Loading, protocol.Away, protocol.Loading, protocol.Active)
		})
	}
}

func wantSilence(l *Lab, cut time.Time) {
	l.t.Helper()
	away := l.WaitFor("player", protocol.Away, patience)
	wantTook(l.t, "noticing the cut", away.At.Sub(cut), 0, l.Policy.SilenceTimeout+l.Policy.ProbeInterval+slack)
	if away.Reason != protocol.ReasonSilence || !away.Connected {
		l.t.Errorf("away for %s, connected %v", away.Reason, away.Connected)
	}
}

// TestNetworkCut lets the connection die silently in the middle of a load. The
// loader notices after the block, comes back on a new connection as the same
// page, and its load goes on. Its worker's beats may arrive as soon as the
// network is back, so that the participant may be loading again before that;
// but never anything else than loading or away.
func TestNetworkCut(t *testing.T) {
	l := newStudy(t, study, nil)
	player, partner := proxied(l, "(page.block(8000), new Promise((done) => { page.done = done }))")
	cut := time.Now()
	player.net.Cut(faultproxy.Both)
	wantSilence(l, cut)
	player.net.Resume()
	back := l.WaitFor("player", protocol.Loading, patience)
	if back.Reason != protocol.ReasonReconnected && back.Reason != protocol.ReasonEvidence {
		t.Errorf("back for %s", back.Reason)
	}
	await[any](player, "page.until(() => page.connects === 2)")
	if s := l.session("player"); s.Epoch != 2 || s.Presence != protocol.Loading || len(s.Loads) != 1 {
		t.Errorf("stored on connection %d: %s with the loads %v", s.Epoch, s.Presence, s.Loads)
	}
	player.start("page.done()")
	l.WaitFor("player", protocol.Active, patience)
	await[any](player, "page.outcome")
	history := l.History("player")
	for _, p := range history[1 : len(history)-1] {
		if p != protocol.Loading && p != protocol.Away {
			t.Errorf("history %v", history)
		}
	}
	wantTold(partner, "player", history[1:]...)
	if totals := l.session("player").Totals; totals.Loads != 1 || totals.LoadFailures != 0 || totals.Connections != 2 {
		t.Errorf("the stored totals are %+v", totals)
	}
}

// TestNetworkReset breaks the connection in the middle of a block: away at
// once, and back on a new connection after the block. A plain page does not
// say which page instance it is, so it counts as refreshed and its lease has
// ended; the loader says so, and its load goes on.
func TestNetworkReset(t *testing.T) {
	onPages(t, func(t *testing.T, pages string) {
		l := newStudy(t, pages, nil)
		player, partner := proxied(l, "page.block(6000)")
		if pages == plain {
			player.Expect("unknown_load|load_ended")
		}
		at := time.Now()
		player.net.Reset()
		away := l.WaitFor("player", protocol.Away, patience)
		wantTook(t, "noticing the reset", away.At.Sub(at), 0, slack)
		if away.Reason != protocol.ReasonTransport || away.Connected {
			t.Errorf("away for %s, connected %v", away.Reason, away.Connected)
		}
		l.WaitFor("player", protocol.Active, patience)
		want := []protocol.Presence{protocol.Loading, protocol.Away, protocol.Active}
		if pages == study {
			want = []protocol.Presence{protocol.Loading, protocol.Away, protocol.Loading, protocol.Active}
			await[any](player, "page.outcome")
		}
		wantTold(partner, "player", want...)
		l.wantHistory("player", append([]protocol.Presence{protocol.Active}, want...)...)
		// The page hears of it later than the server knows.
		await[any](player, "page.until(() => page.connects >= 2)")
		if n := await[int](player, "page.connects"); n != 2 {
			t.Errorf("%d connections", n)
		}
	})
}

// TestNetworkCutForGood never comes back: nobody waits for ever, and the lease
// holds the seat no longer than it runs.
func TestNetworkCutForGood(t *testing.T) {
	l := newStudy(t, study, func(c *server.Config) { c.Policy.LoadTimeout = 15 * time.Second })
	l.Proxied = true
	player, partner := couple(l)
	player.Expect("WebSocket connection to .* failed")
	player.identify()
	work(player, "page.block(8000)")
	loading := l.WaitFor("player", protocol.Loading, patience)
	player.awaitBlocked()
	player.net.Cut(faultproxy.Both)
	away := l.WaitFor("player", protocol.Away, patience)
	gone := l.WaitFor("player", protocol.Gone, patience)
	hold := l.Policy.ReconnectTimeout
	if lease := loading.Deadline.Sub(away.At); lease > hold {
		hold = lease
	}
	wantTook(t, "the hold", gone.At.Sub(away.At), hold-10*time.Millisecond, hold+slack)
	if gone.Reason != protocol.ReasonReconnectTimeout {
		t.Errorf("gone for %s", gone.Reason)
	}
	wantTold(partner, "player", protocol.Loading, protocol.Away, protocol.Gone)
	l.wantHistory("player", protocol.Active, protocol.Loading, protocol.Away, protocol.Gone)
}
