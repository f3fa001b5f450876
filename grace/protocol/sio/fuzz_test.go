package sio

import (
	"bytes"
	"encoding/json"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// grammar is the same language once more, as a regular expression.
var grammar = regexp.MustCompile(`(?s)^([0-4])(?:(/[^,\x00-\x20\x7f]*)(?:,|$))?(0|[1-9][0-9]*)?(.*)$`)

// oracle is a deliberately dumb Decode: a regular expression and encoding/json.
func oracle(message []byte) (p Packet, ok bool) {
	m := grammar.FindSubmatch(message)
	if m == nil || !utf8.Valid(message) || len(m[2]) > MaxNamespace {
		return p, false
	}
	p = Packet{Type: Type(m[1][0]), Namespace: "/", HasID: m[3] != nil}
	if len(m[2]) > 1 {
		p.Namespace = string(m[2])
	}
	if p.HasID {
		id, err := strconv.ParseUint(string(m[3]), 10, 64)
		if err != nil {
			return p, false
		}
		p.ID = id
	}
	if len(m[4]) > 0 {
		p.Data = m[4]
	}
	if depth(p.Data) > MaxDepth {
		return p, false
	}
	var object map[string]json.RawMessage
	var array []json.RawMessage
	isObject := json.Unmarshal(p.Data, &object) == nil && object != nil
	isArray := json.Unmarshal(p.Data, &array) == nil && array != nil
	switch p.Type {
	case Connect:
		return p, (p.Data == nil || isObject) && !p.HasID
	case Disconnect:
		return p, p.Data == nil && !p.HasID
	case Event:
		return p, isArray && len(array) > 0 && array[0][0] == '"'
	case Ack:
		return p, isArray && p.HasID
	default:
		return p, isObject && !p.HasID
	}
}

// depth is the deepest nesting of a valid JSON text, and anything otherwise.
func depth(data []byte) (deepest int) {
	dec := json.NewDecoder(bytes.NewReader(data))
	for open := 0; ; {
		tok, err := dec.Token()
		if err != nil {
			return deepest
		}
		switch tok {
		case json.Delim('['), json.Delim('{'):
			open++
			deepest = max(deepest, open)
		case json.Delim(']'), json.Delim('}'):
			open--
		}
	}
}

func seeds(f *testing.F) {
	text, err := os.ReadFile("testdata/packets.txt")
	if err != nil {
		f.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if line[0] != '#' && line[0] != '\t' {
			f.Add([]byte(strings.TrimSuffix(line, "\n")))
		}
	}
	f.Add([]byte(`2["\ud83d\ude00\ud83d\u0041\ude00"]`))
	f.Add([]byte("2[\"a\xff\"]"))
	f.Add([]byte(`31` + strings.Repeat("[", MaxDepth+1) + strings.Repeat("]", MaxDepth+1)))
}

// FuzzDecode checks that Decode and the oracle accept the same packets and
// read the same out of them, that splitting agrees with encoding/json, and that
// what was decoded can be encoded and decoded again.
func FuzzDecode(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, message []byte) {
		before := bytes.Clone(message)
		p, err := Decode(message)
		want, ok := oracle(message)
		if ok != (err == nil) {
			t.Fatalf("Decode: %v; the oracle accepts: %t", err, ok)
		}
		if !bytes.Equal(before, message) {
			t.Fatal("Decode changed its input")
		}
		if err != nil {
			if !reflect.DeepEqual(p, Packet{}) {
				t.Fatalf("an error and a packet: %+v", p)
			}
			return
		}
		if !reflect.DeepEqual(p, want) {
			t.Fatalf("Decode gave %+v, the oracle %+v", p, want)
		}
		again, err := Decode(Append(nil, p))
		if err != nil || !reflect.DeepEqual(again, p) {
			t.Fatalf("round trip of %+v: %+v, %v", p, again, err)
		}
		switch p.Type {
		case Event:
			checkSplitEvent(t, p.Data)
		case Ack:
			checkSplitArgs(t, p.Data)
		}
	})
}

func checkSplitEvent(t *testing.T, data []byte) {
	var want []json.RawMessage
	var wantName string
	if err := json.Unmarshal(data, &want); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(want[0], &wantName); err != nil {
		t.Fatal(err)
	}
	name, args, err := SplitEvent(data)
	if err != nil || name != wantName || !same(args, want[1:]) {
		t.Fatalf("SplitEvent(%s) = %q, %q, %v; want %q, %q", data, name, args, err, wantName, want[1:])
	}
	name2, args2, err := SplitEvent(AppendEvent(nil, name, args...))
	if err != nil || name2 != name || !same(args2, want[1:]) {
		t.Fatalf("SplitEvent(AppendEvent(%q, %q)) = %q, %q, %v", name, args, name2, args2, err)
	}
}

func checkSplitArgs(t *testing.T, data []byte) {
	var want []json.RawMessage
	if err := json.Unmarshal(data, &want); err != nil {
		t.Fatal(err)
	}
	args, err := SplitArgs(data)
	if err != nil || !same(args, want) {
		t.Fatalf("SplitArgs(%s) = %q, %v; want %q", data, args, err, want)
	}
	again, err := SplitArgs(AppendArgs(nil, args...))
	if err != nil || !same(again, want) {
		t.Fatalf("SplitArgs(AppendArgs(%q)) = %q, %v", args, again, err)
	}
}

func same(a [][]byte, b []json.RawMessage) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !bytes.Equal(a[i], b[i]) {
			return false
		}
	}
	return true
}

// FuzzSplit feeds the splitters what Decode would not let through.
func FuzzSplit(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		var array []json.RawMessage
		valid := json.Unmarshal(data, &array) == nil && array != nil
		args, err := SplitArgs(data)
		if err == nil && (!valid || !same(args, array)) {
			t.Fatalf("SplitArgs accepted %q as %q", data, args)
		}
		if err != nil && valid && depth(data) <= MaxDepth {
			t.Fatalf("SplitArgs refused %q: %v", data, err)
		}
		if _, _, err := SplitEvent(data); err == nil && !(valid && array[0][0] == '"') {
			t.Fatalf("SplitEvent accepted %q", data)
		}
	})
}

// FuzzEngine checks that frames and payloads survive a round trip.
func FuzzEngine(f *testing.F) {
	for _, s := range []string{"", "2", "2probe", "42[]", "1\x1e2\x1e", "bAA", "\x1e"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if typ, data, err := DecodeEngine(body); err == nil && !bytes.Equal(AppendEngine(nil, typ, data), body) {
			t.Fatalf("%q came back as another frame", body)
		}
		frames, err := SplitPayload(body, 4)
		if err == nil && (len(frames) > 4 || !bytes.Equal(bytes.Join(frames, []byte{Separator}), body)) {
			t.Fatalf("SplitPayload(%q) = %q", body, frames)
		}
	})
}

// FuzzString checks that every string survives AppendString and unquote.
func FuzzString(f *testing.F) {
	f.Add("a\"b\\c\n\x01\u2028é😀\xff")
	f.Fuzz(func(t *testing.T, s string) {
		name, args, err := SplitEvent(AppendEvent(nil, s))
		if err != nil || len(args) != 0 || name != strings.ToValidUTF8(s, "\ufffd") && utf8.ValidString(s) {
			t.Fatalf("%q came back as %q, %v", s, name, err)
		}
	})
}
