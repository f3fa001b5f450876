package server

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"initgrace/grace/protocol"
)

// scrape reads the metrics as Prometheus does.
func (r *rig) scrape(token string) map[string]float64 {
	r.t.Helper()
	req, err := http.NewRequest("GET", r.http.URL+"/metrics", nil)
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		r.t.Fatalf("%s, %v", res.Status, err)
	}
	values := map[string]float64{}
	for line := range strings.Lines(string(text)) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), "} ")
		if ok {
			name += "}"
		} else {
			name, value, _ = strings.Cut(strings.TrimSpace(line), " ")
		}
		if v, err := strconv.ParseFloat(value, 64); err == nil {
			values[name] = v
		}
	}
	return values
}

// The metrics say what the partners were told.
func TestMetrics(t *testing.T) {
	if *follower {
		t.Skip("a server that follows reports twice a second")
	}
	t.Parallel()
	r := start(t, Config{AdminToken: "secret"})
	p, q := pair(r)
	p.call(protocol.EventLoadStart, `{}`, nil)
	q.expectState("p", protocol.Loading)
	during := r.scrape("secret")
	p.call(protocol.EventLoadComplete, `{"longest_block_ms":1500,"blocked_ms":1500}`, nil)
	q.refused("nonsense", `{}`, protocol.CodeUnknownEvent)
	q.call(protocol.EventPing, `{"latency_ms":30}`, nil)
	r.dial(`{"participant":"p","token":"1.x"}`)
	p.die()
	q.expectState("p", protocol.Away)
	away := r.scrape("secret")
	q.expectState("p", protocol.Gone)
	time.Sleep(2 * quick().ProbeInterval) // a browser is asked when it is silent
	after := r.scrape("secret")
	for _, c := range []struct {
		when     string
		values   map[string]float64
		name     string
		min, max float64
	}{
		{"during the load", during, `initgrace_participants{presence="loading"}`, 1, 1},
		{"during the load", during, `initgrace_participants{presence="active"}`, 1, 1},
		{"during the load", during, `initgrace_sockets`, 2, 2},
		{"during the load", during, `initgrace_lease_seconds_sum`, 5, 5},
		{"away", away, `initgrace_participants{presence="away"}`, 1, 1},
		{"away", away, `initgrace_presence_changes_total{from="active",reason="silence",to="away"}`, 1, 1},
		{"away", away, `initgrace_detection_seconds_count`, 1, 1},
		{"away", away, `initgrace_detection_seconds_sum`, .6, 2}, // SilenceTimeout, a probe, and a slow machine
		{"after", after, `initgrace_participants{presence="away"}`, 0, 0},
		{"after", after, `initgrace_participants{presence="active"}`, 1, 1},
		{"after", after, `initgrace_gone_total{reason="reconnect_timeout"}`, 1, 1},
		{"after", after, `initgrace_presence_seconds_total{presence="away"}`, 2, 4},
		{"after", after, `initgrace_load_seconds_count{result="ok"}`, 1, 1},
		{"after", after, `initgrace_load_longest_block_seconds_sum`, 1.5, 1.5},
		{"after", after, `initgrace_refused_events_total{code="unknown_event"}`, 1, 1},
		{"after", after, `initgrace_refused_handshakes_total{code="bad_token"}`, 1, 1},
		{"after", after, `initgrace_client_latency_seconds_sum`, .03, .03},
		{"after", after, `initgrace_guard_refusals_total{reason="flood"}`, 0, 0},
		{"after", after, `initgrace_store_errors_total`, 0, 0},
		{"after", after, `initgrace_store_batch_size_count`, 3, 1e6},
		{"after", after, `initgrace_log_records_total`, 15, 1e6},
		{"after", after, `initgrace_log_backlog`, 0, 10},
		{"after", after, `initgrace_loop_inbox`, 0, 10},
		{"after", after, `initgrace_browser_pong_seconds_count`, 1, 1e6},
		{"after", after, `go_goroutines`, 1, 1e6},
		{"after", after, `process_open_fds`, 1, 1e6},
	} {
		if v, ok := c.values[c.name]; !ok || v < c.min || v > c.max {
			t.Errorf("%s, %s is %v (%v), want %v to %v", c.when, c.name, v, ok, c.min, c.max)
		}
	}
}

func TestMetricsAreForTheExperimenter(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		token, header string
		want          int
	}{
		{"", "", http.StatusNotFound},
		{"", "Bearer ", http.StatusNotFound},
		{"secret", "", http.StatusUnauthorized},
		{"secret", "Bearer ", http.StatusUnauthorized},
		{"secret", "Bearer wrong", http.StatusUnauthorized},
		{"secret", "Basic secret", http.StatusUnauthorized},
		{"secret", "secret", http.StatusUnauthorized},
		{"secret", "Bearer secret ", http.StatusOK}, // net/http trims the header's value
		{"secret", "bearer secret", http.StatusOK},
	} {
		r := start(t, Config{AdminToken: c.token})
		req, err := http.NewRequest("GET", r.http.URL+"/metrics?token=secret", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", c.header)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.StatusCode != c.want || (c.want == http.StatusOK) != strings.Contains(string(body), "initgrace_") {
			t.Errorf("token %q, header %q: %s", c.token, c.header, res.Status)
		}
	}
}
