package e2e

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"initgrace/grace"
	"initgrace/grace/protocol"
	"initgrace/server"
	"initgrace/server/faultproxy"
)

var update = flag.Bool("update", false, "write the table of verdicts into PROTOCOL.md (with INITGRACE_LONG=1)")

// An accident is what can happen to a page, and what must come of it.
type accident struct {
	name    string
	happens func(p *Page) // returns at once
	lasting time.Duration // nothing is to be said for so long, where no verdict is expected
	because string        // nothing is

	playing, loading verdict
}

// A verdict is what is said of a participant, why, and how late at most. Empty:
// nothing is.
type verdict struct {
	state  protocol.Presence
	reason protocol.Reason
	within time.Duration
}

// judged is what the table shows.
type judged struct {
	change  grace.Change
	after   time.Duration
	back    time.Duration // until the participant was back; 0: it did not come back
	because string
}

func (j judged) String() string {
	if j.change.To == "" {
		return "nothing: " + j.because
	}
	s := fmt.Sprintf("`%s` (`%s`) after %.2f s", j.change.To, j.change.Reason, j.after.Seconds())
	if j.back > 0 {
		return s + fmt.Sprintf(", back after %.1f s", j.back.Seconds())
	}
	return s + fmt.Sprintf("; held for %.0f s", j.change.Deadline.Sub(j.change.At).Seconds())
}

// TestVerdicts lets everything happen to a page of a real browser, under the
// policy as it is shipped, while it plays and while it is frozen under a lease.
// With -update it writes what it saw into the documentation.
func TestVerdicts(t *testing.T) {
	long(t)
	p := grace.Policy{}.WithDefaults()
	silence := p.SilenceTimeout + 3*p.ProbeInterval/2
	const atOnce = 3 * time.Second // with a browser that shares two cores with everything else
	closed := verdict{protocol.Away, protocol.ReasonPageClosed, atOnce}
	left := verdict{protocol.Away, protocol.ReasonPageHide, atOnce}
	silent := verdict{protocol.Away, protocol.ReasonSilence, silence}
	accidents := []accident{
		{name: "renderer killed", happens: func(p *Page) { p.killRenderer() }, playing: closed, loading: closed},
		{name: "renderer stopped (`SIGSTOP`)", happens: func(p *Page) { p.signal(syscall.SIGSTOP) },
			playing: verdict{protocol.Blocked, protocol.ReasonPageSilent, p.BlockedAfter + 2*p.ProbeInterval},
			// Its worker had beaten, and stopped; the browser goes on answering.
			loading: verdict{protocol.Away, protocol.ReasonProxy, silence}},
		{name: "tab crashed", happens: (*Page).crash, playing: closed, loading: closed},
		{name: "tab closed", happens: func(p *Page) { p.closeTab() }, playing: left, loading: closed},
		{name: "navigated away", happens: (*Page).navigate, playing: left,
			loading: verdict{protocol.Away, protocol.ReasonPageClosed, silence}}, // the browser waits for the page for a while
		{name: "refreshed", happens: (*Page).refresh, playing: left,
			lasting: 15 * time.Second, because: "the browser waits for the page, which is back when it has thawed"},
		{name: "network cut", happens: func(p *Page) { p.net.Cut(faultproxy.Both) }, playing: silent, loading: silent},
		{name: "half-open: nothing reaches the server", happens: func(p *Page) { p.net.Cut(faultproxy.Up) }, playing: silent, loading: silent},
		{name: "half-open: nothing reaches the page", happens: func(p *Page) { p.net.Cut(faultproxy.Down) },
			playing: verdict{protocol.Away, protocol.ReasonSilence, silence + p.ProbeInterval}, loading: silent},
		{name: "slow: 2 s each way, 5 % loss", happens: (*Page).slow, lasting: 20 * time.Second, because: "it goes on"},
	}
	cells := make([][2]judged, len(accidents))
	for i, a := range accidents {
		for k, want := range []verdict{a.playing, a.loading} {
			t.Run(a.name+[]string{", playing", ", loading"}[k], func(t *testing.T) {
				cells[i][k] = try(t, a, want, k == 1)
			})
		}
	}
	t.Cleanup(func() { // when all have run
		for i, a := range accidents {
			if c := cells[i]; *update && !t.Failed() && c[0] != (judged{}) && c[1] != (judged{}) {
				row(t, "../PROTOCOL.md", "| "+a.name+" |", fmt.Sprintf(" %v | %v |", c[0], c[1]))
			}
		}
	})
}

// try lets one accident happen to a page of its own, on a server of its own.
func try(t *testing.T, a accident, want verdict, loading bool) judged {
	l := newStudy(t, study, func(c *server.Config) { c.Policy, c.PageInterval = grace.Policy{}, 0 })
	l.Proxied = true
	player := l.open(l.Pages, "player", "")
	player.Expect("WebSocket", "Failed to load", "ERR_")
	await[any](player, "page.connected")
	player.identify()
	l.WaitFor("player", protocol.Active, patience)
	was := protocol.Active
	if loading {
		was = protocol.Loading
		work(player, "page.block(50000)")
		l.WaitFor("player", protocol.Loading, patience)
		player.awaitBlocked()
		time.Sleep(3 * time.Second) // frozen for long enough that its worker beats
	}
	t.Cleanup(func() { // it may be frozen, and is not needed any more
		player.gone = true
		player.signal(syscall.SIGKILL)
	})

	at := time.Now()
	a.happens(player)
	if want.state == "" {
		if c, said := l.next(at, a.lasting, func(c grace.Change) bool { return c.To != was }); said {
			t.Errorf("%s (%s) after %v", c.To, c.Reason, c.At.Sub(at))
			return judged{change: c, after: c.At.Sub(at)}
		}
		return judged{because: a.because}
	}
	c, said := l.next(at, patience, func(c grace.Change) bool { return c.To != was })
	if !said {
		t.Fatalf("nothing was said; history %v", l.History("player"))
	}
	j := judged{change: c, after: max(c.At.Sub(at), 0)}
	wantTook(t, "the verdict", c.At.Sub(at), -10*time.Millisecond, want.within)
	if c.To != want.state || c.Reason != want.reason {
		t.Errorf("%s (%s), want %s (%s)", c.To, c.Reason, want.state, want.reason)
	}
	if a.name == "refreshed" {
		back, came := l.next(c.At, patience, func(c grace.Change) bool { return c.To == protocol.Active })
		if !came || back.Reason != protocol.ReasonRefreshed {
			t.Errorf("back: %v, %s", came, back.Reason)
		}
		j.back = back.At.Sub(at)
	}
	return j
}

// next waits for the player's next change after an instant that satisfies ok.
func (l *Lab) next(after time.Time, within time.Duration, ok func(grace.Change) bool) (grace.Change, bool) {
	timeout := time.After(within)
	for {
		l.mu.Lock()
		signal := l.signal
		l.mu.Unlock()
		for _, c := range l.Changes("player") {
			if c.At.After(after.Add(-10*time.Millisecond)) && ok(c) {
				return c, true
			}
		}
		select {
		case <-signal:
		case <-timeout:
			return grace.Change{}, false
		}
	}
}

// signal sends a signal to the process in which the page runs.
func (p *Page) signal(s syscall.Signal) {
	p.t.Helper()
	if err := syscall.Kill(p.pid, s); err != nil && err != syscall.ESRCH {
		p.t.Fatalf("page %s: signal %v: %v", p.name, s, err)
	}
}

// crash makes the tab crash. DevTools never answers.
func (p *Page) crash() {
	p.gone = true
	go func() {
		ctx, cancel := context.WithTimeout(p.ctx, 5*time.Second)
		defer cancel()
		chromedp.Call(ctx, page.Crash, cdp.Empty{})
	}()
}

// navigate goes to another page, as the user does, and does not wait for it.
func (p *Page) navigate() {
	go p.try(patience, chromedp.Navigate("about:blank"))
}

// slow makes the network worse little by little, as networks get.
func (p *Page) slow() {
	go func() {
		for latency := 250 * time.Millisecond; latency <= 2*time.Second; latency += 250 * time.Millisecond {
			p.net.SetShape(faultproxy.Shape{Latency: latency, Loss: 0.05})
			time.Sleep(time.Second)
		}
	}()
}

// row replaces what follows the beginning of a line of a file.
func row(t *testing.T, file, begin, rest string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines, found := strings.Split(string(b), "\n"), false
	for i, line := range lines {
		if strings.HasPrefix(line, begin) {
			lines[i], found = begin+rest, true
		}
	}
	if !found {
		t.Fatalf("%s has no line %q", file, begin)
	}
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")), 0o644); err != nil {
		t.Fatal(err)
	}
}
