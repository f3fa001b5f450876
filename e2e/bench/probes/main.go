// Command probes measures what it costs to ask browsers for signs of life: two
// real servers run side by side, one asks and one does not, each with as many
// idle connections, and their CPU time is compared. Whatever else the machine
// does, it does to both.
//
//	go run ./e2e/bench/probes -connections 5000 -time 30s
//
// Idle is the worst case: a page that sends something every second is never
// asked. With -ping 1s the pages measure latency, as the loader does. With
// -settle 0 it measures the first minute of a connection, in which every browser
// is asked each second; after it, as by default, only those whose pages are late.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/coder/websocket"
)

func main() {
	connections := flag.Int("connections", 5000, "of each server")
	window := flag.Duration("time", 30*time.Second, "how long to measure")
	settle := flag.Duration("settle", time.Minute+5*time.Second, "how long to wait between the last connection and measuring")
	ping := flag.Duration("ping", 0, "how often a page measures its latency (0: never)")
	limit := flag.Float64("limit", 1.3, "exit code 1 if asking costs more than this, relative to not asking")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ratio, err := run(ctx, *connections, *settle, *window, *ping)
	if err == nil && ratio > *limit {
		err = fmt.Errorf("asking costs %.2f times as much, more than %.2f", ratio, *limit)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "probes:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, connections int, settle, window, ping time.Duration) (ratio float64, err error) {
	dir, err := os.MkdirTemp("", "probes")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	binary := filepath.Join(dir, "initgrace")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", binary, "initgrace/server/cmd/initgrace").CombinedOutput(); err != nil {
		return 0, fmt.Errorf("%w: %s", err, out)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	servers := []*server{{name: "asks", policy: "{}"}, {name: "does not ask", policy: "{probe_interval: off, page_timeout: 1m}"}}
	for _, s := range servers {
		if err := s.start(binary, dir); err != nil {
			return 0, err
		}
		defer s.stop()
	}
	fmt.Printf("connecting %d pages to each of two servers\n", connections)
	if err := connect(ctx, servers, connections, ping); err != nil {
		return 0, err
	}
	if !sleep(ctx, max(settle, 5*time.Second)) { // what connecting cost is paid
		return 0, ctx.Err()
	}

	before := [2]time.Duration{}
	began := time.Now()
	for i, s := range servers {
		if before[i], err = s.cpu(); err != nil {
			return 0, err
		}
	}
	if !sleep(ctx, window) {
		return 0, ctx.Err()
	}
	var used [2]time.Duration
	for i, s := range servers {
		now, err := s.cpu()
		if err != nil {
			return 0, err
		}
		used[i] = now - before[i]
		fmt.Printf("%-12s  %6.2f %% of a core, %4.1f µs a second and page\n", s.name,
			100*used[i].Seconds()/time.Since(began).Seconds(),
			float64(used[i].Microseconds())/time.Since(began).Seconds()/float64(connections))
	}
	for _, s := range servers {
		if n := s.lost(); n > 0 {
			return 0, fmt.Errorf("%d pages of the server that %s were disconnected", n, s.name)
		}
	}
	ratio = used[0].Seconds() / used[1].Seconds()
	fmt.Printf("ratio %.2f\n", ratio)
	return ratio, nil
}

// A server is one process of the real binary.
type server struct {
	name, policy string
	url          string
	process      *exec.Cmd

	mu   sync.Mutex
	gone int // pages
}

func (s *server) start(binary, dir string) error {
	config := filepath.Join(dir, strings.ReplaceAll(s.name, " ", "-")+".yaml")
	if err := os.WriteFile(config, []byte("policy: "+s.policy+"\n"), 0o600); err != nil {
		return err
	}
	s.process = exec.Command(binary, "serve", "--addr", "127.0.0.1:0", "--config", config, "--log-level", "error",
		"--max-connections=-1", "--max-per-address=-1", "--max-handshakes=-1")
	s.process.Stderr = os.Stderr
	out, err := s.process.StdoutPipe()
	if err != nil {
		return err
	}
	if err := s.process.Start(); err != nil {
		return err
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if _, address, ok := strings.Cut(lines.Text(), "serves http"); ok {
			s.url = "ws" + address + "socket.io/?EIO=4&transport=websocket"
			return nil
		}
	}
	return errors.New("the server did not start")
}

func (s *server) stop() {
	s.process.Process.Kill()
	s.process.Wait()
}

// cpu is the processor time that the process has used (Linux).
func (s *server) cpu() (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.process.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(stat), ") ") // the name may contain anything
	fields := strings.Fields(rest)
	var ticks int64
	for _, f := range fields[11:13] { // utime and stime
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * (time.Second / 100), nil // USER_HZ
}

func (s *server) lost() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.gone
}

// connect opens the pages of both servers, in turns.
func connect(ctx context.Context, servers []*server, n int, ping time.Duration) error {
	const atOnce = 50
	turns := make(chan struct{}, atOnce)
	failed := make(chan error, 1)
	var opening sync.WaitGroup
	for i := range n {
		for _, s := range servers {
			turns <- struct{}{}
			opening.Go(func() {
				defer func() { <-turns }()
				ws, err := open(ctx, s.url, i)
				if err != nil {
					select {
					case failed <- err:
					default:
					}
					return
				}
				go s.page(ctx, ws, ping)
			})
		}
	}
	opening.Wait()
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

// open connects a page as any Socket.IO client does.
func open(ctx context.Context, url string, i int) (*websocket.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	ws, _, err := websocket.Dial(ctx, url, nil)
	if err != nil {
		return nil, err
	}
	if _, _, err = ws.Read(ctx); err != nil {
		return nil, err
	}
	return ws, write(ctx, ws, fmt.Sprintf(`40{"participant":"p%d","group":"g%d"}`, i, i/2))
}

func write(ctx context.Context, ws *websocket.Conn, frame string) error {
	return ws.Write(ctx, websocket.MessageText, []byte(frame))
}

// page answers pings; Read answers those of the protocol.
func (s *server) page(ctx context.Context, ws *websocket.Conn, ping time.Duration) {
	defer ws.CloseNow()
	if ping > 0 {
		go func() {
			for sleep(ctx, ping) && write(ctx, ws, `42["ping",{"latency_ms":1}]`) == nil {
			}
		}()
	}
	for {
		_, frame, err := ws.Read(ctx)
		if err == nil && string(frame) == "2" {
			err = write(ctx, ws, "3")
		}
		if err != nil {
			if ctx.Err() == nil {
				s.mu.Lock()
				s.gone++
				s.mu.Unlock()
			}
			return
		}
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}
