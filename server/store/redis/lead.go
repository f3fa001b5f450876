package redis

import (
	"context"
	"crypto/rand"
	_ "embed"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"initgrace/server/store"
)

// Of the servers that share a prefix one leads: it alone decides about seats, and
// so each of its decisions is made once. The others follow it, and stand by. A leader holds a
// lease in Redis that it renews; when it has not done so for leadFor, another one
// begins the next term. Terms fence: put.lua refuses what an earlier term wants to
// store, so a leader that was stopped for a minute and knows nothing of its
// successor cannot acknowledge anything any more.

const (
	// leadFor is how long a leader may be silent before another one takes over:
	// enough for a failover of Redis, and well below any hold.
	leadFor = 3 * time.Second
	// renewEvery is also how often the others ask.
	renewEvery = leadFor / 6
)

var (
	//go:embed lead.lua
	leadSource string
	//go:embed renew.lua
	renewSource string

	leadScript  = redis.NewScript(leadSource)
	renewScript = redis.NewScript(renewSource)
)

// Lead waits until no other server leads, and then does, at an address that the
// others are told; a Redis that is away is waited for. Meanwhile follow is called
// with the address of the one that leads, again and again. The error is ctx's. It must have returned
// before anything is stored that another server might store as well. From then on
// Put fails with store.ErrSuperseded once another server has taken over.
func (s *Store) Lead(ctx context.Context, address string, follow func(leader string)) error {
	for {
		// A number would not do: a replica that had not heard of a term yet would
		// hand it out once more when it takes over.
		term := rand.Text()
		leader, err := leadScript.Run(ctx, s.client, []string{s.prefix}, leadFor.Milliseconds(), term, address).Text()
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil:
			follow(leader)
		case err != redis.Nil: // the driver has tried for some seconds
			s.o.Logger.Warn("standing by without Redis", "err", err)
		default:
			s.term, s.address = term, address
			s.superseded, s.leading, s.led = make(chan struct{}), make(chan struct{}), make(chan struct{})
			go s.lead()
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(renewEvery):
		}
	}
}

// Superseded is closed when another server has taken over. Before Lead it is nil.
func (s *Store) Superseded() <-chan struct{} { return s.superseded }

// lead renews the lease until the store is closed or another server has it. While
// Redis is away nobody else can have it either.
func (s *Store) lead() {
	defer close(s.led)
	tick := time.NewTicker(renewEvery)
	defer tick.Stop()
	for {
		select {
		case <-s.leading:
			return
		case <-tick.C:
		}
		if s.renew(leadFor) == store.ErrSuperseded {
			close(s.superseded)
			return
		}
	}
}

// renew lets the term last for d from now; 0 ends it.
func (s *Store) renew(d time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), leadFor)
	defer cancel()
	return fenced(renewScript.Run(ctx, s.client, []string{s.prefix}, s.term, d.Milliseconds(), s.address).Err())
}

// fenced recognises the refusal of a script.
func fenced(err error) error {
	if err != nil && strings.HasPrefix(err.Error(), "FENCED") {
		return store.ErrSuperseded
	}
	return err
}

// resign lets another server lead at once.
func (s *Store) resign() {
	if s.term == "" {
		return
	}
	close(s.leading)
	<-s.led
	if err := s.renew(0); err != nil && err != store.ErrSuperseded {
		s.o.Logger.Warn("another server has to wait for the lease to run out", "err", fmt.Sprint(err))
	}
}
