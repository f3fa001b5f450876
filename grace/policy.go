package grace

import (
	"fmt"
	"time"
)

// Policy says how long each kind of silence is tolerated. The zero value of a
// field is its documented default. A negative value means off where the field
// says so and is refused elsewhere.
type Policy struct {
	// ProbeInterval is how long nothing must have been heard before the
	// browser is asked by a WebSocket protocol ping. Default 1 s; negative:
	// the browser is never asked and PageTimeout applies to everybody. A page
	// that has spoken in time (never 2.5 s apart) for a minute, as every page
	// does that answers the server's pings, is trusted to go on so: then the
	// browser is asked when the page is late. Both times are fractions of
	// SilenceTimeout.
	ProbeInterval time.Duration
	// SilenceTimeout is how long no evidence of any kind may arrive before a
	// participant is away, loading or not. Default 4 s.
	SilenceTimeout time.Duration
	// BlockedAfter is how long the page may be silent without a lease, while
	// the browser answers, before the participant is blocked. Default 3 s.
	BlockedAfter time.Duration
	// BlockedTimeout is the longest undeclared block before the seat is given
	// up, counted from the page's last sign of life, or from the end of a lease
	// that ran out since: what it covered was declared. Default 20 s.
	BlockedTimeout time.Duration
	// LoadTimeout is the shortest lease that is granted, and the lease when
	// the client declares no expectation. Default 60 s. An expectation is an
	// estimate, not a bound: the lease is twice the expectation, and being
	// honest about a short one never costs the participant the default.
	LoadTimeout time.Duration
	// LoadCap is the longest single lease with all its extensions, counted
	// from its start. Default 180 s.
	LoadCap time.Duration
	// LoadBudget is the loading time of one session; past it a load is
	// refused. Default 10 min; negative: no budget.
	LoadBudget time.Duration
	// LoadCount is the number of loads of one session. Default 50; negative:
	// no limit.
	LoadCount int
	// ReconnectTimeout is how long a seat is held after the network was lost.
	// Default 30 s.
	ReconnectTimeout time.Duration
	// LeaveTimeout is how long a seat is held after the page instance ended,
	// loading or not. Default 15 s.
	LeaveTimeout time.Duration
	// PageTimeout takes SilenceTimeout's place where the browser cannot be
	// asked (long-polling, no beat). Default 16 s.
	PageTimeout time.Duration
}

// off is what a negative duration becomes: longer than any session.
const off = 100 * 365 * 24 * time.Hour

// WithDefaults returns the policy with every zero value replaced.
func (p Policy) WithDefaults() Policy {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&p.ProbeInterval, time.Second)
	def(&p.SilenceTimeout, 4*time.Second)
	def(&p.BlockedAfter, 3*time.Second)
	def(&p.BlockedTimeout, 20*time.Second)
	def(&p.LoadTimeout, 60*time.Second)
	def(&p.LoadCap, 180*time.Second)
	def(&p.LoadBudget, 10*time.Minute)
	def(&p.ReconnectTimeout, 30*time.Second)
	def(&p.LeaveTimeout, 15*time.Second)
	def(&p.PageTimeout, 16*time.Second)
	if p.LoadCount == 0 {
		p.LoadCount = 50
	}
	return p
}

// Validate reports the first contradiction, naming both values. It judges the
// policy with its defaults in place.
func (p Policy) Validate() error {
	p = p.WithDefaults()
	for _, f := range []struct {
		name string
		d    time.Duration
	}{
		{"SilenceTimeout", p.SilenceTimeout}, {"BlockedAfter", p.BlockedAfter},
		{"BlockedTimeout", p.BlockedTimeout}, {"LoadTimeout", p.LoadTimeout},
		{"LoadCap", p.LoadCap}, {"ReconnectTimeout", p.ReconnectTimeout},
		{"LeaveTimeout", p.LeaveTimeout}, {"PageTimeout", p.PageTimeout},
	} {
		if f.d < 0 {
			return fmt.Errorf("%s %v is negative, and cannot be switched off", f.name, f.d)
		}
	}
	less := func(a string, av time.Duration, b string, bv time.Duration) error {
		return fmt.Errorf("%s %v must be shorter than %s %v", a, av, b, bv)
	}
	switch {
	case p.ProbeInterval >= p.SilenceTimeout:
		return less("ProbeInterval", p.ProbeInterval, "SilenceTimeout", p.SilenceTimeout)
	case p.BlockedAfter >= p.BlockedTimeout:
		return less("BlockedAfter", p.BlockedAfter, "BlockedTimeout", p.BlockedTimeout)
	case p.SilenceTimeout > p.PageTimeout:
		return fmt.Errorf("SilenceTimeout %v must not be longer than PageTimeout %v", p.SilenceTimeout, p.PageTimeout)
	case p.LoadTimeout > p.LoadCap:
		return fmt.Errorf("LoadTimeout %v must not be longer than LoadCap %v", p.LoadTimeout, p.LoadCap)
	case p.LoadBudget > 0 && p.LoadCap > p.LoadBudget:
		return fmt.Errorf("LoadCap %v must not be longer than LoadBudget %v", p.LoadCap, p.LoadBudget)
	}
	return nil
}

// lease is how long a load is granted, counted from the request.
func (p *Policy) lease(expected time.Duration) time.Duration {
	expected = min(max(expected, 0), p.LoadCap) // twice an absurd one could overflow
	return min(max(p.LoadTimeout, 2*expected), p.LoadCap)
}

// late is how long a page that speaks regularly may be silent before its browser
// is asked: not so long that BlockedAfter or SilenceTimeout pass before the
// browser has had the time to answer. Pages answer the server's pings every 2 s.
func (p *Policy) late() time.Duration {
	return min(p.BlockedAfter-p.ProbeInterval/2, p.SilenceTimeout*5/8)
}

// regularAfter is for how long a page must have spoken in time to be trusted to
// go on so.
func (p *Policy) regularAfter() time.Duration { return 15 * p.SilenceTimeout }
