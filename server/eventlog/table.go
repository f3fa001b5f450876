package eventlog

import (
	"fmt"
	"time"
)

// A Table defines one table of the data: the log itself, or one that is
// computed from it. T is the Go form of a row.
type Table[T any] struct {
	Name    string
	Meaning string
	Columns []Column[T]
}

// A Column defines one column of a table.
type Column[T any] struct {
	Name    string
	Type    Type
	Unit    string // of a number; empty for counts and texts
	Meaning string
	// Since is the version of the schema that brought the column (events only).
	Since int
	// Names says whom the column names, for pseudonyms.
	Names Named
	// Free: a page writes this text, and it may contain anything.
	Free bool
	// Private says whether the row's value may tell who the participant is, so
	// that a pseudonymised export leaves it out. Nil: it may not.
	Private func(*T) bool
	// Required columns are never missing.
	Required bool
	// Field points to the row's field: a *string, *int64, *Int or *time.Time.
	Field func(*T) any
}

// Type is the type of a column's values.
type Type int

const (
	// Text in UTF-8.
	Text Type = iota
	// Time is an instant, UTC, milliseconds.
	Time
	// Integer is a whole number, signed, at most 64 bits.
	Integer
	// Seconds is a duration with three decimals; rows hold milliseconds.
	Seconds
)

// String is the type's name in the codebook.
func (t Type) String() string {
	return [...]string{"text", "time", "integer", "number"}[t]
}

// Named says whose identifiers a column holds.
type Named int

const (
	// Nobody is the zero value.
	Nobody Named = iota
	// Participant: one participant's id.
	Participant
	// Participants: several ids, separated by single spaces.
	Participants
	// Group: a group's name.
	Group
	// LoadID: the id of a load, which the page chose.
	LoadID
)

// Value is a row's value in the column: a string, int64 or time.Time, or nil
// when it is missing.
func (c *Column[T]) Value(row *T) any {
	switch f := c.Field(row).(type) {
	case *string:
		if *f != "" {
			return *f
		}
	case *int64:
		return *f
	case *Int:
		if f.Known {
			return f.N
		}
	case *time.Time:
		if !f.IsZero() {
			return *f
		}
	}
	return nil
}

// Set is the reverse of Value. The error names the column.
func (c *Column[T]) Set(row *T, value any) error {
	ok := !c.Required
	if value != nil {
		switch f := c.Field(row).(type) {
		case *string:
			*f, ok = value.(string)
		case *int64:
			*f, ok = value.(int64)
		case *Int:
			f.N, f.Known = value.(int64)
			ok = f.Known
		case *time.Time:
			*f, ok = value.(time.Time)
		}
	}
	if !ok {
		return fmt.Errorf("%s: %.40q is not a %s", c.Name, fmt.Sprint(value), c.Type)
	}
	return nil
}
