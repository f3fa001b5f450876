package redis

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"initgrace/grace/protocol"
	"initgrace/server/eventlog"
	"initgrace/server/store"
)

// encodeBatch is a batch as the arguments of put.lua.
func encodeBatch(b *store.Batch, retention time.Duration, keep int64) ([]any, error) {
	if err := b.CheckMail(); err != nil {
		return nil, err
	}
	args := []any{
		rand.Text(), (2 * putTimeout).Milliseconds(), max(retention, 0).Milliseconds(), max(keep, 0),
		len(b.Sessions), len(b.Messages), len(b.Mailboxes), len(b.Records),
	}
	for i := range b.Sessions {
		s := &b.Sessions[i]
		text, err := encodeSession(s)
		if err != nil {
			return nil, fmt.Errorf("participant %.128q: %w", s.Participant, err)
		}
		seated := s.Presence != protocol.Gone
		args = append(args, store.ValidText(s.Participant), seated, drawnText(s), text)
	}
	for i := range b.Messages {
		m := &b.Messages[i]
		text, err := encodeMessage(m)
		if err != nil {
			return nil, fmt.Errorf("message %d to %.128q: %w", m.Seq, m.To, err)
		}
		var slot string
		if m.Key != "" {
			slot = strconv.Quote(m.From) + store.ValidText(m.Key)
		}
		args = append(args, store.ValidText(m.To), m.Seq, slot, text)
	}
	for i := range b.Mailboxes {
		m := &b.Mailboxes[i]
		text, err := json.Marshal(m)
		if err != nil {
			return nil, fmt.Errorf("mailbox %.128q: %w", m.Participant, err)
		}
		args = append(args, store.ValidText(m.Participant), m.Received, string(text))
	}
	for i := range b.Records {
		r := &b.Records[i]
		args = append(args, eventlog.Clean(r.Run), r.Seq, encodeRecord(r))
	}
	return args, nil
}

// drawnText is what a session counts for in Assigned; empty: nothing.
func drawnText(s *store.Session) string {
	if s.Part.Condition == "" {
		return ""
	}
	b, err := json.Marshal([2]string{s.Experiment, s.Part.Condition})
	if err != nil {
		panic(err) // texts
	}
	return string(b)
}

// sessionText is a session in JSON. JSON that a page gave stays the text that
// it was.
type sessionText struct {
	store.Session
	Since, Created, Updated string
	OutcomeAt               string
	StagerState, Globals    string
	State                   *struct{} `json:",omitempty"` // in its parts here
	SceneID                 string
}

func encodeSession(s *store.Session) (string, error) {
	err := errors.Join(s.Check(), store.ValidJSON("stager_state", s.State.StagerState), store.ValidJSON("globals", s.State.Globals))
	if err != nil {
		return "", err
	}
	t := sessionText{
		Session: *s, Since: store.FormatTime(s.Since), Created: store.FormatTime(s.Created), Updated: store.FormatTime(s.Updated),
		OutcomeAt:   store.FormatTime(s.Part.Outcome.At),
		StagerState: string(s.State.StagerState), Globals: string(s.State.Globals), SceneID: s.State.SceneID,
	}
	for _, d := range durations(&t.Totals) {
		*d = d.Round(time.Millisecond)
	}
	b, err := json.Marshal(t) // replaces what is not UTF-8
	return string(b), err
}

func durations(t *store.Totals) []*time.Duration {
	return []*time.Duration{&t.LoadTime, &t.BlockedTime, &t.AwayTime, &t.LongestBlock}
}

func decodeSession(participant, text string) (store.Session, error) {
	var t sessionText
	err := json.Unmarshal([]byte(text), &t)
	s := &t.Session
	if err == nil {
		s.State = protocol.State{SceneID: t.SceneID}
		if t.StagerState != "" {
			s.State.StagerState = protocol.Raw(t.StagerState)
		}
		if t.Globals != "" {
			s.State.Globals = protocol.Raw(t.Globals)
		}
		if len(s.Loads) == 0 {
			s.Loads = nil
		}
		if len(s.Part.Scenes) == 0 {
			s.Part.Scenes = nil
		}
		err = errors.Join(
			parseTime(t.Since, &s.Since), parseTime(t.Created, &s.Created), parseTime(t.Updated, &s.Updated), parseTime(t.OutcomeAt, &s.Part.Outcome.At),
			store.ValidJSON("stager_state", s.State.StagerState), store.ValidJSON("globals", s.State.Globals),
		)
	}
	if err != nil {
		return store.Session{}, fmt.Errorf("participant %.128q: %w: %w", participant, store.ErrCorrupt, err)
	}
	return *s, nil
}

func parseTime(s string, t *time.Time) (err error) {
	*t, err = store.ParseTime(s)
	return err
}

// messageText is a message in JSON; its receiver and seq are its place.
type messageText struct {
	From string `json:"from"`
	Key  string `json:"key,omitempty"`
	Data string `json:"data"`
}

func encodeMessage(m *store.Message) (string, error) {
	data := string(m.Data)
	if data == "" {
		data = "null"
	}
	b, err := json.Marshal(messageText{m.From, m.Key, data})
	return string(b), err
}

// decodeMail reads what mailbox.lua returns.
func decodeMail(participant string, texts []string) (box store.Mailbox, messages []store.Message, err error) {
	if texts[0] != "" {
		if err := json.Unmarshal([]byte(texts[0]), &box); err != nil {
			return box, nil, fmt.Errorf("%w: %w", store.ErrCorrupt, err)
		}
	}
	if box.Participant = participant; len(box.Pages) == 0 {
		box.Pages = nil
	}
	for rest := texts[1:]; len(rest) > 1; rest = rest[2:] {
		var t messageText
		seq, err := strconv.ParseUint(rest[0], 10, 63)
		if err == nil {
			err = json.Unmarshal([]byte(rest[1]), &t)
		}
		if err == nil {
			err = store.ValidJSON("data", protocol.Raw(t.Data))
		}
		if err != nil {
			return box, nil, fmt.Errorf("%w: message %.20s: %w", store.ErrCorrupt, rest[0], err)
		}
		messages = append(messages, store.Message{To: participant, Seq: seq, From: t.From, Key: t.Key, Data: protocol.Raw(t.Data)})
	}
	slices.SortFunc(messages, func(a, b store.Message) int { return int(int64(a.Seq) - int64(b.Seq)) })
	return box, messages, nil
}

// encodeRecord is a record as a JSON array of its columns but the id, up to the
// last one that is not missing.
func encodeRecord(r *eventlog.Record) string {
	columns := eventlog.Events.Columns[1:]
	row, last := make([]any, len(columns)), 0
	for i := range columns {
		switch v := columns[i].Value(r).(type) {
		case nil:
			continue
		case string:
			row[i] = eventlog.Clean(v)
		case time.Time:
			row[i] = store.FormatTime(v)
		default:
			row[i] = v
		}
		last = i + 1
	}
	b, err := json.Marshal(row[:last])
	if err != nil {
		panic(err) // texts and numbers
	}
	return string(b)
}

func decodeRecord(e redis.XMessage, r *eventlog.Record) error {
	damaged := func(err error) error { return fmt.Errorf("event %s: %w: %w", e.ID, store.ErrCorrupt, err) }
	id, _, _ := strings.Cut(e.ID, "-")
	var err error
	if r.ID, err = strconv.ParseInt(id, 10, 64); err != nil {
		return damaged(err)
	}
	text, _ := e.Values["row"].(string)
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	var row []any
	if err := decoder.Decode(&row); err != nil {
		return damaged(err)
	}
	columns := eventlog.Events.Columns[1:]
	for i, value := range row[:min(len(row), len(columns))] { // a newer server's may have more
		c := &columns[i]
		switch v := value.(type) {
		case nil:
			continue
		case json.Number:
			value, err = v.Int64()
		case string:
			if c.Type == eventlog.Time {
				value, err = store.ParseTime(v)
			}
		}
		if err == nil {
			err = c.Set(r, value)
		}
		if err != nil {
			return damaged(fmt.Errorf("%s: %w", c.Name, err))
		}
	}
	return nil
}
