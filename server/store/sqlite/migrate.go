package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// migrate takes the database up the ladder, each step in its own transaction
// with the version that it reaches: a process killed in between continues
// where it was. A database that is not ours is left exactly as it is.
func migrate(ctx context.Context, db *sql.DB, ladder []string) error {
	for {
		done, err := migrateStep(ctx, db, ladder)
		if done || err != nil {
			return err
		}
	}
}

func migrateStep(ctx context.Context, db *sql.DB, ladder []string) (done bool, err error) {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return false, err
	}
	defer tx.Rollback()
	var id, version, tables int
	err = tx.QueryRowContext(ctx, `SELECT a.application_id, v.user_version, (SELECT count(*) FROM sqlite_master)
		FROM pragma_application_id a, pragma_user_version v`).Scan(&id, &version, &tables)
	switch {
	case err != nil:
		return false, err
	case id != applicationID && (id != 0 || version != 0 || tables != 0):
		return false, errors.New("belongs to another program")
	case version > len(ladder):
		return false, fmt.Errorf("was written by a newer initgrace (schema %d, this one knows up to %d)", version, len(ladder))
	case version < len(ladder):
		if _, err := tx.ExecContext(ctx, ladder[version]); err != nil {
			return false, fmt.Errorf("migrating to schema %d: %w", version+1, err)
		}
		version++
	}
	// Written even if it stays the same: SQLite reports a read-only file only
	// now. (Pragmas take no parameters.)
	set := fmt.Sprintf(`PRAGMA application_id = %d; PRAGMA user_version = %d`, applicationID, version)
	if _, err := tx.ExecContext(ctx, set); err != nil {
		return false, err
	}
	return version == len(ladder), tx.Commit()
}

// enableWAL is separate from opening, so that only a database that is ours is
// converted. The mode stays with the file.
func enableWAL(ctx context.Context, db *sql.DB) error {
	var mode string
	if err := db.QueryRowContext(ctx, `PRAGMA journal_mode = WAL`).Scan(&mode); err != nil {
		return err
	}
	if mode != "wal" {
		return fmt.Errorf("the file system does not support SQLite's WAL mode (got %q)", mode)
	}
	return nil
}
