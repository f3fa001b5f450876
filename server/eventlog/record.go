// Package eventlog defines the event log: what the server writes down of
// everything that happens to a participant, for the analysis afterwards.
//
// The definitions in kinds.go and columns.go are the only ones: the schema of
// the database, the columns of every export and the codebook all come from
// them. The log is append-only. It says nothing of what participants sent to
// each other or of what a study saved, only when, how much and how often.
package eventlog

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"initgrace/grace/protocol"
)

// A Record is one row of the log. Empty text, the zero time and an Int that is
// not known are missing values.
type Record struct {
	ID   int64     // place in the log, given by the store
	At   time.Time // wall clock
	Mono int64     // milliseconds since the run began, by the policy's clock
	Run  string
	Seq  int64 // counts the run's records, from 1
	Kind Kind

	Participant string
	Experiment  string
	Group       string
	Partner     string
	Epoch       Int
	PresenceSeq Int
	From, To    protocol.Presence
	Reason      string

	LoadID       string
	Phase        string
	Scene        string
	Expected     Int // milliseconds, as the other durations
	Lease        Int
	Duration     Int
	Blocked      Int
	LongestBlock Int
	Count        Int
	Bytes        Int
	Version      Int
	Detail       string
}

// Int is a whole number that may be missing. Its zero value is missing.
type Int struct {
	N     int64
	Known bool
}

// Of is a known Int.
func Of[N int | int64 | uint64](n N) Int { return Int{int64(n), true} }

// Milliseconds is a duration, cut to whole milliseconds.
func Milliseconds(d time.Duration) Int { return Of(d.Milliseconds()) }

// Or is the number, or def when it is missing.
func (i Int) Or(def int64) int64 {
	if i.Known {
		return i.N
	}
	return def
}

// maxText bounds every text of a record, in bytes.
const maxText = 500

// Clean is the form in which a text is stored: UTF-8 on one line, without
// blanks at its ends, at most 500 bytes. Whatever a page writes, a row of the
// log stays one line of an export, and every reader reads the same.
func Clean(s string) string {
	if plain(s) {
		return s
	}
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r // what is not UTF-8 has become U+FFFD
	}, s)
	s = strings.TrimSpace(s)
	if len(s) > maxText {
		cut := maxText
		for !utf8.RuneStart(s[cut]) {
			cut--
		}
		s = strings.TrimSpace(s[:cut])
	}
	return s
}

// plain says whether Clean has nothing to do, as is nearly always so.
func plain(s string) bool {
	if len(s) > maxText || s != "" && (s[0] == ' ' || s[len(s)-1] == ' ') {
		return false
	}
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
