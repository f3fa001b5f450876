package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/chromedp/chromedp"
)

// markers is how many idle workers make a page's process known: more than any
// page here has of its own.
const markers = 6

// identifying lets one page have its markers at a time.
var identifying sync.Mutex

// identify finds the process in which the page runs. DevTools does not tell;
// but each worker is a thread with a name.
func (p *Page) identify() {
	p.t.Helper()
	identifying.Lock()
	defer identifying.Unlock()
	await[any](p, fmt.Sprintf(`(async () => {
		window.markers = Array.from({ length: %d }, () => new Worker("idle-worker.js"));
		await Promise.all(markers.map((w) => new Promise((ready) => { w.onmessage = ready })));
	})()`, markers))
	browser := chromedp.FromContext(browserCtx).Browser.Process().Pid
	var found []int
	for _, pid := range renderers(browser) {
		if workers(pid) >= markers {
			found = append(found, pid)
		}
	}
	if len(found) != 1 {
		p.t.Fatalf("page %s: %d renderers have its workers", p.name, len(found))
	}
	p.pid = found[0]
	await[any](p, "markers.forEach((w) => w.terminate())")
	for deadline := time.Now().Add(patience); workers(p.pid) >= markers; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			p.t.Fatalf("page %s: its markers do not end", p.name)
		}
	}
}

// workers is how many dedicated workers a renderer runs.
func workers(pid int) int {
	n := 0
	names, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/comm", pid))
	for _, name := range names {
		if b, _ := os.ReadFile(name); strings.HasPrefix(string(b), "DedicatedWorker") {
			n++
		}
	}
	return n
}

// awaitBlocked waits until the page's main thread computes, without asking the
// page. The page must be identified, and idle before it blocks.
func (p *Page) awaitBlocked() {
	p.t.Helper()
	const enough = 300 * time.Millisecond
	start, last := mainThreadTime(p.pid), time.Duration(0)
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if last = mainThreadTime(p.pid) - start; last >= enough {
			return
		}
	}
	p.t.Fatalf("page %s: its main thread computed for %v only", p.name, last)
}

// killRenderer kills the process in which the page runs. The page must be
// identified.
func (p *Page) killRenderer() time.Time {
	p.t.Helper()
	p.gone = true
	process, err := os.FindProcess(p.pid)
	if err == nil {
		err = process.Kill()
	}
	if err != nil {
		p.t.Fatalf("page %s: killing its renderer: %v", p.name, err)
	}
	return time.Now()
}

// renderers are the processes below the browser in which pages run.
func renderers(browser int) (pids []int) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	parent := map[int]int{}
	for _, path := range stats {
		var pid int
		fmt.Sscanf(path, "/proc/%d/stat", &pid)
		if f := stat(path); f != nil {
			var ppid int
			fmt.Sscan(f[1], &ppid)
			parent[pid] = ppid
		}
	}
	for pid := range parent {
		cmdline, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if !strings.Contains(string(cmdline), "--type=renderer") {
			continue
		}
		for up := pid; up > 1; up = parent[up] {
			if up == browser {
				pids = append(pids, pid)
				break
			}
		}
	}
	return pids
}

// mainThreadTime is how much processor time a process's first thread has used.
func mainThreadTime(pid int) time.Duration {
	f := stat(fmt.Sprintf("/proc/%d/task/%[1]d/stat", pid))
	if f == nil {
		return 0
	}
	var user, system int64
	fmt.Sscan(f[11], &user)
	fmt.Sscan(f[12], &system)
	return time.Duration(user+system) * time.Second / 100 // USER_HZ is 100 on every Linux
}

// stat reads the fields after the name, which may hold anything, from a stat
// file of /proc: state, ppid, … Nil if the process has ended.
func stat(path string) []string {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	return strings.Fields(string(b)[strings.LastIndex(string(b), ")")+1:])
}
