package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"initgrace/grace/protocol"
	"initgrace/server/store"
)

// mail is a batch's messages and mailboxes as the arguments of their statements.
type mail struct{ messages, mailboxes [][]any }

func encodeMail(b *store.Batch) (mail, error) {
	out := mail{make([][]any, len(b.Messages)), make([][]any, len(b.Mailboxes))}
	for i := range b.Messages {
		m := &b.Messages[i]
		data, err := jsonText("data", m.Data)
		if data == nil {
			data = "null"
		}
		if m.To == "" || m.From == "" {
			err = errors.New("a message without a sender or a receiver")
		}
		if err = errors.Join(err, store.InRange(store.Counter{Name: "seq", N: m.Seq})); err != nil {
			return mail{}, fmt.Errorf("message %d to %.128q: %w", m.Seq, m.To, err)
		}
		out.messages[i] = []any{store.ValidText(m.To), int64(m.Seq), store.ValidText(m.From), text(m.Key), data}
	}
	for i := range b.Mailboxes {
		m := &b.Mailboxes[i]
		counters := []store.Counter{{Name: "posted", N: m.Posted}, {Name: "received", N: m.Received}, {Name: "sent", N: m.Sent}}
		for _, p := range m.Pages {
			counters = append(counters, store.Counter{Name: "page", N: p.Sent})
		}
		pages, err := listText(m.Pages)
		if err == nil {
			var barriers any
			barriers, err = listText(m.Barriers)
			out.mailboxes[i] = []any{store.ValidText(m.Participant), int64(m.Posted), int64(m.Received), int64(m.Sent), pages, barriers}
		}
		if m.Participant == "" {
			err = errors.New("no participant")
		}
		if err = errors.Join(err, store.InRange(counters...)); err != nil {
			return mail{}, fmt.Errorf("mailbox %.128q: %w", m.Participant, err)
		}
	}
	return out, nil
}

// listText is a list in JSON, or NULL when it is empty.
func listText[T any](list []T) (any, error) {
	if len(list) == 0 {
		return nil, nil
	}
	b, err := json.Marshal(list) // replaces what is not UTF-8
	return string(b), err
}

// put writes the messages, then the mailboxes, each of which takes away what it
// has received.
func (m mail) put(ctx context.Context, s *Store, tx *sql.Tx) error {
	if len(m.messages) > 0 {
		put := tx.StmtContext(ctx, s.putMessage)
		for _, a := range m.messages {
			if _, err := put.ExecContext(ctx, a...); err != nil {
				return err
			}
		}
	}
	if len(m.mailboxes) == 0 {
		return nil
	}
	put, trim := tx.StmtContext(ctx, s.putMailbox), tx.StmtContext(ctx, s.trim)
	for _, a := range m.mailboxes {
		if _, err := put.ExecContext(ctx, a...); err != nil {
			return err
		}
		if _, err := trim.ExecContext(ctx, a[0], a[2]); err != nil {
			return err
		}
	}
	return nil
}

// Mailbox implements store.Store.
func (s *Store) Mailbox(ctx context.Context, participant string) (store.Mailbox, []store.Message, error) {
	box, messages, err := s.readMailbox(ctx, store.ValidText(participant))
	if err != nil {
		return store.Mailbox{}, nil, s.fail("mailbox", fmt.Errorf("participant %.128q: %w", participant, err))
	}
	return box, messages, nil
}

func (s *Store) readMailbox(ctx context.Context, participant string) (store.Mailbox, []store.Message, error) {
	box := store.Mailbox{Participant: participant}
	rows, err := s.mailbox.QueryContext(ctx, participant)
	if err != nil {
		return box, nil, err
	}
	defer rows.Close()
	var messages []store.Message
	for rows.Next() {
		var pages, barriers, sender, key, data sql.NullString
		var seq sql.NullInt64
		if err := rows.Scan(&box.Posted, &box.Received, &box.Sent, &pages, &barriers, &seq, &sender, &key, &data); err != nil {
			return box, nil, fmt.Errorf("%w: %w", store.ErrCorrupt, err)
		}
		box.Pages, box.Barriers = nil, nil
		if err := errors.Join(parseOf("pages", pages.String, &box.Pages), parseOf("barriers", barriers.String, &box.Barriers)); err != nil {
			return box, nil, fmt.Errorf("%w: %w", store.ErrCorrupt, err)
		}
		if !seq.Valid {
			continue // no message
		}
		m := store.Message{To: participant, Seq: uint64(seq.Int64), From: sender.String, Key: key.String}
		if err := parseJSON("data", data.String, &m.Data); err != nil {
			return box, nil, fmt.Errorf("%w: message %d: %w", store.ErrCorrupt, m.Seq, err)
		}
		if m.Data == nil {
			m.Data = protocol.Raw("null")
		}
		messages = append(messages, m)
	}
	return box, messages, rows.Err()
}
