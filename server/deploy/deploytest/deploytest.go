// Package deploytest starts what server/deploy describes, for tests: the binary
// itself, and nginx in front of several of it.
package deploytest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"
)

// built is where Binary has put what it built.
var built string

// Binary builds initgrace, once for each process that asks, and says where it is.
var Binary = sync.OnceValues(func() (string, error) {
	var err error
	if built, err = os.MkdirTemp("", "initgrace-"); err != nil {
		return "", err
	}
	return Build(built)
})

// RemoveBinary removes what Binary has built; nobody may be building it.
func RemoveBinary() {
	if built != "" {
		os.RemoveAll(built)
	}
}

// Build builds initgrace in a folder.
func Build(dir string) (binary string, err error) {
	binary = filepath.Join(dir, "initgrace")
	out, err := exec.Command("go", "build", "-o", binary, "initgrace/server/cmd/initgrace").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return binary, nil
}

// Serve starts "binary serve args…" and returns when it serves, with its address
// as "host:port".
func Serve(binary string, args ...string) (server *exec.Cmd, addr string, err error) {
	server = exec.Command(binary, append([]string{"serve"}, args...)...)
	server.Stderr = os.Stderr
	out, err := server.StdoutPipe()
	if err != nil {
		return nil, "", err
	}
	if err := server.Start(); err != nil {
		return nil, "", err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	_, addr, ok := strings.Cut(line, "http://")
	if err != nil || !ok {
		server.Process.Kill()
		server.Wait()
		return nil, "", fmt.Errorf("the server does not start: %q, %v", line, err)
	}
	return server, strings.TrimSuffix(strings.TrimSpace(addr), "/"), nil
}

// FreeAddr is an address of the loopback interface on which nobody listens.
func FreeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// Ready waits until the server at an address admits participants.
func Ready(addr string) error {
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		res, err := http.Get("http://" + addr + "/readyz")
		if err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return nil
			}
			err = errors.New(res.Status)
		}
		if time.Since(began) > time.Minute {
			return fmt.Errorf("%s admits nobody: %w", addr, err)
		}
	}
}

// Nginx is a running nginx.
type Nginx struct {
	Addr string
	cmd  *exec.Cmd
	dir  string
	said bytes.Buffer
}

// StartNginx starts nginx with the configuration that is recommended, in front of
// these servers, of which at least one must serve or stand by. "HOST:PORT backup"
// is only asked when the others fail.
func StartNginx(servers ...string) (*Nginx, error) {
	path, err := exec.LookPath("nginx")
	if err != nil {
		path = "/usr/sbin/nginx"
	}
	_, here, _, _ := runtime.Caller(0)
	text, err := os.ReadFile(filepath.Join(filepath.Dir(here), "..", "nginx.conf"))
	if err != nil {
		return nil, err
	}
	n := &Nginx{}
	if n.Addr, err = FreeAddr(); err != nil {
		return nil, err
	}
	const two = "server 127.0.0.1:8081 max_fails=0;\n\t\tserver 127.0.0.1:8082 max_fails=0;"
	if !bytes.Contains(text, []byte(two)) {
		return nil, errors.New("deploytest: nginx.conf names other servers than it did")
	}
	var upstream strings.Builder
	for _, s := range servers {
		fmt.Fprintf(&upstream, "server %s max_fails=0;", s)
	}
	conf := strings.NewReplacer(two, upstream.String(), "127.0.0.1:8080", n.Addr,
		"http {", "http {\n\taccess_log off;\n\tclient_body_temp_path body;\n\tproxy_temp_path proxy;\n\tfastcgi_temp_path fastcgi;\n\tuwsgi_temp_path uwsgi;\n\tscgi_temp_path scgi;",
	).Replace(string(text))
	if n.dir, err = os.MkdirTemp("", "initgrace-nginx-"); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(n.dir, "nginx.conf"), []byte(conf), 0o600); err != nil {
		return nil, err
	}
	n.cmd = exec.Command(path, "-p", n.dir, "-c", "nginx.conf", "-e", "stderr", "-g", "daemon off; master_process off;")
	n.cmd.Stderr = &n.said
	if err := n.cmd.Start(); err != nil {
		return nil, fmt.Errorf("%w; make test-tools installs nginx", err)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		res, err := http.Get("http://" + n.Addr + "/healthz")
		if err == nil {
			io.Copy(io.Discard, res.Body)
			res.Body.Close()
			return n, nil
		}
		if time.Now().After(deadline) {
			n.Stop()
			return nil, fmt.Errorf("nginx: %w\n%s", err, &n.said)
		}
	}
}

// Stop ends it.
func (n *Nginx) Stop() {
	n.cmd.Process.Kill()
	n.cmd.Wait()
	os.RemoveAll(n.dir)
}
