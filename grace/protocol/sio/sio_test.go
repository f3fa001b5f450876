package sio

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/parser"
	"go/token"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestDecodeEngine(t *testing.T) {
	for _, c := range []struct {
		frame string
		typ   EngineType
		data  string
		err   error
	}{
		{frame: `0{"sid":"a"}`, typ: Open, data: `{"sid":"a"}`},
		{frame: "1", typ: Close},
		{frame: "2", typ: Ping},
		{frame: "2probe", typ: Ping, data: "probe"},
		{frame: "3", typ: Pong},
		{frame: "3probe", typ: Pong, data: "probe"},
		{frame: "42[]", typ: Message, data: "2[]"},
		{frame: "4", typ: Message},
		{frame: "5", typ: Upgrade},
		{frame: "6", typ: Noop},
		{frame: "", err: ErrEmpty},
		{frame: "1x", err: ErrEngine},
		{frame: "2prob", err: ErrEngine},
		{frame: "3probe ", err: ErrEngine},
		{frame: "5probe", err: ErrEngine},
		{frame: "6 ", err: ErrEngine},
		{frame: "bAQID", err: ErrBinary},
		{frame: "7", err: ErrType},
		{frame: "\x00", err: ErrType},
	} {
		typ, data, err := DecodeEngine([]byte(c.frame))
		if typ != c.typ || string(data) != c.data || err != c.err {
			t.Errorf("DecodeEngine(%q) = %q, %q, %v; want %q, %q, %v", c.frame, typ, data, err, c.typ, c.data, c.err)
		}
		if err == nil {
			if back := AppendEngine(nil, typ, data); string(back) != c.frame {
				t.Errorf("AppendEngine gave %q for %q", back, c.frame)
			}
		}
	}
}

func TestSplitPayload(t *testing.T) {
	for _, c := range []struct {
		body  string
		limit int
		want  []string
		err   error
	}{
		{"2", 1, []string{"2"}, nil},
		{"2\x1e42[\"a\"]", 2, []string{"2", `42["a"]`}, nil},
		{"2\x1e3\x1e6", 2, nil, ErrPackets},
		{"", 8, nil, ErrEmpty},
		{"\x1e", 8, nil, ErrEmpty},
		{"2\x1e", 8, nil, ErrEmpty},
		{"\x1e2", 8, nil, ErrEmpty},
		{"2\x1e\x1e2", 8, nil, ErrEmpty},
		{"2", 0, nil, ErrPackets},
	} {
		frames, err := SplitPayload([]byte(c.body), c.limit)
		var got []string
		for _, f := range frames {
			got = append(got, string(f))
		}
		if !slices.Equal(got, c.want) || err != c.err {
			t.Errorf("SplitPayload(%q, %d) = %q, %v; want %q, %v", c.body, c.limit, got, err, c.want, c.err)
		}
	}
}

// The limits, at both edges.
func TestLimits(t *testing.T) {
	ns := "/" + strings.Repeat("n", MaxNamespace-1)
	nest := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	event := func(depth int) string { return `2["x",` + nest(depth-1) + `]` }
	for _, c := range []struct {
		packet string
		err    error
	}{
		{"2" + ns + `,["x"]`, nil},
		{"2" + ns + `n,["x"]`, ErrNamespace},
		{"1" + ns, nil},
		{"1" + ns + "n", ErrNamespace},
		{"1" + ns + "n,", ErrNamespace},
		{"1/a\x7fb,", ErrNamespace},
		{"1/a\x00b,", ErrNamespace},
		{"1/é,", nil},
		{"1/\xff,", ErrUTF8},
		{event(MaxDepth), nil},
		{event(MaxDepth + 1), ErrDepth},
		{"31" + nest(MaxDepth), nil},
		{"31" + nest(MaxDepth+1), ErrDepth},
		{"31" + strings.Repeat("[", 1<<20), ErrDepth},
		{"31" + strings.Repeat(`[{"a":`, 1<<20), ErrDepth},
		{"2[\"a\xffb\"]", ErrUTF8},
		{"2[\"a\nb\"]", ErrJSON},
		{"2[\"a\x7fb\"]", nil},
		{"2[\"a\x00", ErrJSON},
		{"2\x00[\"a\"]", ErrShape},
		{"2[\"a\"\x00]", ErrJSON},
		{"2[\"a\"]\x00", ErrJSON},
		{"", ErrEmpty},
	} {
		if _, err := Decode([]byte(c.packet)); err != c.err {
			t.Errorf("Decode(%.40q) of %d bytes: %v; want %v", c.packet, len(c.packet), err, c.err)
		}
	}
}

func TestAppend(t *testing.T) {
	for _, c := range []struct {
		p    Packet
		want string
	}{
		{Packet{Type: Connect}, "0"},
		{Packet{Type: Connect, Namespace: "/", Data: []byte(`{}`)}, "0{}"},
		{Packet{Type: Disconnect, Namespace: "/a"}, "1/a,"},
		{Packet{Type: Event, Data: AppendEvent(nil, "x", []byte(`1`), nil)}, `2["x",1,null]`},
		{Packet{Type: Event, ID: 0, HasID: true, Data: AppendEvent(nil, "a\"\\\n\x01")}, `20["a\"\\\n\u0001"]`},
		{Packet{Type: Ack, Namespace: "/a", ID: 1<<64 - 1, HasID: true, Data: AppendArgs(nil, []byte(`1`), []byte(`{}`))}, `3/a,18446744073709551615[1,{}]`},
		{Packet{Type: Ack, ID: 7, HasID: true, Data: AppendArgs(nil)}, `37[]`},
		{Packet{Type: ConnectError, Data: []byte(`{"message":"no"}`)}, `4{"message":"no"}`},
	} {
		got := Append([]byte("4"), c.p)
		if string(got) != "4"+c.want {
			t.Errorf("Append gave %s, want 4%s", got, c.want)
		}
		if _, err := Decode(got[1:]); err != nil {
			t.Errorf("Decode(%s): %v", got[1:], err)
		}
	}
}

// SplitEvent and SplitArgs stand on their own: what Decode never lets through
// is refused by them too.
func TestSplitRefuses(t *testing.T) {
	for _, data := range []string{"", " ", "{}", "[", "[1]", `["a`, `["a"`, `["a",`, `["a",]`, `["a"]x`, `["a",1]x`, `["a" 1]`, `[`} {
		if name, args, err := SplitEvent([]byte(data)); err == nil || name != "" || args != nil {
			t.Errorf("SplitEvent(%q) = %q, %q, %v", data, name, args, err)
		}
	}
	for _, data := range []string{"", " ", "{}", "[", "[1", "[1,", "[1,]", "[]x", "[1]x", "[1 2]"} {
		if args, err := SplitArgs([]byte(data)); err == nil || args != nil {
			t.Errorf("SplitArgs(%q) = %q, %v", data, args, err)
		}
	}
	if args, err := SplitArgs([]byte(" [ ] ")); err != nil || len(args) != 0 {
		t.Errorf("SplitArgs of an empty array: %q, %v", args, err)
	}
}

// An appended argument must not overwrite its neighbour.
func TestSplitAliasing(t *testing.T) {
	data := []byte(`["x",1,2]`)
	_, args, err := SplitEvent(data)
	if err != nil {
		t.Fatal(err)
	}
	_ = append(args[0], "99"...)
	if string(data) != `["x",1,2]` {
		t.Errorf("data became %s", data)
	}
}

func TestErrorsAreDistinct(t *testing.T) {
	all := []error{ErrEmpty, ErrType, ErrBinary, ErrEngine, ErrPackets, ErrNamespace, ErrID, ErrUTF8, ErrJSON, ErrDepth, ErrShape}
	for i, a := range all {
		for j, b := range all {
			if errors.Is(a, b) != (i == j) {
				t.Errorf("errors.Is(%v, %v)", a, b)
			}
		}
	}
}

// The browser downloads this package: what it imports is counted in kilobytes.
func TestImports(t *testing.T) {
	allowed := []string{"errors", "strconv", "unicode/utf8"}
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), e.Name(), nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, imp := range f.Imports {
			if path, _ := strconv.Unquote(imp.Path.Value); !slices.Contains(allowed, path) {
				t.Errorf("%s imports %s", e.Name(), path)
			}
		}
	}
}

func TestAppendString(t *testing.T) {
	for _, s := range []string{"", "a", "é", "\u2028", "\x00\x1f\n\t\"\\/", "😀", "\xff", "a\xe9b", "\x7f"} {
		var back string
		if err := json.Unmarshal(AppendString(nil, s), &back); err != nil || back != strings.ToValidUTF8(s, "\ufffd") {
			t.Errorf("AppendString(%q) = %s, read as %q, %v", s, AppendString(nil, s), back, err)
		}
	}
}

var event = []byte(`212["pyodide_loading_start",{"id":"load-1","phase":"interpreter","expected_ms":12000}]`)

func BenchmarkDecode(b *testing.B) {
	b.ReportAllocs()
	b.SetBytes(int64(len(event)))
	for b.Loop() {
		if _, err := Decode(event); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeSplit(b *testing.B) {
	b.ReportAllocs()
	b.SetBytes(int64(len(event)))
	var args [][]byte
	for b.Loop() {
		p, err := Decode(event)
		if err != nil {
			b.Fatal(err)
		}
		if _, args, err = AppendSplitEvent(args[:0], p.Data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	b.ReportAllocs()
	payload := []byte(`{"id":"load-1","phase":"interpreter","expected_ms":12000}`)
	var data, frame []byte
	for b.Loop() {
		data = AppendEvent(data[:0], "pyodide_loading_start", payload)
		frame = Append(append(frame[:0], byte(Message)), Packet{Type: Event, ID: 12, HasID: true, Data: data})
	}
	if !bytes.Equal(frame[1:], event) {
		b.Fatalf("got %s", frame)
	}
}
