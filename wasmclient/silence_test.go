package wasmclient

import (
	"testing"
	"time"
)

// What happens to a connection, at seconds since it began, and what is then
// said: in how many seconds to look again, or that it is dead.
func TestSilenceIsJudged(t *testing.T) {
	type step struct {
		at     float64
		ping   uint64  // a ping of that number is due
		heard  float64 // since before this step, when something was heard last
		back   uint64  // the last ping that was answered
		thawed bool    // of a ping: it comes so late that the page was blocked
		again  float64 // else: when to look again; 0: dead
	}
	for name, steps := range map[string][]step{
		"something is heard": {
			{at: 10, heard: 3, again: 3},
			{at: 13, heard: 12, again: 9},
		},
		"nothing is heard": {
			{at: 10, heard: 0, again: 1},
			{at: 11, heard: 0, again: 0},
		},
		"it was on its way": {
			{at: 10, heard: 0, again: 1},
			{at: 11, heard: 10.5, again: 9.5},
		},
		"a ping that is late, but not by a block": {
			{at: 1, ping: 1},
			{at: 6, ping: 2},
			{at: 10, heard: 0, back: 1, again: 1},
		},
		// Both timers have run out when a block ends, and nothing that came
		// during it has been read.
		"after a block the ping comes first": {
			{at: 1, ping: 1},
			{at: 30, ping: 2, heard: 1, back: 1, thawed: true},
			{at: 34, heard: 1, back: 1, again: 1},
			{at: 35, heard: 1, back: 1, again: 0},
		},
		"after a block the deadline comes first": {
			{at: 1, ping: 1},
			{at: 30, heard: 1, back: 1, again: 1},
			{at: 30, ping: 2, heard: 1, back: 1, thawed: true},
			{at: 34, heard: 30.1, back: 2, again: 6.1},
		},
		"after a block the deadline comes first, and twice": {
			{at: 1, ping: 1},
			{at: 30, heard: 1, back: 1, again: 1},
			{at: 30, ping: 2, heard: 1, back: 1, thawed: true},
			{at: 30, heard: 1, back: 1, again: 4},
		},
		"what came during a block is no news": {
			{at: 1, ping: 1},
			{at: 30, ping: 2, heard: 1, back: 1, thawed: true},
			{at: 34, heard: 30.2, back: 1, again: 1},
			{at: 35, heard: 30.2, back: 1, again: 0},
		},
		"what comes after it is": {
			{at: 1, ping: 1},
			{at: 30, ping: 2, heard: 1, back: 1, thawed: true},
			{at: 34, heard: 31.5, back: 1, again: 7.5},
		},
		"blocked again during the last look": {
			{at: 10, heard: 0, again: 1},
			{at: 40, heard: 0, again: 1},
			{at: 41, heard: 0, again: 0},
		},
	} {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			at := func(s float64) time.Time { return began.Add(time.Duration(s * float64(time.Second))) }
			s := silence{limit: 10 * time.Second, every: time.Second, ticked: began}
			for i, step := range steps {
				if step.ping > 0 {
					if thawed := s.tick(at(step.at), step.ping); thawed != step.thawed {
						t.Errorf("step %d: thawed: %v", i, thawed)
					}
					continue
				}
				again := s.judge(at(step.at), at(step.heard), step.back)
				if want := time.Duration(step.again * float64(time.Second)); (again - want).Abs() > time.Microsecond {
					t.Errorf("step %d: again in %v, want %v", i, again, want)
				}
			}
		})
	}
}
