package e2e

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"initgrace/grace"
	"initgrace/grace/protocol"
	"initgrace/server"
	"initgrace/server/faultproxy"
)

// These tests use pages that follow the protocol with socket.io-client alone:
// what holds for them holds for every page that already exists.

// longBlock is one block in one piece, far beyond the 16 s that Engine.IO
// tolerates when it is configured with 8 s + 8 s.
const longBlock = 24 * time.Second

// couple opens two partners' pages, both connected.
func couple(l *Lab) (player, partner *Page) {
	l.t.Helper()
	partner = l.open("plain.html", "partner", "group=g")
	await[any](partner, "page.connected")
	player = l.open("plain.html", "player", "group=g")
	await[any](player, "page.connected")
	l.WaitFor("player", protocol.Active, patience)
	return player, partner
}

// wantKept checks that a load passed without a drop, and that the partner was
// told the truth.
func wantKept(l *Lab, player, partner *Page, loads int) {
	l.t.Helper()
	want := []protocol.Presence{protocol.Active}
	for range loads {
		want = append(want, protocol.Loading, protocol.Active)
	}
	l.wantHistory("player", want...)
	l.wantHistory("partner", protocol.Active)
	wantTold(partner, "player", want[1:]...)
	for _, p := range []*Page{player, partner} {
		if n := await[int](p, "page.connects"); n != 1 {
			l.t.Errorf("%s connected %d times", p.name, n)
		}
		if reasons := await[[]string](p, "page.disconnects"); len(reasons) > 0 {
			l.t.Errorf("%s was disconnected: %v", p.name, reasons)
		}
	}
	if totals := l.session("player").Totals; totals.Drops != 0 || totals.Loads != loads || totals.Connections != 1 {
		l.t.Errorf("the stored totals are %+v", totals)
	}
}

// wantTold checks what a page was told about a partner, apart from that the
// partner was active at first.
func wantTold(page *Page, about string, want ...protocol.Presence) {
	page.t.Helper()
	// What the server has reported may still be on its way.
	await[any](page, fmt.Sprintf("page.until(() => page.partner(%q).at(-1)?.state === %q)", about, want[len(want)-1]))
	var states []protocol.Presence
	var seq uint64
	for _, s := range await[[]protocol.PartnerState](page, "page.partner('"+about+"')") {
		if s.Seq < seq {
			page.t.Errorf("%s was told change %d of %s after %d", page.name, s.Seq, about, seq)
		}
		seq = s.Seq
		if len(states) == 0 && s.State == protocol.Active {
			continue
		}
		if len(states) == 0 || states[len(states)-1] != s.State {
			states = append(states, s.State)
		}
	}
	if !slices.Equal(states, want) {
		page.t.Errorf("%s was told of %s: %v, want %v", page.name, about, states, want)
	}
}

// wantTook checks how long something took by the server's clock.
func wantTook(t testing.TB, what string, took, least, most time.Duration) {
	t.Helper()
	t.Logf("%s: %v", what, took.Round(time.Millisecond))
	if took < least || took > most {
		t.Errorf("%s took %v, want between %v and %v", what, took, least, most)
	}
}

func TestPlainBusyLoop(t *testing.T) {
	l := newLab(t, nil)
	player, partner := couple(l)
	player.start("page.run(() => page.guarded(() => page.block(24000)))")
	began := l.WaitFor("player", protocol.Loading, patience)
	ended := l.WaitFor("player", protocol.Active, patience)
	wantTook(t, "the load", ended.At.Sub(began.At), longBlock, longBlock+10*time.Second)
	await[any](player, "page.outcome")
	wantKept(l, player, partner, 1)
}

func TestPlainSynchronousPython(t *testing.T) {
	l := newLab(t, nil)
	player, partner := couple(l)
	player.start("page.run(() => page.guarded(page.loadPyodide))")
	l.WaitFor("player", protocol.Loading, patience)
	l.WaitFor("player", protocol.Active, patience)
	player.start(`page.run(() => page.guarded(() => page.pyodide.runPython(
		"import time\nend = time.monotonic() + 24\nwhile time.monotonic() < end: pass")))`)
	began := l.WaitFor("player", protocol.Loading, patience)
	ended := l.WaitFor("player", protocol.Active, patience)
	wantTook(t, "the Python", ended.At.Sub(began.At), longBlock, longBlock+10*time.Second)
	await[any](player, "page.outcome")
	wantKept(l, player, partner, 2)
}

// TestPlainPyodide blocks by nothing but loadPyodide, on a slow machine.
func TestPlainPyodide(t *testing.T) {
	l := newLab(t, nil)
	player, partner := couple(l)
	player.throttle(6)
	player.start("(page.stop = page.meter(), page.run(() => page.guarded(page.loadPyodide)))")
	l.WaitFor("player", protocol.Loading, patience)
	l.WaitFor("player", protocol.Active, 3*patience)
	player.throttle(1)
	await[any](player, "page.outcome")
	longest := time.Duration(await[float64](player, "page.stop()")) * time.Millisecond
	wantTook(t, "the longest block", longest, 2*l.Policy.PageTimeout, time.Minute)
	wantKept(l, player, partner, 1)
}

// TestControl is the busy loop again, without the signal and without asking
// the browser: the participant is dropped. Were this test to fail, the others
// would prove nothing.
func TestControl(t *testing.T) {
	l := newLab(t, func(c *server.Config) { c.Policy.ProbeInterval = -1 })
	player, partner := couple(l)
	player.start("page.run(async () => page.block(24000))")
	l.WaitFor("player", protocol.Away, l.Policy.PageTimeout+pageInterval+10*time.Second)
	gone := l.WaitFor("player", protocol.Gone, l.Policy.ReconnectTimeout+10*time.Second)
	if gone.Reason != protocol.ReasonReconnectTimeout {
		t.Errorf("gone for %s", gone.Reason)
	}
	await[any](player, "page.outcome")
	l.wantHistory("player", protocol.Active, protocol.Away, protocol.Gone)
	wantTold(partner, "player", protocol.Away, protocol.Gone)
	if n := await[int](player, "page.disconnects.length"); n != 1 {
		t.Errorf("the page was disconnected %d times", n)
	}
}

// TestUndeclaredBlock has no signal, and the browser is asked: the partner is
// told that the page does not respond, and nobody is dropped.
func TestUndeclaredBlock(t *testing.T) {
	l := newLab(t, nil)
	player, partner := couple(l)
	player.start("page.run(async () => page.block(4000))")
	blocked := l.WaitFor("player", protocol.Blocked, l.Policy.BlockedAfter+10*time.Second)
	l.WaitFor("player", protocol.Active, 10*time.Second)
	if blocked.Reason != protocol.ReasonPageSilent {
		t.Errorf("blocked for %s", blocked.Reason)
	}
	await[any](player, "page.outcome")
	l.wantHistory("player", protocol.Active, protocol.Blocked, protocol.Active)
	wantTold(partner, "player", protocol.Blocked, protocol.Active)
}

// TestUndeclaredBlockTooLong is given up after BlockedTimeout.
func TestUndeclaredBlockTooLong(t *testing.T) {
	l := newLab(t, nil)
	player, partner := couple(l)
	at := time.Now()
	player.start("page.run(async () => page.block(12000))")
	gone := l.WaitFor("player", protocol.Gone, patience)
	wantTook(t, "giving up", gone.At.Sub(at), l.Policy.BlockedTimeout-pageInterval-slack, l.Policy.BlockedTimeout+slack)
	await[any](player, "page.outcome")
	l.wantHistory("player", protocol.Active, protocol.Blocked, protocol.Gone)
	wantTold(partner, "player", protocol.Blocked, protocol.Gone)
}

// TestAckedIsStored: whenever a page begins to block, its lease is stored.
func TestAckedIsStored(t *testing.T) {
	l := newLab(t, func(c *server.Config) { c.Policy.LoadCount = -1; c.Policy.LoadBudget = -1 })
	player, partner := couple(l)
	const loads = 50
	type outcome struct {
		Ack      protocol.LoadAck
		Complete protocol.CompleteAck
		From, To int64
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
		stored := l.Store.loadStoredAt("player", o.Ack.ID).Truncate(time.Millisecond)
		if from := time.UnixMilli(o.From); stored.IsZero() || stored.After(from) || !o.Ack.OK {
			t.Errorf("load %d (%+v) was stored %v after the block began", i, o.Ack, stored.Sub(from))
		}
		if !o.Complete.OK || o.Complete.DurationMS < 40 {
			t.Errorf("load %d completed with %+v", i, o.Complete)
		}
	}
	wantKept(l, player, partner, loads)
}

// TestRendererKilled: the partner is told at once, the seat is held for the
// person to come back, and is given up once.
func TestRendererKilled(t *testing.T) {
	l := newLab(t, nil)
	player, partner := couple(l)
	player.identify()
	player.start("page.run(() => page.guarded(() => page.block(60000)))")
	l.WaitFor("player", protocol.Loading, patience)
	player.awaitBlocked()
	wantGone(l, partner, player.killRenderer())
}

// TestTabClosed during a load is not held for the whole lease.
func TestTabClosed(t *testing.T) {
	l := newLab(t, nil)
	player, partner := couple(l)
	player.identify()
	player.start("page.run(() => page.guarded(() => page.block(60000)))")
	l.WaitFor("player", protocol.Loading, patience)
	player.awaitBlocked()
	wantGone(l, partner, player.closeTab())
}

// wantGone checks the end of a page that ended during a load.
func wantGone(l *Lab, partner *Page, at time.Time) {
	l.t.Helper()
	away := l.WaitFor("player", protocol.Away, patience)
	gone := l.WaitFor("player", protocol.Gone, l.Policy.LeaveTimeout+10*time.Second)
	wantTook(l.t, "noticing the end", away.At.Sub(at), -10*time.Millisecond, 3*time.Second)
	wantTook(l.t, "the hold", gone.At.Sub(away.At), l.Policy.LeaveTimeout, l.Policy.LeaveTimeout+slack)
	if away.Reason != protocol.ReasonPageClosed || gone.Reason != protocol.ReasonLeaveTimeout {
		l.t.Errorf("away for %s, gone for %s", away.Reason, gone.Reason)
	}
	wantTold(partner, "player", protocol.Loading, protocol.Away, protocol.Gone)
	told := await[int64](partner, `page.seen.find((e) => e.name === "partner_state" && e.data.state === "away").at`)
	wantTook(l.t, "telling the partner", time.UnixMilli(told).Sub(at), -10*time.Millisecond, 3*time.Second)
	l.wantHistory("player", protocol.Active, protocol.Loading, protocol.Away, protocol.Gone)
	if s := l.session("player"); s.Presence != protocol.Gone || len(s.Loads) != 0 {
		l.t.Errorf("stored: %s with the loads %v", s.Presence, s.Loads)
	}
}

// TestRefresh during a load ends the old page's lease and restores the session.
func TestRefresh(t *testing.T) {
	for name, c := range map[string]struct {
		load    string
		blocked bool
	}{
		"while downloading": {"page.guarded(() => new Promise(() => {}))", false},
		"while blocked":     {"page.guarded(() => page.block(6000))", true},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, nil)
			player, partner := couple(l)
			player.identify()
			saved := await[protocol.StateSaved](player, `socket.emitWithAck("state_save",
				{ scene_id: "play", stager_state: { at: 3 }, globals: { score: 12 }, version: 0 })`)
			if !saved.OK {
				t.Fatal("the state was not saved")
			}
			player.start("page.run(() => " + c.load + ")")
			loading := l.WaitFor("player", protocol.Loading, patience)
			if c.blocked {
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
			got := await[protocol.Session](player, "page.connected")
			if !got.Restored || got.SceneID != "play" || string(got.StagerState) != `{"at":3}` || string(got.Globals) != `{"score":12}` || got.Version != saved.Version {
				t.Errorf("the session after the refresh: %+v", got)
			}
			if h := l.History("player"); slices.Contains(h, protocol.Gone) {
				t.Errorf("history %v", h)
			}
			if states := await[[]protocol.PartnerState](partner, "page.partner('player')"); states[len(states)-1].State != protocol.Active {
				t.Errorf("the partner was told %+v", states)
			}
		})
	}
}

// TestNetworkGap holds every byte in the middle of a block: away quickly, back
// on the same socket when the gap ends.
func TestNetworkGap(t *testing.T) {
	l := newLab(t, nil)
	l.Proxied = true
	player, partner := couple(l)
	player.identify()
	player.start("page.run(() => page.guarded(() => page.block(12000)))")
	l.WaitFor("player", protocol.Loading, patience)
	player.awaitBlocked()
	cut := time.Now()
	player.net.Pause(faultproxy.Both)
	away := l.WaitFor("player", protocol.Away, patience)
	wantTook(t, "noticing the cut", away.At.Sub(cut), 0, l.Policy.SilenceTimeout+l.Policy.ProbeInterval+slack)
	if away.Reason != protocol.ReasonSilence || !away.Connected {
		t.Errorf("away for %s, connected %v", away.Reason, away.Connected)
	}
	resumed := time.Now()
	player.net.Resume()
	back := l.WaitFor("player", protocol.Loading, patience)
	wantTook(t, "noticing the end of the cut", back.At.Sub(resumed), 0, l.Policy.ProbeInterval+slack)
	l.WaitFor("player", protocol.Active, patience)
	await[any](player, "page.outcome")
	l.wantHistory("player", protocol.Active, protocol.Loading, protocol.Away, protocol.Loading, protocol.Active)
	wantTold(partner, "player", protocol.Loading, protocol.Away, protocol.Loading, protocol.Active)
	if n := await[int](player, "page.connects"); n != 1 {
		t.Errorf("%d connections", n)
	}
}

// TestNetworkReset breaks the connection in the middle of a block: away at
// once, and back on a new connection after the block. A page that does not say
// which page instance it is counts as refreshed, so its lease has ended.
func TestNetworkReset(t *testing.T) {
	l := newLab(t, nil)
	l.Proxied = true
	player, partner := couple(l)
	player.identify()
	player.Expect("WebSocket connection to .* failed")
	player.start("page.run(async () => { await socket.emitWithAck('pyodide_loading_start', {}); page.block(12000) })")
	l.WaitFor("player", protocol.Loading, patience)
	player.awaitBlocked()
	at := time.Now()
	player.net.Reset()
	away := l.WaitFor("player", protocol.Away, patience)
	wantTook(t, "noticing the reset", away.At.Sub(at), 0, slack)
	if away.Reason != protocol.ReasonTransport || away.Connected {
		t.Errorf("away for %s, connected %v", away.Reason, away.Connected)
	}
	l.WaitFor("player", protocol.Active, patience)
	l.wantHistory("player", protocol.Active, protocol.Loading, protocol.Away, protocol.Active)
	wantTold(partner, "player", protocol.Loading, protocol.Away, protocol.Active)
	if n := await[int](player, "page.connects"); n != 2 {
		t.Errorf("%d connections", n)
	}
}

// TestNetworkCutForGood never comes back: the lease holds the seat no longer
// than it must, and nobody waits for ever.
func TestNetworkCutForGood(t *testing.T) {
	l := newLab(t, func(c *server.Config) { c.Policy.LoadTimeout = 5 * time.Second })
	l.Proxied = true
	player, partner := couple(l)
	player.identify()
	player.start("page.run(async () => { await socket.emitWithAck('pyodide_loading_start', {}); page.block(12000) })")
	l.WaitFor("player", protocol.Loading, patience)
	player.awaitBlocked()
	player.net.Cut(faultproxy.Both)
	away := l.WaitFor("player", protocol.Away, patience)
	gone := l.WaitFor("player", protocol.Gone, patience)
	wantTook(t, "the hold", gone.At.Sub(away.At), l.Policy.ReconnectTimeout, l.Policy.ReconnectTimeout+slack)
	if gone.Reason != protocol.ReasonReconnectTimeout {
		t.Errorf("gone for %s", gone.Reason)
	}
	wantTold(partner, "player", protocol.Loading, protocol.Away, protocol.Gone)
	l.wantHistory("player", protocol.Active, protocol.Loading, protocol.Away, protocol.Gone)
}
