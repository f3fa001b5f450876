package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"initgrace/grace/protocol"
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

// TestFailover: two servers on one Redis behind an nginx. The one that serves is
// killed, or stopped, in the middle of a load: the other one takes over, the load
// goes on, the partner never hears that anybody has left, and who does not come
// back is given up once, by one of them.
func TestFailover(t *testing.T) {
	for _, c := range []struct {
		name string
		harm func(*node)
	}{
		{"killed", func(n *node) { n.cmd.Process.Kill() }},
		{"stopped", func(n *node) { n.cmd.Process.Signal(syscall.SIGSTOP) }},
		{"ended", func(n *node) { n.cmd.Process.Signal(syscall.SIGTERM) }},
	} {
		t.Run(c.name, func(t *testing.T) { testFailover(t, c.harm) })
	}
}

func testFailover(t *testing.T, harm func(*node)) {
	t.Parallel() // they mostly wait
	db, err := redistest.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Stop)
	study := write(t, "initgrace.yaml", failoverStudy)
	leader := startNode(t, db.URL, study)
	leader.wait(t, "serves")
	other := startNode(t, db.URL, study)
	other.wait(t, "stands by")
	front := startNginx(t, leader.addr, other.addr)

	partner := join(t, front, "partner")
	player := join(t, front, "player")
	cut, err := faultproxy.Listen(front)
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
	harm(leader)
	other.wait(t, "serves")
	close(resume)
	if err := <-loaded; err != nil {
		t.Errorf("the load: %v", err)
	}
	partner.wait(t, "player", protocol.Active)
	partner.wait(t, "lost", protocol.Gone)
	if leader.cmd.Process.Signal(syscall.SIGCONT) == nil {
		leader.exit(t) // it learns that it does not lead any more
	}
	if states := partner.states("player"); slices.Contains(states, protocol.Gone) {
		t.Errorf("the partner heard of %v", states)
	}
	if s := player.State().Session; !s.Restored || s.Epoch < 2 {
		t.Errorf("the player's session: restored %v, epoch %d", s.Restored, s.Epoch)
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

var built = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "initgrace-")
	if err != nil {
		return "", err
	}
	binary := filepath.Join(dir, "initgrace")
	out, err := exec.Command("go", "build", "-o", binary, "initgrace/server/cmd/initgrace").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return binary, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if binary, err := built(); err == nil && code >= 0 {
		os.RemoveAll(filepath.Dir(binary))
	}
	os.Exit(code)
}

func startNode(t *testing.T, db, study string) *node {
	t.Helper()
	binary, err := built()
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
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// startNginx starts nginx with the configuration that is recommended.
func startNginx(t *testing.T, one, two string) (addr string) {
	t.Helper()
	path, err := exec.LookPath("nginx")
	if err != nil {
		path = "/usr/sbin/nginx"
	}
	text, err := os.ReadFile("../../deploy/nginx.conf")
	if err != nil {
		t.Fatal(err)
	}
	addr = freeAddr(t)
	dir := t.TempDir()
	conf := strings.NewReplacer("127.0.0.1:8080", addr, "127.0.0.1:8081", one, "127.0.0.1:8082", two).Replace(string(text))
	conf = strings.Replace(conf, "http {", "http {\n\taccess_log off;\n\tclient_body_temp_path body;\n\tproxy_temp_path proxy;\n\tfastcgi_temp_path fastcgi;\n\tuwsgi_temp_path uwsgi;\n\tscgi_temp_path scgi;", 1)
	if err := os.WriteFile(filepath.Join(dir, "nginx.conf"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	nginx := exec.Command(path, "-p", dir, "-c", "nginx.conf", "-e", "stderr", "-g", "daemon off; master_process off;")
	nginx.Stderr = &log
	if err := nginx.Start(); err != nil {
		t.Fatalf("%v; make test-tools installs nginx", err)
	}
	t.Cleanup(func() { nginx.Process.Kill(); nginx.Wait() })
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		res, err := http.Get("http://" + addr + "/healthz")
		if err == nil {
			io.Copy(io.Discard, res.Body)
			res.Body.Close()
			return addr
		}
		if time.Now().After(deadline) {
			t.Fatalf("nginx: %v\n%s", err, &log)
		}
	}
}
