package live

import (
	"context"
	"time"

	"initgrace/server/eventlog"
)

// A Source is a log, such as a store.Store. Its ids grow by one.
type Source interface {
	Records(ctx context.Context, after int64, limit int) ([]eventlog.Record, error)
}

const (
	// refillEvents and refillTime bound what of the log a server reads as it
	// starts: a quarter of a second's work, and a day of sessions.
	refillEvents = 50_000
	refillTime   = 12 * time.Hour
	refillPage   = 2000
)

// Refill begins the lanes with what the log holds of earlier runs, so that a
// restart does not make an experimenter's timeline blank. Totals are of this
// run only. It must be called before anything is Stored.
func (f *Feed) Refill(ctx context.Context, log Source, now time.Time) error {
	if f == nil {
		return nil
	}
	last, err := lastID(ctx, log)
	if err != nil {
		return err
	}
	for after := max(last-refillEvents, 0); ; {
		records, err := log.Records(ctx, after, refillPage)
		if err != nil {
			return err
		}
		f.mu.Lock()
		for i := range records {
			if r := &records[i]; now.Sub(r.At) < refillTime {
				f.fold.add(r)
			}
		}
		f.fold.changes(0) // nobody has been told of anything
		f.fold.totals, f.fold.counted = newTotals(), false
		f.mu.Unlock()
		if len(records) < refillPage {
			return nil
		}
		after = records[len(records)-1].ID
	}
}

// lastID finds the id of the last record, 0 if there is none, in some forty
// short looks.
func lastID(ctx context.Context, log Source) (int64, error) {
	next := func(after int64) (int64, error) {
		records, err := log.Records(ctx, after, 1)
		if err != nil || len(records) == 0 {
			return 0, err
		}
		return records[0].ID, nil
	}
	low, err := next(0)
	if low == 0 || err != nil {
		return 0, err
	}
	high := low
	for step := int64(1); ; step *= 2 { // there is something at low, and nothing behind high
		id, err := next(low + step - 1)
		if err != nil {
			return 0, err
		}
		if id == 0 {
			high = low + step - 1
			break
		}
		low = id
	}
	for low < high {
		middle := low + (high-low)/2
		id, err := next(middle)
		switch {
		case err != nil:
			return 0, err
		case id == 0:
			high = middle
		default:
			low = id
		}
	}
	return low, nil
}
