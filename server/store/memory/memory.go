// Package memory keeps sessions, mail and the event log in the memory of the
// process, for a server that nobody told where to store them. Nothing of it
// survives the process.
package memory

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"initgrace/grace/protocol"
	"initgrace/server/eventlog"
	"initgrace/server/store"
)

var errClosed = errors.New("memory: the store is closed")

// Store is a store.Store.
type Store struct {
	mu       sync.RWMutex
	sessions map[string]*store.Session // nil: closed
	mail     map[string]*pigeonhole
	log      log
	secret   [32]byte
}

// New makes an empty store.
func New() *Store {
	s := &Store{sessions: make(map[string]*store.Session), mail: make(map[string]*pigeonhole)}
	rand.Read(s.secret[:])
	return s
}

// read locks the store for reading, if it may be read.
func (s *Store) read(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.RLock()
	if s.sessions == nil {
		s.mu.RUnlock()
		return errClosed
	}
	return nil
}

// Session implements store.Store.
func (s *Store) Session(ctx context.Context, participant string) (store.Session, bool, error) {
	if err := s.read(ctx); err != nil {
		return store.Session{}, false, err
	}
	defer s.mu.RUnlock()
	kept := s.sessions[store.ValidText(participant)]
	if kept == nil {
		return store.Session{}, false, nil
	}
	return copied(kept), true, nil
}

// Seated implements store.Store.
func (s *Store) Seated(ctx context.Context, f func(store.Session) error) error {
	if err := s.read(ctx); err != nil {
		return err
	}
	var seated []store.Session
	for _, kept := range s.sessions {
		if kept.Presence != protocol.Gone {
			seated = append(seated, copied(kept))
		}
	}
	s.mu.RUnlock() // f may use the store
	for _, session := range seated {
		if err := f(session); err != nil {
			return err
		}
	}
	return nil
}

// Assigned implements store.Store.
func (s *Store) Assigned(ctx context.Context) ([]store.Assigned, error) {
	if err := s.read(ctx); err != nil {
		return nil, err
	}
	defer s.mu.RUnlock()
	counts := make(map[store.Assigned]int)
	for _, kept := range s.sessions {
		if kept.Part.Condition != "" {
			counts[store.Assigned{Experiment: kept.Experiment, Condition: kept.Part.Condition}]++
		}
	}
	var all []store.Assigned
	for a, n := range counts {
		a.Count = n
		all = append(all, a)
	}
	return all, nil
}

// Put implements store.Store.
func (s *Store) Put(ctx context.Context, b store.Batch) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sessions == nil {
		return errClosed
	}
	// All that can fail comes first.
	for i := range b.Sessions {
		if err := s.check(&b.Sessions[i]); err != nil {
			return fmt.Errorf("memory: put: participant %.128q: %w", b.Sessions[i].Participant, err)
		}
	}
	if err := b.CheckMail(); err != nil {
		return fmt.Errorf("memory: put: %w", err)
	}
	for i := range b.Sessions {
		s.keep(&b.Sessions[i])
	}
	for i := range b.Messages {
		s.post(b.Messages[i])
	}
	for i := range b.Mailboxes {
		s.settle(b.Mailboxes[i])
	}
	for i := range b.Records {
		s.log.add(&b.Records[i])
	}
	return nil
}

// check refuses a session that cannot be stored. A state that is the one that
// is stored was checked then: it may be large, and seldom changes.
func (s *Store) check(session *store.Session) error {
	if err := session.Check(); err != nil {
		return err
	}
	var was protocol.State
	if kept := s.sessions[session.Participant]; kept != nil {
		was = kept.State
	}
	for _, part := range []struct {
		name     string
		was, now protocol.Raw
	}{{"stager_state", was.StagerState, session.State.StagerState}, {"globals", was.Globals, session.State.Globals}} {
		if bytes.Equal(part.was, part.now) {
			continue
		}
		if err := store.ValidJSON(part.name, part.now); err != nil {
			return err
		}
	}
	return nil
}

// keep replaces what is kept of a session, in its place: readers have copies.
func (s *Store) keep(session *store.Session) {
	name := store.ValidText(session.Participant)
	kept := s.sessions[name]
	if kept == nil {
		kept = &store.Session{}
		s.sessions[name] = kept
	}
	loads, state := kept.Loads, kept.State
	*kept = *session
	kept.Participant = name
	for _, text := range []*string{
		&kept.Experiment, &kept.Group, &kept.PageID, (*string)(&kept.Presence), (*string)(&kept.Reason), &kept.State.SceneID,
		&kept.Part.Condition, (*string)(&kept.Part.Outcome.Kind), &kept.Part.Outcome.Code, &kept.Part.Outcome.Link, &kept.Part.Outcome.Partner,
	} {
		*text = store.ValidText(*text)
	}
	for _, at := range []*time.Time{&kept.Since, &kept.Created, &kept.Updated, &kept.Part.Outcome.At} {
		cut(at)
	}
	t := &kept.Totals
	for _, d := range []*time.Duration{&t.LoadTime, &t.BlockedTime, &t.AwayTime, &t.LongestBlock} {
		*d = d.Round(time.Millisecond)
	}
	kept.State.StagerState = raw(state.StagerState, session.State.StagerState)
	kept.State.Globals = raw(state.Globals, session.State.Globals)
	kept.Loads = append(loads[:0], session.Loads...)
	for i := range kept.Loads {
		l := &kept.Loads[i]
		l.ID, l.Phase, l.Expected = store.ValidText(l.ID), store.ValidText(l.Phase), l.Expected.Round(time.Millisecond)
		cut(&l.StartedAt)
		cut(&l.DeadlineAt)
	}
	clear(kept.Loads[len(kept.Loads):cap(kept.Loads)]) // their texts
	kept.Part = copiedPart(kept.Part)
	for i := range kept.Part.Scenes {
		kept.Part.Scenes[i] = store.ValidText(kept.Part.Scenes[i])
	}
	if w := kept.Part.Waiting; w != nil {
		cut(&w.Since)
		cut(&w.Until)
	}
	if v := kept.Part.Vacancy; v != nil {
		v.Action, v.Partner = store.ValidText(v.Action), store.ValidText(v.Partner)
		cut(&v.Until)
	}
}

// raw is a copy of now in UTF-8, or what was stored, if that is the same.
func raw(was, now protocol.Raw) protocol.Raw {
	switch {
	case len(now) == 0:
		return nil
	case bytes.Equal(was, now):
		return was
	}
	return protocol.Raw(store.ValidText(string(now)))
}

// cut makes a time what it is in every store: UTC, in milliseconds.
func cut(at *time.Time) { *at = at.UTC().Truncate(time.Millisecond) }

// copied shares nothing that can be changed.
func copied(kept *store.Session) store.Session {
	s := *kept
	s.Loads = copiedList(s.Loads)
	s.State.StagerState, s.State.Globals = bytes.Clone(s.State.StagerState), bytes.Clone(s.State.Globals)
	s.Part = copiedPart(s.Part)
	return s
}

func copiedPart(p store.Part) store.Part {
	p.Scenes = copiedList(p.Scenes)
	if p.Waiting != nil {
		w := *p.Waiting
		p.Waiting = &w
	}
	if p.Vacancy != nil {
		v := *p.Vacancy
		p.Vacancy = &v
	}
	return p
}

// copiedList is a copy, and nil if it is empty.
func copiedList[T any](list []T) []T {
	if len(list) == 0 {
		return nil
	}
	return slices.Clone(list)
}

// Records implements store.Store.
func (s *Store) Records(ctx context.Context, after int64, limit int) ([]eventlog.Record, error) {
	if err := s.read(ctx); err != nil {
		return nil, err
	}
	log := s.log.snapshot()
	s.mu.RUnlock()
	return log.records(after, limit), nil
}

// Secret implements store.Store.
func (s *Store) Secret(ctx context.Context) ([]byte, error) {
	if err := s.read(ctx); err != nil {
		return nil, err
	}
	defer s.mu.RUnlock()
	return bytes.Clone(s.secret[:]), nil
}

// Close implements store.Store.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sessions, s.mail, s.log = nil, nil, log{}
	return nil
}
