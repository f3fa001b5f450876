package main

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// module is a module with a section that is not looked at, and these segments.
func module(segments ...segment) []byte {
	m := append([]byte(header), 0, 3, 'a', 'b', 'c')
	data := encode(segments)
	m = append(m, dataSection)
	m = binary.AppendUvarint(m, uint64(len(data)))
	return append(m, data...)
}

// memory is what the segments leave in it.
func memory(t *testing.T, m []byte) (contents []byte, segments int) {
	t.Helper()
	prefix := module()[:len(header)+5]
	if !bytes.HasPrefix(m, prefix) {
		t.Fatalf("the other section is gone: %x", m)
	}
	r := reader{rest: m[len(prefix)+1:]}
	parsed, err := parse(r.bytes(r.uint()))
	if err != nil || r.err != nil || len(r.rest) > 0 {
		t.Fatal(err, r.err, r.rest)
	}
	for _, s := range parsed {
		if missing := int(s.address) + len(s.data) - len(contents); missing > 0 {
			contents = append(contents, make([]byte, missing)...)
		}
		copy(contents[s.address:], s.data)
	}
	return contents, len(parsed)
}

func TestJoin(t *testing.T) {
	long := bytes.Repeat([]byte("x"), 300)
	for _, c := range []struct {
		what     string
		segments []segment
		want     int
	}{
		{"none", nil, 0},
		{"one", []segment{{8192, []byte("a")}}, 1},
		{"neighbours", []segment{{64, long}, {64 + 300, []byte("b")}, {64 + 301 + 9, long}}, 1},
		{"a gap as long as it may be", []segment{{0, []byte("a")}, {far, []byte("b")}}, 1},
		{"a longer one", []segment{{0, []byte("a")}, {far + 1, []byte("b")}, {far + 12, []byte("c")}}, 2},
		{"out of order", []segment{{100, []byte("b")}, {0, []byte("a")}, {20, []byte("c")}}, 2},
		{"one over the other", []segment{{0, long}, {10, []byte("over")}}, 2},
		{"empty", []segment{{5, nil}, {9, []byte("b")}}, 1},
	} {
		before := module(c.segments...)
		after, err := join(before)
		if err != nil {
			t.Errorf("%s: %v", c.what, err)
			continue
		}
		want, _ := memory(t, before)
		got, n := memory(t, after)
		if !bytes.Equal(got, want) || n != c.want {
			t.Errorf("%s: %d segments, memory %x instead of %x", c.what, n, got, want)
		}
		if again, err := join(after); err != nil || !bytes.Equal(again, after) {
			t.Errorf("%s: a second time it is another module (%v)", c.what, err)
		}
	}
}

func TestSigned(t *testing.T) {
	for _, n := range []int64{0, 1, 63, 64, 127, 128, 8191, 8192, 1 << 30, 1<<31 - 1, -1, -64, -65, -1 << 31} {
		r := reader{rest: appendInt(nil, n)}
		if got := r.int(); got != n || r.err != nil || len(r.rest) > 0 {
			t.Errorf("%d became %d (%v)", n, got, r.err)
		}
	}
}

func TestUnknown(t *testing.T) {
	whole := module(segment{64, []byte("abc")})
	for n := range whole {
		if m, err := join(whole[:n]); err == nil && n != len(header) && n != len(header)+5 {
			t.Errorf("%d bytes of %d: %x", n, len(whole), m)
		}
	}
	at := len(header) + 5 + 3 // the segment
	for what, change := range map[string]func(m []byte){
		"passive":                    func(m []byte) { m[at] = 1 },
		"a global":                   func(m []byte) { m[at+1] = 0x23 },
		"a sum":                      func(m []byte) { m[at+4] = 0x41 },
		"two, of which one is there": func(m []byte) { m[at-1] = 2 },
		"not a WASM":                 func(m []byte) { m[1] = 'b' },
	} {
		m := bytes.Clone(whole)
		change(m)
		if _, err := join(m); err == nil {
			t.Errorf("%s: taken", what)
		}
	}
}
