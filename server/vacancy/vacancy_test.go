package vacancy

import (
	"testing"
	"time"
)

var start = time.Date(2026, 11, 3, 0, 0, 0, 0, time.UTC)

func TestDecision(t *testing.T) {
	members := []string{"a", "b", "c", "d"}
	for _, c := range []struct {
		answers string // of a, b, c, d; space: none
		over    bool
		want    string
		final   bool
	}{
		{"    ", false, "", false},
		{"    ", true, "end", true},
		{"cccc", false, "continue", true},
		{"ccc ", false, "", false},
		{"ccc ", true, "continue", true},
		{"ccr ", true, "continue", true},
		{"ccrr", false, "end", true},
		{"cr  ", true, "end", true},
		{"crre", false, "requeue", true},
		{"  r ", true, "requeue", true},
	} {
		var b Book
		v := b.Open(Open{Group: "g", Until: start.Add(time.Second)})
		v.Answer("a", "end") // is replaced, if a has answered
		v.Answer("gone", "continue")
		for i, m := range members {
			v.Answer(m, map[byte]string{'c': "continue", 'r': "requeue", 'e': "end"}[c.answers[i]])
		}
		now := start
		if c.over {
			now = v.Until
		}
		for range 20 { // whatever the order of a map
			if got, final := v.Decision(now, members, "end"); got != c.want || final != c.final {
				t.Errorf("%q, over %v: %q %v", c.answers, c.over, got, final)
			}
		}
	}
}

func TestDeadlines(t *testing.T) {
	var b Book
	if _, ok := b.Next(); ok {
		t.Error("nothing is open and something is due")
	}
	b.Open(Open{Group: "late", Action: "ask", Until: start.Add(2 * time.Second)})
	b.Open(Open{Group: "g", Action: "ask", Partner: "x", Until: start.Add(time.Second)})
	again := b.Open(Open{Group: "g", Action: "ask", Partner: "y", Until: start.Add(time.Hour)})
	if again.Partner != "y" || !again.Until.Equal(start.Add(time.Second)) {
		t.Errorf("another one left: %+v", again)
	}
	at, ok := b.Next()
	if !ok || !at.Equal(start.Add(time.Second)) || b.Due(at.Add(-1)) != nil {
		t.Errorf("next %v %v", at, ok)
	}
	if due := b.Due(at); len(due) != 1 || due[0].Group != "g" {
		t.Errorf("due %v", due)
	}
	if all := b.Waiting("ask"); len(all) != 2 || all[0].Group != "g" || b.Waiting("replace") != nil {
		t.Errorf("waiting %v", all)
	}
	b.Close("g")
	if b.Of("g") != nil || b.Due(at) != nil {
		t.Error("closed and still there")
	}
}
