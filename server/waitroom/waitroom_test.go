package waitroom

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

const second = time.Second

var (
	start = time.Date(2026, 11, 3, 0, 0, 0, 0, time.UTC)
	two   = Pool{"x", 2}
	three = Pool{"x", 3}
)

func all(string) Presence { return Presence{true, true} }

func TestFirstPresentFirst(t *testing.T) {
	var r Room
	for _, p := range []string{"d", "c", "b", "a"} {
		r.Join(start, p, two, 0)
	}
	r.Join(start, "trio", three, 0)
	notC := func(p string) Presence { return Presence{p != "c", p != "c"} }
	if g := r.Take(start, two, 2, notC, second); !slices.Equal(g, []string{"d", "b"}) {
		t.Fatalf("first group %v", g)
	}
	if g := r.Take(start, two, 2, notC, second); g != nil {
		t.Fatalf("started short: %v", g)
	}
	if got := r.In(two); !slices.Equal(got, []string{"c", "a"}) {
		t.Fatalf("still waiting: %v", got)
	}
	if g := r.Take(start, two, 2, all, second); !slices.Equal(g, []string{"c", "a"}) {
		t.Fatalf("second group %v", g)
	}
	if p, ok := r.Of("trio"); !ok || p.Pool != three {
		t.Fatalf("trio: %+v %v", p, ok)
	}
}

func TestJoiningTwiceKeepsThePlace(t *testing.T) {
	var r Room
	r.Join(start, "a", two, second)
	r.Join(start, "b", two, second)
	if p, joined := r.Join(start.Add(second/2), "a", two, second); joined || p.Turn != 1 || !p.Until.Equal(start.Add(second)) {
		t.Errorf("again: %+v %v", p, joined)
	}
	r.Join(start, "a", three, 0)
	if got := r.In(two); !slices.Equal(got, []string{"b"}) {
		t.Errorf("in two pools: %v", got)
	}
}

func TestRequeueIsTheHead(t *testing.T) {
	var r Room
	r.Join(start, "a", two, 0)
	r.Requeue(start, []string{"y", "z"}, two, 0)
	r.Requeue(start, []string{"x"}, two, 0)
	r.Join(start, "b", two, 0)
	if got := r.In(two); !slices.Equal(got, []string{"x", "y", "z", "a", "b"}) {
		t.Errorf("order %v", got)
	}
	// The same again in another process, whatever the order of its reading.
	var again Room
	for _, p := range []string{"b", "z", "x", "a", "y"} {
		place, _ := r.Of(p)
		again.Restore(place)
	}
	again.Join(start, "c", two, 0)
	again.Requeue(start, []string{"w"}, two, 0)
	if got := again.In(two); !slices.Equal(got, []string{"w", "x", "y", "z", "a", "b", "c"}) {
		t.Errorf("restored order %v", got)
	}
}

// The waiting is over exactly at its end.
func TestTimeout(t *testing.T) {
	var r Room
	r.Join(start, "a", two, 10*second)
	r.Join(start.Add(second), "b", two, 10*second)
	r.Join(start, "for ever", three, 0)
	at, ok := r.Next()
	if !ok || !at.Equal(start.Add(10*second)) {
		t.Fatalf("next %v %v", at, ok)
	}
	if over, _ := r.Due(at.Add(-1)); over != nil {
		t.Fatalf("too early: %v", over)
	}
	if over, _ := r.Due(at); len(over) != 1 || over[0].Participant != "a" {
		t.Fatalf("over: %v", over)
	}
	if over, _ := r.Due(at); over != nil {
		t.Fatalf("over twice: %v", over)
	}
	r.Leave("b")
	if at, ok := r.Next(); ok {
		t.Fatalf("nobody has a deadline, next is %v", at)
	}
}

// Of those who may have gone a moment ago nobody knows: the group waits for a
// sign of life and does not start short.
func TestUnsure(t *testing.T) {
	var r Room
	r.Join(start, "a", two, 0)
	r.Join(start, "b", two, 0)
	sure := false
	presence := func(p string) Presence { return Presence{true, p == "a" || sure} }
	if g := r.Take(start, two, 2, presence, second); g != nil {
		t.Fatalf("took %v", g)
	}
	at, ok := r.Next()
	if !ok || !at.Equal(start.Add(second)) {
		t.Fatalf("next look %v %v", at, ok)
	}
	if over, again := r.Due(at); over != nil || !slices.Equal(again, []Pool{two}) {
		t.Fatalf("due: %v %v", over, again)
	}
	sure = true
	if g := r.Take(at, two, 2, presence, second); !slices.Equal(g, []string{"a", "b"}) {
		t.Fatalf("took %v", g)
	}
	if _, ok := r.Next(); ok {
		t.Error("something is due in an empty room")
	}
}

func TestStatus(t *testing.T) {
	var r Room
	r.Join(start, "a", three, 60*second)
	if s, _ := r.Status(start, "a", all); s != (Status{Position: 1, Present: 1, Size: 3, Missing: 2, Expected: -1, Left: 60 * second}) {
		t.Errorf("alone: %+v", s)
	}
	r.Join(start.Add(10*second), "b", three, 0)
	now := start.Add(20 * second)
	if s, _ := r.Status(now, "b", all); s != (Status{Position: 2, Present: 2, Size: 3, Missing: 1, Expected: 10 * second, Left: -1}) {
		t.Errorf("second: %+v", s)
	}
	notA := func(p string) Presence { return Presence{p != "a", p != "a"} }
	if s, _ := r.Status(now, "b", notA); s.Position != 1 || s.Present != 1 || s.Missing != 2 {
		t.Errorf("the first is away: %+v", s)
	}
	for i := range 2 {
		r.Join(now, fmt.Sprint(i), three, 0)
	}
	if s, _ := r.Status(now, "b", all); s.Missing != 0 || s.Expected != 0 {
		t.Errorf("enough: %+v", s)
	}
	if s, _ := r.Status(now, "1", all); s.Position != 4 || s.Missing != 2 {
		t.Errorf("of the second group: %+v", s)
	}
	if _, ok := r.Status(now, "nobody", all); ok {
		t.Error("nobody waits")
	}
}

// No group ever starts short: whatever joins, leaves, falls silent or comes back
// at whatever time, a group has its size, its members are all surely there at
// that moment, waited for that pool and are the first who did, and nobody is in
// two groups. Nobody waits beyond the end of the waiting either.
func TestNoGroupStartsShort(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 6))
		var r Room
		now := start
		presence := map[string]Presence{}
		waits := map[string]Place{} // the model
		pools := []Pool{two, three, {"y", 2}}
		groups := 0
		is := func(p string) Presence { return presence[p] }
		take := func(pool Pool, n int) {
			var want []string // by scanning all
			for _, p := range waits {
				if p.Pool == pool && presence[p.Participant] == (Presence{true, true}) {
					want = append(want, p.Participant)
				}
			}
			slices.SortFunc(want, func(a, b string) int { return int(waits[a].Turn - waits[b].Turn) })
			got := r.Take(now, pool, n, is, second)
			if len(want) < n {
				want = nil
			} else {
				want = want[:n]
			}
			if !slices.Equal(got, want) {
				t.Fatalf("seed %d: took %v of %v, want %v", seed, got, pool, want)
			}
			for _, p := range got {
				delete(waits, p)
			}
			if got != nil {
				groups++
			}
		}
		for range 400 {
			who := fmt.Sprint("p", rng.IntN(12))
			pool := pools[rng.IntN(len(pools))]
			switch rng.IntN(7) {
			case 0, 1:
				presence[who] = Presence{true, true}
				if p, joined := r.Join(now, who, pool, time.Duration(rng.IntN(3))*10*second); joined {
					waits[who] = p
				}
			case 2:
				left, ok := r.Leave(who)
				if model, waited := waits[who]; ok != waited || ok && left != model {
					t.Fatalf("seed %d: %s left %+v %v", seed, who, left, ok)
				}
				delete(waits, who)
			case 3:
				states := []Presence{{}, {true, false}, {true, true}}
				presence[who] = states[rng.IntN(3)]
			case 4:
				take(pool, pool.Size)
			case 5:
				for _, p := range r.Requeue(now, []string{who}, pool, 20*second) {
					presence[who], waits[who] = Presence{true, true}, p
				}
			case 6:
				now = now.Add(time.Duration(rng.IntN(5000)) * time.Millisecond)
				over, _ := r.Due(now)
				for _, p := range over {
					if waits[p.Participant] != p || p.Until.IsZero() || p.Until.After(now) {
						t.Fatalf("seed %d: over at %v: %+v", seed, now, p)
					}
					delete(waits, p.Participant)
				}
				if next, ok := r.Next(); ok && !next.After(now) {
					t.Fatalf("seed %d: after Due the next is still %v", seed, next)
				}
			}
			for _, p := range waits {
				if !p.Until.IsZero() && now.After(p.Until) {
					t.Fatalf("seed %d: %+v still waits at %v", seed, p, now)
				}
				if got, ok := r.Of(p.Participant); !ok || got != p {
					t.Fatalf("seed %d: %+v, want %+v", seed, got, p)
				}
			}
		}
		if groups == 0 {
			t.Fatalf("seed %d: no group at all", seed)
		}
	}
}
