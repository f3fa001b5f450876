package sqlite

import (
	"context"
	"database/sql/driver"
	"fmt"
	"strings"
	"sync"
	"time"

	"initgrace/server/eventlog"
	"initgrace/server/store"
)

// appender adds records to the log. Of the columns of a record, more than half
// are missing; and most of what it costs to store a row is to hand over its
// values one by one. So there is a statement for each set of columns that
// occurs, which names those only, and it is run on the driver's connection:
// database/sql would convert and check every value again.
type appender struct {
	mu      sync.Mutex
	conn    driver.Conn // whose statements these are
	inserts map[uint64]driver.StmtExecContext
	args    []driver.NamedValue
}

// maxInserts bounds the statements. A kind of record has two or three sets of
// columns, so that it is not reached.
const maxInserts = 256

// add appends records on a connection, in whose transaction it runs.
func (a *appender) add(ctx context.Context, conn driver.Conn, records []eventlog.Record) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.conn != conn || len(a.inserts) > maxInserts {
		a.drop()
		a.conn, a.inserts = conn, make(map[uint64]driver.StmtExecContext)
	}
	for i := range records {
		set := a.bind(&records[i])
		insert := a.inserts[set]
		if insert == nil {
			var err error
			if insert, err = prepareInsert(ctx, conn, set); err != nil {
				return err
			}
			a.inserts[set] = insert
		}
		if _, err := insert.ExecContext(ctx, a.args); err != nil {
			return err
		}
	}
	return nil
}

// bind fills args with what is known of a record. The set that it returns has a
// bit for each of these columns.
func (a *appender) bind(r *eventlog.Record) (set uint64) {
	a.args = a.args[:0]
	for i := 1; i < len(eventlog.Events.Columns); i++ { // the id is SQLite's
		c := &eventlog.Events.Columns[i]
		var v driver.Value
		switch f := c.Field(r).(type) {
		case *string:
			if *f != "" || c.Required {
				v = eventlog.Clean(*f)
			}
		case *int64:
			v = *f
		case *eventlog.Int:
			if f.Known {
				v = f.N
			}
		case *time.Time:
			if !f.IsZero() || c.Required {
				v = store.FormatTime(*f)
			}
		}
		if v != nil {
			set |= 1 << i
			a.args = append(a.args, driver.NamedValue{Ordinal: len(a.args) + 1, Value: v})
		}
	}
	return set
}

func prepareInsert(ctx context.Context, conn driver.Conn, set uint64) (driver.StmtExecContext, error) {
	var names []string
	for i := range eventlog.Events.Columns {
		if set&(1<<i) != 0 {
			names = append(names, eventlog.Events.Columns[i].Name)
		}
	}
	preparer, ok := conn.(driver.ConnPrepareContext)
	if !ok {
		return nil, fmt.Errorf("%T does not prepare statements", conn)
	}
	stmt, err := preparer.PrepareContext(ctx, fmt.Sprintf("INSERT INTO %s (%s) VALUES (?%s)",
		eventlog.Events.Name, strings.Join(names, ", "), strings.Repeat(",?", len(names)-1)))
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
