// Package latency keeps a participant's recent round trips. What counts is the
// middle one: a single slow answer, behind a freeze or a lost packet, is none of
// the network's.
package latency

import (
	"math"
	"slices"
)

// size is how many round trips are kept: half a minute's.
const size = 32

// A Window holds the latest round trips, in milliseconds. The zero value is
// empty.
type Window struct {
	samples [size]float64
	n       int // ever added
}

// Add takes a round trip.
func (w *Window) Add(ms float64) {
	w.samples[w.n%size] = ms
	w.n++
}

// Last is the latest one; 0: none yet.
func (w *Window) Last() float64 {
	if w.n == 0 {
		return 0
	}
	return w.samples[(w.n-1)%size]
}

// Median is the middle one; 0: none yet.
func (w *Window) Median() float64 { return median(slices.Clone(w.samples[:min(w.n, size)])) }

// Jitter is the middle difference between one round trip and the next; 0: there
// are not two yet.
func (w *Window) Jitter() float64 {
	var d []float64
	for i := max(w.n-size, 0) + 1; i < w.n; i++ {
		d = append(d, math.Abs(w.samples[i%size]-w.samples[(i-1)%size]))
	}
	return median(d)
}

func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	slices.Sort(v)
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}
