package groups

import (
	"slices"
	"testing"
)

func TestAssignAndLeave(t *testing.T) {
	var r Registry
	r.Assign("x", "a")
	r.Assign("x", "b")
	if !slices.Equal(r.Partners("a"), []string{"b"}) || !slices.Equal(r.Named("x").Members, []string{"a", "b"}) {
		t.Fatalf("partners of a %v, group %v", r.Partners("a"), r.Named("x"))
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
