package sqlite

import (
	"context"
	"database/sql/driver"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"initgrace/server/eventlog"
	"initgrace/server/store"
)

// appender adds records to the log. Most of what it costs to store a row is to
// hand over its values one by one, and of the columns of a record more than half
// are missing, while others have few values. So there is a statement for each
// set of columns, with the values of the latter in it, and it is run on the
// driver's connection: database/sql would convert and check every value again.
type appender struct {
	mu      sync.Mutex
	conn    driver.Conn // whose statements these are
	inserts map[insertion]driver.StmtExecContext
	args    []driver.NamedValue
}

// An insertion names a statement.
type insertion struct {
	set uint64            // a bit for each column that it has
	few [len(fews)]string // what stands in it; empty: an argument, or missing
}

// fews are the columns that have few values in a run, none of which a page can
// choose.
var fews = [...]string{"run", "kind", "from_presence", "to_presence", "reason"}

// few is a column's place in fews, or -1.
var few = func() (at []int) {
	for _, c := range eventlog.Events.Columns {
		at = append(at, slices.Index(fews[:], c.Name))
	}
	return at
}()

// maxInserts bounds the statements. There are some 150 combinations; when there
// are more, the values are arguments.
const maxInserts = 256

// add appends records on a connection, in whose transaction it runs.
func (a *appender) add(ctx context.Context, conn driver.Conn, records []eventlog.Record) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.conn != conn || len(a.inserts) >= 2*maxInserts {
		a.drop()
		a.conn, a.inserts = conn, make(map[insertion]driver.StmtExecContext)
	}
	for i := range records {
		kind := a.bind(&records[i], true)
		insert := a.inserts[kind]
		if insert == nil && len(a.inserts) >= maxInserts {
			kind = a.bind(&records[i], false)
			insert = a.inserts[kind]
		}
		if insert == nil {
			var err error
			if insert, err = prepareInsert(ctx, conn, kind); err != nil {
				return err
			}
			a.inserts[kind] = insert
		}
		if _, err := insert.ExecContext(ctx, a.args); err != nil {
			return err
		}
	}
	return nil
}

// bind fills args with what is known of a record, and says which statement
// takes them. Those of fews are part of it if inline.
func (a *appender) bind(r *eventlog.Record, inline bool) (kind insertion) {
	a.args = a.args[:0]
	for i := 1; i < len(eventlog.Events.Columns); i++ { // the id is SQLite's
		c := &eventlog.Events.Columns[i]
		var v driver.Value
		switch f := c.Field(r).(type) {
		case *string:
			if *f == "" && !c.Required {
				continue
			}
			text := eventlog.Clean(*f)
			if at := few[i]; inline && at >= 0 && text != "" {
				kind.set |= 1 << i
				kind.few[at] = text
				continue
			}
			v = text
		case *int64:
			v = *f
		case *eventlog.Int:
			if !f.Known {
				continue
			}
			v = f.N
		case *time.Time:
			if f.IsZero() && !c.Required {
				continue
			}
			v = store.FormatTime(*f)
		}
		kind.set |= 1 << i
		a.args = append(a.args, driver.NamedValue{Ordinal: len(a.args) + 1, Value: v})
	}
	return kind
}

func prepareInsert(ctx context.Context, conn driver.Conn, kind insertion) (driver.StmtExecContext, error) {
	var names, values []string
	for i := range eventlog.Events.Columns {
		if kind.set&(1<<i) == 0 {
			continue
		}
		value := "?"
		if at := few[i]; at >= 0 && kind.few[at] != "" {
			value = "'" + strings.ReplaceAll(kind.few[at], "'", "''") + "'"
		}
		names, values = append(names, eventlog.Events.Columns[i].Name), append(values, value)
	}
	preparer, ok := conn.(driver.ConnPrepareContext)
	if !ok {
		return nil, fmt.Errorf("%T does not prepare statements", conn)
	}
	stmt, err := preparer.PrepareContext(ctx, fmt.Sprintf("INSERT INTO %s (%s) VALUES (%s)",
		eventlog.Events.Name, strings.Join(names, ", "), strings.Join(values, ", ")))
	if err != nil {
		return nil, err
	}
	insert, ok := stmt.(driver.StmtExecContext)
	if !ok {
		return nil, fmt.Errorf("%T cannot be run", stmt)
	}
	return insert, nil
}

// close lets go of the statements, without which the database would not be
// closed when its connection is.
func (a *appender) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.drop()
}

func (a *appender) drop() {
	for _, insert := range a.inserts {
		insert.(driver.Stmt).Close() // a failure is that of its last run
	}
	a.conn, a.inserts = nil, nil
}
