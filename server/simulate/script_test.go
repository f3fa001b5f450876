package simulate

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"initgrace/grace"
)

func scripts(p grace.Policy, seed uint64, pairs int) (all [][]Episode) {
	for i := range pairs {
		all = append(all, script(p.WithDefaults(), seed, i, 4*time.Minute))
	}
	return all
}

// The same seed gives the same script, also to the first of more participants;
// another one gives another.
func TestScriptIsReproducible(t *testing.T) {
	a, b := scripts(grace.Policy{}, 7, 30), scripts(grace.Policy{}, 7, 60)
	if !reflect.DeepEqual(a, b[:30]) {
		t.Error("two scripts of the same seed differ")
	}
	if reflect.DeepEqual(a, scripts(grace.Policy{}, 8, 30)) {
		t.Error("the seed changes nothing")
	}
	if reflect.DeepEqual(a[0], a[3]) {
		t.Error("two pairs have the same script")
	}
}

// A third dies, in all ways that there are, and everything that can be survived
// happens too.
func TestScriptCoversEverything(t *testing.T) {
	type row struct {
		kind  Kind
		while While
	}
	for seed := range uint64(5) {
		seen, deaths := make(map[row]int), 0
		for _, s := range scripts(grace.Policy{}, seed, 60) {
			for i, e := range s {
				seen[row{e.Kind, e.While}]++
				if e.Class == Dies {
					deaths++
					if i != len(s)-1 {
						t.Fatalf("seed %d: after %s the script goes on", seed, e.Kind)
					}
				}
			}
		}
		if deaths != 40 {
			t.Errorf("seed %d: %d of 120 die", seed, deaths)
		}
		for _, k := range kinds {
			for _, w := range k.during {
				if n := seen[row{k.Kind, w}]; n == 0 || k.Class != Dies && n < 10 {
					t.Errorf("seed %d: %s while %s happens %d times", seed, k.Kind, w, n)
				}
			}
		}
	}
}

// What the script calls survivable is, by the policy: else the simulator would
// find faults where there are none.
func TestScriptKeepsThePolicy(t *testing.T) {
	for name, p := range map[string]grace.Policy{
		"default": {},
		"small":   small(),
		"tight":   {LoadBudget: 8 * time.Minute, LoadCount: 3},
		"open":    {LoadBudget: -1, LoadCount: -1},
	} {
		t.Run(name, func(t *testing.T) {
			p = p.WithDefaults()
			for seed := range uint64(20) {
				for _, s := range scripts(p, seed, 6) {
					keepsPolicy(t, p, s)
				}
			}
		})
	}
}

func keepsPolicy(t *testing.T, p grace.Policy, s []Episode) {
	t.Helper()
	var loads [2]int
	var leased [2]time.Duration
	for _, e := range s {
		bad := func(why string) { t.Errorf("%s: %+v", why, e) }
		blocked := sum(e.Blocks)
		lease := min(max(p.LoadTimeout, 2*e.Expected), p.LoadCap)
		if e.While == Loading {
			whose := []int{e.Who}
			if e.Kind == BothLoad {
				whose = []int{0, 1}
			}
			for _, w := range whose {
				if p.LoadBudget >= 0 && leased[w]+lease > p.LoadBudget {
					bad("the budget of loading time is used up")
				}
				if loads[w]++; p.LoadCount >= 0 && loads[w] > p.LoadCount {
					bad("the budget of loads is used up")
				}
				leased[w] += max(blocked, e.After+e.Gap)
			}
		}
		switch {
		case e.Kind == Parts:
			if e.Blocks[0] > lease*9/10 || blocked > p.LoadCap*9/10 {
				bad("longer than its lease")
			}
		case e.Kind == Late:
			if over := blocked - lease; over <= 0 || over > p.BlockedTimeout*9/10 {
				bad("not past its lease, or blocked for too long")
			}
		case e.Class != Dies && e.While == Loading && blocked > lease*9/10:
			bad("longer than its lease")
		case e.Kind == Block && blocked > p.BlockedTimeout*9/10, e.While == Blocked && e.After+p.SilenceTimeout+tolerance(&p) > p.BlockedTimeout:
			bad("blocked for too long")
		}
		switch e.Kind {
		case Hiccup:
			if e.Gap+2*p.ProbeInterval > p.SilenceTimeout {
				bad("longer than a hiccup")
			}
		case Cut, CutUp, CutDown:
			if e.Gap < p.SilenceTimeout+tolerance(&p) || e.Gap > p.ReconnectTimeout*9/10 {
				bad("not to be told, or not to be survived")
			}
		case Refresh:
			if e.Gap > p.LeaveTimeout*9/10 {
				bad("too slow")
			}
		}
	}
	slices.Sort(loads[:])
	if loads[1] == 0 {
		t.Error("nobody loads anything")
	}
}
