package e2e

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"initgrace/grace/protocol"
	"initgrace/server"
	"initgrace/web"
)

// The kinds of pages that take part. What holds for plain pages, which have
// socket.io-client alone, holds for every page that already follows the
// protocol; study pages use the loader.
const (
	plain = "plain.html"
	study = "study.html"
)

// onPages runs a test for each kind of page, beside other tests.
func onPages(t *testing.T, test func(t *testing.T, pages string)) {
	t.Parallel() // or all would wait for these two
	for _, pages := range []string{plain, study} {
		t.Run(pages[:5], func(t *testing.T) { test(t, pages) })
	}
}

// newStudy is a Lab whose participants open a kind of page.
func newStudy(t testing.TB, pages string, set func(*server.Config)) *Lab {
	t.Helper()
	if _, err := web.Dist().Open("manifest.json"); pages == study && err != nil {
		t.Fatal("the loader is not built; run make web")
	}
	l := newLab(t, set)
	l.Pages = pages
	return l
}

// couple opens two partners' pages, both connected.
func couple(l *Lab) (player, partner *Page) {
	l.t.Helper()
	partner = l.open(l.Pages, "partner", "group=g")
	await[any](partner, "page.connected")
	player = l.open(l.Pages, "player", "group=g")
	await[any](player, "page.connected")
	l.WaitFor("player", protocol.Active, patience)
	return player, partner
}

// work makes the player block, under a lease, by a piece of JavaScript.
func work(player *Page, js string) {
	player.t.Helper()
	player.start("page.run(() => page.guarded(() => " + js + "))")
}

// wantKept checks that loads passed without a drop, and that the partner was
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
