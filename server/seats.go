package server

import (
	"context"
	"time"

	"initgrace/grace/protocol"
	"initgrace/server/eventlog"
)

// seats is what the experimenter does, as admin.Seats has it. Like everything
// else it happens on the loop, and is in the log.
type seats struct{ loop *loop }

// do runs a task and waits until it is stored.
func (s seats) do(ctx context.Context, task func(l *loop, now time.Time) error) error {
	result := make(chan error, 1)
	run := func(l *loop, now time.Time) {
		refused := task(l, now)
		l.then(func(err error) {
			switch {
			case refused != nil:
				err = refused
			case err != nil:
				err = protocol.NewError(protocol.CodeStore, "the server could not store this; try again")
			}
			result <- err
		})
	}
	restarting := protocol.NewError(protocol.CodeRestarting, "the server is shutting down")
	late := protocol.NewError(protocol.CodeTimeout, "the server is too busy; it may still do it")
	select {
	case s.loop.inbox <- run:
	case <-s.loop.done:
		return restarting
	case <-ctx.Done():
		return late
	}
	select {
	case err := <-result:
		return err
	case <-s.loop.done:
		return restarting
	case <-ctx.Done():
		return late
	}
}

func (s seats) Extend(ctx context.Context, participant string, by time.Duration) (left time.Duration, err error) {
	err = s.do(ctx, func(l *loop, now time.Time) error {
		deadline, err := l.tracker.Extend(now, participant, by)
		if err != nil {
			return err
		}
		left = deadline.Sub(now)
		l.publish(now)
		l.traceLoads(now, l.members[participant], protocol.ReasonExtended)
		return nil
	})
	if err != nil {
		return 0, err // left may be about to be written
	}
	return left, nil
}

func (s seats) End(ctx context.Context, participant string) error {
	return s.do(ctx, func(l *loop, now time.Time) error {
		if !l.tracker.End(now, participant, protocol.ReasonEnded) {
			return unknownParticipant()
		}
		l.publish(now)
		return nil
	})
}

func (s seats) Notify(ctx context.Context, participant, text string) error {
	return s.do(ctx, func(l *loop, now time.Time) error {
		m := l.members[participant]
		if m == nil || m.gone() {
			return unknownParticipant()
		}
		if !l.send(m, "", protocol.EventNotice, protocol.Notice{Text: text}) {
			return protocol.NewError(protocol.CodeOverloaded, "too much is held for this page already")
		}
		l.recordOf(now, m, eventlog.Record{Kind: eventlog.Notice, Detail: text})
		return nil
	})
}

func unknownParticipant() error {
	return protocol.NewError(protocol.CodeUnknownParticipant, "nobody of that name holds a seat")
}
