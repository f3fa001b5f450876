package e2e

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"
)

// TestConnectTasks: when an open page connects, with a worker as its host and
// its CPU throttled 6 times, no task of its main thread takes 50 ms, from the
// import of loader.js until what follows the connection is over. Counted is what
// the thread itself computed, as in TestDashboardOfMany, throttling included: how
// long it waits for one of two cores is no matter of the loader's. What is told
// is the median of nine visits, each with an empty cache. INITGRACE_LOAD_TESTS
// asks for it.
func TestConnectTasks(t *testing.T) {
	if os.Getenv("INITGRACE_LOAD_TESTS") == "" {
		t.Skip("INITGRACE_LOAD_TESTS is not set")
	}
	l := newLab(t, nil)
	var longest []time.Duration
	for n := range 9 {
		p := open(t, fmt.Sprint("visitor-", n), l.URL)
		p.throttle(6)
		tasks := p.traced(func() {
			host := await[string](p, `(async () => {
				const { connect } = await import("/initgrace/loader.js");
				const session = await connect({ participant: "`+p.name+`" });
				await session.emit("pyodide_loading_start", {});
				await new Promise((resolve) => setTimeout(resolve, 1000));
				return session.host;
			})()`)
			if host != "worker" {
				t.Fatalf("the host is %s", host)
			}
		})
		slices.SortFunc(tasks, func(a, b task) int { return cmp.Compare(b.CPU, a.CPU) })
		for _, k := range tasks[:min(len(tasks), 3)] {
			t.Logf("after %v: computed for %v in %v: %s", k.At, k.CPU, k.Wall, k.Of)
		}
		longest = append(longest, tasks[0].CPU)
		p.closeTab()
	}
	slices.Sort(longest)
	t.Logf("the longest of each visit: %v", longest)
	if median := longest[len(longest)/2]; median >= 50*time.Millisecond {
		t.Errorf("the main thread was busy for %v", median)
	}
}
