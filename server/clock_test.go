package server

import (
	"testing"
	"time"

	"initgrace/grace"
)

func TestClockStandsStillWhileTheProcessDoesNotRun(t *testing.T) {
	start := time.Now()
	at := func(d time.Duration) time.Time { return start.Add(d) }
	c := newClock(grace.Policy{}.WithDefaults())
	for _, step := range []struct {
		real, now, stalled time.Duration
	}{
		{real: 0, now: 0},
		{real: 250 * time.Millisecond, now: 250 * time.Millisecond},
		{real: 1500 * time.Millisecond, now: 1500 * time.Millisecond}, // late by the slack, exactly: no stall
		{real: 31500 * time.Millisecond, now: 1750 * time.Millisecond, stalled: 29750 * time.Millisecond},
		{real: 31600 * time.Millisecond, now: 1850 * time.Millisecond},
		{real: 33600 * time.Millisecond, now: 2100 * time.Millisecond, stalled: 1750 * time.Millisecond},
	} {
		now, stalled := c.read(at(step.real))
		if !now.Equal(at(step.now)) || stalled != step.stalled {
			t.Fatalf("at %v: policy time %v, stalled %v; want %v, %v", step.real, now.Sub(start), stalled, step.now, step.stalled)
		}
	}
}

// A policy in a hurry cannot afford a slack made for another one.
func TestClockKeepsThePoliciesPace(t *testing.T) {
	p := quick()
	c := newClock(p)
	start := time.Now()
	c.read(start)
	now, stalled := c.read(start.Add(p.SilenceTimeout))
	if late := now.Sub(start); stalled == 0 || late > p.SilenceTimeout/3 {
		t.Errorf("of a pause as long as SilenceTimeout, %v counted as silence", late)
	}
}

func TestClockPutsTogether(t *testing.T) {
	c := newClock(grace.Policy{}.WithDefaults())
	start := time.Now()
	c.read(start)
	for due, want := range map[time.Duration]time.Duration{
		0: 0, 1: 50 * time.Millisecond, 50 * time.Millisecond: 50 * time.Millisecond,
		50*time.Millisecond + 1: 100 * time.Millisecond, time.Hour: time.Hour, -time.Millisecond: 0,
	} {
		if got := c.together(start.Add(due)).Sub(start); got != want {
			t.Errorf("%v after the start: %v, want %v", due, got, want)
		}
	}
}
