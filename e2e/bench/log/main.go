// Command log measures what the event log costs: two servers run side by side,
// one of which stores no records; the same simulated participants, by the same
// script, come to each, and the processor time of the two is compared. Whatever
// else the machine does, it does to both.
//
//	go run ./e2e/bench/log -participants 500 -time 1m
//
// Both store sessions and messages in a file each.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"initgrace/server"
	"initgrace/server/simulate"
	"initgrace/server/socketio"
	"initgrace/server/store"
	"initgrace/server/store/sqlite"
)

func main() {
	participants := flag.Int("participants", 500, "of each server")
	length := flag.Duration("time", time.Minute, "how long the simulated experiment is")
	limit := flag.Float64("limit", 1.1, "exit code 1 if the log costs more than this, relative to none")
	db := flag.String("serve", "", "be a server with this database instead")
	logs := flag.Bool("log", true, "with -serve: store the event log")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	run := func() error { return compare(ctx, *participants, *length, *limit) }
	if *db != "" {
		run = func() error { return serve(ctx, *db, *logs) }
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "log:", err)
		os.Exit(1)
	}
}

func compare(ctx context.Context, participants int, length time.Duration, limit float64) error {
	dir, err := os.MkdirTemp("", "log")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var cost [2]time.Duration
	var failed [2]error
	var running sync.WaitGroup
	for i, logs := range []bool{false, true} {
		running.Go(func() {
			db := filepath.Join(dir, fmt.Sprintf("%v.db", logs))
			cost[i], failed[i] = visit(ctx, db, logs, &simulate.Options{Participants: participants, Seed: 1, Duration: length, Scale: 1})
		})
	}
	running.Wait()
	if err := errors.Join(failed[:]...); err != nil {
		return err
	}
	ratio := cost[1].Seconds() / cost[0].Seconds()
	fmt.Printf("%d participants, %v and their deaths: %.2f s of processor time without the log, %.2f s with it, ratio %.2f\n",
		participants, length, cost[0].Seconds(), cost[1].Seconds(), ratio)
	if ratio > limit {
		return fmt.Errorf("the log costs %.2f times as much as none, more than %.2f", ratio, limit)
	}
	return nil
}

// visit lets the simulation come to a server of its own and returns what that
// one used.
func visit(ctx context.Context, db string, logs bool, o *simulate.Options) (time.Duration, error) {
	process := exec.Command(os.Args[0], "-serve", db, fmt.Sprintf("-log=%v", logs))
	process.Stderr = os.Stderr
	out, err := process.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := process.Start(); err != nil {
		return 0, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	o.URL = strings.TrimSpace(line)
	if err == nil {
		_, err = simulate.Run(ctx, o)
	}
	process.Process.Signal(syscall.SIGTERM)
	if err := errors.Join(err, process.Wait()); err != nil {
		return 0, err
	}
	return process.ProcessState.UserTime() + process.ProcessState.SystemTime(), nil
}

// withoutLog stores no records.
type withoutLog struct{ store.Store }

func (w withoutLog) Put(ctx context.Context, b store.Batch) error {
	b.Records = nil
	return w.Store.Put(ctx, b)
}

// serve is a server until ctx ends. It prints its address.
func serve(ctx context.Context, file string, logs bool) error {
	var db store.Store
	db, err := sqlite.Open(file, nil)
	if err != nil {
		return err
	}
	if !logs {
		db = withoutLog{db}
	}
	srv, err := server.New(server.Config{
		Store: db, Limits: socketio.Limits{Connections: -1, PerAddress: -1, Handshakes: -1},
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})),
	})
	if err != nil {
		return errors.Join(err, db.Close())
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return errors.Join(err, srv.Close(context.Background()), db.Close())
	}
	fmt.Printf("http://%s\n", listener.Addr())
	web := &http.Server{Handler: srv}
	go web.Serve(listener)
	<-ctx.Done()
	ending, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return errors.Join(srv.Close(ending), web.Close(), db.Close())
}
