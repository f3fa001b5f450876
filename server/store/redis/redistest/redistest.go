// Package redistest starts a real Redis for tests.
package redistest

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

// A Server is a redis-server or valkey-server process of the test's own, with a
// folder of its own, set up to lose nothing.
type Server struct {
	URL  string
	dir  string
	port int
	cmd  *exec.Cmd
}

// Start starts one on a free port of the loopback interface.
func Start() (*Server, error) {
	dir, err := os.MkdirTemp("", "initgrace-redis-")
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	s := &Server{URL: fmt.Sprintf("redis://127.0.0.1:%d/0", port), dir: dir, port: port}
	if err := s.Restart(); err != nil {
		s.Stop()
		return nil, err
	}
	return s, nil
}

// PID is the process.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Kill ends the process as a power cut would.
func (s *Server) Kill() {
	s.cmd.Process.Kill()
	s.cmd.Wait()
}

// Pause has the process hang until Resume.
func (s *Server) Pause() error { return s.cmd.Process.Signal(syscall.SIGSTOP) }

// Resume undoes Pause.
func (s *Server) Resume() error { return s.cmd.Process.Signal(syscall.SIGCONT) }

// Restart starts the process again, with what it had written, and returns when
// it answers.
func (s *Server) Restart() error {
	path, err := find()
	if err != nil {
		return err
	}
	s.cmd = exec.Command(path, "--bind", "127.0.0.1", "--port", strconv.Itoa(s.port), "--dir", s.dir,
		"--appendonly", "yes", "--appendfsync", "always", "--save", "", "--logfile", filepath.Join(s.dir, "log"))
	if err := s.cmd.Start(); err != nil {
		return err
	}
	o, err := redis.ParseURL(s.URL)
	if err != nil {
		return err
	}
	client := redis.NewClient(o)
	defer client.Close()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if err = client.Ping(context.Background()).Err(); err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			log, _ := os.ReadFile(filepath.Join(s.dir, "log"))
			return fmt.Errorf("%s does not answer: %w\n%s", path, err, log)
		}
	}
}

// Stop ends the process and forgets what it had.
func (s *Server) Stop() {
	if s.cmd != nil && s.cmd.Process != nil {
		s.Kill()
	}
	os.RemoveAll(s.dir)
}

func find() (string, error) {
	for _, name := range []string{"redis-server", "valkey-server"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("neither redis-server nor valkey-server is installed; make test-tools does it")
}
