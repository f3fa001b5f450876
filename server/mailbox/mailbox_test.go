package mailbox

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"initgrace/server/store"
)

func frame(seq uint64) []byte { return []byte(strconv.FormatUint(seq, 10)) }

func post(t *testing.T, b *Box, from, key string) uint64 {
	t.Helper()
	seq, ok := b.Post(from, key, frame)
	if !ok {
		t.Fatal("no room")
	}
	return seq
}

func emitted(b *Box) string {
	var out []string
	for _, f := range b.Emit(b.Posted) {
		out = append(out, string(f))
	}
	return strings.Join(out, " ")
}

func want(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

func TestReplay(t *testing.T) {
	var b Box
	for range 5 {
		post(t, &b, "x", "")
	}
	want(t, "first connection", emitted(&b), "1 2 3 4 5")
	want(t, "nothing new", emitted(&b), "")
	b.Rewind(2)
	want(t, "a page that read 2", emitted(&b), "3 4 5")
	if !b.Receive(3) || b.Receive(3) || b.Receive(1) {
		t.Error("Receive says the wrong thing about what it changed")
	}
	b.Rewind(0)
	want(t, "another page", emitted(&b), "4 5")
	b.Rewind(99) // a page that read more than there is, of another server
	want(t, "a page from elsewhere", emitted(&b), "")
	post(t, &b, "x", "")
	want(t, "and on", emitted(&b), "6")
	if b.Receive(99); b.Received != 6 || b.Len() != 0 || b.Bytes() != 0 || b.flight != 0 {
		t.Errorf("%+v", b)
	}
}

func TestLatest(t *testing.T) {
	var b Box
	post(t, &b, "x", "at") // 1
	post(t, &b, "y", "at") // 2
	post(t, &b, "x", "")   // 3
	post(t, &b, "x", "at") // 4
	want(t, "coalesced", emitted(&b), "2 3 4")
	post(t, &b, "x", "at") // 5: 4 was emitted, and need not be again
	b.Rewind(0)
	want(t, "after a reconnect", emitted(&b), "2 3 5")
	b.Receive(5)
	post(t, &b, "x", "at")
	want(t, "after that", emitted(&b), "6")
	if b.Len() != 1 || len(b.latest) != 1 || b.flight != 1 {
		t.Errorf("%+v", b)
	}
}

func TestBounds(t *testing.T) {
	b := Box{Limits: Limits{Messages: 3, Bytes: 4}}
	for range 3 {
		post(t, &b, "x", "k"+fmt.Sprint(b.Posted))
	}
	if _, ok := b.Post("x", "", frame); ok {
		t.Error("a fourth message")
	}
	if post(t, &b, "x", "k1") != 4 { // the number was not used up; it takes the place of 2
		t.Error("a number is missing")
	}
	want(t, "kept", emitted(&b), "1 3 4")
	// What was read makes room, what was not does not.
	b.Read(3)
	post(t, &b, "x", "")
	post(t, &b, "x", "")
	if _, ok := b.Post("x", "", frame); ok || b.Received != 3 {
		t.Errorf("received %d", b.Received)
	}
	b = Box{Limits: Limits{Bytes: 4}}
	if _, ok := b.Post("x", "", func(uint64) []byte { return make([]byte, 5) }); ok || b.Posted != 0 {
		t.Error("five bytes in four")
	}
	if lost := b.GiveUp(); lost != nil {
		t.Error(lost)
	}
}

func TestWindow(t *testing.T) {
	b := Box{Limits: Limits{Window: 2}}
	for range 5 {
		post(t, &b, "x", "")
	}
	want(t, "window", emitted(&b), "1 2")
	want(t, "full", emitted(&b), "")
	b.Read(1)
	want(t, "one read", emitted(&b), "3")
	b.Receive(3)
	want(t, "all received", emitted(&b), "4 5")
	if lost := b.GiveUp(); lost["x"] != 2 || b.Received != 5 {
		t.Errorf("lost %v", lost)
	}
}

func TestAgain(t *testing.T) {
	b := Box{Limits: Limits{Pages: 2}}
	for _, c := range []struct {
		page  string
		id    uint64
		again bool
	}{
		{"a", 1, false}, {"a", 1, true}, {"a", 5, false}, {"a", 4, true}, {"b", 1, false}, {"a", 5, true},
		{"a", 6, false}, {"c", 1, false}, // b is forgotten
		{"b", 1, false}, {"c", 1, true}, {"a", 6, false},
	} {
		before := slices.Clone(b.Pages)
		shared := b.Pages
		if got := b.Again(c.page, c.id); got != c.again {
			t.Errorf("%v: %v", c, got)
		}
		if !slices.Equal(shared, before) {
			t.Error("changed in place")
		}
	}
}

// TestRandom holds the box to a simple model, with restarts in between.
func TestRandom(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 0))
		b := Box{Limits: Limits{Messages: 20, Window: 12}}
		model := map[uint64]store.Message{} // neither received nor superseded
		next := uint64(0)                   // to be emitted are those above
		for range 300 {
			switch r.IntN(10) {
			case 0, 1, 2, 3, 4:
				m := store.Message{From: string(rune('x' + r.IntN(2))), Key: []string{"", "", "k", "l"}[r.IntN(4)]}
				seq, ok := b.Post(m.From, m.Key, frame)
				if !ok {
					continue
				}
				for s, o := range model {
					if s <= b.Received || m.Key != "" && o.From == m.From && o.Key == m.Key {
						delete(model, s)
					}
				}
				m.Seq = seq
				model[seq] = m
			case 5, 6:
				var got []uint64
				for _, f := range b.Emit(b.Posted) {
					seq, _ := strconv.ParseUint(string(f), 10, 64)
					got = append(got, seq)
				}
				for _, seq := range got {
					for s := next + 1; s < seq; s++ {
						if _, there := model[s]; there {
							t.Fatalf("seed %d: %d was passed over", seed, s)
						}
					}
					if _, there := model[seq]; !there || seq <= next {
						t.Fatalf("seed %d: %d was emitted after %d", seed, seq, next)
					}
					next = seq
				}
			case 7:
				b.Read(b.Received + r.Uint64N(b.Posted-b.Received+1))
			case 8:
				seq := b.Received + r.Uint64N(b.emitted-b.Received+1)
				b.Receive(seq)
				for s := range model {
					if s <= b.Received {
						delete(model, s)
					}
				}
			case 9:
				seq := r.Uint64N(next + 1)
				if r.IntN(2) == 0 { // the server dies
					again := Box{Limits: b.Limits, Mailbox: b.Mailbox}
					for _, l := range b.letters {
						again.Restore(store.Message{Seq: l.seq, From: l.from, Key: l.key}, l.frame)
					}
					b = again
				}
				b.Rewind(seq)
				next = max(seq, b.Received)
			}
			bytes, flight := 0, 0
			for _, l := range b.letters {
				bytes += len(l.frame)
				if l.seq > b.read && l.seq <= b.emitted {
					flight += len(l.frame)
				}
			}
			if b.Len() != len(model) || bytes != b.bytes || flight != b.flight || b.Received > b.read || b.read > b.emitted || b.emitted > b.Posted {
				t.Fatalf("seed %d: %+v, model %v", seed, b, model)
			}
		}
	}
}

func TestOver(t *testing.T) {
	var b Box
	b.Again("a", 7)
	b.SetOver("a", true)
	b.SetOver("", true)
	if !b.Over("a") || b.Over("b") || b.Over("") || b.Last("a") != 7 || len(b.Pages) != 1 {
		t.Errorf("%+v", b.Pages)
	}
	if b.SetOver("a", false); b.Over("a") || b.Last("a") != 7 {
		t.Errorf("%+v", b.Pages)
	}
}
