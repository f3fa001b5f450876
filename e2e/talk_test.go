package e2e

import (
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"initgrace/grace"
	"initgrace/grace/protocol"
	"initgrace/server"
)

// TestLongBlockUnderTraffic is a block of two minutes under the policy as it is
// shipped, while the partner sends 100 KB a second, which is far more than is
// held. Nobody is dropped, the browser never stops answering, what was held
// arrives in order, and the sender is told of every message that was not.
func TestLongBlockUnderTraffic(t *testing.T) {
	long(t)
	const token = "a token for the metrics"
	l := newStudy(t, plain, func(c *server.Config) {
		c.Policy, c.PageInterval, c.AdminToken = grace.Policy{}, 0, token
	})
	player, partner := couple(l)
	player.start("page.run(() => page.guarded(() => page.block(120000), { phase: 'pyodide', expected_ms: 90000 }))")
	began := l.WaitFor("player", protocol.Loading, patience)
	talk(partner)

	// The partner is never asked, since it sends: all pongs are the player's.
	pongs := func() int { return l.metric(token, "initgrace_browser_pong_seconds_count") }
	before, least := pongs(), 1000
	for began := time.Now(); time.Since(began) < 110*time.Second; {
		last := pongs()
		time.Sleep(5 * time.Second)
		least = min(least, pongs()-last)
	}
	if least < 3 {
		t.Errorf("within 5 s the browser answered %d times only", least)
	}
	t.Logf("the browser answered %d times, at least %d times in each 5 s", pongs()-before, least)

	ended := l.WaitFor("player", protocol.Active, patience)
	wantTook(t, "the load", ended.At.Sub(began.At), 2*time.Minute, 130*time.Second)
	await[any](player, "page.outcome")
	partner.start("page.enough = true")
	await[any](partner, "page.talk")
	sent := await[int](partner, "page.sent")
	// A page that only listens takes 48 KB a second.
	var arrived, lost []int
	for end := time.Now().Add(patience); len(arrived)+len(lost) < sent && time.Now().Before(end); time.Sleep(time.Second) {
		arrived = await[[]int](player, `page.seen.filter((e) => e.name === "message").map((e) => e.data.data.n)`)
		lost = await[[]int](partner, "[...page.lost]")
	}
	t.Logf("%d messages of 16 KB: %d arrived, %d were reported as dropped", sent, len(arrived), len(lost))
	if held := 1 << 20 / 16_100; len(arrived) < held || !slices.IsSorted(arrived) || len(slices.Compact(slices.Clone(arrived))) != len(arrived) {
		t.Errorf("%v arrived; at least %d were to be held, and all to come once and in order", arrived, held)
	}
	all := append(arrived, lost...)
	slices.Sort(all)
	if len(all) != sent || len(slices.Compact(all)) != sent {
		t.Errorf("%d messages arrived or were reported as dropped, of %d", len(all), sent)
	}
	notices := await[int](partner, `page.seen.filter((e) => e.name === "message_dropped").reduce((n, e) => n + e.data.count, 0)`)
	if notices != len(lost) {
		t.Errorf("message_dropped told of %d messages, of %d", notices, len(lost))
	}
	wantKept(l, player, partner, 1)
}

// TestBlockUnderTraffic is a block that nobody declared, under the same traffic.
// Until the server knows of it, messages go on; they must not fill the page's
// pipe, or the browser would stop answering for it (beyond some 128 KiB), and
// who is blocked would be taken for dead.
func TestBlockUnderTraffic(t *testing.T) {
	long(t)
	l := newStudy(t, plain, func(c *server.Config) { c.Policy, c.PageInterval = grace.Policy{}, 0 })
	player, partner := couple(l)
	talk(partner)
	await[any](player, `page.until(() => page.seen.filter((e) => e.name === "message").length > 20)`)
	player.start("page.run(async () => page.block(12000))")
	l.WaitFor("player", protocol.Blocked, patience)
	l.WaitFor("player", protocol.Active, patience)
	await[any](player, "page.outcome")
	partner.start("page.enough = true")
	await[any](partner, "page.talk")
	l.wantHistory("player", protocol.Active, protocol.Blocked, protocol.Active)
	wantTold(partner, "player", protocol.Blocked, protocol.Active)
}

// talk makes a page send 100 KB a second, and keep the numbers of the messages
// that the server says it has dropped.
func talk(p *Page) {
	p.t.Helper()
	p.start(`page.talk = (async () => {
		const pad = "x".repeat(16000);
		page.sent = 0;
		page.lost = new Set();
		while (!page.enough) {
			const n = page.sent++;
			socket.emitWithAck("send", { data: { n, pad } }).then((ack) => ack.dropped && page.lost.add(n));
			await new Promise((resolve) => setTimeout(resolve, 160));
		}
	})()`)
}

// metric reads one number from /metrics.
func (l *Lab) metric(token, name string) int {
	l.t.Helper()
	req, err := http.NewRequest("GET", l.URL+"/metrics", nil)
	if err != nil {
		l.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		l.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		l.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			n, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				l.t.Fatal(err)
			}
			return int(n)
		}
	}
	l.t.Fatalf("no metric %s (%s)", name, res.Status)
	return 0
}
