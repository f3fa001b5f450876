package eventlog

import (
	"fmt"
	"strings"
)

// CreateTable is the SQL that makes the table of the log as it was in a
// version of the schema. SQLite keeps the comments, so that the file explains
// itself (.schema events).
func CreateTable(version int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "CREATE TABLE %s (\n", Events.Name)
	comment := func(format string, args ...any) {
		for line := range strings.SplitSeq(fmt.Sprintf(format, args...), "\n") {
			fmt.Fprintf(&b, "\t-- %s\n", line)
		}
	}
	comment("%s\nAppend-only. Times are UTC, ISO 8601 with milliseconds. NULL: missing. Kinds:", Events.Meaning)
	for _, k := range Kinds {
		comment("%s: %s", k.Kind, k.Meaning)
	}
	var last int
	for i, c := range Events.Columns {
		if c.Since <= version {
			last = i
		}
	}
	for i, c := range Events.Columns[:last+1] {
		comma := ","
		if i == last {
			comma = ""
		}
		fmt.Fprintf(&b, "\t%s %s%s -- %s\n", c.Name, c.sql(i == 0), comma, c.Meaning)
	}
	b.WriteString(");\n")
	return b.String()
}

func (c *Column[T]) sql(key bool) string {
	t := "TEXT"
	if c.Type == Integer {
		t = "INTEGER"
	}
	switch {
	case key:
		return t + " PRIMARY KEY"
	case c.Required:
		return t + " NOT NULL"
	}
	return t
}
