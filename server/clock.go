package server

import "time"

// clock is the policy's time. It is monotonic, so that setting the wall clock
// changes nothing, and it stands still while the process did not run (stopped,
// starved, the lid closed): what nobody could have heard is nobody's silence.
type clock struct {
	last   time.Time     // real time of the last reading
	paused time.Duration // in all
}

const (
	// clockTick is the longest the loop sleeps; a longer gap between two
	// readings is time in which the process did not run.
	clockTick = 250 * time.Millisecond
	// clockSlack is how late a reading may be before that is concluded.
	clockSlack = time.Second
)

// read returns the policy's time at a real time, and for how long the process
// had not run before, if it had not.
func (c *clock) read(real time.Time) (now time.Time, stalled time.Duration) {
	if gap := real.Sub(c.last); !c.last.IsZero() && gap > clockTick+clockSlack {
		stalled = gap - clockTick
		c.paused += stalled
	}
	c.last = real
	return real.Add(-c.paused), stalled
}
