package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"initgrace/grace/protocol"
	"initgrace/server/deploy/deploytest"
	"initgrace/server/eventlog"
	"initgrace/server/faultproxy"
	"initgrace/server/store/redis"
	"initgrace/server/store/redis/redistest"
	"initgrace/wasmclient"
)

// failoverStudy has leases as they are, and holds that a test can wait for.
const failoverStudy = `
page_interval: 500ms
policy:
  reconnect_timeout: 12s
  leave_timeout: 3s
`

// patience is for what must happen.
const patience = 60 * time.Second

// TestFailover: two servers on one Redis, an nginx in front of each of two
// participants. The server that has one of them, in the middle of a load, is
// killed, stopped or asked to end, whether it leads or follows. The load goes on
// at the other one, where the partner hears that the player is away and is back;
// who does not come back is given up once, by one of them.
func TestFailover(t *testing.T) {
	for _, c := range []struct {
		name  string
		leads bool
		harm  func(*node)
	}{
		{"the one that leads is killed", true, func(n *node) { n.cmd.Process.Kill() }},
		{"the one that leads is stopped", true, func(n *node) { n.cmd.Process.Signal(syscall.SIGSTOP) }},
		{"the one that leads is ended", true, func(n *node) { n.cmd.Process.Signal(syscall.SIGTERM) }},
		{"the one that follows is killed", false, func(n *node) { n.cmd.Process.Kill() }},
		{"the one that follows is ended", false, func(n *node) { n.cmd.Process.Signal(syscall.SIGTERM) }},
		{"the one that follows is stopped", false, func(n *node) { n.cmd.Process.Signal(syscall.SIGSTOP) }},
	} {
		t.Run(c.name, func(t *testing.T) { testFailover(t, c.leads, c.harm) })
	}
}

func testFailover(t *testing.T, leads bool, harm func(*node)) {
	t.Parallel() // they mostly wait
	db, err := redistest.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Stop)
	study := write(t, "initgrace.yaml", failoverStudy)
	harmed := startNode(t, db.URL, study)
	harmed.wait(t, "serves")
	other := startNode(t, db.URL, study)
	other.wait(t, "stands by")
	if err := deploytest.Ready(other.addr); err != nil {
		t.Fatal(err)
	}
	if !leads {
		harmed, other = other, harmed
	}
	front := func(first, second *node) string {
		nginx, err := deploytest.StartNginx(first.addr, second.addr+" backup")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nginx.Stop)
		return nginx.Addr
	}

	partner := join(t, front(other, harmed), "partner")
	player := join(t, front(harmed, other), "player")
	cut, err := faultproxy.Listen(harmed.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cut.Close() })
	join(t, cut.Addr(), "lost")
	partner.wait(t, "player", protocol.Active)
	partner.wait(t, "lost", protocol.Active)

	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	defer cancel()
	began := make(chan struct{})
	loaded := make(chan error, 1)
	resume := make(chan struct{})
	go func() {
		_, err := wasmclient.NewLoader(player.Client).Load(ctx, wasmclient.LoadOptions{RequireLease: true, Run: func(context.Context, *wasmclient.Load) error {
			thaw := player.Freeze()
			close(began)
			<-resume
			thaw()
			return nil
		}})
		loaded <- err
	}()
	<-began
	partner.wait(t, "player", protocol.Loading)
	cut.Cut(faultproxy.Both)
	harm(harmed)
	if leads {
		other.wait(t, "serves")
	}
	partner.wait(t, "player", protocol.Away)
	close(resume)
	if err := <-loaded; err != nil {
		t.Errorf("the load: %v", err)
	}
	partner.wait(t, "player", protocol.Active)
	partner.wait(t, "lost", protocol.Gone)
	if harmed.cmd.Process.Signal(syscall.SIGCONT) == nil && leads {
		harmed.exit(t) // it learns that it does not lead any more
	}
	if states := partner.states("player"); slices.Contains(states, protocol.Gone) {
		t.Errorf("the partner heard of %v", states)
	}
	if s := player.State().Session; !s.Restored || s.Epoch < 2 {
		t.Errorf("the player's session: restored %v, epoch %d", s.Restored, s.Epoch)
	}
	if s := partner.State().Session; !leads && s.Epoch != 1 {
		t.Errorf("the partner, at the server that leads, has been cut off too: epoch %d", s.Epoch)
	}

	log, err := redis.Open(t.Context(), db.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	records, err := log.Records(t.Context(), 0, 10_000)
	if err != nil {
		t.Fatal(err)
	}
	gone := map[string]int{}
	for _, r := range records {
		if r.Kind == eventlog.Presence && r.To == protocol.Gone {
			gone[r.Participant]++
		}
	}
	if len(gone) != 1 || gone["lost"] != 1 {
		t.Errorf("given up: %v, want lost, once", gone)
	}
}

// A person is a participant who writes down what the partners do.
type person struct {
	*wasmclient.Client
	mu     sync.Mutex
	told   map[string][]protocol.Presence
	signal chan struct{}
}

func join(t *testing.T, addr, name string) *person {
	t.Helper()
	p := &person{told: map[string][]protocol.Presence{}, signal: make(chan struct{})}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var err error
	p.Client, err = wasmclient.Dial(ctx, "http://"+addr, &wasmclient.Options{
		Participant: name, Group: "g", PageID: name + "-page", Silence: 2 * time.Second, Backoff: wasmclient.Backoff{Min: 100 * time.Millisecond, Max: time.Second},
		Handlers: map[string]func([]byte){protocol.EventPartnerState: p.note},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		p.Close(ctx)
	})
	return p
}

func (p *person) note(payload []byte) {
	var s protocol.PartnerState
	if err := json.Unmarshal(payload, &s); err != nil {
		panic(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.told[s.Participant] = append(p.told[s.Participant], s.State)
	close(p.signal)
	p.signal = make(chan struct{})
}

func (p *person) states(of string) []protocol.Presence {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.told[of])
}

// wait waits until the last that was heard of somebody is this.
func (p *person) wait(t *testing.T, of string, want protocol.Presence) {
	t.Helper()
	timeout := time.After(patience)
	for {
		p.mu.Lock()
		told, signal := p.told[of], p.signal
		p.mu.Unlock()
		if len(told) > 0 && told[len(told)-1] == want {
			return
		}
		select {
		case <-signal:
		case <-timeout:
			t.Fatalf("%s was not %s: %v", of, want, told)
		}
	}
}

// A node is a server process.
type node struct {
	addr  string
	cmd   *exec.Cmd
	log   bytes.Buffer
	lines chan string
	done  chan struct{}
}

func TestMain(m *testing.M) {
	code := m.Run()
	deploytest.RemoveBinary()
	os.Exit(code)
}

func startNode(t *testing.T, db, study string) *node {
	t.Helper()
	binary, err := deploytest.Binary()
	if err != nil {
		t.Fatal(err)
	}
	n := &node{addr: freeAddr(t), lines: make(chan string, 16), done: make(chan struct{})}
	n.cmd = exec.Command(binary, "serve", "--addr", n.addr, "--redis", db, "--study", study, "--trusted-proxy", "127.0.0.1")
	n.cmd.Stderr = &n.log
	out, err := n.cmd.StdoutPipe()
	if err == nil {
		err = n.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			n.lines <- lines.Text()
		}
		n.cmd.Wait()
		close(n.done)
	}()
	t.Cleanup(func() {
		n.cmd.Process.Kill()
		<-n.done
		if t.Failed() {
			t.Logf("log of %s:\n%s", n.addr, &n.log)
		}
	})
	return n
}

// wait waits until the process says that it stands by or serves.
func (n *node) wait(t *testing.T, what string) {
	t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case line := <-n.lines:
			if strings.Contains(line, what) {
				return
			}
		case <-timeout:
			t.Fatalf("%s does not say that it %s", n.addr, what)
		}
	}
}

func (n *node) exit(t *testing.T) {
	t.Helper()
	select {
	case <-n.done:
	case <-time.After(patience):
		t.Errorf("%s goes on", n.addr)
	}
}

func freeAddr(t *testing.T) string {
	t.Helper()
	addr, err := deploytest.FreeAddr()
	if err != nil {
		t.Fatal(err)
	}
	return addr
}
