// Command loader measures what a client costs a page, from the navigation to the
// server's ack of a load: the loader in a worker, the loader on the page,
// socket.io-client with emitWithAck, and none, for what the page itself costs; in
// one run, with the page's CPU throttled 1, 4 and 6 times. Every visit has a
// browser context of its own, so that nothing is in a cache.
//
//	make web && go run ./e2e/bench/loader -visits 7
//
// Times are the median and the least of the visits. Bytes are what the server
// sent, compressed as over plain HTTP (gzip). DevTools throttle the main thread
// and not a worker; on a slow machine the worker would be slower too.
package main

import (
	"cmp"
	"context"
	"embed"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"initgrace/server"
)

//go:embed page
var page embed.FS

func main() {
	visits := flag.Int("visits", 7, "of each client at each rate")
	limit := flag.Float64("limit", 0, "exit code 1 if the ack in a worker takes more than this, relative to socket.io-client at the highest rate (0: no limit)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ratio, err := run(ctx, os.Stdout, *visits)
	if err == nil && *limit > 0 && ratio > *limit {
		err = fmt.Errorf("the ack takes %.2f times as long, more than %.2f", ratio, *limit)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "loader:", err)
		os.Exit(1)
	}
}

var clients = []string{"worker", "page", "socketio", "none"}

// A visit is what one page measured, and what was sent for it.
type visit struct {
	Ack, Longest, Total float64
	Long                int
	bytes               int64
}

func run(ctx context.Context, stdout io.Writer, visits int) (ratio float64, err error) {
	browser, stop, err := startBrowser(ctx)
	if err != nil {
		return 0, err
	}
	defer stop()
	var sent atomic.Int64
	url, closeServer, err := startServer(&sent)
	if err != nil {
		return 0, err
	}
	defer closeServer()
	fmt.Fprintf(stdout, "%-5s %-9s %8s %8s %7s %9s %9s %9s\n", "CPU", "client", "ack ms", "least", "tasks", "longest", "in all", "bytes")
	for _, rate := range []float64{1, 4, 6} {
		all := make(map[string][]visit)
		for n := range visits {
			// In turn, so that whatever the machine does it does to all; and not
			// always behind the same one, whose page is still being cleared away.
			for _, i := range rand.Perm(len(clients)) {
				client := clients[i]
				sent.Store(0)
				v, err := look(browser, fmt.Sprintf("%s/?client=%s&participant=%s-%v-%d", url, client, client, rate, n), rate)
				if err != nil {
					return 0, fmt.Errorf("%s at %v×: %w", client, rate, err)
				}
				v.bytes = sent.Load()
				all[client] = append(all[client], v)
			}
		}
		for _, client := range clients {
			v := all[client]
			fmt.Fprintf(stdout, "%-5s %-9s %8.0f %8.0f %7.0f %9.0f %9.0f %9d\n", fmt.Sprintf("%v×", rate), client,
				median(v, func(v visit) float64 { return v.Ack }), least(v),
				median(v, func(v visit) float64 { return float64(v.Long) }),
				median(v, func(v visit) float64 { return v.Longest }),
				median(v, func(v visit) float64 { return v.Total }),
				int64(median(v, func(v visit) float64 { return float64(v.bytes) })))
		}
		ack := func(v visit) float64 { return v.Ack }
		ratio = median(all["worker"], ack) / median(all["socketio"], ack)
		fmt.Fprintf(stdout, "      ack in a worker: %.2f × socket.io-client's\n", ratio)
	}
	return ratio, nil
}

func median(v []visit, of func(visit) float64) float64 {
	s := make([]float64, len(v))
	for i := range v {
		s[i] = of(v[i])
	}
	slices.Sort(s)
	return s[len(s)/2]
}

func least(v []visit) float64 {
	return slices.MinFunc(v, func(a, b visit) int { return cmp.Compare(a.Ack, b.Ack) }).Ack
}

// look makes one visit.
func look(browser context.Context, url string, rate float64) (v visit, err error) {
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil {
		return v, err
	}
	if _, err := chromedp.Call(ctx, emulation.SetCPUThrottlingRate, emulation.SetCPUThrottlingRateParams{Rate: rate}); err != nil {
		return v, err
	}
	within, stop := context.WithTimeout(ctx, time.Minute)
	defer stop()
	if err := chromedp.Do(within, chromedp.Navigate(url)); err != nil {
		return v, err
	}
	return chromedp.Run(within, chromedp.Evaluate[visit]("globalThis.result", chromedp.EvalAwaitPromise))
}

func startServer(sent *atomic.Int64) (url string, stop func(), err error) {
	files, err := fs.Sub(page, "page")
	if err != nil {
		return "", nil, err
	}
	srv, err := server.New(server.Config{
		Site:   layers{files, os.DirFS("node_modules/socket.io-client/dist")},
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return "", nil, err
	}
	listener := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/socket.io/" { // hijacked
			srv.ServeHTTP(w, r)
			return
		}
		srv.ServeHTTP(counter{w, sent}, r)
	}))
	return listener.URL, func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := srv.Close(ctx); err != nil {
			fmt.Fprintln(os.Stderr, "loader: closing the server:", err)
		}
		listener.CloseClientConnections()
		listener.Close()
	}, nil
}

// layers looks a file up in several file systems, in order.
type layers []fs.FS

func (l layers) Open(name string) (f fs.File, err error) {
	for _, layer := range l {
		if f, err = layer.Open(name); err == nil {
			return f, nil
		}
	}
	return nil, err
}

// counter counts what is sent.
type counter struct {
	http.ResponseWriter
	sent *atomic.Int64
}

func (c counter) Write(b []byte) (int, error) {
	n, err := c.ResponseWriter.Write(b)
	c.sent.Add(int64(n))
	return n, err
}

func (c counter) Unwrap() http.ResponseWriter { return c.ResponseWriter }

func startBrowser(ctx context.Context) (context.Context, func(), error) {
	var path string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			path = p
			break
		}
	}
	if path == "" {
		return nil, nil, fmt.Errorf("no browser found")
	}
	flags := []chromedp.ExecAllocatorOption{chromedp.ExecPath(path)}
	for _, name := range []string{"headless", "disable-gpu", "no-first-run", "disable-background-networking", "disable-component-update", "disable-sync", "disable-dev-shm-usage"} {
		flags = append(flags, chromedp.Flag(name, true))
	}
	if os.Getuid() == 0 {
		flags = append(flags, chromedp.NoSandbox)
	}
	alloc, stopAlloc := chromedp.NewExecAllocator(ctx, flags...)
	browser, stop := chromedp.NewContext(alloc)
	if err := chromedp.Do(browser); err != nil {
		stopAlloc()
		return nil, nil, err
	}
	return browser, func() { stop(); stopAlloc() }, nil
}
