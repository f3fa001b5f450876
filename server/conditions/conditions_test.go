package conditions

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func seed(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// At any moment every condition has had its share up to one block, whatever the
// weights, and a server that begins anew from the counts draws the same.
func TestBalance(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 2026))
	for range 300 {
		d := Design{Seed: seed(rng.Uint64())}
		sum := 0
		for i := range 1 + rng.IntN(5) {
			c := Condition{fmt.Sprint("c", i), 1 + rng.IntN(4)}
			sum += c.Weight
			d.Conditions = append(d.Conditions, c)
		}
		d.Block = sum * (1 + rng.IntN(3))
		counts := make(map[string]int)
		for n := range rng.IntN(200) {
			name := d.Draw(counts)
			if again := d.Draw(maps.Clone(counts)); again != name {
				t.Fatalf("%+v after %v: %s, then %s", d, counts, name, again)
			}
			counts[name]++
			block := n / d.Block
			for _, c := range d.Conditions {
				quota := c.Weight * d.Block / sum
				if have := counts[c.Name]; have < block*quota || have > (block+1)*quota {
					t.Fatalf("%+v: after %d draws %v", d, n+1, counts)
				}
			}
		}
	}
}

// Blocks differ from each other, and no order is preferred.
func TestBlocksAreRandom(t *testing.T) {
	orders := make(map[string]int)
	for s := range uint64(3000) {
		d := Design{Seed: seed(s), Conditions: []Condition{{"a", 1}, {"b", 1}, {"c", 1}}, Block: 3}
		counts := map[string]int{"a": 4, "b": 4, "c": 4}
		order := ""
		for range 3 {
			c := d.Draw(counts)
			counts[c]++
			order += c
		}
		orders[order]++
	}
	for order, n := range orders {
		if n < 400 || n > 600 { // 500 expected, standard deviation 20
			t.Errorf("%s: %d of 3000", order, n)
		}
	}
	if len(orders) != 6 {
		t.Errorf("orders %v", orders)
	}
}

// Participants who were deleted, or a condition that was added, are made up for.
func TestGapsAreFilled(t *testing.T) {
	d := Design{Seed: seed(1), Conditions: []Condition{{"a", 1}, {"b", 1}}, Block: 4}
	counts := map[string]int{"a": 9, "b": 3}
	for counts["b"] < 8 {
		if c := d.Draw(counts); c != "b" {
			t.Fatalf("%v: drew %s", counts, c)
		}
		counts["b"]++
	}
	if c := (&Design{}).Draw(nil); c != "" {
		t.Errorf("a design without conditions drew %q", c)
	}
}

func TestOrder(t *testing.T) {
	scenes := []string{"intro", "x", "y", "pause", "z", "end"}
	moves := func(s string) bool { return strings.Contains("xyz", s) }
	seen := make(map[string]int)
	for i := range 600 {
		who := fmt.Sprint("p", i)
		got := Order(seed(1), who, scenes, moves)
		if got[0] != "intro" || got[3] != "pause" || got[5] != "end" || !slices.Equal(got, Order(seed(1), who, scenes, moves)) {
			t.Fatalf("order %v", got)
		}
		sorted := slices.Sorted(slices.Values(got))
		if !slices.Equal(sorted, slices.Sorted(slices.Values(scenes))) {
			t.Fatalf("order %v", got)
		}
		seen[got[1]+got[2]+got[4]]++
	}
	for order, n := range seen {
		if n < 60 { // 100 expected, standard deviation 9
			t.Errorf("%s: %d of 600", order, n)
		}
	}
	if len(seen) != 6 || !slices.Equal(scenes, []string{"intro", "x", "y", "pause", "z", "end"}) {
		t.Errorf("seen %v, scenes %v", seen, scenes)
	}
	if Order(seed(1), "p", nil, moves) != nil {
		t.Error("nothing was put into an order")
	}
}

// A seed is for ever: a study that runs must go on as it began.
func TestDrawsAreFixed(t *testing.T) {
	d := Design{Seed: seed(7), Conditions: []Condition{{"a", 1}, {"b", 2}}, Block: 6}
	counts, got := map[string]int{}, ""
	for range 12 {
		c := d.Draw(counts)
		counts[c]++
		got += c
	}
	if want := "abbabbbbaabb"; got != want {
		t.Errorf("drew %s, want %s", got, want)
	}
}
