package sqlite

import (
	"database/sql"
	"path/filepath"
	"strings"
	"testing"
)

// TestLadder climbs an invented ladder from every earlier rung.
func TestLadder(t *testing.T) {
	steps := []string{
		`CREATE TABLE a (x); INSERT INTO a VALUES (1)`,
		`ALTER TABLE a ADD COLUMN y DEFAULT 2`,
		`CREATE TABLE b AS SELECT x + y AS z FROM a; DROP TABLE a`,
	}
	open := func(path string) *sql.DB {
		db, err := connect(path, &Options{}, false)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		return db
	}
	for from := range len(steps) + 1 {
		path := filepath.Join(t.TempDir(), "s.db")
		for _, ladder := range [][]string{steps[:from], steps, steps} {
			if err := migrate(t.Context(), open(path), ladder); err != nil {
				t.Fatalf("from %d: %v", from, err)
			}
		}
		var z, version int
		err := open(path).QueryRow(`SELECT z, user_version FROM b, pragma_user_version`).Scan(&z, &version)
		if err != nil || z != 3 || version != 3 {
			t.Errorf("from %d: z = %d, version = %d, %v", from, z, version, err)
		}
		if from == len(steps) {
			continue
		}
		if err := migrate(t.Context(), open(path), steps[:from]); err == nil || !strings.Contains(err.Error(), "newer initgrace (schema 3") {
			t.Errorf("going back to %d: %v", from, err)
		}
	}

	// A step that fails half-way leaves the rung below as it was.
	path := filepath.Join(t.TempDir(), "s.db")
	broken := []string{steps[0], `INSERT INTO a VALUES (7); INSERT INTO nowhere VALUES (1)`}
	if err := migrate(t.Context(), open(path), broken); err == nil || !strings.Contains(err.Error(), "schema 2") {
		t.Fatalf("a broken step: %v", err)
	}
	var rows, version int
	err := open(path).QueryRow(`SELECT count(*), user_version FROM a, pragma_user_version`).Scan(&rows, &version)
	if err != nil || rows != 1 || version != 1 {
		t.Errorf("after a broken step: %d rows, version %d, %v", rows, version, err)
	}
}
