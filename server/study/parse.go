package study

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// maxFile bounds a study file, in bytes.
const maxFile = 1 << 20

// document is a study file: what it says, and where.
type document struct {
	name string
	file File
	root ast.Node
}

func parse(file string, text []byte) (*document, error) {
	d := &document{name: file}
	if len(text) > maxFile {
		return nil, &Error{File: file, Message: "is over 1 MiB: that is no study file"}
	}
	tree, err := parser.ParseBytes(text, 0)
	if err == nil {
		err = yaml.UnmarshalWithOptions(text, &d.file, yaml.Strict())
	}
	if err != nil {
		return nil, d.located(err)
	}
	switch {
	case len(tree.Docs) > 1:
		return nil, &Error{File: file, Message: "holds more than one document: remove the line with ---"}
	case len(tree.Docs) == 1:
		d.root = tree.Docs[0].Body
	}
	return d, nil
}

var quoted = regexp.MustCompile(`"([^"]+)"`)

// located is the parser's error as one line, with what to do.
func (d *document) located(err error) error {
	if own := (*Error)(nil); errors.As(err, &own) {
		own.File = d.name
		return own
	}
	var e yaml.Error
	if !errors.As(err, &e) {
		return &Error{File: d.name, Message: err.Error()}
	}
	out := &Error{File: d.name, Message: e.GetMessage()}
	if at := e.GetToken(); at != nil {
		out.Line, out.Column = at.Position.Line, at.Position.Column
	}
	var (
		unknown *yaml.UnknownFieldError
		typed   *yaml.TypeError
		node    *yaml.UnexpectedNodeTypeError
	)
	switch {
	case errors.As(err, &unknown):
		out.Message = e.GetMessage() + ": remove it, or see initgrace schema"
		if m := quoted.FindStringSubmatch(e.GetMessage()); m != nil {
			if near := nearest(m[1]); near != "" {
				out.Message = fmt.Sprintf("%s: did you mean %s?", e.GetMessage(), near)
			}
		}
	case errors.As(err, &typed) && typed.Token != nil:
		out.Message = fmt.Sprintf("%q is not %s", typed.Token.Value, kind(typed.DstType))
	case errors.As(err, &node):
		out.Message = fmt.Sprintf("here stands a %s, where a %s belongs", strings.ToLower(node.Actual.YAMLName()), strings.ToLower(node.Expected.YAMLName()))
	}
	out.Message, _, _ = strings.Cut(out.Message, "\n")
	return out
}

func kind(t reflect.Type) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Uint64:
		return "a whole number"
	case reflect.Slice:
		return "a list"
	case reflect.String:
		return "a text"
	}
	return "a mapping of keys to values"
}

// nearest is the key that somebody has probably meant.
func nearest(word string) string {
	best, distance := "", 3
	for _, key := range allKeys(reflect.TypeFor[File]()) {
		if n := edits(strings.ReplaceAll(word, "-", "_"), key); n < distance {
			best, distance = key, n
		}
	}
	return best
}

func allKeys(t reflect.Type) (keys []string) {
	switch t.Kind() {
	case reflect.Slice, reflect.Map, reflect.Pointer:
		return allKeys(t.Elem())
	case reflect.Struct:
		for f := range t.Fields() {
			keys = append(append(keys, f.Tag.Get("yaml")), allKeys(f.Type)...)
		}
	}
	return keys
}

// edits is the Levenshtein distance.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// find goes to a place in the file: keys and indices. It returns the last node
// on the way that there is, and whether that is all of it. A key stands for its
// value.
func (d *document) find(path ...any) (node ast.Node, whole bool) {
	node = d.root
	for _, step := range path {
		var next ast.Node
		switch step := step.(type) {
		case string:
			for _, v := range pairs(node) {
				if key(v) == step {
					next = v.Value
				}
			}
		case int:
			if s, ok := unwrap(node).(*ast.SequenceNode); ok && step < len(s.Values) {
				next = s.Values[step]
			}
		}
		if next == nil {
			return node, false
		}
		node = next
	}
	return node, node != nil
}

func unwrap(node ast.Node) ast.Node {
	for {
		switch n := node.(type) {
		case *ast.AnchorNode:
			node = n.Value
		case *ast.TagNode:
			node = n.Value
		default:
			return node
		}
	}
}

func pairs(node ast.Node) []*ast.MappingValueNode {
	switch n := unwrap(node).(type) {
	case *ast.MappingNode:
		return n.Values
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}
	}
	return nil
}

func key(v *ast.MappingValueNode) string { return scalar(v.Key) }

func (d *document) has(path ...any) bool {
	_, whole := d.find(path...)
	return whole
}

// at is the line and column of a place, or of the nearest that there is.
func (d *document) at(path ...any) (line, column int) {
	node, _ := d.find(path...)
	if node == nil {
		return 0, 0
	}
	if p := pairs(node); len(p) > 0 { // whose own token is the colon
		node = p[0].Key
	}
	at := node.GetToken().Position
	return at.Line, at.Column
}
