package main

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	sim "initgrace/server/simulate"
)

// hurry is a policy under which a run takes a few seconds.
const hurry = `
policy:
  load_timeout: 8s
  load_cap: 16s
  blocked_timeout: 11s
  reconnect_timeout: 18s
  leave_timeout: 6s
  page_timeout: 8s
`

func TestSimulate(t *testing.T) {
	var out, log bytes.Buffer
	err := run(t.Context(), []string{
		"simulate", "--participants", "2", "--seed", "3", "--duration", "1s", "--policy", write(t, "p.yaml", hurry), "--json",
	}, &out, &log)
	var report struct {
		OK           bool
		Participants int
		Episodes     int
		Rows         []struct{ Kind string }
	}
	if jsonErr := json.Unmarshal(out.Bytes(), &report); jsonErr != nil {
		t.Fatalf("%v: %s (%v)", jsonErr, &out, err)
	}
	if report.Participants != 2 || report.Episodes != 2 || len(report.Rows) != 3 { // one survived, one not; and the rest
		t.Errorf("report %+v", report)
	}
	if report.OK != (err == nil) {
		t.Errorf("ok is %t, and the error %v", report.OK, err)
	}
	if log.Len() > 0 {
		t.Errorf("a bar is drawn where nobody looks: %q", &log)
	}
}

// What cannot be simulated is refused in one line.
func TestSimulateRefuses(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"--participants 3", "they come in pairs"},
		{"--scale=-1", "scale -1 is not positive"},
		{"--policy none.yaml", "--policy: .*no such file"},
		{"--url nonsense", "not the address of a server"},
	} {
		var out bytes.Buffer
		err := run(t.Context(), append([]string{"simulate"}, strings.Fields(c.args)...), &out, &out)
		if err == nil || !regexp.MustCompile(c.want).MatchString(err.Error()) || out.Len() > 0 {
			t.Errorf("%s: error %v, want %s; said %q", c.args, err, c.want, &out)
		}
	}
}

// The line is drawn over itself, and nothing of a longer one is left.
func TestBar(t *testing.T) {
	var b bytes.Buffer
	line := &bar{w: &b}
	line.draw(sim.Progress{Episodes: 100, Played: 50, Connected: 1000})
	line.draw(sim.Progress{Episodes: 100, Played: 100, Connected: 2})
	line.wipe()
	parts := strings.Split(b.String(), "\r")
	if len(parts) != 5 || !strings.Contains(parts[1], "[############            ] 50 of 100") ||
		!strings.Contains(parts[2], "[########################] 100 of 100") || len(parts[2]) < len(parts[1]) ||
		strings.TrimSpace(parts[3]) != "" || len(parts[3]) < len(strings.TrimRight(parts[2], " ")) || parts[4] != "" {
		t.Errorf("%q", parts)
	}
}
