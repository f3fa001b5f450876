// Package sqlite keeps sessions and the event log in one SQLite file, which a
// researcher opens in R, pandas or DB Browser, also while the server runs. Its
// tables, sessions and events, explain their own columns.
//
// The file is in WAL mode: beside it lie FILE-wal and FILE-shm while it is
// open. To copy it, stop the server or use sqlite3's .backup; FILE alone may
// lack what was stored last.
package sqlite

import (
	"context"
	"crypto/rand"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"time"

	"modernc.org/sqlite"

	"initgrace/server/eventlog"
	"initgrace/server/store"
)

// Options may be nil.
type Options struct {
	// FullSync makes every Put wait for the disk, so that what was
	// acknowledged also survives a power cut or a crash of the operating
	// system. Without it the death of the process (kill -9 included) loses
	// nothing, and a power cut may lose the last Puts but never damages the
	// file. It costs one fsync for each Put.
	FullSync bool
	// BusyTimeout is how long a Put waits while another program writes to the
	// file. Default 5 s.
	BusyTimeout time.Duration
}

// Store is a store.Store.
type Store struct {
	path    string
	writer  *sql.DB // one connection
	readers *sql.DB
	upsert  *sql.Stmt
	log     appender // on the writer's connection
	session *sql.Stmt
	seated  *sql.Stmt
	records *sql.Stmt

	putMessage, putMailbox, trim, mailbox *sql.Stmt
	// trimmed is up to where messages were taken away, by participant. It is
	// the one's who has the writer's connection.
	trimmed map[string]int64
}

const (
	readConnections = 4
	// seatedPage is how many sessions Seated holds in memory at a time, so
	// that no read transaction is open, and no snapshot pinned, while f runs.
	seatedPage  = 64
	secretBytes = 32
)

// Open opens the database at path and makes it if there is none; its folder
// must exist. Errors are one line and name the path.
func Open(path string, o *Options) (*Store, error) {
	if o == nil {
		o = &Options{}
	}
	s := &Store{path: path, trimmed: make(map[string]int64)}
	if err := s.open(o); err != nil {
		s.Close()
		return nil, fmt.Errorf("database %s: %w", path, explain(err, path))
	}
	return s, nil
}

func (s *Store) open(o *Options) error {
	ctx := context.Background()
	if err := checkPath(s.path); err != nil {
		return err
	}
	var err error
	if s.writer, err = connect(s.path, o, false); err != nil {
		return err
	}
	s.writer.SetMaxOpenConns(1)
	if err := migrate(ctx, s.writer, ladder); err != nil {
		return err
	}
	if err := enableWAL(ctx, s.writer); err != nil {
		return err
	}
	if s.readers, err = connect(s.path, o, true); err != nil {
		return err
	}
	s.readers.SetMaxOpenConns(readConnections)
	s.readers.SetMaxIdleConns(readConnections)
	for _, p := range []struct {
		stmt  **sql.Stmt
		db    *sql.DB
		query string
	}{
		{&s.upsert, s.writer, upsert},
		{&s.putMessage, s.writer, putMessage},
		{&s.putMailbox, s.writer, putMailbox},
		{&s.trim, s.writer, trimMessages},
		{&s.mailbox, s.readers, selectMailbox},
		{&s.records, s.readers, selectRecords},
		{&s.session, s.readers, `SELECT ` + columns + ` FROM sessions WHERE participant = ?`},
		{&s.seated, s.readers, `SELECT rowid, ` + columns + ` FROM sessions
			WHERE rowid > ? AND presence <> 'gone' ORDER BY rowid LIMIT ?`},
	} {
		if *p.stmt, err = p.db.PrepareContext(ctx, p.query); err != nil {
			return err
		}
	}
	return nil
}

// connect makes a pool; connections open when they are needed.
func connect(path string, o *Options, readOnly bool) (*sql.DB, error) {
	busy := o.BusyTimeout
	if busy <= 0 {
		busy = 5 * time.Second
	}
	q := url.Values{"_pragma": {
		fmt.Sprintf("busy_timeout(%d)", busy.Milliseconds()),
		"foreign_keys(1)",
	}}
	// NORMAL in WAL mode writes each commit to the operating system at once,
	// and to the disk at checkpoints; FULL adds an fsync for each commit.
	if o.FullSync {
		q.Add("_pragma", "synchronous(FULL)")
	} else {
		q.Add("_pragma", "synchronous(NORMAL)")
	}
	if readOnly {
		q.Add("_pragma", "query_only(1)")
	} else {
		// A write transaction takes its lock when it begins: one that began
		// by reading could not wait for the lock later.
		q.Set("_txlock", "immediate")
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	return openDB("file:" + uriPath(abs) + "?" + q.Encode())
}

func openDB(uri string) (*sql.DB, error) {
	connector, err := sqlite.NewConnector(uri)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}

// Session implements store.Store.
func (s *Store) Session(ctx context.Context, participant string) (store.Session, bool, error) {
	rows, err := s.session.QueryContext(ctx, store.ValidText(participant))
	if err != nil {
		return store.Session{}, false, s.fail("session", err)
	}
	defer rows.Close()
	if !rows.Next() {
		return store.Session{}, false, s.fail("session", rows.Err())
	}
	found, err := decode(rows)
	return found, err == nil, s.fail("session", err)
}

// Seated implements store.Store.
func (s *Store) Seated(ctx context.Context, f func(store.Session) error) error {
	var damaged []error
	for after := int64(0); ; {
		page, bad, last, err := s.seatedPage(ctx, after)
		if err != nil {
			return s.fail("seated", err)
		}
		damaged = append(damaged, bad...)
		for _, session := range page {
			if err := f(session); err != nil {
				return err
			}
		}
		if len(page)+len(bad) < seatedPage {
			return s.fail("seated", errors.Join(damaged...))
		}
		after = last
	}
}

// seatedPage reads the next sessions after a row; last is the last row read,
// damaged or not.
func (s *Store) seatedPage(ctx context.Context, after int64) (page []store.Session, bad []error, last int64, err error) {
	rows, err := s.seated.QueryContext(ctx, after, seatedPage)
	if err != nil {
		return nil, nil, 0, err
	}
	defer rows.Close()
	for rows.Next() {
		session, err := decode(rows, &last)
		if err != nil {
			bad = append(bad, err)
		} else {
			page = append(page, session)
		}
	}
	return page, bad, last, rows.Err()
}

// Assigned implements store.Store.
func (s *Store) Assigned(ctx context.Context) (all []store.Assigned, err error) {
	rows, err := s.readers.QueryContext(ctx, selectAssigned)
	if err != nil {
		return nil, s.fail("assigned", err)
	}
	defer rows.Close()
	for rows.Next() {
		var a store.Assigned
		if err := rows.Scan(&a.Experiment, &a.Condition, &a.Count); err != nil {
			return nil, s.fail("assigned", err)
		}
		all = append(all, a)
	}
	return all, s.fail("assigned", rows.Err())
}

// Put implements store.Store. Once it has the writer's connection it is not
// interrupted, so that its outcome is never in doubt.
func (s *Store) Put(ctx context.Context, b store.Batch) error {
	if b.Empty() {
		return ctx.Err()
	}
	sessions := make([][]any, len(b.Sessions))
	for i := range b.Sessions {
		var err error
		if sessions[i], err = encode(&b.Sessions[i]); err != nil {
			return s.fail("put", fmt.Errorf("participant %.128q: %w", b.Sessions[i].Participant, err))
		}
	}
	if err := b.CheckMail(); err != nil {
		return s.fail("put", err)
	}
	mail, err := encodeMail(&b)
	if err != nil {
		return s.fail("put", err)
	}
	return s.fail("put", s.write(ctx, func(ctx context.Context, conn *sql.Conn, tx *sql.Tx) error {
		put := tx.StmtContext(ctx, s.upsert)
		for _, a := range sessions {
			if _, err := put.ExecContext(ctx, a...); err != nil {
				return err
			}
		}
		if err := mail.put(ctx, s, tx); err != nil {
			return err
		}
		if len(b.Records) == 0 {
			return nil
		}
		return conn.Raw(func(c any) error { return s.log.add(ctx, c.(driver.Conn), b.Records) })
	}))
}

// Records implements store.Store.
func (s *Store) Records(ctx context.Context, after int64, limit int) ([]eventlog.Record, error) {
	records, err := readRecords(ctx, s.records, after, limit)
	return records, s.fail("records", err)
}

// Secret implements store.Store.
func (s *Store) Secret(ctx context.Context) ([]byte, error) {
	fresh := make([]byte, secretBytes)
	rand.Read(fresh)
	var secret []byte
	err := s.write(ctx, func(ctx context.Context, _ *sql.Conn, tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `INSERT OR IGNORE INTO meta VALUES ('secret', ?)`, fresh); err != nil {
			return err
		}
		return tx.QueryRowContext(ctx, `SELECT value FROM meta WHERE key = 'secret'`).Scan(&secret)
	})
	if err == nil && len(secret) != secretBytes {
		err = fmt.Errorf("%d bytes instead of %d; delete the row to have a new one made, which voids every token", len(secret), secretBytes)
	}
	return secret, s.fail("secret", err)
}

// write runs f in one transaction, all or nothing.
func (s *Store) write(ctx context.Context, f func(context.Context, *sql.Conn, *sql.Tx) error) error {
	conn, err := s.writer.Conn(ctx) // waits for its turn
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx = context.WithoutCancel(ctx)
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err = f(ctx, conn, tx); err != nil {
		tx.Rollback()
	} else {
		err = tx.Commit()
	}
	if err != nil {
		clear(s.trimmed)
	}
	return err
}

// Close implements store.Store. The writer goes last: the last connection
// that may write folds the WAL back into the file.
func (s *Store) Close() error {
	s.log.close()
	var errs []error
	if s.readers != nil {
		errs = append(errs, s.readers.Close())
	}
	if s.writer != nil {
		errs = append(errs, s.writer.Close())
	}
	return s.fail("close", errors.Join(errs...))
}

func (s *Store) fail(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("sqlite: %s: %w", what, err)
}
