//go:build unix

package simulate

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"initgrace/grace/protocol"
	"initgrace/server/deploy/deploytest"
)

// A server that was stopped, with its participants' pages going on, drops
// nobody when it continues: not those who waited, nor those whose client gave
// the connection up meanwhile and comes back. With INITGRACE_LONG=1 as long and
// with as many as in the issue that asked for it; else four times as fast.
func TestAStoppedServerDropsNobody(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes a while")
	}
	participants, stopped, scale := 60, 30*time.Second, 4.0
	if os.Getenv("INITGRACE_LONG") != "" {
		participants, scale = 200, 1
	}
	url, process := startBinary(t, scale)
	s := &stage{url: url, target: strings.TrimPrefix(url, "http://"), scale: scale}
	persons := make([]*person, participants)
	var opening sync.WaitGroup
	for i := range persons {
		var err error
		if persons[i], err = newPerson(s, fmt.Sprint("p", i), fmt.Sprint("g", i/2)); err != nil {
			t.Fatal(err)
		}
		defer persons[i].leave()
		opening.Go(func() {
			if err := persons[i].open(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	opening.Wait()
	if t.Failed() {
		return
	}
	for i, p := range persons {
		if !p.ear.await(t.Context(), patience, protocol.Active) {
			t.Fatalf("%s was never told that its partner plays", persons[i].id)
		}
	}
	// A tenth loads, and is frozen all the time.
	for _, p := range persons[:participants/10] {
		if err := p.page.EmitAck(t.Context(), protocol.EventLoadStart, protocol.LoadStart{}, nil); err != nil {
			t.Fatal(err)
		}
		defer p.page.Freeze()()
	}

	began := time.Now()
	if err := process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	time.Sleep(s.real(stopped))
	if err := process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	// For longer than a silence would take to be noticed.
	time.Sleep(s.real(10 * time.Second))

	drops, returned := 0, 0
	for i, p := range persons {
		for _, n := range p.ear.since(began) {
			if n.lost() {
				drops++
				t.Errorf("%s was told %s (%s) of its partner, %v after the stop", p.id, n.State, n.Reason, round(n.at.Sub(began)))
			}
		}
		if i < participants/10 {
			continue
		}
		if err := p.roundTrip(t.Context()); err != nil {
			t.Errorf("%s cannot be reached: %v", p.id, err)
		}
		if p.page.State().Session.Epoch > 1 {
			returned++
		}
	}
	t.Logf("%d participants, stopped for %v: %d drops; %d had given up the connection and came back", participants, s.real(stopped), drops, returned)
}

// startBinary builds and starts the real server, with the default policy divided
// by the scale.
func startBinary(t *testing.T, scale float64) (url string, process *os.Process) {
	t.Helper()
	dir := t.TempDir()
	binary, err := deploytest.Build(dir)
	if err != nil {
		t.Fatal(err)
	}
	ms := func(d float64) string { return fmt.Sprint(int(d/scale*1000), "ms") }
	config := filepath.Join(dir, "policy.yaml")
	text := fmt.Sprintf("page_interval: %s\npolicy:\n  probe_interval: %s\n  silence_timeout: %s\n  blocked_after: %s\n  blocked_timeout: %s\n"+
		"  reconnect_timeout: %s\n  leave_timeout: %s\n  page_timeout: %s\n", ms(2), ms(1), ms(4), ms(3), ms(20), ms(30), ms(15), ms(16))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	server, addr, err := deploytest.Serve(binary, "--addr", "127.0.0.1:0", "--config", config, "--log-level", "warn")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		server.Process.Signal(syscall.SIGCONT)
		server.Process.Signal(syscall.SIGTERM)
		server.Wait()
	})
	return "http://" + addr, server.Process
}
