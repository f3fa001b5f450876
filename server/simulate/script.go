package simulate

import (
	"math"
	"math/rand/v2"
	"time"

	"initgrace/grace"
)

// A Kind is what happens to a participant in one episode.
type Kind string

const (
	// The participant lives and can be reached, though the page may be frozen.

	Playing  Kind = "nothing happens"
	Load     Kind = "load"                // one declared block
	Parts    Kind = "load in parts"       // several, with progress between them
	BothLoad Kind = "both load"           // the partner at the same time
	Talk     Kind = "load, partner sends" // more than a blocked page's browser would read
	Late     Kind = "load past its lease" // by less than BlockedTimeout
	Block    Kind = "undeclared block"    // shorter than BlockedTimeout
	Slow     Kind = "slow network"        // latency, jitter and loss
	Hiccup   Kind = "short network cut"   // shorter than SilenceTimeout

	// The participant is cut off, and comes back in time.

	Cut     Kind = "network cut, back"    // the connection survives
	CutUp   Kind = "half-open up, back"   // lost to the server only
	CutDown Kind = "half-open down, back" // lost from the server only
	Change  Kind = "network change"       // the connection is dead, the next one works
	Drop    Kind = "reset, reconnect"     // RST
	Refresh Kind = "refresh"              // close frame 1001, and another page

	// The participant dies.

	Silent   Kind = "silent death"    // cut for ever, nothing closed
	Reset    Kind = "reset"           // RST
	Killed   Kind = "browser killed"  // FIN without a close frame
	Closed   Kind = "tab closed"      // close frame 1001
	Left     Kind = "left"            // pagehide, then close frame 1001
	DeadUp   Kind = "half-open up"    // nothing reaches the server any more
	DeadDown Kind = "half-open down"  // nothing reaches the page any more
	Frozen   Kind = "frozen for ever" // without a lease
	Overlong Kind = "lease runs out"  // frozen for ever, with one
)

// A While is what the participant was doing when it happened.
type While string

const (
	Active  While = "playing"
	Loading While = "loading" // frozen, with a lease
	Blocked While = "blocked" // frozen, without one
)

// A Class groups kinds by what must be said about them.
type Class string

const (
	Alive  Class = "alive"   // neither away nor gone
	CutOff Class = "cut off" // away, then back, never gone
	Dies   Class = "dies"    // away or gone in time, then gone
)

// kinds lists every kind, in the order of the table.
var kinds = []struct {
	Kind
	Class
	during []While
}{
	{Load, Alive, []While{Loading}},
	{Parts, Alive, []While{Loading}},
	{BothLoad, Alive, []While{Loading}},
	{Talk, Alive, []While{Loading}},
	{Late, Alive, []While{Loading}},
	{Block, Alive, []While{Active}},
	{Slow, Alive, []While{Active, Loading}},
	{Hiccup, Alive, []While{Active, Loading}},

	{Cut, CutOff, []While{Active, Loading}},
	{CutUp, CutOff, []While{Active, Loading}},
	{CutDown, CutOff, []While{Active, Loading}},
	{Change, CutOff, []While{Active, Loading}},
	{Drop, CutOff, []While{Active, Loading}},
	{Refresh, CutOff, []While{Active, Loading}},

	{Silent, Dies, []While{Active, Loading, Blocked}},
	{Reset, Dies, []While{Active, Loading, Blocked}},
	{Killed, Dies, []While{Active, Loading}},
	{Closed, Dies, []While{Active, Loading, Blocked}},
	{Left, Dies, []While{Active}},
	{DeadUp, Dies, []While{Active, Loading}},
	{DeadDown, Dies, []While{Active, Loading}},
	{Frozen, Dies, []While{Active}},
	{Overlong, Dies, []While{Loading}},
}

// An Episode is one entry of a script. Its times are the experiment's: divided
// by Options.Scale when it is played.
type Episode struct {
	Kind  Kind  `json:"kind"`
	Class Class `json:"class"`
	While While `json:"while"`
	Who   int   `json:"who"` // of the pair, 0 or 1; the other one watches

	Pause    time.Duration   `json:"pause"`              // of quiet play before it
	Expected time.Duration   `json:"expected,omitempty"` // as told to the server
	Blocks   []time.Duration `json:"blocks,omitempty"`   // how long the page is frozen
	After    time.Duration   `json:"after,omitempty"`    // from the freeze to the fault
	Gap      time.Duration   `json:"gap,omitempty"`      // from the fault to its end
	Latency  time.Duration   `json:"latency,omitempty"`  // of a slow network
}

// length is about how long the episode takes.
func (e *Episode) length() time.Duration {
	d := e.After + e.Gap
	blocked := time.Duration(0)
	for _, b := range e.Blocks {
		blocked += b
	}
	return e.Pause + max(d, blocked)
}

// script is what a pair goes through: every kind of what can be survived, in an
// order of its own and again and again until the duration has passed. In two of
// three pairs one of the two then dies, so that a third of all do. It depends on
// nothing but the arguments.
func script(p grace.Policy, seed uint64, pair int, duration time.Duration) []Episode {
	g := &generator{policy: p, rng: rand.New(rand.NewPCG(seed, uint64(pair)))}
	var survived, deaths []Episode
	for _, k := range kinds {
		for _, w := range k.during {
			e := Episode{Kind: k.Kind, Class: k.Class, While: w}
			if k.Class == Dies {
				deaths = append(deaths, e)
			} else {
				survived = append(survived, e)
			}
		}
	}
	var s []Episode
	for spent := time.Duration(0); spent < duration; {
		g.rng.Shuffle(len(survived), func(i, j int) { survived[i], survived[j] = survived[j], survived[i] })
		for _, e := range survived {
			if spent >= duration {
				break
			}
			if g.fill(&e) {
				s = append(s, e)
			}
			spent += e.length()
		}
	}
	if pair%3 != 2 {
		// Every death has its turn, from another one on with every seed.
		shuffled := rand.New(rand.NewPCG(seed, math.MaxUint64)).Perm(len(deaths))
		e := deaths[shuffled[(pair/3*2+pair%3)%len(deaths)]]
		g.fill(&e)
		s = append(s, e)
	}
	return s
}

// A generator draws what an episode leaves open.
type generator struct {
	policy grace.Policy // defaults in place
	rng    *rand.Rand
	loads  [2]int           // of each of the pair
	leased [2]time.Duration // at most
}

// fill draws an episode's times. It is false when the episode cannot be played
// any more: the session's budget of loads is for no more of them.
func (g *generator) fill(e *Episode) bool {
	p := &g.policy
	e.Who = g.rng.IntN(2)
	e.Pause = g.between(p.SilenceTimeout/2, 3*p.SilenceTimeout)
	loose := p.SilenceTimeout - 2*p.ProbeInterval // what silence leaves after the pings under way

	switch e.Kind {
	case Load, BothLoad, Talk:
		e.Blocks = []time.Duration{g.block()}
	case Parts:
		for range 2 + g.rng.IntN(3) {
			e.Blocks = append(e.Blocks, g.block()/4)
		}
	case Late:
		e.Blocks = []time.Duration{p.LoadTimeout + g.between(p.BlockedTimeout/20, p.BlockedTimeout*3/4)}
	case Block:
		e.Blocks = []time.Duration{g.between(p.BlockedTimeout/20, p.BlockedTimeout*3/4)}
	case Slow:
		e.Latency = g.between(loose/40, loose/10)
		e.Gap = g.between(2*p.SilenceTimeout, 6*p.SilenceTimeout)
	case Hiccup:
		e.Gap = g.between(loose/20, loose*9/10)
	case Cut, CutUp, CutDown:
		e.Gap = g.between(p.SilenceTimeout+2*p.ProbeInterval, p.ReconnectTimeout*4/5)
	case Refresh:
		e.Gap = g.between(p.LeaveTimeout/50, p.LeaveTimeout*3/5)
	case Overlong:
		e.Expected = g.between(0, p.LoadTimeout*3/4)
	}
	switch {
	case e.While == Loading && len(e.Blocks) == 0 && e.Kind != Overlong: // a fault within a load
		e.Blocks = []time.Duration{g.between(p.SilenceTimeout, p.LoadTimeout*3/4)}
		e.After = g.between(0, e.Blocks[0]*4/5)
		if e.Kind == CutDown { // the page would speak when it thaws, and be heard
			e.After = g.between(0, p.SilenceTimeout/2)
			e.Gap = min(e.Gap, p.LoadCap*3/4-p.SilenceTimeout)
			e.Blocks[0] = e.After + e.Gap + g.between(0, p.SilenceTimeout/2)
			if e.Gap < p.SilenceTimeout+2*p.ProbeInterval {
				return false
			}
		}
	case e.While == Blocked:
		e.Blocks = []time.Duration{p.BlockedTimeout}
		e.After = g.between(p.BlockedAfter+2*p.ProbeInterval, p.BlockedTimeout/2)
	}
	if e.While != Loading {
		return true
	}
	if e.Kind != Overlong && e.Kind != Late {
		e.Expected = g.estimate(e.Blocks[0])
	}
	if e.Kind == BothLoad {
		return g.afford(e, 0) && g.afford(e, 1)
	}
	return g.afford(e, e.Who)
}

// block is from 1 to 120 s under the default policy, short ones as likely as
// long ones.
func (g *generator) block() time.Duration {
	shortest, longest := float64(g.policy.LoadCap)/180, float64(g.policy.LoadCap)*2/3
	return time.Duration(shortest * math.Pow(longest/shortest, g.rng.Float64()))
}

// estimate is what a page would say: nothing, or something that is not quite
// wrong. The lease covers the block with a margin in any case.
func (g *generator) estimate(block time.Duration) time.Duration {
	told := g.rng.IntN(3) > 0
	e := time.Duration(float64(block) * (0.6 + g.rng.Float64()))
	if !told && block < g.policy.LoadTimeout*4/5 {
		return 0
	}
	return e
}

// afford books a load on the session's budget. A lease is cut short by what is
// left of it, so that a load has to fit with its lease.
func (g *generator) afford(e *Episode, who int) bool {
	p := &g.policy
	loads, left := p.LoadCount, p.LoadBudget-g.leased[who]
	if e.Class != Dies { // the last load of all must find a whole one
		loads, left = loads-1, left-p.LoadCap
	}
	if p.LoadCount >= 0 && g.loads[who] >= loads || p.LoadBudget >= 0 && left < p.LoadCap {
		return false
	}
	g.loads[who]++
	for _, b := range e.Blocks {
		g.leased[who] += b + b/4
	}
	g.leased[who] += e.Gap // it may be open so much longer
	return true
}

func (g *generator) between(a, b time.Duration) time.Duration {
	if b <= a {
		return a
	}
	return a + time.Duration(g.rng.Int64N(int64(b-a)))
}
