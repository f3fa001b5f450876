// Command compare measures this server beside what one would use instead, on
// one machine, in turn, with the same crowd of participants and the same events.
// Each visit is a line in bin/bench/results.jsonl; BENCHMARKS.md is made of all
// the lines, so that a comparison may be made in several goes.
//
//	make bench                                       # everything, about an hour
//	make bench BENCH=-quick                          # a smaller one, about 8 min
//	bin/bench/compare -servers initgrace,floor -sizes 1000 -rows loads
//	bin/bench/compare -servers initgrace-db,redis,redis-3 -rows idle,loads,relay -o server/deploy/BENCHMARKS.md -dir bin/bench/redis
//	bin/bench/compare -render
//
// It is for Linux: processor time and memory are read from /proc.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
}

var allRows = []string{"connect", "idle", "loads", "relay", "storm", "churn", "freeze", "left"}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("compare", flag.ContinueOnError)
	var names []string
	for _, c := range contestants {
		if !c.asked {
			names = append(names, c.name)
		}
	}
	servers := flags.String("servers", strings.Join(names, ","), "which servers")
	sizes := flags.String("sizes", "100,1000,5000", "how many participants")
	rows := flags.String("rows", strings.Join(allRows, ","), "what is measured")
	rounds := flags.Int("rounds", 3, "visits of each size to each server; the tables have medians")
	short := flags.Bool("quick", false, "shorter, and unless they are given 100 and 1,000 participants, one round")
	dir := flags.String("dir", "bin/bench", "where the programs and the results are")
	forget := flags.Bool("fresh", false, "forget earlier results")
	render := flags.Bool("render", false, "only write the tables")
	browser := flags.Bool("browser", false, "also what a client costs a page, if there is a Chromium")
	file := flags.String("o", "BENCHMARKS.md", "where the tables go")
	if err := flags.Parse(args); err != nil {
		return err
	}
	span := thorough
	if *short {
		span = quick
		given := make(map[string]bool)
		flags.Visit(func(f *flag.Flag) { given[f.Name] = true })
		if !given["sizes"] {
			*sizes = "100,1000"
		}
		if !given["rounds"] {
			*rounds = 1
		}
	}
	results := filepath.Join(*dir, "results.jsonl")
	if *forget {
		if err := os.RemoveAll(results); err != nil {
			return err
		}
	}
	if !*render {
		if err := build(ctx, *dir); err != nil {
			return err
		}
		if err := raiseLimit(); err != nil {
			return err
		}
		chosen, err := choose(*servers, out)
		if err != nil {
			return err
		}
		measured := make(map[string]bool)
		for r := range strings.SplitSeq(*rows, ",") {
			if !slices.Contains(allRows, r) {
				return fmt.Errorf("there is no row %q: %s", r, strings.Join(allRows, ", "))
			}
			measured[r] = true
		}
		for size := range strings.SplitSeq(*sizes, ",") {
			n, err := strconv.Atoi(size)
			if err != nil || n < 4 || n%2 != 0 {
				return fmt.Errorf("%q is not an even number of participants", size)
			}
			for range *rounds {
				for _, c := range chosen { // in turn: whatever the machine does, it does to all
					v, err := look(ctx, c, n, measured, span, *dir)
					if ctx.Err() != nil {
						return ctx.Err()
					}
					if v.Commit = commit(); err != nil {
						v.Error = err.Error()
					}
					if err := note(results, v); err != nil {
						return err
					}
					fmt.Fprintf(out, "%s %d %s", c.name, n, v.Error)
					for _, k := range slices.Sorted(maps.Keys(v.Metrics)) {
						fmt.Fprintf(out, " %s=%.4g", k, v.Metrics[k])
					}
					fmt.Fprintln(out)
				}
			}
		}
	}
	page := filepath.Join(*dir, "browser.txt")
	if *browser {
		text, err := inBrowser(ctx)
		if err != nil {
			fmt.Fprintf(out, "without the browser's rows: %v\n", err)
		} else if err := os.WriteFile(page, []byte(text), 0o644); err != nil {
			return err
		}
	}
	visits, err := recall(results)
	if err != nil {
		return err
	}
	pageCosts, _ := os.ReadFile(page) // nothing measured, nothing shown
	var table bytes.Buffer
	write(&table, visits, machine(), string(pageCosts))
	return os.WriteFile(*file, table.Bytes(), 0o644)
}

// inBrowser measures what a client costs a page, and tells it as the table does.
func inBrowser(ctx context.Context) (string, error) {
	measure := func(command ...string) (string, error) {
		var told, complaints bytes.Buffer
		c := exec.CommandContext(ctx, command[0], command[1:]...)
		c.Stdout, c.Stderr = &told, &complaints
		if err := c.Run(); err != nil {
			return "", fmt.Errorf("%v: %w: %s", command, err, lastLine(complaints.Bytes()))
		}
		return told.String(), nil
	}
	acks, err := measure("go", "run", "./e2e/bench/loader")
	if err != nil {
		return "", err
	}
	starts, err := measure("node", "web/pyodide/bench/run.mjs")
	if err != nil {
		return "", err
	}
	return "From the navigation to the ack of a load, and what it costs the page (`e2e/bench/loader`); none is the page itself.\n\n```\n" + acks + "```\n\n" +
		"From there to a Python that is ready, ms (`web/pyodide/bench/run.mjs`): Pyodide by itself, as the loader starts it, and as it starts it in a worker. " +
		"Longest is the longest block, blocked all of more than 50 ms, by the clock; the last two are processor time of the main thread.\n\n" + starts, nil
}

// build makes the programs that are compared.
func build(ctx context.Context, dir string) error {
	if _, err := os.Stat("bin/initgrace"); err != nil {
		return fmt.Errorf("run make first, in the project's folder: %w", err)
	}
	for _, c := range contestants {
		if c.build == "" {
			continue
		}
		name := filepath.Join(dir, c.name)
		if out, err := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", name, c.build).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", c.name, err, out)
		}
	}
	return nil
}

// choose finds the servers that are asked for and can run here.
func choose(list string, out io.Writer) (chosen []contestant, err error) {
	for name := range strings.SplitSeq(list, ",") {
		i := slices.IndexFunc(contestants, func(c contestant) bool { return c.name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no server %q", name)
		}
		c := contestants[i]
		if c.missing != nil {
			if err := c.missing(); err != nil {
				fmt.Fprintf(out, "without %s: %v\n", name, err)
				continue
			}
		}
		chosen = append(chosen, c)
	}
	return chosen, nil
}

// raiseLimit allows as many files as the system lets us, for us and the
// servers that we start.
func raiseLimit() error {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return err
	}
	l.Cur = l.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return fmt.Errorf("raising the number of open files to %d: %w", l.Max, err)
	}
	return nil
}

func note(file string, v visit) error {
	line, err := json.Marshal(v)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(append(line, '\n'))
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}

func recall(file string) (visits []visit, err error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	for line := range bytes.Lines(data) {
		var v visit
		if err := json.Unmarshal(line, &v); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		visits = append(visits, v)
	}
	return visits, nil
}

func commit() string {
	out, _ := exec.Command("git", "rev-parse", "--short", "HEAD").Output()
	return strings.TrimSpace(string(out))
}
