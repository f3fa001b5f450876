package memory

import (
	"encoding/binary"
	"slices"
	"sort"
	"time"

	"initgrace/server/eventlog"
)

// A log holds the records of the event log as bytes: a study of a day has
// millions of them, and as Go values each would be half a kilobyte, most of it
// empty, with a dozen pointers for the collector to follow.
//
// A record is its length, a bit for each column that it has, and the values of
// those: numbers as varints, texts that come again and again by their place in
// a table. Its id is its place in the log.
type log struct {
	chunks []chunk // only the last one grows, and only at its end
	count  int64
	texts  []string          // cleaned
	known  map[string]uint64 // texts' places, by what they were before
	record []byte
}

type chunk struct {
	first int64 // the id of its first record
	data  []byte
}

const (
	chunkSize = 64 << 10
	// maxChunks bounds the log at 64 MB, a million records or more. The oldest
	// are forgotten.
	maxChunks = 1024
	// maxRecord is more than a record can have: a dozen texts of 500 bytes.
	maxRecord = 10 << 10
	// maxTexts bounds the table. A study has fewer; who connects only to be
	// refused may make up more names, which are then written out.
	maxTexts = 1 << 16
)

var columns = eventlog.Events.Columns[1:] // without the id

// add appends a record.
func (l *log) add(r *eventlog.Record) {
	var has uint64
	b := l.record[:0]
	for i := range columns {
		c := &columns[i]
		switch f := c.Field(r).(type) {
		case *string:
			if *f == "" {
				continue
			}
			if at, ok := l.place(*f, c.Free); ok {
				b = binary.AppendUvarint(b, at<<1|1)
			} else {
				text := eventlog.Clean(*f)
				b = append(binary.AppendUvarint(b, uint64(len(text))<<1), text...)
			}
		case *int64:
			if *f == 0 {
				continue
			}
			b = binary.AppendVarint(b, *f)
		case *eventlog.Int:
			if !f.Known {
				continue
			}
			b = binary.AppendVarint(b, f.N)
		case *time.Time:
			if f.IsZero() {
				continue
			}
			b = binary.AppendVarint(b, f.UnixMilli())
		}
		has |= 1 << i
	}
	l.record = b
	if n := len(l.chunks); n == 0 || len(l.chunks[n-1].data) > chunkSize-maxRecord {
		if n == maxChunks {
			l.chunks = slices.Delete(l.chunks, 0, 1)
		}
		l.chunks = append(l.chunks, chunk{l.count + 1, make([]byte, 0, chunkSize)})
	}
	data := &l.chunks[len(l.chunks)-1].data
	var head [binary.MaxVarintLen64]byte
	n := binary.PutUvarint(head[:], has)
	*data = binary.AppendUvarint(*data, uint64(n+len(b)))
	*data = append(append(*data, head[:n]...), b...)
	l.count++
}

// place finds a text in the table and adds it if there is room. What a page
// writes seldom comes again and has no place in it.
func (l *log) place(text string, free bool) (at uint64, ok bool) {
	if free {
		return 0, false
	}
	if at, ok = l.known[text]; ok || len(l.texts) >= maxTexts || len(text) > maxRecord {
		return at, ok
	}
	if l.known == nil {
		l.known = make(map[string]uint64)
	}
	at = uint64(len(l.texts))
	l.texts, l.known[text] = append(l.texts, eventlog.Clean(text)), at
	return at, true
}

// snapshot is the log as it is now. It may be read while the log grows.
func (l *log) snapshot() log {
	chunks := make([]chunk, len(l.chunks))
	copy(chunks, l.chunks)
	return log{chunks: chunks, count: l.count, texts: l.texts}
}

// records are those of store.Store.
func (l *log) records(after int64, limit int) (out []eventlog.Record) {
	if after >= l.count || limit <= 0 {
		return nil
	}
	out = make([]eventlog.Record, 0, min(int64(limit), l.count-max(after, 0)))
	from := max(0, sort.Search(len(l.chunks), func(i int) bool { return l.chunks[i].first > after })-1)
	for _, c := range l.chunks[from:] {
		for id, data := c.first, c.data; len(data) > 0 && len(out) < limit; id++ {
			n, head := binary.Uvarint(data)
			record := data[head : head+int(n)]
			data = data[head+int(n):]
			if id > after {
				out = append(out, eventlog.Record{ID: id})
				l.decode(record, &out[len(out)-1])
			}
		}
	}
	return out
}

// decode is the reverse of add.
func (l *log) decode(b []byte, r *eventlog.Record) {
	has, n := binary.Uvarint(b)
	b = b[n:]
	number := func() int64 {
		v, n := binary.Varint(b)
		b = b[n:]
		return v
	}
	for i := range columns {
		if has&(1<<i) == 0 {
			continue
		}
		switch f := columns[i].Field(r).(type) {
		case *string:
			v, n := binary.Uvarint(b)
			b = b[n:]
			if v&1 != 0 {
				*f = l.texts[v>>1]
			} else {
				*f, b = string(b[:v>>1]), b[v>>1:]
			}
		case *int64:
			*f = number()
		case *eventlog.Int:
			*f = eventlog.Of(number())
		case *time.Time:
			*f = time.UnixMilli(number()).UTC()
		}
	}
}
