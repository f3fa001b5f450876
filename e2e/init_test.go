package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"initgrace/grace"
	"initgrace/grace/protocol"
	"initgrace/server"
	file "initgrace/server/study"
)

// initiated is a server of the study that initgrace init writes, changed by
// pairs of texts.
func initiated(t testing.TB, change ...string) *Lab {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "study")
	if out, err := exec.Command("go", "run", "initgrace/server/cmd/initgrace", "init", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	text, err := os.ReadFile(filepath.Join(dir, file.FileName))
	if err != nil {
		t.Fatal(err)
	}
	s, err := file.Parse(file.FileName, []byte(strings.NewReplacer(change...).Replace(string(text))))
	if err != nil {
		t.Fatal(err)
	}
	return newStudy(t, study, func(c *server.Config) {
		c.Site, c.Study, c.Policy, c.PageInterval = os.DirFS(dir), s, grace.Policy{}, 0
	})
}

const shown = `document.querySelector("section:not([hidden])")?.id`

func begin(pages ...*Page) {
	for _, p := range pages {
		p.awaitPage(shown + ` === "welcome"`)
		await[any](p, `document.querySelector("#start").click()`)
	}
}

func choose(p *Page, number int) {
	p.awaitPage(shown + ` === "play"`)
	await[any](p, fmt.Sprintf(`(() => { number.value = %d; form.requestSubmit() })()`, number))
}

// TestInit plays the study that initgrace init writes, as it is. One of the
// players refreshes the page after choosing.
func TestInit(t *testing.T) {
	l := initiated(t)
	one := l.open("", "one", "")
	one.awaitPage(shown + ` === "welcome"`)
	one.shootBoth("init-welcome")
	begin(one)
	one.awaitPage(`document.querySelector("#waiting").textContent.includes("1 of 2 is here")`)
	one.shootBoth("init-wait")
	two := l.open("", "two", "")
	begin(two)
	choose(one, 30)
	one.awaitPage(`document.querySelector("#status").textContent.includes("You have chosen 30")`)
	one.refresh()
	l.waitFor("one", "come back", patience, func(c grace.Change) bool { return c.Epoch == 2 })
	one.awaitPage(`document.querySelector("#status").textContent.includes("You have chosen 30")`)
	one.shootBoth("init-play")
	choose(two, 60)
	for p, title := range map[*Page]string{one: "You win", two: "Your partner wins"} {
		p.awaitPage(`document.body.dataset.outcome === "completed"`)
		if got := await[string](p, `document.querySelector("#result").textContent`); got != title+": the target was 30.0" {
			t.Errorf("%s: %s", p.name, got)
		}
		if got := await[string](p, `document.querySelector("#pay code").textContent`); got != "DONE" {
			t.Errorf("%s is paid by %s", p.name, got)
		}
	}
	one.shootBoth("init-done")
	for _, p := range []string{"one", "two"} {
		if o := l.session(p).Part.Outcome; o.Kind != protocol.Completed || o.Code != "DONE" {
			t.Errorf("%s: %+v", p, o)
		}
	}
}

// TestInitStranded: the partner closes the tab, and so does the next one; the
// other is asked, looks for another partner, is asked again, and is paid.
func TestInitStranded(t *testing.T) {
	l := initiated(t, "leave_timeout: 15s", "leave_timeout: 2s")
	one, two := l.open("", "one", ""), l.open("", "two", "")
	begin(one, two)
	choose(one, 30)
	two.awaitPage(shown + ` === "play"`)
	two.closeTab()
	one.awaitPage(shown + ` === "ask"`)
	one.shootBoth("init-ask")
	click := func(answer string) {
		t.Helper()
		await[any](one, `[...choices.children].find((b) => b.textContent === "`+answer+`").click()`)
	}
	click("Find another partner")
	one.awaitPage(shown + ` === "wait"`)
	three := l.open("", "three", "")
	begin(three)
	one.awaitPage(shown + ` === "play" && !document.querySelector("#number").disabled`)
	three.closeTab()
	one.awaitPage(shown + ` === "ask"`)
	click("Stop and be paid")
	one.awaitPage(`document.body.dataset.outcome === "partner_gone"`)
	if got := await[string](one, `document.querySelector("#pay code").textContent`); got != "SORRY" {
		t.Errorf("paid by %s", got)
	}
	if o := l.session("one").Part.Outcome; o.Partner != "three" {
		t.Errorf("stored is %+v", o)
	}
}
