package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"

	"initgrace/grace/protocol"
	"initgrace/server/store"
)

// maxTrimmed bounds Store.trimmed.
const maxTrimmed = 10_000

// mail is a batch's messages and mailboxes as the arguments of their statements.
type mail struct{ messages, mailboxes [][]any }

// encodeMail is for what Batch.CheckMail has let through.
func encodeMail(b *store.Batch) (mail, error) {
	out := mail{make([][]any, len(b.Messages)), make([][]any, len(b.Mailboxes))}
	for i := range b.Messages {
		m := &b.Messages[i]
		out.messages[i] = []any{store.ValidText(m.To), int64(m.Seq), store.ValidText(m.From), text(m.Key), string(validData(m))}
	}
	for i := range b.Mailboxes {
		m := &b.Mailboxes[i]
		pages, err := listText(m.Pages)
		if err != nil {
			return mail{}, err
		}
		barriers, err := listText(m.Barriers)
		if err != nil {
			return mail{}, err
		}
		out.mailboxes[i] = []any{store.ValidText(m.Participant), int64(m.Posted), int64(m.Received), int64(m.Sent), pages, barriers}
	}
	return out, nil
}

func validData(m *store.Message) protocol.Raw {
	switch {
	case len(m.Data) == 0:
		return protocol.Raw("null")
	case utf8.Valid(m.Data):
		return m.Data
	}
	return protocol.Raw(store.ValidText(string(m.Data)))
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
// has received, if that has changed.
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
		participant, received := a[0].(string), a[2].(int64)
		if received == s.trimmed[participant] {
			continue
		}
		if _, err := trim.ExecContext(ctx, participant, received); err != nil {
			return err
		}
		if len(s.trimmed) >= maxTrimmed { // forgetting costs a statement each
			clear(s.trimmed)
		}
		s.trimmed[participant] = received
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
