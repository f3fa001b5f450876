package e2e

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/tracing"
	"github.com/chromedp/chromedp"
)

// A task is one turn of a page's main thread, which nothing else can
// interrupt. CPU is what the thread computed in it, Wall how long it took:
// longer on a machine that others use as well.
type task struct {
	At, Wall, CPU time.Duration
	Of            string // what was done in it, the longest first
}

// traced is every task of the page's main thread while something is done.
func (p *Page) traced(do func()) []task {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, 4*patience)
	defer cancel()
	type event struct {
		Name string         `json:"name"`
		Ph   string         `json:"ph"`
		Pid  int            `json:"pid"`
		Tid  int            `json:"tid"`
		At   int64          `json:"ts"`  // µs
		Wall int64          `json:"dur"` // µs
		CPU  int64          `json:"tdur"`
		Args map[string]any `json:"args"`
	}
	var events []event
	complete, failed := make(chan struct{}), make(chan error, 1)
	if err := chromedp.Listen(ctx, func(e any) {
		switch e := e.(type) {
		case *tracing.EventDataCollected:
			for _, v := range e.Value {
				var into event
				if err := json.Unmarshal(v, &into); err != nil {
					select {
					case failed <- fmt.Errorf("a trace event: %w", err):
					default:
					}
					return
				}
				events = append(events, into)
			}
		case *tracing.EventTracingComplete:
			close(complete)
		}
	}); err != nil {
		p.t.Fatal(err)
	}
	_, err := chromedp.Call(ctx, tracing.Start, tracing.StartParams{
		TransferMode: tracing.StartTransferModeReportEvents,
		TraceConfig: &tracing.TraceConfig{
			RecordMode: tracing.TraceConfigRecordModeRecordAsMuchAsPossible, IncludedCategories: []string{"toplevel", "devtools.timeline", "v8"},
			ExcludedCategories: []string{"*"},
		},
	})
	if err != nil {
		p.t.Fatal(err)
	}
	do()
	if _, err := chromedp.Call(ctx, tracing.End, cdp.Empty{}); err != nil {
		p.t.Fatal(err)
	}
	select {
	case <-complete:
	case err := <-failed:
		p.t.Fatal(err)
	case <-ctx.Done():
		p.t.Fatal("the trace does not end")
	}

	// The page's is the main thread of a renderer that did most.
	type thread struct{ pid, tid int }
	busy := map[thread]int64{}
	for _, e := range events {
		if e.Ph == "M" && e.Name == "thread_name" && e.Args["name"] == "CrRendererMain" {
			busy[thread{e.Pid, e.Tid}] = 0
		}
	}
	isTask := func(e *event) bool { return e.Ph == "X" && strings.HasSuffix(e.Name, "RunTask") }
	for i := range events {
		e := &events[i]
		if _, ok := busy[thread{e.Pid, e.Tid}]; ok && isTask(e) {
			busy[thread{e.Pid, e.Tid}] += e.CPU
		}
	}
	var page thread
	for t, cpu := range busy {
		if cpu > busy[page] {
			page = t
		}
	}
	events = slices.DeleteFunc(events, func(e event) bool { return e.Ph != "X" || e.Pid != page.pid || e.Tid != page.tid })
	if len(events) == 0 {
		p.t.Fatal("nothing of the page is in the trace")
	}
	slices.SortStableFunc(events, func(a, b event) int { return cmp.Or(cmp.Compare(a.At, b.At), -cmp.Compare(a.Wall, b.Wall)) })
	us := func(n int64) time.Duration {
		return (time.Duration(n) * time.Microsecond).Round(100 * time.Microsecond)
	}
	var tasks []task
	for i := 0; i < len(events); {
		e := &events[i]
		end, parts := e.At+e.Wall, map[string]int64{}
		for i++; i < len(events) && events[i].At < end; i++ {
			if !isTask(&events[i]) {
				parts[events[i].Name] += events[i].CPU
			}
		}
		if !isTask(e) {
			continue
		}
		names := slices.SortedFunc(maps.Keys(parts), func(a, b string) int { return cmp.Compare(parts[b], parts[a]) })
		var of []string
		for _, name := range names[:min(len(names), 5)] {
			of = append(of, fmt.Sprint(name, " ", us(parts[name])))
		}
		tasks = append(tasks, task{us(e.At - events[0].At), us(e.Wall), us(e.CPU), strings.Join(of, ", ")})
	}
	return tasks
}
