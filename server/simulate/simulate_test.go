package simulate

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"initgrace/grace"
	"initgrace/grace/protocol"
	"initgrace/server"
)

// small is the default policy with shorter long times, so that a run takes
// seconds.
func small() grace.Policy {
	return grace.Policy{
		BlockedTimeout: 12 * time.Second, LoadTimeout: 10 * time.Second, LoadCap: 20 * time.Second,
		ReconnectTimeout: 18 * time.Second, LeaveTimeout: 6 * time.Second, PageTimeout: 10 * time.Second,
	}.WithDefaults()
}

const smallScale = 2.5

func smallRun() *Options {
	return &Options{Participants: 40, Seed: 1, Duration: 10 * time.Second, Scale: smallScale, Policy: small()}
}

// The goal, small: nobody alive is dropped, nobody dead is missed. A machine
// that keeps the simulator itself waiting is asked again, at a slower pace, so
// that the server is to blame in the end.
func TestNobodyIsDroppedOrMissed(t *testing.T) {
	o := smallRun()
	var last Progress
	o.Progress = func(p Progress) { last = p }
	var r *Report
	var table bytes.Buffer
	for o.Scale = smallScale; ; o.Scale = max(o.Scale/2, 1) {
		var err error
		if r, err = Run(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		table.Reset()
		if err := r.WriteTable(&table); err != nil {
			t.Fatal(err)
		}
		if r.OK() {
			break
		}
		if late := time.Duration(float64(r.Lag.Max) * o.Scale); o.Scale == 1 || late < tolerance(&o.Policy)/2 {
			t.Fatalf("%v\n%s", r.Err(), &table)
		}
		t.Logf("again, slower: %v\n%s", r.Err(), &table)
	}
	if r.Deaths != 14 || r.Episodes < 30 { // 13 or 14 of 40
		t.Errorf("%d deaths, %d episodes\n%s", r.Deaths, r.Episodes, &table)
	}
	if last.Connected != 40 || last.Played == 0 || last.Took == 0 {
		t.Errorf("progress %+v", last)
	}
	// What partners are told as the reason shows that it was the fault that
	// they were told of.
	want := map[Kind]protocol.Reason{
		Closed: protocol.ReasonPageClosed, Refresh: protocol.ReasonPageClosed, Left: protocol.ReasonPageHide,
		Killed: protocol.ReasonTransport, Reset: protocol.ReasonTransport, Drop: protocol.ReasonTransport,
		Silent: protocol.ReasonSilence, DeadUp: protocol.ReasonSilence, DeadDown: protocol.ReasonSilence,
		Cut: protocol.ReasonSilence, Frozen: protocol.ReasonBlockedTimeout,
	}
	for _, row := range r.Rows {
		if reason := want[row.Kind]; reason != "" && row.Reasons[reason] < row.N {
			t.Errorf("%s while %s: reasons %v, want %s each time", row.Kind, row.While, row.Reasons, reason)
		}
	}
}

// The control: with the same eyes, a server that cannot ask browsers is found
// to be blind. It misses the deaths of who is loading, and drops who is blocked.
func TestABlindServerIsFoundOut(t *testing.T) {
	t.Parallel()
	o := smallRun()
	o.Scale *= 2 // what it looks for cannot come from a busy machine
	blind := scaled(small(), o.Scale)
	blind.ProbeInterval = -1
	o.URL = listen(t, blind)
	r, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if r.OK() || r.Err() == nil || r.Missed == 0 {
		t.Errorf("%d false drops, %d missed deaths", r.FalseDrops, r.Missed)
	}
	missed := 0
	for _, row := range r.Rows {
		if row.While == Loading && row.Class != Alive {
			missed += row.Missed
		}
	}
	if missed == 0 {
		t.Errorf("rows %+v", r.Rows)
	}
}

func listen(t *testing.T, p grace.Policy) string {
	t.Helper()
	srv, err := server.New(server.Config{Policy: p, PageInterval: p.BlockedAfter * 2 / 3, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(srv)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		srv.Close(ctx)
		web.Close()
	})
	return web.URL
}

// A server with another policy would be judged by the wrong measure.
func TestPolicyMustAgree(t *testing.T) {
	t.Parallel()
	other := scaled(small(), smallScale)
	other.LeaveTimeout = 4 * time.Second
	o := smallRun()
	o.URL = listen(t, other)
	if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "leave_timeout is 4s, and 2.4s was expected") {
		t.Errorf("error %v", err)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody.Close()
	for want, o := range map[string]Options{
		"in pairs":           {Participants: 3},
		"is negative":        {Duration: -1},
		"not positive":       {Scale: -2},
		"SilenceTimeout":     {Policy: grace.Policy{SilenceTimeout: time.Hour}},
		"ProbeInterval":      {Policy: grace.Policy{ProbeInterval: -1}},
		"no connection":      {URL: "http://" + nobody.Addr().String()},
		"address of a serve": {URL: "nonsense"},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		if _, err := Run(ctx, &o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: error %v, want one about %q", o, err, want)
		}
		cancel()
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	began := time.Now()
	if _, err := Run(ctx, smallRun()); err == nil || time.Since(began) > 10*time.Second {
		t.Errorf("error %v after %v", err, time.Since(began))
	}
}

// Machines can read the report.
func TestReportAsJSON(t *testing.T) {
	r := &Report{
		Participants: 2, Seed: 3, Scale: 2, Episodes: 1, Missed: 1, Incidents: []string{"p: gone"},
		Rows: []Row{{Class: Dies, Kind: Silent, While: Loading, N: 1, Missed: 1, Bound: 5500 * time.Millisecond,
			Detection: Times{1, time.Second, time.Second, time.Second}, Reasons: map[protocol.Reason]int{protocol.ReasonSilence: 1}}},
	}
	var b bytes.Buffer
	if err := r.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	var got struct {
		OK        *bool
		Missed    int
		Incidents []string
		Troubles  []string
		Rows      []struct {
			Kind      string
			BoundMS   float64 `json:"bound_ms"`
			Detection struct {
				P99MS float64 `json:"p99_ms"`
			}
			Returned *struct{}
			Reasons  map[string]int
		}
	}
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got.OK == nil || *got.OK || got.Missed != 1 || len(got.Incidents) != 1 || got.Troubles == nil || len(got.Rows) != 1 {
		t.Fatalf("%s", &b)
	}
	if row := got.Rows[0]; row.Kind != "silent death" || row.BoundMS != 5500 || row.Detection.P99MS != 1000 || row.Returned != nil || row.Reasons["silence"] != 1 {
		t.Errorf("%s", &b)
	}
}

// A browser over TLS is damaged as well as one without.
func TestBrowserOverTLS(t *testing.T) {
	srv, err := server.New(server.Config{Policy: small(), PageInterval: time.Second / 2, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewTLSServer(srv)
	defer web.Close()
	defer srv.Close(context.Background())
	s := &stage{url: web.URL, target: strings.TrimPrefix(web.URL, "https://"), scale: 1,
		tls: web.Client().Transport.(*http.Transport).TLSClientConfig}
	var both [2]*person
	for i, id := range []string{"p", "q"} {
		if both[i], err = newPerson(s, id, "g"); err != nil {
			t.Fatal(err)
		}
		defer both[i].leave()
		if err := both[i].open(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	both[0].browser.close()
	if !both[1].ear.await(t.Context(), patience, protocol.Away) {
		t.Fatal("q was never told")
	}
	if n := both[1].ear.now(); n.Reason != protocol.ReasonPageClosed {
		t.Errorf("reason %s", n.Reason)
	}
}
