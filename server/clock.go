package server

import (
	"time"

	"initgrace/grace"
)

// clock is the policy's time. It is monotonic, so that setting the wall clock
// changes nothing, and it stands still while the process did not run (stopped,
// starved, the lid closed): what nobody could have heard is nobody's silence.
type clock struct {
	// tick is the longest the loop sleeps; a longer gap between two readings
	// is time in which the process did not run.
	tick time.Duration
	// slack is how late a reading may be before that is concluded.
	slack time.Duration

	first  time.Time     // real time of the first reading
	last   time.Time     // and of the last
	paused time.Duration // in all
}

// newClock leaves the better part of SilenceTimeout to the participants:
// whatever the process missed, less than a third of it can have gone unnoticed.
func newClock(p grace.Policy) clock {
	return clock{
		tick:  min(p.SilenceTimeout/16, 250*time.Millisecond),
		slack: min(p.SilenceTimeout/4, time.Second),
	}
}

// read returns the policy's time at a real time, and for how long the process
// had not run before, if it had not.
func (c *clock) read(real time.Time) (now time.Time, stalled time.Duration) {
	if gap := real.Sub(c.last); !c.last.IsZero() && gap > c.tick+c.slack {
		stalled = gap - c.tick
		c.paused += stalled
	}
	if c.last = real; c.first.IsZero() {
		c.first = real
	}
	return real.Add(-c.paused), stalled
}

// together puts off what is due by at most an eightieth of SilenceTimeout, to an
// instant at which other things are due too: a thousand browsers asked at once,
// whose answers come at once, cost a third less than one after the other.
func (c *clock) together(due time.Time) time.Time {
	step := max(c.tick/5, 1)
	steps := (due.Sub(c.first) + step - 1) / step
	return c.first.Add(steps * step)
}
