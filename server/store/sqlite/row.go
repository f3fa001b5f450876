package sqlite

import (
	"cmp"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"initgrace/grace/protocol"
	"initgrace/server/store"
)

// encode is a session as the arguments of upsert.
func encode(s *store.Session) ([]any, error) {
	var loads any
	if len(s.Loads) > 0 {
		b, err := json.Marshal(s.Loads) // replaces what is not UTF-8
		if err != nil {
			return nil, err
		}
		loads = string(b)
	}
	stager, err := jsonText("stager_state", s.State.StagerState)
	if err != nil {
		return nil, err
	}
	globals, err := jsonText("globals", s.State.Globals)
	if err != nil {
		return nil, err
	}
	if err := s.Check(); err != nil {
		return nil, err
	}
	t, part, out := &s.Totals, &s.Part, &s.Part.Outcome
	scenes, err := jsonOf(part.Scenes, len(part.Scenes) > 0)
	if err != nil {
		return nil, err
	}
	waiting, err := jsonOf(part.Waiting, part.Waiting != nil)
	if err != nil {
		return nil, err
	}
	vacancy, err := jsonOf(part.Vacancy, part.Vacancy != nil)
	if err != nil {
		return nil, err
	}
	return []any{
		store.ValidText(s.Participant), text(s.Experiment), text(s.Group), text(s.PageID), int64(s.Epoch),
		store.ValidText(string(s.Presence)), text(string(s.Reason)), text(store.FormatTime(s.Since)), int64(s.Seq),
		loads, text(s.State.SceneID), stager, globals, int64(s.Version),
		int64(s.Sent), t.Connections, t.Drops, t.Loads, t.LoadFailures,
		store.Milliseconds(t.LoadTime), store.Milliseconds(t.BlockedTime),
		store.Milliseconds(t.AwayTime), store.Milliseconds(t.LongestBlock),
		text(part.Condition), scenes, waiting, vacancy,
		text(string(out.Kind)), text(out.Code), text(out.Link), text(out.Partner), text(store.FormatTime(out.At)),
		text(store.FormatTime(s.Created)), text(store.FormatTime(s.Updated)),
	}, nil
}

// decode reads a row of columns, after what is wanted before them. Its errors wrap store.ErrCorrupt.
func decode(row *sql.Rows, before ...any) (store.Session, error) {
	var (
		s                                    store.Session
		experiment, group, page, reason      sql.NullString
		since, loads, scene, stager, globals sql.NullString
		created, updated                     sql.NullString
		loading, blocked, away, longest      int64
		condition, scenes, waiting, vacancy  sql.NullString
		kind, code, link, partner, outcomeAt sql.NullString
	)
	t, out := &s.Totals, &s.Part.Outcome
	err := row.Scan(append(before,
		&s.Participant, &experiment, &group, &page, &s.Epoch,
		&s.Presence, &reason, &since, &s.Seq,
		&loads, &scene, &stager, &globals, &s.Version,
		&s.Sent, &t.Connections, &t.Drops, &t.Loads, &t.LoadFailures,
		&loading, &blocked, &away, &longest,
		&condition, &scenes, &waiting, &vacancy, &kind, &code, &link, &partner, &outcomeAt,
		&created, &updated)...)
	if err == nil {
		s.Experiment, s.Group, s.PageID = experiment.String, group.String, page.String
		s.Reason, s.State.SceneID = protocol.Reason(reason.String), scene.String
		t.LoadTime, t.BlockedTime = milliseconds(loading), milliseconds(blocked)
		t.AwayTime, t.LongestBlock = milliseconds(away), milliseconds(longest)
		s.Part.Condition = condition.String
		out.Kind, out.Code, out.Link, out.Partner = protocol.Outcome(kind.String), code.String, link.String, partner.String
		err = cmp.Or(
			parseOf("scenes", scenes.String, &s.Part.Scenes),
			parseOf("waiting", waiting.String, &s.Part.Waiting),
			parseOf("vacancy", vacancy.String, &s.Part.Vacancy),
			parseTime("outcome_at", outcomeAt.String, &out.At),
			parsePresence(s.Presence),
			parseTime("presence_since", since.String, &s.Since),
			parseTime("created_at", created.String, &s.Created),
			parseTime("updated_at", updated.String, &s.Updated),
			parseLoads(loads.String, &s.Loads),
			parseJSON("stager_state", stager.String, &s.State.StagerState),
			parseJSON("globals", globals.String, &s.State.Globals))
	}
	if err != nil {
		return store.Session{}, fmt.Errorf("participant %.128q: %w: %w", s.Participant, store.ErrCorrupt, err)
	}
	return s, nil
}

// text is s as UTF-8, or NULL when it is empty.
func text(s string) any {
	if s == "" {
		return nil
	}
	return store.ValidText(s)
}

func jsonText(name string, r protocol.Raw) (any, error) {
	return text(string(r)), store.ValidJSON(name, r)
}

// jsonOf is v as JSON text, or NULL.
func jsonOf(v any, there bool) (any, error) {
	if !there {
		return nil, nil
	}
	b, err := json.Marshal(v) // replaces what is not UTF-8
	return string(b), err
}

func parseOf(name, s string, v any) error {
	if s == "" {
		return nil
	}
	if err := json.Unmarshal([]byte(s), v); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func milliseconds(n int64) time.Duration { return time.Duration(n) * time.Millisecond }

func parsePresence(p protocol.Presence) error {
	switch p {
	case "", protocol.Active, protocol.Loading, protocol.Blocked, protocol.Away, protocol.Gone:
		return nil
	}
	return fmt.Errorf("presence: %.40q is none", p)
}

func parseTime(name, s string, t *time.Time) (err error) {
	if *t, err = store.ParseTime(s); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func parseLoads(s string, l *[]store.Load) error {
	if s == "" {
		return nil
	}
	if err := json.Unmarshal([]byte(s), l); err != nil {
		return fmt.Errorf("open_loads: %w", err)
	}
	if len(*l) == 0 {
		*l = nil
	}
	return nil
}

func parseJSON(name, s string, r *protocol.Raw) error {
	if s == "" {
		return nil
	}
	if !json.Valid([]byte(s)) {
		return fmt.Errorf("%s: not JSON", name)
	}
	*r = protocol.Raw(s)
	return nil
}
