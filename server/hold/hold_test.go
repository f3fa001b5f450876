package hold

import (
	"bytes"
	"testing"
)

func push(t *testing.T, q *Queue, want bool, key, data string) {
	t.Helper()
	if got := q.Push(key, []byte(data), 0); got != want {
		t.Fatalf("Push(%q, %q) = %v, want %v", key, data, got, want)
	}
}

func take(q *Queue) string {
	var all [][]byte
	for _, f := range q.Take() {
		all = append(all, f.Data)
	}
	return string(bytes.Join(all, []byte(" ")))
}

func TestOrderAndCoalescing(t *testing.T) {
	var q Queue
	push(t, &q, true, "", "a")
	push(t, &q, true, "partner", "old")
	push(t, &q, true, "", "b")
	push(t, &q, true, "partner", "new")
	push(t, &q, true, "other", "c")
	if q.Len() != 4 || q.Bytes() != len("abnewc") {
		t.Fatalf("holds %d frames, %d bytes", q.Len(), q.Bytes())
	}
	if got := take(&q); got != "a b new c" {
		t.Fatalf("took %q", got)
	}
	if q.Len() != 0 || q.Bytes() != 0 || q.Take() != nil {
		t.Fatal("not empty after Take")
	}
}

func TestBounds(t *testing.T) {
	q := Queue{Limits: Limits{Frames: 2, Bytes: 5}}
	push(t, &q, true, "", "123")
	push(t, &q, false, "", "456") // one byte too many
	push(t, &q, true, "k", "45")
	push(t, &q, false, "", "")     // one frame too many
	push(t, &q, true, "k", "67")   // replaces, so it fits
	push(t, &q, false, "k", "890") // does not fit, so the older one stays
	if got := take(&q); got != "123 67" {
		t.Fatalf("took %q", got)
	}
}

// A taken frame must not change when the queue is used again.
func TestTakeIsIndependent(t *testing.T) {
	var q Queue
	push(t, &q, true, "k", "one")
	first := q.Take()
	push(t, &q, true, "k", "two")
	if !bytes.Equal(first[0].Data, []byte("one")) {
		t.Fatalf("taken frame became %q", first[0].Data)
	}
}
