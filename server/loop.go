package server

import (
	"context"
	"errors"
	"log/slog"
	"runtime/debug"
	"sync/atomic"
	"time"

	"initgrace/grace"
	"initgrace/server/groups"
	"initgrace/server/live"
	"initgrace/server/metrics"
	"initgrace/server/store"
)

// loop owns everything that decides: the tracker, the groups and the members.
// It is one goroutine with one timer and is the only one to read the clock.
//
// What it decides takes effect in one way: tasks change the facts, the facts
// that must survive are stored in one batch, and only then, in the order in
// which they were decided, the effects happen (acks, events, the observer).
// An ack therefore means that the fact is stored.
type loop struct {
	tracker *grace.Tracker
	groups  groups.Registry
	lobby   lobby
	members map[string]*member

	store   store.Store
	secret  []byte
	strict  bool // nobody comes back without the session's token
	log     *slog.Logger
	observe func(grace.Change)
	metrics *metrics.Metrics
	feed    *live.Feed // nil: nobody may look

	barriers barriers
	pauses   pauses

	clock   clock
	due     time.Time // when deadlines are looked at next
	journal journal

	inbox chan task
	quit  chan struct{} // closed: stop when the inbox is empty and everything is stored
	done  chan struct{} // closed: nothing happens any more

	// storing ends when a server that is closed gives its store up.
	storing context.Context
	giveUp  context.CancelFunc
	lost    int // what the store did not take then; read it after done

	// Decided and not handed to the committer yet.
	dirty   []*member
	boxes   []*member // whose mailbox is to be stored
	letters []store.Message
	after   []effect

	commits   chan batch
	committed chan batch      // what came back, with its error
	spare     []store.Session // memory of a batch that is stored
	cut       func()          // ends all connections at once
	closing   bool            // participants are not away because the server leaves
	failing   atomic.Bool     // the last batch could not be stored
}

// task is one thing that happened. It runs on the loop.
type task func(l *loop, now time.Time)

// effect is one consequence, run in order after the commit. The error tells
// that the facts could not be stored. One that is patient waits for the commit
// that stores them.
type effect struct {
	run     func(error)
	patient bool
}

// batch is what is stored at once, and what follows from it.
type batch struct {
	store.Batch
	after []effect
	err   error
}

const (
	inboxSize = 4096
	// drainMax is how many tasks run before the deadlines are looked at again.
	drainMax = 512
	// maxPending is how many effects, or records of the log, may wait for the
	// store before the loop stops taking tasks, so that a slow disk slows the
	// clients down. The policy's time stands still until it has caught up.
	maxPending = 65536
	// maxSpare bounds the sessions for which memory is kept.
	maxSpare = 1024
	// storeTimeout bounds one batch.
	storeTimeout = 10 * time.Second
)

// post hands a task to the loop. It waits while the loop is full and drops the
// task when the loop has ended.
func (l *loop) post(t task) {
	select {
	case l.inbox <- t:
	case <-l.done:
	}
}

func (l *loop) run() {
	defer close(l.done)
	go l.commit()
	defer close(l.commits)

	timer := time.NewTimer(l.clock.tick)
	defer timer.Stop()
	busy, quit := false, l.quit
	for {
		if !busy && l.storing.Err() != nil {
			l.lost = len(l.dirty) + len(l.letters) + len(l.journal.records)
			return
		}
		if !busy && l.pending() > 0 {
			l.commits <- l.take()
			busy = true
		}
		if quit == nil && !busy && len(l.inbox) == 0 {
			if l.journal.stopped {
				return
			}
			l.recordStop(l.now())
			continue
		}
		if l.full() { // so busy: nobody is heard, and nobody's silence counts
			l.settleBatch(<-l.committed)
			busy = false
			continue
		}
		var first task
		select {
		case first = <-l.inbox:
		case b := <-l.committed:
			busy = false
			l.settleBatch(b)
		case <-timer.C:
		case <-quit:
			quit = nil
		}
		now := l.now()
		if first != nil {
			l.do(first, now)
		}
		// What has arrived is heard before any silence is judged.
		for n := 0; n < drainMax && len(l.inbox) > 0 && !l.full(); n++ {
			l.do(<-l.inbox, now)
		}
		if !now.Before(l.due) {
			l.tracker.Advance(now)
			l.publish(now)
			l.lookAround(now)
			l.publish(now)
		}
		l.recordHandshakes(now, handshakePause)
		l.metrics.Backlog(len(l.journal.records)+l.journal.storing, len(l.after))
		timer.Reset(l.sleep(now))
	}
}

// pending is how much waits for the store.
func (l *loop) pending() int {
	return len(l.dirty) + len(l.boxes) + len(l.letters) + len(l.after) + len(l.journal.records)
}

// full says whether the store is too far behind.
func (l *loop) full() bool {
	return max(len(l.after), len(l.journal.records)+l.journal.storing) > maxPending
}

func (l *loop) now() time.Time {
	now, stalled := l.clock.read(time.Now())
	if stalled > 0 {
		l.log.Warn("the process did not run; the policy's time stood still", "for", stalled.Round(time.Millisecond))
	}
	return now
}

func (l *loop) sleep(now time.Time) time.Duration {
	next, ok := l.tracker.Next()
	if at, any := l.nextLook(); any && (!ok || at.Before(next)) {
		next, ok = at, true
	}
	if !ok {
		return l.clock.tick
	}
	l.due = l.clock.together(next)
	return min(max(l.due.Sub(now), 0), l.clock.tick)
}

// do runs one task. A fault in one participant's task must not take the others
// down.
func (l *loop) do(t task, now time.Time) {
	defer func() {
		if r := recover(); r != nil {
			l.log.Error("a task panicked", "panic", r, "stack", string(debug.Stack()))
		}
	}()
	t(l, now)
	l.publish(now)
}

// publish turns what the tracker reports into facts and effects.
func (l *loop) publish(now time.Time) {
	changes, probes := l.tracker.Take()
	for _, c := range changes {
		l.changed(now, c)
	}
	l.settleGroups(now)
	for _, p := range probes {
		if m := l.members[p.Participant]; m != nil && m.peer != nil && m.peer.epoch == p.Epoch {
			m.peer.conn.Probe()
		}
	}
}

// then adds an effect.
func (l *loop) then(run func(error)) { l.after = append(l.after, effect{run: run}) }

// once adds an effect that waits, however long, until its facts are stored.
func (l *loop) once(run func()) {
	l.after = append(l.after, effect{func(error) { run() }, true})
}

// mark notes that a member's session must be stored.
func (l *loop) mark(m *member) {
	if !m.dirty {
		m.dirty = true
		l.dirty = append(l.dirty, m)
	}
}

func (l *loop) take() batch {
	b := batch{after: l.after}
	b.Records = l.journal.take()
	b.Sessions, l.spare = l.spare, nil
	wall := time.Now()
	for _, m := range l.dirty {
		m.dirty = false
		m.session.Updated = wall
		b.Sessions = append(b.Sessions, m.session)
	}
	for _, m := range l.boxes {
		m.unboxed = false
		b.Mailboxes = append(b.Mailboxes, m.box.Mailbox)
	}
	b.Messages = l.letters
	l.dirty, l.boxes, l.letters, l.after = l.dirty[:0], l.boxes[:0], nil, nil
	return b
}

// settleBatch learns what became of a batch: what could not be stored is
// stored with the next one, and who is gone is forgotten once that is stored.
func (l *loop) settleBatch(b batch) {
	l.journal.settle(b.Records, b.err)
	if b.err != nil {
		l.letters = append(b.Messages, l.letters...)
		l.after = append(b.after, l.after...)
	}
	for _, s := range b.Mailboxes {
		if m := l.members[s.Participant]; m != nil && b.err != nil {
			l.markBox(m)
		}
	}
	for _, s := range b.Sessions {
		m := l.members[s.Participant]
		switch {
		case m == nil:
		case b.err != nil:
			l.mark(m)
		case m.gone() && !m.dirty && !m.unboxed:
			delete(l.members, s.Participant)
		}
	}
	if cap(b.Sessions) <= maxSpare {
		clear(b.Sessions) // their texts
		l.spare = b.Sessions[:0]
	}
}

// commit stores batches and runs their effects. It is a goroutine of its own,
// so that the loop goes on collecting the next batch meanwhile.
func (l *loop) commit() {
	for b := range l.commits {
		if !b.Empty() {
			ctx, cancel := context.WithTimeout(l.storing, storeTimeout)
			began := time.Now()
			b.err = l.store.Put(ctx, b.Batch)
			cancel()
			if errors.Is(b.err, store.ErrSuperseded) {
				// Where the participants now belong they will be told: what this one
				// would say, even that something could not be stored, is out of date.
				l.cut()
			}
			l.metrics.Stored(len(b.Sessions)+len(b.Messages)+len(b.Mailboxes)+len(b.Records), time.Since(began), b.err)
			if l.failing.Store(b.err != nil); b.err == nil {
				l.feed.Stored(b.Records)
			} else {
				l.log.Error("what happened could not be stored; trying again", "sessions", len(b.Sessions), "events", len(b.Records), "err", b.err)
				time.Sleep(100 * time.Millisecond) // or a dead disk would be asked without a pause
			}
		}
		var waiting []effect
		for _, e := range b.after {
			if e.patient && b.err != nil {
				waiting = append(waiting, e)
				continue
			}
			l.effect(e, b.err)
		}
		b.after = waiting
		l.committed <- b
	}
}

func (l *loop) effect(e effect, err error) {
	defer func() {
		if r := recover(); r != nil {
			l.log.Error("an effect panicked", "panic", r, "stack", string(debug.Stack()))
		}
	}()
	e.run(err)
}
