package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
)

// A measure is one line of a table.
type measure struct {
	metric, title string
	format        string
	ratio         bool // to the floor's
}

// A table is one of the rows that are compared.
type table struct {
	title    string
	measures []measure
	note     string
}

var tables = []table{
	{"Idle", []measure{
		{"idle_rss_kb", "memory per connection, KB", "%.1f", true},
		{"idle_cpu_us", "CPU per connection and second, µs", "%.1f", true},
		{"idle_leads_us", "of that in the server that leads, µs", "%.1f", false},
		{"idle_redis_kb", "memory of Redis per participant, KB", "%.1f", false},
		{"idle_redis_us", "CPU of Redis per participant and second, µs", "%.1f", false},
	}, "Every page is asked for a sign of life every 2 s by each server; initgrace also asks the browser of a page that was not heard for 1 s."},
	{"Everybody declares a load", []measure{
		{"herd_rate", "at once: acks a second", "%.0f", true},
		{"herd_p50_ms", "p50, ms", "%.1f", true},
		{"herd_p99_ms", "p99, ms", "%.1f", true},
		{"herd_max_ms", "max, ms", "%.1f", true},
		{"load_rate", "over and over: acks a second", "%.0f", true},
		{"load_p99_ms", "p99, ms", "%.1f", true},
		{"load_cpu_us", "CPU per ack, µs", "%.1f", true},
		{"load_leads_us", "of that in the server that leads, µs", "%.1f", false},
		{"load_redis_us", "CPU of Redis per ack, µs", "%.1f", false},
	}, "An ack answers the beginning or the end of a load, and each is told to the partner. Over and over: each participant has always one event under way."},
	{"Messages between partners", []measure{
		{"relay_rate", "as fast as they go: a second", "%.0f", true},
		{"relay_cpu_us", "CPU per message, µs", "%.1f", true},
		{"relay_leads_us", "of that in the server that leads, µs", "%.1f", false},
		{"relay_redis_us", "CPU of Redis per message, µs", "%.1f", false},
		{"relay_lost", "lost", "%.0f", false},
		{"relay_disorder", "out of order", "%.0f", false},
		{"relay_p50_ms", fmt.Sprintf("%d a second in all: p50, ms", pace), "%.2f", true},
		{"relay_p99_ms", "p99, ms", "%.2f", true},
	}, "As fast as they go: each participant has 4 messages without an ack under way. Initgrace stores each before it passes it on."},
	{"Frozen and dead", []measure{
		{"freeze_false_pct", "frozen under a load, taken for away or cut off, %", "%.0f", false},
		{"freeze_loading_s", "death during a load: the partner knows after, s", "%.1f", false},
		{"freeze_loading_max_s", "max, s", "%.1f", false},
		{"freeze_playing_s", "death outside of loads: the partner knows after, s", "%.1f", false},
		{"freeze_playing_max_s", "max, s", "%.1f", false},
		{"freeze_unseen", "deaths that were not seen", "%.0f", false},
	}, "A frozen page answers nothing for 12 s and its browser answers protocol pings; of a dead one nothing comes and the socket stays open. " +
		"The others tell the partner when a connection has timed out (pings every 2 s, 7.5 s for the answer). A server that suppresses that during a load " +
		"takes nobody for away, and learns of a death when the load's time is over (60 s)."},
	{"All connections lost at once", []measure{
		{"storm_s", "everybody is back with the session after, s", "%.2f", true},
		{"storm_cpu_us", "CPU per reconnect, µs", "%.0f", true},
		{"storm_retries", "attempts that hung or failed", "%.0f", false},
	}, "256 connect at the same time. An attempt is given up after 10 s."},
	{"Connecting, and after everybody left", []measure{
		{"connect_rate", "connections a second", "%.0f", true},
		{"connect_p99_ms", "p99, ms", "%.0f", true},
		{"connect_retries", "attempts that hung or failed", "%.0f", false},
		{"left_rss_mb", "memory above the start's after everybody left, MB", "%.1f", true},
		{"left_goroutines", "goroutines then", "%.0f", false},
	}, "After everybody left: what the rows before have grown, the event log among it, is still there. Only programs in Go have goroutines."},
	{"Churn", []measure{
		{"churn_rate", "visits a second", "%.0f", true},
		{"churn_growth_mb", "memory gained in the last two thirds, MB", "%.1f", false},
	}, "A visit: connect with the session, begin and end a load, close; the same participants over and over. Without `--db`, initgrace keeps the event log in memory."},
}

// write renders everything that was measured.
func write(w io.Writer, visits []visit, machine, browser string) {
	fmt.Fprintf(w, `# Benchmarks

`+"`make bench`"+` writes this file: it builds and starts each server as a process of its
own, lets the same crowd of participants do the same to each, and takes memory
and processor time of the server from /proc. The servers take turns. Crowd and
server share the machine, so rates are for comparing. Numbers are medians;
in brackets: times the floor's.

%s

`, machine)
	var sizes []int
	rounds := map[string]int{}
	for _, v := range visits {
		if !slices.Contains(sizes, v.Size) {
			sizes = append(sizes, v.Size)
		}
		if v.Error == "" {
			rounds[v.Server]++
		}
	}
	slices.Sort(sizes)
	fmt.Fprintf(w, "| | what it is | visits |\n|---|---|---|\n")
	var shown []contestant
	for _, c := range contestants {
		if rounds[c.name] > 0 {
			shown = append(shown, c)
			fmt.Fprintf(w, "| %s | %s | %d |\n", c.name, c.what, rounds[c.name])
		}
	}
	fmt.Fprintln(w)
	for _, t := range tables {
		if !t.measured(visits) {
			continue
		}
		fmt.Fprintf(w, "## %s\n\n| participants | |", t.title)
		for _, c := range shown {
			fmt.Fprintf(w, " %s |", c.name)
		}
		fmt.Fprint(w, "\n|---|---|"+strings.Repeat("---|", len(shown))+"\n")
		for _, size := range sizes {
			head := fmt.Sprint(size)
			for _, m := range t.measures {
				if !slices.ContainsFunc(shown, func(c contestant) bool { _, ok := median(visits, c.name, size, m.metric); return ok }) {
					continue
				}
				fmt.Fprintf(w, "| %s | %s |", head, m.title)
				head = ""
				floor, hasFloor := median(visits, "floor", size, m.metric)
				for _, c := range shown {
					value, ok := median(visits, c.name, size, m.metric)
					switch {
					case !ok:
						fmt.Fprint(w, " – |")
					case m.ratio && hasFloor && floor > 0 && c.name != "floor":
						fmt.Fprintf(w, " "+m.format+" (%.1f) |", value, value/floor)
					default:
						fmt.Fprintf(w, " "+m.format+" |", value)
					}
				}
				fmt.Fprintln(w)
			}
		}
		fmt.Fprintf(w, "\n%s", t.note)
		if t.note != "" {
			fmt.Fprint(w, "\n\n")
		}
	}
	if failed := failures(visits); len(failed) > 0 {
		fmt.Fprint(w, "## What went wrong\n\n")
		for _, f := range failed {
			fmt.Fprintf(w, "- %s\n", f)
		}
		fmt.Fprintln(w)
	}
	if browser != "" {
		fmt.Fprintf(w, "## In the browser\n\n%s\n", browser)
	}
	if notes, err := os.ReadFile("e2e/bench/compare/NOTES.md"); err == nil {
		w.Write(notes)
	}
}

// measured says whether any visit had to do with a table.
func (t table) measured(visits []visit) bool {
	return slices.ContainsFunc(visits, func(v visit) bool {
		return slices.ContainsFunc(t.measures, func(m measure) bool { _, ok := v.Metrics[m.metric]; return ok })
	})
}

// median is that of all visits in which a metric was measured.
func median(visits []visit, server string, size int, metric string) (float64, bool) {
	var all []float64
	for _, v := range visits {
		if x, ok := v.Metrics[metric]; ok && v.Server == server && v.Size == size {
			all = append(all, x)
		}
	}
	if len(all) == 0 {
		return 0, false
	}
	slices.Sort(all)
	return (all[(len(all)-1)/2] + all[len(all)/2]) / 2, true
}

func failures(visits []visit) (list []string) {
	for _, v := range visits {
		if v.Error != "" {
			list = append(list, fmt.Sprintf("%s, %d participants: %s", v.Server, v.Size, v.Error))
		}
	}
	return list
}

// machine describes what all this was measured on.
func machine() string {
	model := "an unknown processor"
	info, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(info)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			model = strings.TrimSpace(value)
			break
		}
	}
	memory := ""
	info, _ = os.ReadFile("/proc/meminfo")
	if fields := strings.Fields(string(info)); len(fields) > 1 {
		memory = fields[1] + " kB of memory"
	}
	version := func(name string, args ...string) string {
		out, err := exec.Command(name, args...).Output()
		if err != nil {
			return "no " + name
		}
		return strings.TrimSpace(string(out))
	}
	return fmt.Sprintf("Measured on %s, %d cores, %s, Linux %s, %s, Node %s, %s.", model, runtime.NumCPU(), memory,
		version("uname", "-r"), runtime.Version(), version("node", "--version"), version("/usr/bin/python3", "--version"))
}
