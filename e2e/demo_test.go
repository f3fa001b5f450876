package e2e

import (
	"strings"
	"testing"
	"time"

	"initgrace/grace"
	"initgrace/grace/protocol"
	"initgrace/server"
	file "initgrace/server/study"
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
		fast.shootBoth("demo-partner-loading")
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

// TestDemoPartnerLeft: the partner closes the tab while Python starts. That is
// the end, and no game follows when Python is there.
func TestDemoPartnerLeft(t *testing.T) {
	l := newStudy(t, study, func(c *server.Config) { c.Site = nil })
	one, two := l.open("", "one", "autoplay"), l.open("", "two", "autoplay")
	two.awaitPage(`["load", "play"].includes(document.body.dataset.scene)`)
	two.closeTab()
	l.WaitFor("one", protocol.Loading, patience)
	one.awaitPage(`document.body.dataset.scene === "ended"`)
	l.WaitFor("one", protocol.Active, patience)
	// What Python's start would lead to comes at once.
	const then = `new Promise((shown) => setTimeout(shown, 500)).then(() => document.body.dataset.scene + ": " + document.querySelector("#title").textContent)`
	if title := await[string](one, then); title != "ended: Your partner has left" {
		t.Errorf("the page shows %s", title)
	}
	one.shootBoth("demo-ended")
}

// TestDemoNewPartner: the partner closes the tab, and the study file says that
// the other waits again. The page says so, plays a new game with the next one,
// and is paid for it.
func TestDemoNewPartner(t *testing.T) {
	plan, err := file.Parse("demo.yaml", []byte(`
policy: {leave_timeout: 2s}
experiments:
  demo: {on_expiry: {do: requeue}, completion: {code: DONE}}
`))
	if err != nil {
		t.Fatal(err)
	}
	l := newStudy(t, study, func(c *server.Config) {
		c.Site, c.Study, c.Policy, c.PageInterval = nil, plan, grace.Policy{}, 0
	})
	one, two := l.open("", "one", "autoplay&ticks=30"), l.open("", "two", "autoplay&ticks=30")
	two.awaitPage(`["load", "play"].includes(document.body.dataset.scene)`)
	two.closeTab()
	one.awaitPage(`document.body.dataset.scene === "wait" && !document.querySelector("#left").hidden`)
	one.awaitPage(`document.querySelector("#present").textContent.includes("1 of 2 players is here")`)
	one.shootBoth("demo-wait-again")
	three := l.open("", "three", "autoplay&ticks=30")
	for _, p := range []*Page{one, three} {
		p.awaitPage(`document.querySelector("#match").dataset.match === "yes"`)
		p.awaitPage(`document.querySelector("[data-in=done] .payment code").textContent === "DONE"`)
	}
	one.shootBoth("demo-done-paid")
	one.awaitPage(`document.querySelector("#partner").hidden`)
	three.closeTab() // strands nobody who has finished
	l.WaitFor("three", protocol.Gone, patience)
	for _, p := range []string{"one", "three"} {
		if o := l.session(p).Part.Outcome; o.Kind != protocol.Completed {
			t.Errorf("%s: %+v", p, o)
		}
	}
	if scene := await[string](one, "document.body.dataset.scene"); scene != "done" {
		t.Errorf("the page shows %s", scene)
	}
}
