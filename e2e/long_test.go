package e2e

import (
	"os"
	"regexp"
	"testing"
	"time"

	"initgrace/grace"
	"initgrace/grace/protocol"
	"initgrace/server"
)

// long skips a test that takes minutes, unless asked for it.
func long(t *testing.T) {
	t.Helper()
	if os.Getenv("INITGRACE_LONG") == "" {
		t.Skip("takes minutes; set INITGRACE_LONG=1")
	}
}

// TestLongBlock is a block of a minute under the policy as it is shipped.
func TestLongBlock(t *testing.T) {
	long(t)
	l := newStudy(t, plain, func(c *server.Config) { c.Policy, c.PageInterval = grace.Policy{}, 0 })
	player, partner := couple(l)
	player.start("page.run(() => page.guarded(() => page.block(60000), { phase: 'pyodide', expected_ms: 60000 }))")
	began := l.WaitFor("player", protocol.Loading, patience)
	ended := l.WaitFor("player", protocol.Active, 2*patience)
	wantTook(t, "the load", ended.At.Sub(began.At), time.Minute, 70*time.Second)
	if lease := began.Deadline.Sub(began.At); lease != 2*time.Minute || began.Phase != "pyodide" {
		t.Errorf("the lease is %v for %q", lease, began.Phase)
	}
	await[any](player, "page.outcome")
	wantKept(l, player, partner, 1)

	var log []string
	for _, m := range regexp.MustCompile(`msg=presence participant=player change="([^"]+)" reason=(\w+)`).FindAllStringSubmatch(string(l.log.Bytes()), -1) {
		log = append(log, m[1]+", "+m[2])
	}
	want := []string{"new -> active, connected", "active -> loading, load_started", "loading -> active, load_ended"}
	if len(log) != len(want) || log[0] != want[0] || log[1] != want[1] || log[2] != want[2] {
		t.Errorf("the log says %q, want %q", log, want)
	}
}
