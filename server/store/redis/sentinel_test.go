package redis_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	driver "github.com/redis/go-redis/v9"

	"initgrace/server/eventlog"
	"initgrace/server/store"
	"initgrace/server/store/redis"
	"initgrace/server/store/redis/redistest"
)

// TestSentinel: the Redis that Sentinel names is used, and the next one when that
// is killed. The leader goes on leading.
func TestSentinel(t *testing.T) {
	main, replica := start(t), start(t)
	host, port := split(t, main.URL)
	direct := client(t, replica.URL)
	if err := direct.ReplicaOf(t.Context(), host, port).Err(); err != nil {
		t.Fatal(err)
	}
	sentinel := startSentinel(t, host, port)
	s, err := redis.Open(t.Context(), "redis+sentinel://"+sentinel+"/main/0", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Lead(t.Context(), "", nil); err != nil {
		t.Fatal(err)
	}
	if err := s.Put(t.Context(), store.Batch{Sessions: []store.Session{{Participant: "p", Epoch: 1}}}); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if direct.Exists(t.Context(), "initgrace:session:p").Val() == 1 && knows(t, sentinel) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the replica does not follow")
		}
	}
	main.Kill()
	killed := time.Now()
	for n := int64(1); ; n++ {
		b := store.Batch{Records: []eventlog.Record{{Run: "r", Seq: n}}, Sessions: []store.Session{{Participant: "p", Epoch: 2}}}
		if err = s.Put(t.Context(), b); err == nil || time.Since(killed) > 40*time.Second {
			break
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("stored %v after the kill", time.Since(killed).Round(time.Millisecond))
	if got, ok, err := s.Session(t.Context(), "p"); err != nil || !ok || got.Epoch != 2 {
		t.Errorf("epoch %d: %v", got.Epoch, err)
	}
	select {
	case <-s.Superseded():
		t.Error("superseded by nobody")
	default:
	}
}

func start(t *testing.T) *redistest.Server {
	t.Helper()
	s, err := redistest.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

func split(t *testing.T, url string) (host, port string) {
	t.Helper()
	o, err := driver.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	host, port, _ = strings.Cut(o.Addr, ":")
	return host, port
}

// startSentinel starts one that alone decides, and soon.
func startSentinel(t *testing.T, host, port string) (addr string) {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		if path, err = exec.LookPath("valkey-server"); err != nil {
			t.Fatal(err)
		}
	}
	spare := start(t) // for its port
	_, own := split(t, spare.URL)
	spare.Kill()
	conf := filepath.Join(t.TempDir(), "sentinel.conf")
	text := fmt.Sprintf("bind 127.0.0.1\nport %s\nsentinel monitor main %s %s 1\nsentinel down-after-milliseconds main 500\nsentinel failover-timeout main 5000\n", own, host, port)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, conf, "--sentinel")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	return "127.0.0.1:" + own
}

// knows says whether Sentinel has heard of the replica.
func knows(t *testing.T, sentinel string) bool {
	c := driver.NewSentinelClient(&driver.Options{Addr: sentinel})
	defer c.Close()
	replicas, err := c.Replicas(t.Context(), "main").Result()
	return err == nil && len(replicas) == 1 && replicas[0]["flags"] == "slave"
}
