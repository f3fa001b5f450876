package e2e

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"initgrace/grace/protocol"
)

// trial is a trial's data, of the plugin's or of the question behind it.
type trial struct {
	TrialType string `json:"trial_type"`
	OK        bool
	Protected bool
	ErrorCode *string `json:"error_code"`
	Attempts  int
	Wait      int64 `json:"wait_ms"`
	Load      int64 `json:"load_ms"`
	Blocked   int64 `json:"blocked_ms"`
	Longest   int64 `json:"longest_block_ms"`
	RT        int64
	Response  string
}

// TestJsPsych runs the example with the real jsPsych: the trial starts Python
// under a lease, its timings are in the data, and the next trial has Python.
func TestJsPsych(t *testing.T) {
	l := newStudy(t, study, nil)
	p := l.open("jspsych.html", "nobody", "PROLIFIC_PID=player")
	p.throttle(4)
	began := l.WaitFor("player", protocol.Loading, patience)
	ended := l.WaitFor("player", protocol.Active, 2*patience)
	p.throttle(1)
	p.awaitPage(`document.querySelector("button")`)
	p.shootBoth("jspsych")
	if text := await[string](p, `document.querySelector("p").textContent`); !strings.Contains(text, "add up to 5050") {
		t.Errorf("the second trial says %q", text)
	}
	p.start(`document.querySelector("button").click()`)
	p.awaitPage(`document.body.dataset.done`)
	data := await[[]trial](p, "study.data.get().values()")
	if len(data) != 2 || data[1].Response != "right" {
		t.Fatalf("data %+v", data)
	}
	took := ended.At.Sub(began.At).Milliseconds()
	if d := data[0]; d.TrialType != "initgrace-pyodide" || !d.OK || !d.Protected || d.ErrorCode != nil || d.Attempts != 1 || d.RT < d.Load ||
		d.Longest < 100 || d.Blocked < d.Longest || d.Load < d.Blocked || d.Load > took+slack.Milliseconds() {
		t.Errorf("the server saw %d ms, the data of the trial say %+v", took, d)
	}
	if took < time.Second.Milliseconds() {
		t.Errorf("the load took %d ms", took)
	}
	l.wantHistory("player", protocol.Active, protocol.Loading, protocol.Active)
}

// TestJsPsychAlone: where a network lets no WebSocket through the trial starts
// Python all the same, and its data say so.
func TestJsPsychAlone(t *testing.T) {
	l := newStudy(t, study, nil)
	server, err := url.Parse(l.URL)
	if err != nil {
		t.Fatal(err)
	}
	network := httputil.NewSingleHostReverseProxy(server)
	filter := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/socket.io/") {
			http.Error(w, "no WebSockets here", http.StatusForbidden)
			return
		}
		network.ServeHTTP(w, r)
	}))
	t.Cleanup(filter.Close)
	p := open(t, "player", "")
	p.Expect("WebSocket")
	p.goTo(filter.URL + "/jspsych.html?PROLIFIC_PID=player")
	p.awaitPage(`document.querySelector("button")`) // connect tries for 30 s
	p.start(`document.querySelector("button").click()`)
	p.awaitPage(`document.body.dataset.done`)
	data := await[[]trial](p, "study.data.get().values()")
	if d := data[0]; !d.OK || d.Protected || d.ErrorCode == nil || *d.ErrorCode != "unreachable" || d.Attempts != 1 || d.Load <= 0 {
		t.Errorf("the data of the trial say %+v", d)
	}
	if len(data) != 2 || data[1].Response != "right" {
		t.Errorf("data %+v", data)
	}
}

// TestJsPsychAgain: a trial that fails is tried again with the one button of the
// progress element, and a later one finds the session and Python.
func TestJsPsychAgain(t *testing.T) {
	l := newStudy(t, study, nil)
	p := l.open("jspsych-twice.html", "nobody", "PROLIFIC_PID=player&failures=1")
	const retry = `document.querySelector("initgrace-progress")?.shadowRoot.querySelector(".retry")`
	p.awaitPage(retry + `?.checkVisibility()`)
	if n := await[int](p, `document.querySelectorAll("button").length`); n != 0 {
		t.Errorf("%d buttons beside the element's", n)
	}
	if label := await[string](p, retry+`.textContent`); label != "Nochmal" {
		t.Errorf("the button says %q", label)
	}
	p.start(retry + `.click()`)
	p.awaitPage(`document.body.dataset.done`)
	data := await[[]trial](p, "study.data.get().values()")
	if len(data) != 2 || !data[0].OK || !data[0].Protected || data[0].Attempts != 2 || data[0].ErrorCode != nil {
		t.Fatalf("data %+v", data)
	}
	if d := data[1]; !d.OK || d.Attempts != 1 {
		t.Errorf("the second trial says %+v", d)
	}
	l.wantHistory("player", protocol.Active, protocol.Loading, protocol.Active, protocol.Loading, protocol.Active)
}

// TestJsPsychFindsPython: a trial needs no load of its own.
func TestJsPsychFindsPython(t *testing.T) {
	l := newStudy(t, study, nil)
	p := l.open("jspsych-twice.html", "nobody", "PROLIFIC_PID=player&alone=yes")
	p.awaitPage(`document.body.dataset.done`)
	for i, d := range await[[]trial](p, "study.data.get().values()") {
		if !d.OK || d.Protected || d.Attempts != 1 || d.Load != 0 {
			t.Errorf("trial %d says %+v", i, d)
		}
	}
}

// TestJsPsychEnds: when the session ends while the trial waits for another try, so
// does the trial.
func TestJsPsychEnds(t *testing.T) {
	l := newStudy(t, study, nil)
	p := l.open("jspsych-twice.html", "nobody", "PROLIFIC_PID=player&failures=9")
	p.awaitPage(`document.querySelector("initgrace-progress")?.shadowRoot.querySelector(".retry")?.checkVisibility()`)
	p.start(`import("/initgrace/loader.js").then(({ connect }) => connect({ participant: "player", pageId: "another" }))`)
	p.awaitPage(`study.data.get().count() > 0`)
	if d := await[[]trial](p, "study.data.get().values()")[0]; d.OK || d.ErrorCode == nil || *d.ErrorCode != "replaced" {
		t.Errorf("the trial says %+v", d)
	}
}
