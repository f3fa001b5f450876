package sqlite

import (
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// checkPath finds what SQLite would report as "unable to open database file"
// at best, and would wait for for ever at worst (a pipe). It must not open the
// file: closing it again would drop the locks that this process holds on it.
func checkPath(path string) error {
	if path == "" {
		return errors.New("no file is named")
	}
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		return errors.New("is a directory")
	case err == nil && !info.Mode().IsRegular():
		return errors.New("is not a regular file")
	case err == nil:
		return nil
	case !errors.Is(err, os.ErrNotExist):
		return errors.Unwrap(err) // without the path, which Open names
	}
	if info, err := os.Stat(filepath.Dir(path)); err != nil || !info.IsDir() {
		return errors.New("its folder does not exist")
	}
	return nil
}

// uriPath is an absolute path as it stands in an SQLite URI; a '?', '#' or '%'
// in it is escaped.
func uriPath(abs string) string {
	p := filepath.ToSlash(abs)
	if !strings.HasPrefix(p, "/") {
		p = "/" + p // C:/…
	}
	return (&url.URL{Path: p}).EscapedPath()
}

// cannotOpen says whether SQLite could not open a file, or not make one.
func cannotOpen(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && (e.Code()&0xff == sqlite3.SQLITE_CANTOPEN || e.Code()&0xff == sqlite3.SQLITE_READONLY)
}

// explain turns SQLite's result codes into words for the person who started
// the server.
func explain(err error, path string) error {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_NOTADB:
		return errors.New("is not an SQLite database")
	case sqlite3.SQLITE_READONLY:
		return errors.New("is read-only, or its folder is")
	case sqlite3.SQLITE_CANTOPEN:
		if _, statErr := os.Stat(path); statErr == nil {
			return errors.New("cannot be opened: no permission, or its folder is not writable")
		}
		return errors.New("cannot be created: its folder is not writable")
	case sqlite3.SQLITE_BUSY:
		return errors.New("is locked by another program")
	case sqlite3.SQLITE_FULL:
		return errors.New("the disk is full")
	}
	return err
}
