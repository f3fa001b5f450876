package memory

import (
	"bytes"
	"context"
	"slices"

	"initgrace/grace/protocol"
	"initgrace/server/store"
)

// A pigeonhole is a mailbox and what is in it.
type pigeonhole struct {
	store.Mailbox
	messages []store.Message // in their order
}

func (s *Store) hole(participant string) *pigeonhole {
	p := s.mail[participant]
	if p == nil {
		p = &pigeonhole{Mailbox: store.Mailbox{Participant: participant}}
		s.mail[participant] = p
	}
	return p
}

// post adds a message that was checked.
func (s *Store) post(m store.Message) {
	m.To, m.From, m.Key = store.ValidText(m.To), store.ValidText(m.From), store.ValidText(m.Key)
	if m.Data = raw(nil, m.Data); m.Data == nil {
		m.Data = protocol.Raw("null")
	}
	s.hole(m.To).add(m)
}

// add puts a message in its place, instead of the one with its number and the
// one with its key.
func (p *pigeonhole) add(m store.Message) {
	if n := len(p.messages); m.Key == "" && (n == 0 || p.messages[n-1].Seq < m.Seq) {
		p.messages = append(p.messages, m)
		return
	}
	p.messages = slices.DeleteFunc(p.messages, func(o store.Message) bool {
		return o.Seq == m.Seq || m.Key != "" && o.From == m.From && o.Key == m.Key
	})
	i := len(p.messages)
	for i > 0 && p.messages[i-1].Seq > m.Seq {
		i--
	}
	p.messages = slices.Insert(p.messages, i, m)
}

// settle replaces a mailbox and takes away what it has received.
func (s *Store) settle(m store.Mailbox) {
	m.Participant = store.ValidText(m.Participant)
	p := s.hole(m.Participant)
	pages, barriers := append(p.Pages[:0], m.Pages...), append(p.Barriers[:0], m.Barriers...)
	clear(pages[len(pages):cap(pages)]) // their texts
	clear(barriers[len(barriers):cap(barriers)])
	for i := range pages {
		pages[i].ID = store.ValidText(pages[i].ID)
	}
	for i := range barriers {
		barriers[i].Group, barriers[i].Name = store.ValidText(barriers[i].Group), store.ValidText(barriers[i].Name)
	}
	m.Pages, m.Barriers = pages, barriers
	p.Mailbox = m
	read := 0
	for read < len(p.messages) && p.messages[read].Seq <= p.Received {
		read++
	}
	p.messages = slices.Delete(p.messages, 0, read)
}

// Mailbox implements store.Store.
func (s *Store) Mailbox(ctx context.Context, participant string) (store.Mailbox, []store.Message, error) {
	if err := s.read(ctx); err != nil {
		return store.Mailbox{}, nil, err
	}
	defer s.mu.RUnlock()
	participant = store.ValidText(participant)
	p := s.mail[participant]
	if p == nil {
		return store.Mailbox{Participant: participant}, nil, nil
	}
	box, messages := p.Mailbox, copiedList(p.messages)
	box.Pages, box.Barriers = copiedList(box.Pages), copiedList(box.Barriers)
	for i := range messages {
		messages[i].Data = bytes.Clone(messages[i].Data)
	}
	return box, messages, nil
}
