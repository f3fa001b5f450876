package latency

import "testing"

func TestWindow(t *testing.T) {
	var w Window
	for _, c := range []struct{ add, last, median, jitter float64 }{
		{10, 10, 10, 0}, {20, 20, 15, 10}, {12, 12, 12, 9}, {4000, 4000, 16, 10},
	} {
		w.Add(c.add)
		if w.Last() != c.last || w.Median() != c.median {
			t.Errorf("after %v: last %v, median %v", c.add, w.Last(), w.Median())
		}
		if w.Jitter() != c.jitter {
			t.Errorf("after %v: jitter %v, want %v", c.add, w.Jitter(), c.jitter)
		}
	}
	for range size { // all the others are forgotten
		w.Add(7)
	}
	if w.Median() != 7 || w.Jitter() != 0 || w.Last() != 7 {
		t.Errorf("%v %v %v", w.Median(), w.Jitter(), w.Last())
	}
	var empty Window
	if empty.Last() != 0 || empty.Median() != 0 || empty.Jitter() != 0 {
		t.Error("an empty window")
	}
}

// One freeze does not falsify what is said of the network.
func TestOutlier(t *testing.T) {
	var w Window
	for i := range 20 {
		w.Add(30 + float64(i%3))
	}
	w.Add(9000)
	if w.Median() != 31 || w.Jitter() > 2 {
		t.Errorf("median %v, jitter %v", w.Median(), w.Jitter())
	}
}
