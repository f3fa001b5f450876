// Package export writes the event log, and the tables that are computed from
// it, in forms that R, pandas and others read without surprises. It reads the
// log page by page and writes row by row: memory does not grow with the log.
package export

import (
	"context"
	"fmt"
	"io"
	"time"

	"initgrace/server/eventlog"
	"initgrace/server/eventlog/tidy"
)

// A Source is a log, such as a store.Store.
type Source interface {
	Records(ctx context.Context, after int64, limit int) ([]eventlog.Record, error)
}

// Tables are the names of the tables that Write knows.
var Tables = []string{eventlog.Events.Name, tidy.Participants.Name, tidy.Loads.Name}

// Options say what is written. Nil and the zero value: all events, as CSV.
type Options struct {
	Table  string // one of Tables
	Format Format
	// Experiment, if set, leaves out rows of other experiments.
	Experiment string
	// Since (inclusive) and Until (exclusive), if set, leave out rows by their
	// own time: of events when they happened, of participants when they were
	// first seen, of loads when they began. Sums are over the whole log in any
	// case.
	Since, Until time.Time
	// Pseudonyms, if set, replace who took part.
	Pseudonyms *Pseudonyms
}

// page is how many records are in memory at a time.
const page = 2000

// Write writes one table and returns the number of its rows. It reads what the
// log holds now, also while a server writes to it.
func Write(ctx context.Context, to io.Writer, from Source, o *Options) (rows int64, err error) {
	if o == nil {
		o = &Options{}
	}
	switch o.Table {
	case "", eventlog.Events.Name:
		t, err := newSink(to, &eventlog.Events, o, func(r *eventlog.Record) (string, time.Time) { return r.Experiment, r.At })
		if err != nil {
			return 0, err
		}
		err = each(ctx, from, t.add)
		return t.rows, t.finish(err)
	case tidy.Participants.Name:
		t, err := newSink(to, &tidy.Participants, o, func(p *tidy.Participant) (string, time.Time) { return p.Experiment, p.First })
		if err != nil {
			return 0, err
		}
		var fold tidy.Fold
		if err = each(ctx, from, fold.Add); err == nil {
			err = fold.Close(t.add)
		}
		return t.rows, t.finish(err)
	case tidy.Loads.Name:
		t, err := newSink(to, &tidy.Loads, o, func(l *tidy.Load) (string, time.Time) { return l.Experiment, l.Started })
		if err != nil {
			return 0, err
		}
		fold := tidy.Fold{Load: t.add}
		if err = each(ctx, from, fold.Add); err == nil {
			err = fold.Close(func(*tidy.Participant) error { return nil })
		}
		return t.rows, t.finish(err)
	}
	return 0, fmt.Errorf("there is no table %q", o.Table)
}

// each calls f for every record of the log.
func each(ctx context.Context, from Source, f func(*eventlog.Record) error) error {
	for after := int64(0); ; {
		records, err := from.Records(ctx, after, page)
		if err != nil {
			return err
		}
		for i := range records {
			if err := f(&records[i]); err != nil {
				return err
			}
		}
		if len(records) < page {
			return nil
		}
		after = records[len(records)-1].ID
	}
}

// sink filters, pseudonymises and writes the rows of one table.
type sink[T any] struct {
	table   *eventlog.Table[T]
	options *Options
	where   func(*T) (experiment string, at time.Time)
	out     writer[T]
	rows    int64
}

func newSink[T any](to io.Writer, table *eventlog.Table[T], o *Options, where func(*T) (string, time.Time)) (*sink[T], error) {
	out, err := newWriter(to, table, o.Format)
	return &sink[T]{table: table, options: o, where: where, out: out}, err
}

// add takes a row, which it may change.
func (s *sink[T]) add(row *T) error {
	experiment, at := s.where(row)
	o := s.options
	switch {
	case o.Experiment != "" && experiment != o.Experiment,
		!o.Since.IsZero() && at.Before(o.Since),
		!o.Until.IsZero() && !at.Before(o.Until):
		return nil
	}
	if o.Pseudonyms != nil {
		hide(o.Pseudonyms, s.table, row)
	}
	s.rows++
	return s.out.write(row)
}

// finish ends the output, unless there was an error already.
func (s *sink[T]) finish(err error) error {
	if err != nil {
		return err
	}
	return s.out.close()
}
