package export

import (
	"io"
	"reflect"
	"strconv"
	"time"

	"github.com/parquet-go/parquet-go"

	"initgrace/server/eventlog"
)

type parquetWriter[T any] struct {
	columns []eventlog.Column[T]
	out     *parquet.GenericWriter[any]
	row     [1]parquet.Row
}

// rowGroup bounds what is in memory before it is written, in rows.
const rowGroup = 20_000

func newParquet[T any](to io.Writer, table *eventlog.Table[T]) (writer[T], error) {
	var columns ordered
	for _, c := range table.Columns {
		columns.fields = append(columns.fields, field{node(&c), c.Name})
	}
	return &parquetWriter[T]{
		columns: table.Columns,
		out: parquet.NewGenericWriter[any](to, parquet.NewSchema(table.Name, columns),
			parquet.MaxRowsPerRowGroup(rowGroup), parquet.Compression(&parquet.Snappy), parquet.DataPageVersion(1),
			parquet.CreatedBy("initgrace", strconv.Itoa(eventlog.Version), "")),
	}, nil
}

func (w *parquetWriter[T]) write(row *T) error {
	values := w.row[0][:0]
	for i := range w.columns {
		c := &w.columns[i]
		v, known := parquet.Value{}, true
		switch f := c.Field(row).(type) {
		case *string:
			v, known = parquet.ByteArrayValue([]byte(*f)), *f != ""
		case *int64:
			v = number(*f, c.Type)
		case *eventlog.Int:
			v, known = number(f.N, c.Type), f.Known
		case *time.Time:
			v, known = parquet.Int64Value(f.UnixMilli()), !f.IsZero()
		}
		switch {
		case c.Required:
			v = v.Level(0, 0, i)
		case known:
			v = v.Level(0, 1, i)
		default:
			v = parquet.NullValue().Level(0, 0, i)
		}
		values = append(values, v)
	}
	w.row[0] = values
	_, err := w.out.WriteRows(w.row[:])
	return err
}

func (w *parquetWriter[T]) close() error { return w.out.Close() }

func number(n int64, t eventlog.Type) parquet.Value {
	if t == eventlog.Seconds {
		return parquet.DoubleValue(float64(n) / 1000)
	}
	return parquet.Int64Value(n)
}

func node[T any](c *eventlog.Column[T]) parquet.Node {
	var n parquet.Node
	switch c.Type {
	case eventlog.Text:
		n = parquet.Encoded(parquet.String(), &parquet.RLEDictionary)
	case eventlog.Time:
		n = parquet.Timestamp(parquet.Millisecond)
	case eventlog.Integer:
		n = parquet.Int(64)
	case eventlog.Seconds:
		n = parquet.Leaf(parquet.DoubleType)
	}
	if !c.Required {
		n = parquet.Optional(n)
	}
	return n
}

// ordered is a parquet.Group whose fields stand in the order of the columns
// and not of the alphabet.
type ordered struct {
	parquet.Group
	fields []parquet.Field
}

func (o ordered) Fields() []parquet.Field { return o.fields }

type field struct {
	parquet.Node
	name string
}

func (f field) Name() string { return f.name }

// Value is part of parquet.Field for writers of Go structs, which ours is not.
func (f field) Value(reflect.Value) reflect.Value { panic("rows are written as values") }
