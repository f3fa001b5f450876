// Storm measures a reconnect storm: all sessions are dropped at once, and the
// time is taken until all are back, restored. Every one must be, with no error.
//
//	go run ./e2e/bench/storm -n 2000
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"initgrace/grace/protocol"
	"initgrace/server"
	"initgrace/server/faultproxy"
	"initgrace/server/socketio"
	"initgrace/server/store/sqlite"
	"initgrace/wasmclient"
)

func main() {
	if err := run(context.Background(), os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "storm:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("storm", flag.ContinueOnError)
	n := flags.Int("n", 2000, "sessions")
	if err := flags.Parse(args); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	dir, err := os.MkdirTemp("", "storm")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	db, err := sqlite.Open(filepath.Join(dir, "study.db"), nil)
	if err != nil {
		return err
	}
	// The limits are the default's but for the address, which all share here.
	srv, err := server.New(server.Config{
		Store: db, Limits: socketio.Limits{PerAddress: -1}, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if err != nil {
		return err
	}
	defer srv.Close(ctx)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go http.Serve(l, srv)
	network, err := faultproxy.Listen(l.Addr().String())
	if err != nil {
		return err
	}
	defer network.Close()

	var (
		mu      sync.Mutex
		dropped time.Time
		took    []time.Duration
		wrong   []error
		all     sync.WaitGroup
		ready   = make(chan struct{}, *n)
	)
	fail := func(err error) {
		mu.Lock()
		defer mu.Unlock()
		wrong = append(wrong, err)
	}
	slots := make(chan struct{}, 64)
	for i := range *n {
		all.Go(func() {
			back := make(chan protocol.Session, 1)
			slots <- struct{}{}
			c, err := wasmclient.Dial(ctx, "http://"+network.Addr(), &wasmclient.Options{
				Participant: "p" + strconv.Itoa(i), Latency: -1,
				Handlers: map[string]func([]byte){wasmclient.EventRestored: func(data []byte) {
					var s protocol.Session
					if err := json.Unmarshal(data, &s); err != nil {
						fail(err)
					}
					select {
					case back <- s:
					default:
					}
				}},
			})
			if err == nil {
				_, err = c.SaveState(ctx, protocol.State{SceneID: strconv.Itoa(i)})
			}
			<-slots
			ready <- struct{}{}
			if err != nil {
				fail(err)
				return
			}
			defer func() {
				over, cancel := context.WithCancel(ctx)
				cancel()
				_ = c.Close(over)
			}()
			select {
			case s := <-back:
				mu.Lock()
				took = append(took, time.Since(dropped))
				mu.Unlock()
				if !s.Restored || s.Expired || s.SceneID != strconv.Itoa(i) {
					fail(fmt.Errorf("p%d came back as %+v", i, s))
				}
			case <-c.Done():
				fail(fmt.Errorf("p%d: %w", i, c.Err()))
			case <-ctx.Done():
				fail(fmt.Errorf("p%d: %w", i, ctx.Err()))
			}
		})
	}
	for range *n {
		<-ready
	}
	mu.Lock()
	dropped = time.Now()
	mu.Unlock()
	network.Reset()
	all.Wait()
	if len(wrong) > 0 {
		return fmt.Errorf("%d of %d went wrong, the first: %w", len(wrong), *n, wrong[0])
	}
	slices.Sort(took)
	fmt.Fprintf(out, "%d sessions dropped at once are back and restored: median %v, 99 %% %v, the last %v\n",
		*n, took[len(took)/2].Round(time.Millisecond), took[len(took)*99/100].Round(time.Millisecond), took[len(took)-1].Round(time.Millisecond))
	return nil
}
