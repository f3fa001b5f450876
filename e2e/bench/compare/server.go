package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"initgrace/server/deploy/deploytest"
	"initgrace/server/store/redis/redistest"
)

// A contestant is a server that can be started.
type contestant struct {
	name, what string
	build      string // a Go package; empty: nothing is built
	command    func(dir string) []string
	missing    func() error // nil: nothing can be
	goroutines bool
	redis      bool // has a Redis of its own, {redis} in the command
	others     int  // that many more processes of the command follow the first
	asked      bool // only when it is asked for
}

// limits switches off what would refuse a crowd that comes from one address, and
// the budget of loads.
const study = "policy: {load_count: 1000000, load_budget: 100h}\n"

func initgrace(dir string, more ...string) []string {
	file := filepath.Join(dir, "study.yaml")
	if err := os.WriteFile(file, []byte(study), 0o600); err != nil {
		panic(err)
	}
	return append([]string{"bin/initgrace", "serve", "--addr", "127.0.0.1:0", "--study", file, "--log-level", "error",
		"--max-connections=-1", "--max-per-address=-1", "--max-handshakes=-1", "--max-events=-1", "--max-bytes=-1"}, more...)
}

var contestants = []contestant{
	{
		name: "initgrace", what: "this server, sessions in memory", goroutines: true,
		command: func(dir string) []string { return initgrace(dir) },
	}, {
		name: "initgrace-db", what: "this server with `--db`: an ack means that it is on the disk", goroutines: true,
		command: func(dir string) []string { return initgrace(dir, "--db", filepath.Join(dir, "study.db")) },
	}, {
		name: "redis", what: "this server with `--redis`, alone: an ack means that Redis has written it to its log on the disk", goroutines: true,
		redis: true, asked: true, missing: noRedis,
		command: func(dir string) []string { return initgrace(dir, "--redis", "{redis}") },
	}, {
		name: "redis-3", what: "the same with two more servers; partners are at different ones", goroutines: true,
		redis: true, others: 2, asked: true, missing: noRedis,
		command: func(dir string) []string { return initgrace(dir, "--redis", "{redis}") },
	}, {
		name: "floor", what: "a bare WebSocket server that hand-speaks the minimum and checks nothing", goroutines: true,
		build:   "./e2e/bench/servers/floor",
		command: func(string) []string { return []string{"bin/bench/floor"} },
	}, {
		name: "bare", what: "the Go Socket.IO module on which this server stands, alone", goroutines: true,
		build:   "./e2e/bench/servers/bare",
		command: func(string) []string { return []string{"bin/bench/bare"} },
	}, {
		name: "node", what: "Node with socket.io",
		command: func(string) []string { return []string{"node", "e2e/bench/servers/node/server.js"} },
		missing: func() error {
			if _, err := os.Stat("node_modules/socket.io"); err != nil {
				return errors.New("needs Node and `npm ci`")
			}
			return nil
		},
	}, {
		name: "flask", what: "Flask-SocketIO on eventlet (Debian's packages)",
		command: func(string) []string { return []string{"/usr/bin/python3", "e2e/bench/servers/flask/server.py"} },
		missing: func() error {
			if out, err := exec.Command("/usr/bin/python3", "-c", "import flask_socketio, eventlet").CombinedOutput(); err != nil {
				return fmt.Errorf("needs `apt install python3-flask-socketio python3-eventlet`: %s", lastLine(out))
			}
			return nil
		},
	},
}

func noRedis() error {
	if _, err := exec.LookPath("redis-server"); err != nil {
		return errors.New("needs `apt install redis-server`")
	}
	return nil
}

func lastLine(b []byte) string {
	b = bytes.TrimSpace(b)
	return string(b[bytes.LastIndexByte(b, '\n')+1:])
}

// A process is a running contestant.
type process struct {
	cmd   *exec.Cmd
	addrs []string
	said  bytes.Buffer // on stderr
	dir   string

	redis  *redistest.Server // nil: none
	others []*exec.Cmd
}

// start runs a contestant until it listens.
func (c contestant) start(work string) (*process, error) {
	dir, err := os.MkdirTemp(work, c.name)
	if err != nil {
		return nil, err
	}
	args := c.command(dir)
	p := &process{dir: dir}
	if c.redis {
		if p.redis, err = redistest.Start(); err != nil {
			os.RemoveAll(dir)
			return nil, err
		}
		args[slices.Index(args, "{redis}")] = p.redis.URL
	}
	var addr string
	if p.cmd, addr, err = p.run(args, "serves http://"); err != nil {
		p.stop()
		return nil, fmt.Errorf("%s does not start: %w: %s", c.name, err, lastLine(p.said.Bytes()))
	}
	p.addrs = append(p.addrs, addr)
	for range c.others {
		other, addr, err := p.run(args, "stands by at http://")
		if other != nil {
			p.others = append(p.others, other)
		}
		if err == nil {
			err = deploytest.Ready(addr)
		}
		if err != nil {
			p.stop()
			return nil, fmt.Errorf("%s: another server does not start: %w", c.name, err)
		}
		p.addrs = append(p.addrs, addr)
	}
	return p, nil
}

// run starts a command and waits until it says where it listens. The command is
// nil if it did not start.
func (p *process) run(args []string, says string) (cmd *exec.Cmd, addr string, err error) {
	cmd = exec.Command(args[0], args[1:]...)
	cmd.Stderr = &p.said
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return nil, "", err
	}
	address := make(chan string, 1)
	go func() {
		defer close(address)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if _, rest, ok := strings.Cut(lines.Text(), says); ok {
				address <- strings.TrimRight(rest, "/")
			}
		}
	}()
	select {
	case addr = <-address:
	case <-time.After(20 * time.Second):
	}
	if addr == "" {
		return cmd, "", errors.New("it does not say where it listens")
	}
	return cmd, addr, nil
}

// stop kills the processes.
func (p *process) stop() {
	for _, c := range append(slices.Clone(p.others), p.cmd) { // the others first, or they take over
		if c != nil {
			c.Process.Kill()
			c.Wait()
		}
	}
	if p.redis != nil {
		p.redis.Stop()
	}
	os.RemoveAll(p.dir)
}

// goroutines ends a Go program the way in which it lists its goroutines.
func (p *process) goroutines() int {
	p.cmd.Process.Signal(syscall.SIGQUIT)
	p.cmd.Wait()
	return bytes.Count(p.said.Bytes(), []byte("\ngoroutine "))
}

// cpu is the processor time that the processes have used.
func (p *process) cpu() time.Duration {
	sum := p.leads()
	for _, other := range p.others {
		sum += cpu(other.Process.Pid)
	}
	return sum
}

// leads is that of the first, which leads.
func (p *process) leads() time.Duration { return cpu(p.cmd.Process.Pid) }

// behind is that of its Redis.
func (p *process) behind() time.Duration {
	if p.redis == nil {
		return 0
	}
	return cpu(p.redis.PID())
}

func cpu(pid int) time.Duration {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	var ticks int64
	for _, f := range fields[11:13] { // utime and stime
		n, _ := strconv.ParseInt(f, 10, 64)
		ticks += n
	}
	return time.Duration(ticks) * time.Second / 100 // USER_HZ is 100 on every Linux
}

// rss is the memory of the processes in bytes.
func (p *process) rss() int64 {
	sum := rss(p.cmd.Process.Pid)
	for _, other := range p.others {
		sum += rss(other.Process.Pid)
	}
	return sum
}

func rss(pid int) int64 {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	_, rest, _ := bytes.Cut(status, []byte("VmRSS:"))
	fields := bytes.Fields(rest)
	if len(fields) == 0 {
		return 0
	}
	kb, _ := strconv.ParseInt(string(fields[0]), 10, 64)
	return kb << 10
}
