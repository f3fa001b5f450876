package e2e

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"initgrace/grace/protocol"
	"initgrace/server/deploy/deploytest"
	"initgrace/server/eventlog"
	"initgrace/server/faultproxy"
	"initgrace/server/store/sqlite"
)

// A machine runs the binary as a lab does, and can lose power.
type machine struct {
	t    *testing.T
	db   string
	addr string
	cmd  *exec.Cmd
}

func startMachine(t *testing.T) *machine {
	t.Helper()
	m := &machine{t: t, db: filepath.Join(t.TempDir(), "study.db"), addr: "127.0.0.1:0"}
	m.start()
	t.Cleanup(m.kill)
	return m
}

// start starts the binary with the demo study, at the same address as before.
func (m *machine) start() {
	m.t.Helper()
	var err error
	if m.cmd, m.addr, err = deploytest.Serve("../bin/initgrace", "--addr", m.addr, "--db", m.db, "--log-level", "warn"); err != nil {
		m.t.Fatalf("%v; make build makes it", err)
	}
}

// kill is kill -9.
func (m *machine) kill() {
	_ = m.cmd.Process.Kill()
	_ = m.cmd.Wait()
}

// read opens the file of the sessions, which the server may be using.
func (m *machine) read(use func(*sqlite.Store)) {
	m.t.Helper()
	s, err := sqlite.Open(m.db, nil)
	if err != nil {
		m.t.Fatal(err)
	}
	defer s.Close()
	use(s)
}

// sent is how many messages of a participant the server has.
func (m *machine) sent(participant string) (n uint64) {
	m.t.Helper()
	m.read(func(s *sqlite.Store) {
		box, _, err := s.Mailbox(m.t.Context(), participant)
		if err != nil {
			m.t.Fatal(err)
		}
		n = box.Sent
	})
	return n
}

// TestSurvive plays the demo study through all that may happen to it: one of
// the players refreshes in the middle of the load and again in the middle of the
// game; the other one is cut off for 20 s, while the first goes on sending; and
// the server is killed twice, once while that one is cut off and once while both
// play. Both see the whole of the same game, and nobody is ever given up.
func TestSurvive(t *testing.T) {
	t.Parallel()
	const away = 20 * time.Second
	m := startMachine(t)
	enter := func(name string) *Page {
		p := open(t, name, "")
		// What browsers say of a network that fails.
		p.Expect("WebSocket connection to .* failed", "net::ERR_")
		var err error
		if p.net, err = faultproxy.Listen(m.addr); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { p.net.Close() })
		p.goTo("http://" + p.net.Addr() + "/?autoplay&ticks=60&participant=" + name)
		return p
	}
	one, two := enter("one"), enter("two")
	const (
		tick    = `Number(document.querySelector("#board").dataset.tick)`
		covered = `!document.querySelector("#pause").hidden && document.querySelector("#pause").dataset.why`
	)

	for _, moment := range []string{`"load"`, `"play" && ` + tick + ` >= 4`} {
		two.awaitPage(`document.body.dataset.scene === ` + moment)
		await[any](two, "window.before = true")
		two.refresh()
		two.awaitPage("!window.before")
	}
	two.awaitPage(`document.body.dataset.scene === "play" && ` + tick + ` >= 6`)

	one.net.Cut(faultproxy.Both)
	cut := time.Now()
	before := m.sent("two")
	two.awaitPage(covered + ` === "away"`)
	one.awaitPage(covered + ` === "offline"`)
	two.shootBoth("demo-partner-away")
	one.shootBoth("demo-offline")
	stood := await[int](two, tick)
	m.kill()
	m.start()
	two.awaitPage(covered + ` !== "offline"`)
	// Until the network is back two is on its own, and nothing else is to be waited for.
	time.Sleep(time.Until(cut.Add(away)))
	if n := m.sent("two") - before; n < 3 {
		t.Errorf("while one was cut off, two sent %d messages", n)
	}
	if now := await[int](two, tick); now > stood+1 {
		t.Errorf("two played on alone, from %d to %d", stood, now)
	}
	one.net.Resume()

	for _, p := range []*Page{one, two} {
		p.awaitPage(tick + ` >= 18`)
	}
	m.kill()
	m.start()
	for _, p := range []*Page{one, two} {
		p.awaitPage(`document.querySelector("#match").dataset.match === "yes"`)
	}
	one.shootBoth("demo-done")

	m.kill()
	m.read(func(s *sqlite.Store) {
		var games []string
		for _, name := range []string{"one", "two"} {
			session, _, err := s.Session(t.Context(), name)
			var state struct {
				Moves  string
				Result struct{ Digest string }
			}
			if err == nil {
				err = json.Unmarshal(session.State.Globals, &state)
			}
			if err != nil || session.State.SceneID != "done" || len(state.Moves) < 2*18 || state.Result.Digest == "" {
				t.Errorf("stored of %s: %q %s, %v", name, session.State.SceneID, session.State.Globals, err)
			}
			games = append(games, state.Moves+" "+state.Result.Digest)
		}
		if games[0] != games[1] {
			t.Errorf("the games differ: %q", games)
		}
		records, err := s.Records(t.Context(), 0, 100_000)
		if err != nil {
			t.Fatal(err)
		}
		var longest time.Duration // that one was away
		var since time.Time
		refreshed := false
		for _, r := range records {
			switch {
			case r.Kind != eventlog.Presence:
			case r.To == protocol.Gone:
				t.Errorf("%s was given up: %s", r.Participant, r.Reason)
			case r.Participant == "two":
				refreshed = refreshed || r.Reason == string(protocol.ReasonRefreshed)
			case r.To == protocol.Away && since.IsZero():
				since = r.At
			case r.To != protocol.Away && !since.IsZero():
				longest, since = max(longest, r.At.Sub(since)), time.Time{}
			}
		}
		if longest < away-5*time.Second || !refreshed {
			t.Errorf("one was away for %v, two refreshed: %v", longest, refreshed)
		}
	})
}
