package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"initgrace/server/eventlog"
	"initgrace/server/store"
)

var selectRecords = func() string {
	var names []string
	for _, c := range eventlog.Events.Columns {
		names = append(names, c.Name)
	}
	return fmt.Sprintf("SELECT %s FROM %s WHERE id > ? ORDER BY id LIMIT ?", strings.Join(names, ", "), eventlog.Events.Name)
}()

// readRecords runs selectRecords.
func readRecords(ctx context.Context, query *sql.Stmt, after int64, limit int) ([]eventlog.Record, error) {
	if limit <= 0 {
		return nil, ctx.Err()
	}
	rows, err := query.QueryContext(ctx, after, limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	columns := eventlog.Events.Columns
	values, into := make([]any, len(columns)), make([]any, len(columns))
	for i := range values {
		into[i] = &values[i]
	}
	records := make([]eventlog.Record, 0, min(limit, 1024))
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		var r eventlog.Record
		for i := range columns {
			c := &columns[i]
			if values[i] == nil && !c.Required {
				continue
			}
			if s, ok := values[i].(string); ok && c.Type == eventlog.Time {
				t, err := store.ParseTime(s)
				if err != nil {
					return nil, damagedRecord(values[0], fmt.Errorf("%s: %w", c.Name, err))
				}
				values[i] = t
			}
			if err := c.Set(&r, values[i]); err != nil {
				return nil, damagedRecord(values[0], err)
			}
		}
		records = append(records, r)
	}
	return records, rows.Err()
}

func damagedRecord(id any, err error) error {
	return fmt.Errorf("event %v: %w: %w", id, store.ErrCorrupt, err)
}

// A Log reads the event log of a database that it does not change, also while
// a server writes to it.
type Log struct {
	db    *sql.DB
	query *sql.Stmt
}

// OpenLog opens the event log of an existing database. Errors are one line and
// name the path.
func OpenLog(path string) (*Log, error) {
	l, err := openLog(path)
	if err != nil {
		return nil, fmt.Errorf("database %s: %w", path, explain(err, path))
	}
	return l, nil
}

func openLog(path string) (*Log, error) {
	if err := checkPath(path); err != nil {
		return nil, err
	}
	if _, err := os.Stat(path); err != nil {
		return nil, errors.New("does not exist")
	}
	l := &Log{}
	var err error
	// A file in WAL mode that nobody has open is opened by making its -shm
	// file. Where that cannot be (an archive, a disc), the file cannot change
	// either, and is read as it is.
	for _, query := range []string{"mode=ro", "mode=ro&immutable=1"} {
		if l.db, err = connectReadOnly(path, query); err != nil {
			return nil, err
		}
		if err = l.check(); err == nil {
			return l, nil
		}
		l.db.Close()
		if _, walErr := os.Stat(path + "-wal"); walErr == nil || !cannotOpen(err) {
			break
		}
	}
	return nil, err
}

// check says whether the database is ours and has a log.
func (l *Log) check() error {
	var id, version, tables int
	err := l.db.QueryRow(`SELECT a.application_id, v.user_version, (SELECT count(*) FROM sqlite_master WHERE name = ?)
		FROM pragma_application_id a, pragma_user_version v`, eventlog.Events.Name).Scan(&id, &version, &tables)
	switch {
	case err != nil:
		return err
	case id != applicationID:
		return errors.New("belongs to another program")
	case version > len(ladder):
		return fmt.Errorf("was written by a newer initgrace (schema %d, this one knows up to %d)", version, len(ladder))
	case version < len(ladder), tables == 0:
		return fmt.Errorf("was written by an older initgrace (schema %d): start the server with it once to bring it up to %d", version, len(ladder))
	}
	l.query, err = l.db.Prepare(selectRecords)
	return err
}

// Records is that of store.Store.
func (l *Log) Records(ctx context.Context, after int64, limit int) ([]eventlog.Record, error) {
	records, err := readRecords(ctx, l.query, after, limit)
	if err != nil {
		return nil, fmt.Errorf("sqlite: records: %w", err)
	}
	return records, nil
}

// Close releases the file.
func (l *Log) Close() error { return l.db.Close() }

func connectReadOnly(path, query string) (*sql.DB, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	return openDB("file:" + uriPath(abs) + "?" + query + "&_pragma=busy_timeout(5000)&_pragma=query_only(1)")
}
