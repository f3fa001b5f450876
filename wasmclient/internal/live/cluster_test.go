//go:build !js

package live

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"initgrace/server/deploy/deploytest"
	"initgrace/server/store"
	"initgrace/server/store/redis"
	"initgrace/server/store/redis/redistest"
)

const (
	clusterNodes = 3
	// leaseTime is how long a leader may be silent (server/store/redis).
	leaseTime = 3 * time.Second
)

// TestChaosCluster is TestChaos with three servers on one Redis behind nginx, as
// server/deploy has them. Servers are killed, and stopped for longer than the
// lease of the one that leads; Redis is killed, and hangs.
//
// For longer: go test -run TestChaosCluster ./wasmclient/internal/live -chaos.for 5m
func TestChaosCluster(t *testing.T) {
	t.Parallel() // it mostly waits
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	c := newChaos(t)
	c.lobby = true
	cl := newCluster(c)
	c.serversHarm, c.heal, c.often, c.first = cl.harm, cl.heal, 5, 3
	c.open = func() (store.Store, error) {
		return redis.Open(context.Background(), cl.redis.URL, &redis.Options{Logger: slog.New(slog.DiscardHandler)})
	}
	c.enough = func() bool { return c.kills > 0 && cl.long > 0 && cl.redisKilled > 0 && cl.took() >= 3 }
	c.run(cl.nginx.Addr)
	slices.Sort(cl.without)
	t.Logf("after the one that led was killed or stopped another one led within %v", cl.without)
	t.Logf("%d kills, %d servers stopped, %d of them for longer than the lease; Redis killed %d and stopped %d times; %d times a server began to lead, %d times one ended because another did",
		c.kills, cl.stopped, cl.long, cl.redisKilled, cl.redisStopped, cl.took(), cl.superseded.Load())
	if !c.enough() {
		t.Error("that was no chaos")
	}
	if n := cl.strange.Load(); n > 0 {
		t.Errorf("servers ended %d times for another reason", n)
	}
}

// A cluster is servers, their Redis, and nginx.
type cluster struct {
	c      *chaos
	redis  *redistest.Server
	nginx  *deploytest.Nginx
	nodes  []*node
	binary string
	study  string
	todo   []func() // what has not been done yet
	round  int

	resuming sync.WaitGroup // servers that are stopped for a while

	mu      sync.Mutex
	lost    time.Time       // when the one that led was harmed; zero: somebody leads
	without []time.Duration // for how long nobody led then

	stopped, long, redisKilled, redisStopped int
	superseded, strange                      atomic.Int64 // ends
}

// A node is a server that is started again whenever it ends.
type node struct {
	cl   *cluster
	addr string
	done chan struct{} // it has been ended for good

	mu      sync.Mutex
	process *os.Process // nil: between two
	killed  bool        // the process, by us
	over    bool

	leads atomic.Bool
	led   atomic.Int64 // times
}

func newCluster(c *chaos) *cluster {
	t := c.t
	cl := &cluster{c: c, study: filepath.Join(t.TempDir(), "study.yaml")}
	fatal := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	fatal(os.WriteFile(cl.study, []byte(chaosStudy), 0o600))
	var err error
	cl.binary, err = deploytest.Binary()
	fatal(err)
	t.Cleanup(deploytest.RemoveBinary)
	cl.redis, err = redistest.Start()
	fatal(err)
	t.Cleanup(cl.redis.Stop)
	var addrs []string
	for range clusterNodes {
		n := &node{cl: cl, addr: freeAddr(t), done: make(chan struct{})}
		cl.nodes, addrs = append(cl.nodes, n), append(addrs, n.addr)
		go n.run()
		t.Cleanup(n.end)
	}
	cl.nginx, err = deploytest.StartNginx(addrs...)
	fatal(err)
	t.Cleanup(cl.nginx.Stop)
	return cl
}

// took is how many times a server began to lead.
func (cl *cluster) took() (times int) {
	for _, n := range cl.nodes {
		times += int(n.led.Load())
	}
	return times
}

// harm does the next of all bad things, which come in an order that is drawn.
func (cl *cluster) harm() {
	r := cl.c.r
	if len(cl.todo) == 0 {
		cl.todo = []func(){
			func() { cl.kill(cl.leader()) },
			func() { cl.stop(cl.leader(), leaseTime+cl.between(500, 2500)) },
			func() {
				cl.redisKilled++
				cl.redis.Kill()
				time.Sleep(cl.between(0, 1500))
				if err := cl.redis.Restart(); err != nil {
					cl.c.t.Error(err)
				}
			},
			func() { cl.kill(cl.nodes[r.IntN(len(cl.nodes))]) },
			func() { cl.stop(cl.nodes[r.IntN(len(cl.nodes))], cl.between(100, 2500)) },
			func() {
				cl.redisStopped++
				cl.c.check(cl.redis.Pause())
				time.Sleep(cl.between(100, 2500))
				cl.c.check(cl.redis.Resume())
			},
		}
		n := len(cl.todo)
		if cl.round++; cl.round == 1 {
			n = cl.c.first + 1 // what no run may be without comes first
		}
		r.Shuffle(n, func(i, j int) { cl.todo[i], cl.todo[j] = cl.todo[j], cl.todo[i] })
	}
	do := cl.todo[0]
	cl.todo = cl.todo[1:]
	do()
}

func (c *chaos) check(err error) {
	if err != nil {
		c.t.Error(err)
	}
}

// between is some milliseconds.
func (cl *cluster) between(from, to int) time.Duration {
	return time.Duration(from+cl.c.r.IntN(to-from)) * time.Millisecond
}

// leader waits for somebody to lead. One that was stopped may lead on, if nobody
// could take over, so that it has to be asked.
func (cl *cluster) leader() *node {
	client := http.Client{Timeout: time.Second}
	for deadline := time.Now().Add(chaosEnd); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		for _, n := range cl.nodes {
			if res, err := client.Get("http://" + n.addr + "/readyz"); err == nil {
				says, _ := io.ReadAll(res.Body)
				res.Body.Close()
				if string(says) == "ready\n" { // the others say who they are
					n.leads.Store(true)
					return n
				}
			}
		}
	}
	cl.c.t.Fatal("nobody leads")
	return nil
}

func (cl *cluster) kill(n *node) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.process != nil {
		cl.c.kills++
		n.killed = true
		cl.c.check(n.process.Kill())
		cl.leaderless(n)
	}
}

// leaderless notes that a server does not lead any more.
func (cl *cluster) leaderless(n *node) {
	cl.mu.Lock()
	defer cl.mu.Unlock()
	if n.leads.Swap(false) {
		cl.lost = time.Now()
	}
}

// leads notes that a server does.
func (cl *cluster) leads(n *node) {
	cl.mu.Lock()
	defer cl.mu.Unlock()
	n.led.Add(1)
	n.leads.Store(true)
	if !cl.lost.IsZero() {
		cl.without = append(cl.without, time.Since(cl.lost).Round(10*time.Millisecond))
		cl.lost = time.Time{}
	}
}

// stop lets a server do nothing for a while. Others may be harmed meanwhile.
func (cl *cluster) stop(n *node, d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.process == nil || n.process.Signal(syscall.SIGSTOP) != nil {
		return
	}
	cl.stopped++
	if d > leaseTime {
		cl.long++
		cl.leaderless(n)
	}
	process := n.process
	cl.resuming.Go(func() {
		time.Sleep(d)
		_ = process.Signal(syscall.SIGCONT) // it may have been killed
	})
}

// heal waits until nobody is harmed.
func (cl *cluster) heal() { cl.resuming.Wait() }

// run starts the server again and again, as systemd would.
func (n *node) run() {
	defer close(n.done)
	for n.once() {
		time.Sleep(300 * time.Millisecond)
	}
}

func (n *node) once() (again bool) {
	t := n.cl.c.t
	cmd := exec.Command(n.cl.binary, "serve", "--addr", n.addr, "--redis", n.cl.redis.URL, "--study", n.cl.study,
		"--trusted-proxy", "127.0.0.1", "--max-handshakes=-1", "--max-per-address=-1")
	var log bytes.Buffer
	cmd.Stderr = &log
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Error(err)
		return false
	}
	n.mu.Lock()
	if n.over {
		n.mu.Unlock()
		return false
	}
	if err := cmd.Start(); err != nil {
		n.mu.Unlock()
		t.Error(err)
		return false
	}
	n.process, n.killed = cmd.Process, false
	n.mu.Unlock()
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if strings.Contains(lines.Text(), "serves") {
			n.cl.leads(n)
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	err = cmd.Wait()
	n.process = nil
	n.leads.Store(false)
	if strings.Contains(log.String(), store.ErrSuperseded.Error()+"; start this one again") {
		n.cl.superseded.Add(1)
	} else if !n.killed {
		t.Logf("%s ended with %v:\n%s", n.addr, err, &log)
		n.cl.strange.Add(1)
	}
	if os.Getenv("INITGRACE_CHAOS_LOG") != "" {
		t.Logf("log of %s:\n%s", n.addr, &log)
	}
	return !n.over
}

// end ends it for good.
func (n *node) end() {
	n.mu.Lock()
	n.over = true
	if n.process != nil {
		n.killed = true
		if err := n.process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			n.cl.c.t.Error(err)
		}
	}
	n.mu.Unlock()
	<-n.done
}
