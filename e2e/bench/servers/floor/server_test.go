package main

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"initgrace/e2e/bench/generator"
)

const size = 20

func crowd(t *testing.T, ask, answer time.Duration) *generator.Crowd {
	l := httptest.NewServer(newServer(ask, answer))
	c := generator.New(size, strings.TrimPrefix(l.URL, "http://"))
	t.Cleanup(func() {
		c.Drop()
		l.Close()
	})
	if got := c.Connect(t.Context(), false); got.Missing+got.Retries > 0 || len(got.Latency) != size {
		t.Fatalf("connecting: %+v", got)
	}
	if err := c.Save(t.Context()); err != nil {
		t.Fatal(err)
	}
	return c
}

// What the comparison does with every server it does with the smallest.
func TestCrowd(t *testing.T) {
	c, ctx := crowd(t, time.Hour, time.Hour), t.Context()
	acks, _, err := c.Herd(ctx, 3)
	if err != nil || len(acks) != 3*size || acks.Quantile(1) <= 0 {
		t.Errorf("a herd's acks: %v, %v", acks, err)
	}
	if acks, err := c.Loads(ctx, 50*time.Millisecond); err != nil || len(acks) < 2*size {
		t.Errorf("%d acks over and over, %v", len(acks), err)
	}
	for _, pace := range []int{0, 400} {
		got, err := c.Relay(ctx, 100*time.Millisecond, pace)
		if err != nil || got.Sent < 40 || got.Received != got.Sent || got.Disordered > 0 || got.Latency.Quantile(0.5) <= 0 || len(got.Latency) != got.Sent {
			t.Errorf("relayed at %d: %d of %d, %d disordered, %d times, %v", pace, got.Received, got.Sent, got.Disordered, len(got.Latency), err)
		}
	}
	c.Drop()
	if got := c.Connect(ctx, true); got.Missing+got.Lost > 0 {
		t.Errorf("after a storm: %+v", got)
	}
	visits := 0
	if err := c.Churn(ctx, time.Millisecond, func(n int) { visits = n }); err != nil || visits != size {
		t.Errorf("%d visits, %v", visits, err)
	}
	// A server that waits for ever takes nobody for away, and sees no death.
	if got, err := c.Freeze(ctx, 100*time.Millisecond); err != nil || got.Frozen != 5 || got.False != 0 || got.Unseen != 5 {
		t.Errorf("frozen: %+v, %v", got, err)
	}
	c.Revive()
}

// A server that only asks pages takes the frozen for dead.
func TestImpatience(t *testing.T) {
	c := crowd(t, 500*time.Millisecond, 500*time.Millisecond)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	got, err := c.Freeze(ctx, 2500*time.Millisecond)
	if err != nil || got.False != 5 || got.Unseen != 0 || len(got.DeadLoading)+len(got.DeadPlaying) != 5 {
		t.Errorf("frozen: %+v, %v", got, err)
	}
}
