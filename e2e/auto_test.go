package e2e

import (
	"testing"
	"time"

	"initgrace/grace/protocol"
)

// TestAuto: a page that calls its own loadPyodide, with nothing but the drop-in
// added, is protected, wherever the drop-in stands.
func TestAuto(t *testing.T) {
	t.Parallel()
	for _, order := range []string{"before", "after"} {
		t.Run(order, func(t *testing.T) {
			l := newStudy(t, study, nil)
			p := l.open("auto.html", "nobody", "PROLIFIC_PID=player&order="+order)
			l.WaitFor("player", protocol.Active, patience)
			p.throttle(4)
			p.start("page.run(page.loadPyodide)")
			began := l.WaitFor("player", protocol.Loading, patience)
			ended := l.WaitFor("player", protocol.Active, 2*patience)
			if n := await[int](p, "page.outcome"); n != 5050 {
				t.Errorf("Python says %d", n)
			}
			wantTook(t, "the load", ended.At.Sub(began.At), time.Second, 2*patience)
			load := await[struct {
				Protected      bool
				LongestBlockMs float64
			}](p, `page.seen.find((e) => e.name === "load").data`)
			if !load.Protected || load.LongestBlockMs < 500 {
				t.Errorf("the page was told %+v", load)
			}
			l.wantHistory("player", protocol.Active, protocol.Loading, protocol.Active)
		})
	}
}

// TestAutoUnreachable: Python starts all the same, and the page is told.
func TestAutoUnreachable(t *testing.T) {
	l := newStudy(t, study, nil)
	p := l.open("auto.html", "nobody", "PROLIFIC_PID=player&order=before&url=http://127.0.0.1:1/")
	p.Expect("127.0.0.1:1", "Content Security Policy", "ERR_CONNECTION_REFUSED", "ERR_UNSAFE_PORT")
	if n := await[int](p, "page.loadPyodide()"); n != 5050 {
		t.Errorf("Python says %d", n)
	}
	told := await[struct{ Code, Message string }](p, `page.seen.find((e) => e.name === "unprotected").data`)
	if told.Code != "unreachable" || told.Message == "" {
		t.Errorf("the page was told %+v", told)
	}
	if h := l.History("player"); len(h) != 0 {
		t.Errorf("the server has seen %v", h)
	}
}

// TestAutoEnded: so it does when the session has ended before.
func TestAutoEnded(t *testing.T) {
	l := newStudy(t, study, nil)
	p := l.open("auto.html", "nobody", "PROLIFIC_PID=player&order=before")
	await[any](p, "page.loaded.then(() => initgrace).then((session) => session.close())")
	if n := await[int](p, "page.loadPyodide()"); n != 5050 {
		t.Errorf("Python says %d", n)
	}
	if code := await[string](p, `page.seen.find((e) => e.name === "unprotected").data.code`); code != "closed" {
		t.Errorf("the page was told %q", code)
	}
}
