package export

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"time"

	"initgrace/server/eventlog"
)

// Format is how rows are written.
type Format string

const (
	// CSV is RFC 4180 with a header, in UTF-8 without a byte order mark, lines
	// ended by a line feed. Missing values are empty. Times are ISO 8601 in
	// UTC with milliseconds and a Z, numbers are plain. A text of a page's own
	// that begins with = + - @ ' or a tab gets an apostrophe in front, since a
	// spreadsheet would run it as a formula; names and ids cannot contain one
	// and stay as they are.
	CSV Format = "csv"
	// JSONL is one JSON object a line, with every key in every line; missing
	// values are null.
	JSONL Format = "jsonl"
	// Parquet has timestamps as such (milliseconds, UTC).
	Parquet Format = "parquet"
	// Markdown is for people, and for the codebook only.
	Markdown Format = "markdown"
)

// TimeLayout is how times are written as text.
const TimeLayout = "2006-01-02T15:04:05.000Z"

// writer writes the rows of a table.
type writer[T any] interface {
	write(*T) error
	close() error
}

func newWriter[T any](to io.Writer, table *eventlog.Table[T], f Format) (writer[T], error) {
	switch f {
	case "", CSV:
		return newCSV(to, table)
	case JSONL:
		return newJSONL(to, table)
	case Parquet:
		return newParquet(to, table)
	}
	return nil, fmt.Errorf("there is no format %q for tables", string(f))
}

const bufferSize = 64 << 10

// lines is what the text formats share.
type lines[T any] struct {
	columns []eventlog.Column[T]
	out     *bufio.Writer
	line    []byte
}

func newLines[T any](to io.Writer, table *eventlog.Table[T]) lines[T] {
	return lines[T]{columns: table.Columns, out: bufio.NewWriterSize(to, bufferSize)}
}

func (l *lines[T]) flush() error {
	l.line = append(l.line, '\n')
	_, err := l.out.Write(l.line)
	l.line = l.line[:0]
	return err
}

func (l *lines[T]) close() error { return l.out.Flush() }

// appendNumber appends a number of a column: milliseconds as seconds, if the
// column wants those.
func appendNumber(b []byte, n int64, t eventlog.Type) []byte {
	if t != eventlog.Seconds {
		return strconv.AppendInt(b, n, 10)
	}
	if n < 0 {
		b, n = append(b, '-'), -n
	}
	b = strconv.AppendInt(b, n/1000, 10)
	return append(b, '.', byte('0'+n/100%10), byte('0'+n/10%10), byte('0'+n%10))
}

func appendTime(b []byte, t time.Time) []byte { return t.UTC().AppendFormat(b, TimeLayout) }
