package groups

import (
	"slices"
	"strconv"
	"testing"
)

func names() func() string {
	n := 0
	return func() string { n++; return "g" + strconv.Itoa(n) }
}

func TestFirstPresentFirst(t *testing.T) {
	var r Registry
	name := names()
	for _, p := range []string{"d", "c", "b", "a"} {
		r.Wait(p, 2)
	}
	r.Wait("trio", 3)
	present := func(p string) bool { return p != "c" }
	g, ok := r.Match(2, present, name)
	if !ok || g.Name != "g1" || !slices.Equal(g.Members, []string{"b", "d"}) {
		t.Fatalf("first group: %v %v", g, ok)
	}
	if g, ok := r.Match(2, present, name); ok {
		t.Fatalf("started short: %v", g)
	}
	if got := r.Waiting(2); !slices.Equal(got, []string{"c", "a"}) {
		t.Fatalf("still waiting: %v", got)
	}
	if g, ok := r.Match(2, func(string) bool { return true }, name); !ok || !slices.Equal(g.Members, []string{"a", "c"}) {
		t.Fatalf("second group: %v %v", g, ok)
	}
	if r.Size("trio") != 3 || r.Size("a") != 0 {
		t.Fatal("sizes are wrong")
	}
}

func TestWaitingTwiceKeepsThePlace(t *testing.T) {
	var r Registry
	r.Wait("a", 2)
	r.Wait("b", 2)
	r.Wait("a", 2)
	if got := r.Waiting(2); !slices.Equal(got, []string{"a", "b"}) {
		t.Fatalf("waiting: %v", got)
	}
	r.Wait("a", 3) // another size is another queue
	if got := r.Waiting(2); !slices.Equal(got, []string{"b"}) {
		t.Fatalf("waiting: %v", got)
	}
}

func TestAssignAndLeave(t *testing.T) {
	var r Registry
	r.Wait("a", 2)
	r.Assign("x", "a")
	r.Assign("x", "b")
	if r.Size("a") != 0 || !slices.Equal(r.Partners("a"), []string{"b"}) {
		t.Fatalf("a waits for %d, partners %v", r.Size("a"), r.Partners("a"))
	}
	r.Assign("y", "a") // one group at a time
	if len(r.Partners("b")) != 0 {
		t.Fatalf("b still has partners %v", r.Partners("b"))
	}
	if g := r.Leave("a"); g.Name != "y" || len(g.Members) != 0 {
		t.Fatalf("left %v", g)
	}
	if g := r.Leave("a"); g.Name != "" || r.Of("a").Name != "" {
		t.Fatalf("left twice: %v", g)
	}
	if g := r.Leave("nobody"); g.Name != "" {
		t.Fatalf("nobody left %v", g)
	}
}
