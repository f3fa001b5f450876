package server

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"initgrace/grace/protocol"
	"initgrace/server/eventlog"
	"initgrace/server/faultproxy"
	"initgrace/server/store"
	"initgrace/wasmclient"
)

// visitor is a participant with a real client behind a network of its own, to
// whom things happen at random.
type visitor struct {
	t       *testing.T
	name    string
	rng     *rand.Rand
	network *faultproxy.Proxy
	size    int
	// handlers of further events
	handlers map[string]func([]byte)

	mu     sync.Mutex
	groups int // that it was told of
}

// live takes part until the context ends: joins, freezes, loses the network,
// refreshes, closes the page and comes back.
func (v *visitor) live(ctx context.Context) {
	handlers := maps.Clone(v.handlers)
	if handlers == nil {
		handlers = make(map[string]func([]byte))
	}
	handlers[protocol.EventGroupReady] = v.grouped
	for page := 0; ctx.Err() == nil; page++ {
		c, err := wasmclient.Dial(ctx, "http://"+v.network.Addr(), &wasmclient.Options{
			Participant: v.name, PageID: fmt.Sprint(v.name, "-", page), Silence: time.Second,
			Backoff:  wasmclient.Backoff{Min: 30 * time.Millisecond, Max: 200 * time.Millisecond},
			Handlers: handlers,
		})
		if err != nil {
			continue // also: the seat was given up at this moment
		}
		v.stay(ctx, c)
		ending, cancel := context.WithTimeout(context.Background(), patience)
		if c.Close(ending) != nil {
			v.t.Errorf("%s: the client does not end", v.name)
		}
		cancel()
	}
}

func (v *visitor) grouped(data []byte) {
	var g protocol.GroupReady
	if err := json.Unmarshal(data, &g); err != nil || len(g.Members) != v.size || !slices.Contains(g.Members, v.name) {
		v.t.Errorf("%s is told %s, %v", v.name, data, err)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.groups++
}

// stay is one page, until it is closed.
func (v *visitor) stay(ctx context.Context, c *wasmclient.Client) {
	pause := func(least, most int) bool {
		select {
		case <-ctx.Done():
			return false
		case <-c.Done():
			return false
		case <-time.After(time.Duration(least+v.rng.IntN(most-least)) * time.Millisecond):
			return true
		}
	}
	for pause(20, 300) {
		call, cancel := context.WithTimeout(ctx, time.Second)
		switch v.rng.IntN(8) {
		default:
			c.EmitAck(call, protocol.EventJoin, protocol.Join{}, nil) // may be refused: in a group
		case 3:
			v.network.Pause(faultproxy.Both)
			pause(100, 2500)
			v.network.Resume()
		case 4:
			v.network.Reset()
		case 5:
			c.EmitAck(call, protocol.EventLoadStart, protocol.LoadStart{ExpectedMS: 100}, nil)
		case 6:
			if v.rng.IntN(3) == 0 { // another page, at once or after the seat was given up
				cancel()
				c.Close(ctx)
				time.Sleep(time.Duration(v.rng.IntN(1500)) * time.Millisecond)
				return
			}
		}
		cancel()
	}
}

// groupsOf is how many times somebody was told of a group.
func groupsOf(all []*visitor) (n int) {
	for _, v := range all {
		v.mu.Lock()
		n += v.groups
		v.mu.Unlock()
	}
	return n
}

// waitUntil waits for cond, or for the end of ctx.
func waitUntil(ctx context.Context, cond func() bool) {
	for !cond() {
		select {
		case <-ctx.Done():
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// TestNoGroupEverStartsShort: through a real server that is restarted in
// between, with real clients and networks. What happened is read from the log.
func TestNoGroupEverStartsShort(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 8 s")
	}
	const size, people = 3, 16
	l := startLab(t, "  x:\n    group: {size: 3}\n    on_expiry: {do: requeue}\n")
	ctx, cancel := context.WithTimeout(t.Context(), 12*time.Second)
	defer cancel()
	var all []*visitor
	var wg sync.WaitGroup
	for i := range people {
		network, err := faultproxy.Listen(l.http.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer network.Close()
		v := &visitor{t: t, name: fmt.Sprint("p", i), rng: rand.New(rand.NewPCG(6, uint64(i))), network: network, size: size}
		all = append(all, v)
		wg.Go(func() { v.live(ctx) })
	}
	for range 2 {
		time.Sleep(3 * time.Second) // of the visitors' lives
		l.restart()
	}
	waitUntil(ctx, func() bool { return groupsOf(all) >= 7*size })
	cancel()
	wg.Wait()

	began := wholeGroups(t, l.srv.loop.store, size)
	t.Logf("%d groups, %d times told of a group", began, groupsOf(all))
	if began < 5 {
		t.Errorf("only %d groups", began)
	}
}

// wholeGroups reads from the log that every group began with all its members
// and that all of them were there, and returns how many groups there were.
func wholeGroups(t *testing.T, db store.Store, size int) int {
	t.Helper()
	presence := map[string]protocol.Presence{}
	in := map[string]string{}      // group by participant
	began := map[string][]string{} // members with whom a group began
	records, err := db.Records(t.Context(), 0, 1_000_000)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		switch r.Kind {
		case eventlog.Presence:
			presence[r.Participant] = r.To
		case eventlog.GroupLeft:
			if in[r.Participant] != r.Group {
				t.Errorf("#%d: %s leaves %s and is in %q", r.ID, r.Participant, r.Group, in[r.Participant])
			}
			delete(in, r.Participant)
		case eventlog.GroupJoined:
			if in[r.Participant] != "" {
				t.Errorf("#%d: %s joins %s and is in %s", r.ID, r.Participant, r.Group, in[r.Participant])
			}
			in[r.Participant] = r.Group
			began[r.Group] = append(began[r.Group], r.Participant)
			if p := presence[r.Participant]; p == protocol.Away || p == protocol.Gone || r.Count.N != int64(size) {
				t.Errorf("#%d: %s joins %s with %d members and is %s", r.ID, r.Participant, r.Group, r.Count.N, p)
			}
		}
	}
	for g, members := range began {
		if len(members) != size {
			t.Errorf("group %s began with %v", g, members)
		}
	}
	return len(began)
}
