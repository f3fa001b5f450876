package grace_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"initgrace/grace"
)

// The documented defaults, and that they are valid together.
func TestPolicyDefaults(t *testing.T) {
	want := grace.Policy{
		ProbeInterval:    time.Second,
		SilenceTimeout:   4 * time.Second,
		BlockedAfter:     3 * time.Second,
		BlockedTimeout:   20 * time.Second,
		LoadTimeout:      60 * time.Second,
		LoadCap:          180 * time.Second,
		LoadBudget:       10 * time.Minute,
		LoadCount:        50,
		ReconnectTimeout: 30 * time.Second,
		LeaveTimeout:     15 * time.Second,
		PageTimeout:      16 * time.Second,
	}
	if got := (grace.Policy{}).WithDefaults(); got != want {
		t.Errorf("defaults are %+v", got)
	}
	if got := grace.New(grace.Policy{}).Policy(); got != want {
		t.Errorf("a tracker's policy is %+v", got)
	}
	if err := (grace.Policy{}).Validate(); err != nil {
		t.Error(err)
	}
	// A field that is set stays as it is, each by itself.
	fields := reflect.TypeFor[grace.Policy]()
	for i := range fields.NumField() {
		var p grace.Policy
		reflect.ValueOf(&p).Elem().Field(i).SetInt(-7)
		got := p.WithDefaults()
		w := want
		reflect.ValueOf(&w).Elem().Field(i).SetInt(-7)
		if got != w {
			t.Errorf("with %s set: %+v", fields.Field(i).Name, got)
		}
	}
}

// Each contradiction is refused just where it begins, in a message that names
// both settings and both values.
func TestPolicyValidate(t *testing.T) {
	for _, c := range []struct {
		policy string
		names  string // of the refusal; empty: valid
	}{
		{"ProbeInterval=3.999s", ""},
		{"ProbeInterval=4s", "ProbeInterval 4s SilenceTimeout 4s"},
		{"ProbeInterval=-1s", ""},
		{"SilenceTimeout=1s", "ProbeInterval 1s SilenceTimeout 1s"},
		{"SilenceTimeout=16s", ""},
		{"SilenceTimeout=16.001s", "SilenceTimeout 16.001s PageTimeout 16s"},
		{"PageTimeout=3.999s", "SilenceTimeout 4s PageTimeout 3.999s"},
		{"BlockedAfter=19.999s", ""},
		{"BlockedAfter=20s", "BlockedAfter 20s BlockedTimeout 20s"},
		{"BlockedTimeout=3s", "BlockedAfter 3s BlockedTimeout 3s"},
		{"LoadTimeout=180s", ""},
		{"LoadTimeout=181s", "LoadTimeout 3m1s LoadCap 3m0s"},
		{"LoadCap=59s", "LoadTimeout 1m0s LoadCap 59s"},
		{"LoadCap=600s", ""},
		{"LoadCap=601s", "LoadCap 10m1s LoadBudget 10m0s"},
		{"LoadCap=601s LoadBudget=-1s", ""},
		{"LoadBudget=179s", "LoadCap 3m0s LoadBudget 2m59s"},
		{"LoadCount=-1", ""},
		{"LoadCount=1", ""},
		{"ReconnectTimeout=1ns LeaveTimeout=1ns", ""},
		{"LeaveTimeout=10h", ""},
		{"SilenceTimeout=-1s", "SilenceTimeout -1s negative"},
		{"BlockedAfter=-1s", "BlockedAfter -1s negative"},
		{"BlockedTimeout=-1s", "BlockedTimeout -1s negative"},
		{"LoadTimeout=-1s", "LoadTimeout -1s negative"},
		{"LoadCap=-1s", "LoadCap -1s negative"},
		{"ReconnectTimeout=-1s", "ReconnectTimeout -1s negative"},
		{"LeaveTimeout=-1s", "LeaveTimeout -1s negative"},
		{"PageTimeout=-1s", "PageTimeout -1s negative"},
	} {
		p, err := parsePolicy(strings.Fields(c.policy))
		if err != nil {
			t.Fatal(err)
		}
		err = p.Validate()
		if c.names == "" {
			if err != nil {
				t.Errorf("%s: %v", c.policy, err)
			}
			continue
		}
		if err == nil {
			t.Errorf("%s: accepted", c.policy)
			continue
		}
		for _, word := range strings.Fields(c.names) {
			if !strings.Contains(fmt.Sprintf(" %v ", strings.NewReplacer(",", " ").Replace(err.Error())), " "+word+" ") {
				t.Errorf("%s: %q does not say %s", c.policy, err, word)
			}
		}
	}
}
