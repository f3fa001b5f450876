package eventlog

import (
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// Every column, kind and reason is explained once, and the log knows every
// reason and code that the server can give.
func TestDefinitionsAreComplete(t *testing.T) {
	snake := regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
	seen := map[string]bool{}
	once := func(what, name, meaning string) {
		if !snake.MatchString(name) || strings.TrimSpace(meaning) == "" || seen[what+name] {
			t.Errorf("%s %q is badly named, not explained, or there twice", what, name)
		}
		seen[what+name] = true
	}
	since := 0
	for _, c := range Events.Columns {
		once("column", c.Name, c.Meaning)
		if c.Since < since || c.Since > Version || c.Since == 0 {
			t.Errorf("column %s came with version %d: columns are added at the end", c.Name, c.Since)
		}
		since = c.Since
		if strings.HasSuffix(c.Name, "_ms") != (c.Unit == "ms") {
			t.Errorf("column %s has the unit %q", c.Name, c.Unit)
		}
	}
	for _, k := range Kinds {
		once("kind", string(k.Kind), k.Meaning)
		for _, f := range k.Fills {
			if !seen["column"+f] {
				t.Errorf("%s fills %s, which is no column", k.Kind, f)
			}
		}
	}
	for _, v := range slices.Concat(Reasons, Presences) {
		once("value", v.Value, v.Meaning)
	}
	for name, value := range constants(t, "kinds.go", "Kind") {
		if !seen["kind"+value] {
			t.Errorf("%s is not in Kinds", name)
		}
	}
	elsewhere := []string{"ack_timeout", "closed", "foreign_origin", "unknown_participant", "no_deadline"} // made by clients, or said to the experimenter
	for _, typ := range []string{"Reason", "Code"} {
		for name, value := range constants(t, "../../grace/protocol/codes.go", typ) {
			if !seen["value"+value] && !slices.Contains(elsewhere, value) {
				t.Errorf("protocol.%s (%q) has no meaning in Reasons: explain it in kinds.go", name, value)
			}
		}
	}
}

// constants finds the string constants of a type in a file.
func constants(t *testing.T, path, typ string) map[string]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if id, ok := spec.Type.(*ast.Ident); ok && id.Name == typ && len(spec.Values) == 1 {
			value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Error(err)
			}
			found[spec.Names[0].Name] = value
		}
		return true
	})
	if len(found) < 10 {
		t.Fatalf("%d constants of %s found in %s", len(found), typ, path)
	}
	return found
}

func TestColumnsReachTheirFields(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.UTC)
	var r, back Record
	for i, c := range Events.Columns {
		var v any
		switch c.Type {
		case Text:
			v = "text " + strconv.Itoa(i)
		case Integer:
			v = int64(i + 1)
		case Time:
			v = at
		}
		if err := c.Set(&r, v); err != nil {
			t.Error(err)
		}
		if err := c.Set(&r, 1.5); err == nil {
			t.Errorf("%s takes what it cannot hold", c.Name)
		}
		if err := c.Set(&r, v); err != nil {
			t.Error(err)
		}
		if err := c.Set(&back, nil); (err != nil) != c.Required {
			t.Errorf("%s missing: %v", c.Name, err)
		}
	}
	for i, c := range Events.Columns { // only now: no two share a field
		v := c.Value(&r)
		if s, ok := v.(string); ok && s != "text "+strconv.Itoa(i) || v == nil {
			t.Errorf("%s is %v", c.Name, v)
		}
		if n, ok := v.(int64); ok && n != int64(i+1) {
			t.Errorf("%s is %d", c.Name, n)
		}
		if err := c.Set(&back, v); err != nil {
			t.Error(err)
		}
	}
	if back != r {
		t.Errorf("got  %+v\nwant %+v", back, r)
	}
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"":                              "",
		"plain":                         "plain",
		" a b ":                         "a b",
		"\n":                            "",
		strings.Repeat("x", 499) + " y": strings.Repeat("x", 499),
		"ä 日 😀":                         "ä 日 😀",
		"a\r\nb\tc\x00d\x7fe":           "a  b c d e",
		"line\u2028paragraph\u2029next": "line paragraph next",
		"bad\xffbyte":                   "bad\ufffdbyte",
		strings.Repeat("x", 500):        strings.Repeat("x", 500),
		strings.Repeat("x", 501):        strings.Repeat("x", 500),
		strings.Repeat("é", 300):        strings.Repeat("é", 250),
		"x" + strings.Repeat("é", 300):  "x" + strings.Repeat("é", 249),
	} {
		if got := Clean(in); got != want {
			t.Errorf("Clean(%.40q) = %.40q of %d bytes, want %d", in, got, len(got), len(want))
		}
	}
}

func FuzzClean(f *testing.F) {
	f.Add("x\xff\n")
	f.Fuzz(func(t *testing.T, s string) {
		got := Clean(s)
		if !utf8.ValidString(got) || len(got) > maxText || strings.ContainsAny(got, "\r\n\x00") || Clean(got) != got {
			t.Errorf("Clean(%q) = %q", s, got)
		}
	})
}

// TestSchemaGrows: what a version of the schema has is in it for ever, so that
// an old database and a new one come to the same table.
func TestSchemaGrows(t *testing.T) {
	sql := CreateTable(1)
	for _, c := range Events.Columns {
		line := regexp.MustCompile(`(?m)^\t` + c.Name + ` (TEXT|INTEGER)( PRIMARY KEY| NOT NULL)?,? -- \S`)
		if line.MatchString(sql) != (c.Since == 1) {
			t.Errorf("%s in schema 1: %v", c.Name, line.MatchString(sql))
		}
	}
	for _, k := range Kinds {
		if !strings.Contains(sql, "-- "+string(k.Kind)+": ") {
			t.Errorf("the schema does not explain %s", k.Kind)
		}
	}
}
