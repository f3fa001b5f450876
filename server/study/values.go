package study

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// Span is a duration such as 1.5s, or "off", which is negative.
type Span time.Duration

func (s *Span) UnmarshalYAML(node ast.Node) error {
	word := scalar(node)
	if word == "off" {
		*s = -1
		return nil
	}
	d, err := time.ParseDuration(word)
	switch {
	case err != nil:
		return refuse(node, "%s is not a duration: write 500ms, 4s or 2m", word)
	case d <= 0:
		return refuse(node, "%s must be positive (or off, where that is possible)", word)
	}
	*s = Span(d)
	return nil
}

// Count is a positive number, or "off", which is negative.
type Count int

func (c *Count) UnmarshalYAML(node ast.Node) error {
	word := scalar(node)
	if word == "off" || word == "-1" {
		*c = -1
		return nil
	}
	n, err := strconv.Atoi(word)
	if err != nil || n <= 0 {
		return refuse(node, "%s is not a count: write a positive number, or off", word)
	}
	*c = Count(n)
	return nil
}

// Action is what can become of a group that lost a member.
type Action string

const (
	End      Action = "end"
	Continue Action = "continue"
	Requeue  Action = "requeue"
	Replace  Action = "replace"
	Ask      Action = "ask"
)

var actions = []Action{End, Continue, Requeue, Replace, Ask}

func (a *Action) UnmarshalYAML(node ast.Node) error {
	if *a = Action(scalar(node)); !slices.Contains(actions, *a) {
		return refuse(node, "%s is none of %s", *a, list(actions))
	}
	return nil
}

func scalar(node ast.Node) string {
	if text, ok := node.(*ast.StringNode); ok {
		return text.Value
	}
	return node.String()
}

func list[T ~string](words []T) string {
	var out []string
	for _, w := range words {
		out = append(out, string(w))
	}
	return strings.Join(out, ", ")
}

// An Error is a mistake in a study file. It says where it is and what to do.
type Error struct {
	File         string
	Line, Column int // from 1; 0: the file as a whole
	Message      string
}

func (e *Error) Error() string {
	if e.Line == 0 {
		return e.File + ": " + e.Message
	}
	return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Column, e.Message)
}

// refuse is an Error at a node; its file is filled in later.
func refuse(node ast.Node, format string, a ...any) error {
	at := node.GetToken().Position
	return &Error{Line: at.Line, Column: at.Column, Message: fmt.Sprintf(format, a...)}
}
