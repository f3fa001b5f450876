package export

import (
	"encoding/json"
	"io"
	"time"

	"initgrace/server/eventlog"
)

type jsonlWriter[T any] struct{ lines[T] }

func newJSONL[T any](to io.Writer, table *eventlog.Table[T]) (writer[T], error) {
	return &jsonlWriter[T]{newLines(to, table)}, nil
}

func (w *jsonlWriter[T]) write(row *T) error {
	for i := range w.columns {
		c := &w.columns[i]
		sep := byte(',')
		if i == 0 {
			sep = '{'
		}
		w.line = append(w.line, sep, '"')
		w.line = append(w.line, c.Name...)
		w.line = append(w.line, '"', ':')
		before := len(w.line)
		switch f := c.Field(row).(type) {
		case *string:
			if *f != "" {
				w.line = appendJSON(w.line, *f)
			}
		case *int64:
			w.line = appendNumber(w.line, *f, c.Type)
		case *eventlog.Int:
			if f.Known {
				w.line = appendNumber(w.line, f.N, c.Type)
			}
		case *time.Time:
			if !f.IsZero() {
				w.line = append(appendTime(append(w.line, '"'), *f), '"')
			}
		}
		if len(w.line) == before {
			w.line = append(w.line, "null"...)
		}
	}
	w.line = append(w.line, '}')
	return w.flush()
}

func appendJSON(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			quoted, _ := json.Marshal(s) // a string cannot fail
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}
