package socketio

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Some tests need a server in a process of its own: to see it die, or to see
// what it costs apart from its clients. The process is this test binary again;
// see TestMain.

const (
	childEnv  = "INITGRACE_TEST_CHILD"
	childBare = "bare" // the module alone
	childWall = "wall" // this package, without limits

	childDefault = "default" // this package, with its default limits
)

// serveChild prints its address and serves until standard input ends. For each
// line that it reads it prints its CPU time in ns and its memory in bytes.
func serveChild(h http.Handler) {
	hs := httptest.NewServer(h)
	fmt.Println(strings.TrimPrefix(hs.URL, "http://"))
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		debug.FreeOSMemory()
		var use syscall.Rusage
		syscall.Getrusage(syscall.RUSAGE_SELF, &use)
		var pages, resident int64
		statm, _ := os.ReadFile("/proc/self/statm")
		fmt.Sscan(string(statm), &pages, &resident)
		fmt.Println(use.Utime.Nano()+use.Stime.Nano(), resident*int64(os.Getpagesize()))
	}
}

// A child is such a process.
type child struct {
	addr   string
	in     io.WriteCloser
	out    *bufio.Reader
	stderr bytes.Buffer
	dead   chan struct{}
}

func startChild(t testing.TB, kind string) *child {
	t.Helper()
	c := &child{dead: make(chan struct{})}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+kind)
	cmd.Stderr = &c.stderr
	var err error
	if c.in, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c.out = bufio.NewReader(out)
	line, err := c.out.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	c.addr = strings.TrimSpace(line)
	go func() {
		cmd.Wait()
		close(c.dead)
	}()
	t.Cleanup(func() {
		c.in.Close()
		<-c.dead
	})
	return c
}

func (c *child) died(within time.Duration) bool {
	select {
	case <-c.dead:
		return true
	case <-time.After(within):
		return false
	}
}

// cost is what the process has used and holds.
func (c *child) cost(t testing.TB) (cpu time.Duration, memory int64) {
	t.Helper()
	fmt.Fprintln(c.in, "cost")
	if _, err := fmt.Fscan(c.out, &cpu, &memory); err != nil {
		t.Fatal(err)
	}
	c.out.ReadString('\n')
	return cpu, memory
}
