package sqlite

import (
	"context"
	"database/sql"
	"slices"

	"initgrace/server/store"
)

// A mailroom keeps the mail of a database in memory, where a message need not
// outlive the process and so need not cost any SQL. It is the one's who has the
// writer's connection.
type mailroom map[string]*pigeonhole

type pigeonhole struct {
	store.Mailbox
	messages []store.Message // in their order
}

func (r mailroom) hole(participant string) *pigeonhole {
	p := r[participant]
	if p == nil {
		p = &pigeonhole{Mailbox: store.Mailbox{Participant: participant}}
		r[participant] = p
	}
	return p
}

// put cannot fail: checkMail has let the batch through.
func (r mailroom) put(b *store.Batch) {
	for _, m := range b.Messages {
		m.To, m.From, m.Key, m.Data = store.ValidText(m.To), store.ValidText(m.From), store.ValidText(m.Key), validData(&m)
		r.hole(m.To).add(m)
	}
	for _, m := range b.Mailboxes {
		m.Participant = store.ValidText(m.Participant)
		m.Pages, m.Barriers = slices.Clone(m.Pages), slices.Clone(m.Barriers)
		for i := range m.Pages {
			m.Pages[i].ID = store.ValidText(m.Pages[i].ID)
		}
		for i := range m.Barriers {
			m.Barriers[i].Group, m.Barriers[i].Name = store.ValidText(m.Barriers[i].Group), store.ValidText(m.Barriers[i].Name)
		}
		p := r.hole(m.Participant)
		p.Mailbox = m
		read := 0
		for read < len(p.messages) && p.messages[read].Seq <= p.Received {
			read++
		}
		p.messages = slices.Delete(p.messages, 0, read)
	}
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

func (s *Store) readRoom(ctx context.Context, participant string) (box store.Mailbox, messages []store.Message, err error) {
	box.Participant = participant
	err = s.exclusively(ctx, func(*sql.Conn) error {
		if p := s.room[participant]; p != nil {
			box = p.Mailbox
			for _, m := range p.messages {
				m.Data = slices.Clone(m.Data)
				messages = append(messages, m)
			}
		}
		return nil
	})
	if len(box.Pages) == 0 {
		box.Pages = nil
	}
	if len(box.Barriers) == 0 {
		box.Barriers = nil
	}
	return box, messages, err
}
