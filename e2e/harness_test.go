package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// spy is a test that is judged by another.
type spy struct {
	testing.TB
	errors []string
}

func (s *spy) Errorf(format string, args ...any) {
	s.errors = append(s.errors, fmt.Sprintf(format, args...))
}
func (s *spy) Cleanup(func()) {}
func (s *spy) Failed() bool   { return false } // nothing to keep of it

// TestConsoleIsJudged: what goes wrong inside a page fails its test, also in
// the last moment, unless the test expected it.
func TestConsoleIsJudged(t *testing.T) {
	l := newLab(t, nil)
	s := &spy{TB: t}
	p := open(s, "faulty", l.URL+"/")
	p.Expect("^as expected$")
	p.start(`console.error("as expected")`)
	p.start(`console.warn("only a warning")`)
	p.start(`setTimeout(() => { throw new Error("thrown") })`)
	p.start(`Promise.reject(new Error("rejected"))`)
	p.start(`fetch("/nothing-here")`)
	await[any](p, `new Promise((resolve) => setTimeout(resolve, 300))`) // for the answer to fetch
	p.start(`console.error("in the last moment")`)
	p.finish()
	for _, want := range []string{"thrown", "rejected", "404", "in the last moment"} {
		if !slices.ContainsFunc(s.errors, func(e string) bool { return strings.Contains(e, want) }) {
			t.Errorf("not reported: %s", want)
		}
	}
	if len(s.errors) != 4 {
		t.Errorf("reported: %q", s.errors)
	}
}
