package e2e

import (
	"strings"
	"testing"
	"time"

	"initgrace/grace/protocol"
	"initgrace/server"
)

// TestDemo plays the demo study to its end: two participants, real Python in
// both browsers, one of them on a slow machine.
func TestDemo(t *testing.T) {
	l := newStudy(t, study, func(c *server.Config) { c.Site = nil })
	fast := l.open("", "fast", "autoplay&ticks=40")
	slow := open(t, "slow", "about:blank")
	slow.throttle(4)
	slow.goTo(l.URL + "/?participant=slow&autoplay&ticks=40")

	l.WaitFor("fast", protocol.Loading, patience)
	loading := l.WaitFor("slow", protocol.Loading, patience)
	if loading.Phase == "" && loading.Expected == 0 {
		t.Errorf("the load says nothing of itself: %+v", loading)
	}
	l.WaitFor("fast", protocol.Active, patience)
	// The slow one is still frozen; the other sees so, and for how long.
	fast.awaitPage(`document.body.dataset.scene === "play" && !document.querySelector("#pause").hidden`)
	if h := l.History("slow"); h[len(h)-1] == protocol.Loading {
		if state := await[string](fast, `document.querySelector("#partner").dataset.state`); state != "loading" {
			t.Errorf("the partner shows as %q", state)
		}
		if title := await[string](fast, `document.querySelector("#pause .title").textContent`); !strings.Contains(title, "starting Python") {
			t.Errorf("the game says %q", title)
		}
		fast.shoot("demo-partner-loading")
	} else {
		t.Error("the slow participant was not slow enough to be seen loading")
	}
	active := l.WaitFor("slow", protocol.Active, 3*patience)
	slow.throttle(1)
	wantTook(t, "the slow load", active.At.Sub(loading.At), 4*time.Second, l.Policy.LoadTimeout)

	type result struct{ Scene, Digest, Match, Score string }
	var results []result
	for _, p := range []*Page{fast, slow} {
		p.awaitPage(`document.querySelector("#match").dataset.match !== undefined`)
		results = append(results, await[result](p, `({
			scene: document.body.dataset.scene,
			...document.querySelector("#digest").dataset,
			match: document.querySelector("#match").dataset.match,
		})`))
	}
	if r := results[0]; r.Scene != "done" || r.Digest == "" || r.Match != "yes" || r != results[1] {
		t.Errorf("the games ended as %+v", results)
	}
	for _, p := range []string{"fast", "slow"} {
		l.wantHistory(p, protocol.Active, protocol.Loading, protocol.Active)
		if s := l.session(p); s.State.SceneID != "done" || s.Totals.Drops != 0 || s.Sent == 0 {
			t.Errorf("stored of %s: scene %q, %d messages, %+v", p, s.State.SceneID, s.Sent, s.Totals)
		}
	}
}
