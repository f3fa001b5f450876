package export

import (
	"io"
	"strings"
	"time"

	"initgrace/server/eventlog"
)

type csvWriter[T any] struct{ lines[T] }

func newCSV[T any](to io.Writer, table *eventlog.Table[T]) (writer[T], error) {
	w := &csvWriter[T]{newLines(to, table)}
	for i, c := range w.columns {
		if i > 0 {
			w.line = append(w.line, ',')
		}
		w.line = appendCSV(w.line, c.Name)
	}
	return w, w.flush()
}

func (w *csvWriter[T]) write(row *T) error {
	for i := range w.columns {
		c := &w.columns[i]
		if i > 0 {
			w.line = append(w.line, ',')
		}
		switch f := c.Field(row).(type) {
		case *string:
			text := *f
			if c.Free {
				text = disarm(text)
			}
			w.line = appendCSV(w.line, text)
		case *int64:
			w.line = appendNumber(w.line, *f, c.Type)
		case *eventlog.Int:
			if f.Known {
				w.line = appendNumber(w.line, f.N, c.Type)
			}
		case *time.Time:
			if !f.IsZero() {
				w.line = appendTime(w.line, *f)
			}
		}
	}
	return w.flush()
}

// appendCSV appends a field, quoted where RFC 4180 wants it so, and where
// readers are known to take away a blank.
func appendCSV(b []byte, s string) []byte {
	if !strings.ContainsAny(s, ",\"\r\n") && strings.TrimSpace(s) == s {
		return append(b, s...)
	}
	b = append(b, '"')
	b = append(b, strings.ReplaceAll(s, `"`, `""`)...)
	return append(b, '"')
}

// disarm puts an apostrophe before what a spreadsheet would run as a formula.
// It does so before an apostrophe too, so that taking one away gives the text
// back in any case.
func disarm(s string) string {
	if s != "" && strings.IndexByte("=+-@'\t\r", s[0]) >= 0 {
		return "'" + s
	}
	return s
}
