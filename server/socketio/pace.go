package socketio

import (
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// A pacer slows down the reading of one connection to what its limiter gives.
// The client feels it as a slow network; nothing is lost. Refusing or dropping
// instead would punish the page that was frozen for a minute and now sends
// what it owes.
type pacer struct {
	limiter *rate.Limiter
	short   atomic.Int64 // since when it has been short of tokens, Unix ns; 0: it is not
}

// newLimiter gives a new connection what it may want in a quarter of a second.
// A burst has to be earned: whoever makes a new connection as soon as one is slowed
// down would otherwise get one each time, and never feel the limit.
func newLimiter(perSecond float64, burst int) *rate.Limiter {
	l := rate.NewLimiter(rate.Limit(perSecond), burst)
	l.AllowN(time.Now(), max(0, burst-int(perSecond/4)-1))
	return l
}

// wait takes n tokens, sleeping until they are there. It reports for how long
// the client has wanted more than it was given.
func (p *pacer) wait(n int) (wanting time.Duration) {
	now := time.Now()
	delay := p.limiter.ReserveN(now, min(n, p.limiter.Burst())).DelayFrom(now)
	short := p.short.Load()
	switch {
	case delay == 0 && short == 0:
		return 0
	case delay == 0:
		// Not on the first token: sleeping a little too long yields one even
		// while the client floods.
		if p.limiter.TokensAt(now) >= float64(p.limiter.Burst())/2 {
			p.short.Store(0)
			return 0
		}
	case short == 0:
		short = now.UnixNano()
		p.short.Store(short)
	}
	time.Sleep(delay)
	return time.Duration(now.UnixNano() - short)
}

// pace takes n tokens of p, and refuses the client that has wanted more for
// too long.
func (c *Conn) pace(p *pacer, n int) {
	if p.wait(n) > c.srv.limits.Flood {
		c.refuse(flood, "more than the limits for "+c.srv.limits.Flood.String())
	}
}
