package store

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"

	"initgrace/grace/protocol"
)

// Check refuses a session that no store takes, but for its JSON.
func (s *Session) Check() error {
	if s.Participant == "" {
		return errors.New("no participant")
	}
	return InRange(Counter{"epoch", s.Epoch}, Counter{"seq", s.Seq}, Counter{"version", s.Version}, Counter{"sent", s.Sent})
}

// ValidJSON refuses what is neither JSON nor empty.
func ValidJSON(name string, r protocol.Raw) error {
	if len(r) > 0 && !json.Valid(r) {
		return fmt.Errorf("%s is not JSON", name)
	}
	return nil
}

// CheckMail refuses messages and mailboxes that no store takes.
func (b *Batch) CheckMail() error {
	for i := range b.Messages {
		m := &b.Messages[i]
		err := cmp.Or(InRange(Counter{"seq", m.Seq}), ValidJSON("data", m.Data))
		if m.To == "" || m.From == "" {
			err = errors.New("a message without a sender or a receiver")
		}
		if err != nil {
			return fmt.Errorf("message %d to %.128q: %w", m.Seq, m.To, err)
		}
	}
	for i := range b.Mailboxes {
		m := &b.Mailboxes[i]
		err := InRange(Counter{"posted", m.Posted}, Counter{"received", m.Received}, Counter{"sent", m.Sent})
		for _, p := range m.Pages {
			err = cmp.Or(err, InRange(Counter{"page", p.Sent}))
		}
		if m.Participant == "" {
			err = errors.New("no participant")
		}
		if err != nil {
			return fmt.Errorf("mailbox %.128q: %w", m.Participant, err)
		}
	}
	return nil
}
