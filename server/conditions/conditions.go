// Package conditions draws participants into experimental conditions, and the
// order of their scenes. It is pure: the same seed and the same counts give the
// same draw, so that a server that was restarted goes on as if it had not been.
package conditions

import (
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
)

// A Design is the conditions of one experiment, drawn in permuted blocks: in
// each block of participants every condition occurs as often as its weight
// wants, in an order of the block's own.
type Design struct {
	Seed       []byte
	Conditions []Condition
	// Block is the size of a block, a multiple of the sum of the weights.
	Block int
}

// Condition is one of a Design.
type Condition struct {
	Name   string
	Weight int
}

// Draw is the next participant's condition, given how many have been drawn into
// each; empty if the design has none. The counts need not come from draws:
// what is missing in the earliest block that is not full is drawn first, so that
// participants who were deleted are made up for.
func (d *Design) Draw(counts map[string]int) string {
	sum := 0
	for _, c := range d.Conditions {
		sum += c.Weight
	}
	if sum == 0 {
		return ""
	}
	quota := func(c Condition) int { return c.Weight * max(d.Block/sum, 1) }
	block := -1
	for _, c := range d.Conditions {
		if full := counts[c.Name] / quota(c); block < 0 || full < block {
			block = full
		}
	}
	var slots []string
	used := make(map[string]int)
	for _, c := range d.Conditions {
		used[c.Name] = counts[c.Name] - block*quota(c)
		for range quota(c) {
			slots = append(slots, c.Name)
		}
	}
	shuffle(slots, d.Seed, "block", uint64(block))
	for _, name := range slots {
		if used[name]--; used[name] < 0 {
			return name
		}
	}
	panic("a block that is not full has no place left")
}

// Order is the participant's order of scenes: those that move change places
// with each other, the others stay.
func Order(seed []byte, participant string, scenes []string, moves func(scene string) bool) []string {
	var at []int
	var moving []string
	for i, s := range scenes {
		if moves(s) {
			at, moving = append(at, i), append(moving, s)
		}
	}
	shuffle(moving, seed, "scenes of "+participant, 0)
	out := append([]string(nil), scenes...)
	for i, place := range at {
		out[place] = moving[i]
	}
	return out
}

// shuffle is Fisher and Yates's. It is written out because the standard
// library's may draw otherwise in its next version, and a seed is for ever.
func shuffle(s []string, seed []byte, what string, n uint64) {
	h := sha256.New()
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(seed))))
	h.Write(seed)
	h.Write(binary.BigEndian.AppendUint64(nil, n))
	h.Write([]byte(what))
	source := rand.NewChaCha8([32]byte(h.Sum(nil)))
	for i := len(s) - 1; i > 0; i-- {
		j := int(source.Uint64() % uint64(i+1)) // the bias is under 1 in 2^50
		s[i], s[j] = s[j], s[i]
	}
}
