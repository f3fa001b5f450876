package export

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"

	"initgrace/server/eventlog"
	"initgrace/server/eventlog/tidy"
)

// Entry is one row of the codebook: a table, a column, or a value of one.
type Entry struct {
	Table, Column, Value string
	Type, Unit           string
	Missing              string // yes or no
	Meaning              string
}

// Codebook is the table of Entries.
var Codebook = eventlog.Table[Entry]{
	Name:    "codebook",
	Meaning: "What every table, column and value means.",
	Columns: []eventlog.Column[Entry]{
		{Name: "table", Required: true, Meaning: "the table", Field: func(e *Entry) any { return &e.Table }},
		{Name: "column", Meaning: "the column; missing: the row is about the table", Field: func(e *Entry) any { return &e.Column }},
		{Name: "value", Meaning: "one of the column's values; missing: the row is about the column", Field: func(e *Entry) any { return &e.Value }},
		{Name: "type", Meaning: "text, time, integer or number", Field: func(e *Entry) any { return &e.Type }},
		{Name: "unit", Meaning: "of a number", Field: func(e *Entry) any { return &e.Unit }},
		{Name: "may_be_missing", Meaning: "yes or no", Field: func(e *Entry) any { return &e.Missing }},
		{Name: "meaning", Required: true, Meaning: "what it means", Field: func(e *Entry) any { return &e.Meaning }},
	},
}

// Entries is the content of the codebook.
func Entries() []Entry {
	kinds := make([]eventlog.Value, 0, len(eventlog.Kinds))
	for _, k := range eventlog.Kinds {
		kinds = append(kinds, eventlog.Value{Value: string(k.Kind), Meaning: k.Meaning})
	}
	results := slices.DeleteFunc(slices.Clone(eventlog.Reasons), func(v eventlog.Value) bool {
		return !slices.Contains([]string{eventlog.LoadOK, eventlog.LoadFailed, eventlog.LoadExpired, eventlog.LoadAbandoned}, v.Value)
	})
	results = append(results, eventlog.Value{Value: tidy.LoadOpen, Meaning: "load: the log does not end it"})
	var all []Entry
	all = describe(all, &eventlog.Events, map[string][]eventlog.Value{
		"kind": kinds, "from_presence": eventlog.Presences, "to_presence": eventlog.Presences, "reason": eventlog.Reasons,
	})
	all = describe(all, &tidy.Participants, map[string][]eventlog.Value{"outcome": eventlog.Presences})
	return describe(all, &tidy.Loads, map[string][]eventlog.Value{"result": results})
}

func describe[T any](all []Entry, t *eventlog.Table[T], values map[string][]eventlog.Value) []Entry {
	all = append(all, Entry{Table: t.Name, Meaning: t.Meaning})
	for _, c := range t.Columns {
		missing := "yes"
		if c.Required {
			missing = "no"
		}
		all = append(all, Entry{Table: t.Name, Column: c.Name, Type: c.Type.String(), Unit: c.Unit, Missing: missing, Meaning: c.Meaning})
		for _, v := range values[c.Name] {
			all = append(all, Entry{Table: t.Name, Column: c.Name, Value: v.Value, Meaning: v.Meaning})
		}
	}
	return all
}

// WriteCodebook writes the codebook in any format.
func WriteCodebook(to io.Writer, f Format) error {
	if f == Markdown {
		return writeMarkdown(to)
	}
	w, err := newWriter(to, &Codebook, f)
	if err != nil {
		return err
	}
	for _, e := range Entries() {
		if err := w.write(&e); err != nil {
			return err
		}
	}
	return w.close()
}

const conventions = `# Codebook

Made by ` + "`initgrace export --codebook --format markdown`" + ` from the definitions that the server writes by
(version %d of the event log).

Times are UTC. In CSV and JSON they are written as ` + "`2026-11-03T04:05:06.789Z`" + `, in Parquet they are
timestamps. Columns in ` + "`_ms`" + ` are whole milliseconds, columns in ` + "`_s`" + ` seconds with three decimals. A missing
value is empty in CSV, ` + "`null`" + ` in JSON and Parquet. Ids and names are text, also where they look like
numbers. In CSV, a text of a page's own (columns marked *) that begins with = + - @ or ' has a ' in
front, since a spreadsheet would run it as a formula.
`

func writeMarkdown(to io.Writer) error {
	out := bufio.NewWriter(to)
	fmt.Fprintf(out, conventions, eventlog.Version)
	free := freeColumns()
	entries := Entries()
	for i, e := range entries {
		switch {
		case e.Column == "":
			fmt.Fprintf(out, "\n## %s\n\n%s\n\n| column | type | unit | may be missing | meaning |\n|---|---|---|---|---|\n", e.Table, e.Meaning)
		case e.Value == "":
			mark := ""
			if free[e.Table+"."+e.Column] {
				mark = "*"
			}
			fmt.Fprintf(out, "| `%s`%s | %s | %s | %s | %s |\n", e.Column, mark, e.Type, e.Unit, e.Missing, cell(e.Meaning))
		}
		if i == len(entries)-1 || entries[i+1].Column == "" {
			writeValues(out, entries, e.Table)
		}
	}
	return out.Flush() // the first error of all
}

// writeValues lists the values of a table's columns, after its columns.
func writeValues(out io.Writer, entries []Entry, table string) {
	column := ""
	for _, e := range entries {
		if e.Table != table || e.Value == "" {
			continue
		}
		if e.Column != column {
			column = e.Column
			fmt.Fprintf(out, "\nValues of `%s`:\n\n| value | meaning |\n|---|---|\n", column)
		}
		fmt.Fprintf(out, "| `%s` | %s |\n", e.Value, cell(e.Meaning))
	}
}

func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

func freeColumns() map[string]bool {
	free := map[string]bool{}
	mark := func(table, column string, isFree bool) { free[table+"."+column] = isFree }
	for _, c := range eventlog.Events.Columns {
		mark(eventlog.Events.Name, c.Name, c.Free)
	}
	for _, c := range tidy.Participants.Columns {
		mark(tidy.Participants.Name, c.Name, c.Free)
	}
	for _, c := range tidy.Loads.Columns {
		mark(tidy.Loads.Name, c.Name, c.Free)
	}
	return free
}
