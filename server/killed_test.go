package server

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"sync"
	"testing"
	"time"

	"initgrace/grace/protocol"
	"initgrace/server/deploy/deploytest"
	"initgrace/server/eventlog"
	"initgrace/server/faultproxy"
	"initgrace/server/store/sqlite"
)

// told is what the pages of a participant were told for good.
type told struct {
	mu     sync.Mutex
	parts  map[string]protocol.Session // condition and scenes
	ends   map[string]protocol.Ended
	groups int
}

// same notes what a participant is told, and whether it was told otherwise before.
func same[T any](t *testing.T, mu *sync.Mutex, all map[string]T, who string, now T) {
	mu.Lock()
	defer mu.Unlock()
	if before, ok := all[who]; ok && !reflect.DeepEqual(before, now) {
		t.Errorf("%s was told %+v and is told %+v", who, before, now)
	}
	all[who] = now
}

// play lives one participant after the other: each until its study is over.
func (d *told) play(t *testing.T, ctx context.Context, id int, network *faultproxy.Proxy) {
	rng := rand.New(rand.NewPCG(66, uint64(id)))
	for n := 0; ctx.Err() == nil; n++ {
		who := fmt.Sprintf("p%d-%d", id, n)
		over, end := context.WithCancel(ctx)
		v := &visitor{t: t, name: who, rng: rng, network: network, size: 2, handlers: map[string]func([]byte){
			protocol.EventSession: func(data []byte) {
				var s protocol.Session
				if err := json.Unmarshal(data, &s); err != nil {
					t.Error(err)
				}
				same(t, &d.mu, d.parts, who, protocol.Session{Condition: s.Condition, Scenes: s.Scenes})
			},
			protocol.EventOutcome: func(data []byte) {
				var e protocol.Ended
				if err := json.Unmarshal(data, &e); err != nil {
					t.Error(err)
				}
				same(t, &d.mu, d.ends, who, e)
				if rand.IntN(4) > 0 { // some come again and again
					end()
				}
			},
		}}
		v.live(over)
		end()
		d.mu.Lock()
		d.groups += v.groups
		d.mu.Unlock()
	}
}

// enough says whether what the test looks for has had its chances.
func (d *told) enough() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.ends) >= 3
}

// TestKilled kills a real server every few seconds. Whatever a participant was
// told for good stays true, and whatever is decided once is decided once:
// condition, order of scenes, outcome. The conditions stay balanced, and no
// group begins short.
func TestKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 10 s")
	}
	dir := t.TempDir()
	file, db := filepath.Join(dir, "s.yaml"), filepath.Join(dir, "s.db")
	binary, err := deploytest.Build(dir)
	if err != nil {
		t.Fatal(err)
	}
	text := quickFile + `
experiments:
  x:
    group: {wait_timeout: 1s}
    conditions: [{name: a}, {name: b, weight: 2}]
    scenes: [{id: one, shuffled: true}, {id: two, shuffled: true}, {id: three, shuffled: true}]
    compensation: {code: SORRY}
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	address := "127.0.0.1:0"
	serve := func() *exec.Cmd {
		t.Helper()
		server, at, err := deploytest.Serve(binary, "--addr", address, "--study", file, "--db", db, "--log-level", "error")
		if err != nil {
			t.Fatal(err)
		}
		address = at
		return server
	}
	server := serve()
	defer func() { server.Process.Kill(); server.Wait() }()

	d := &told{parts: map[string]protocol.Session{}, ends: map[string]protocol.Ended{}}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	for i := range 12 {
		network, err := faultproxy.Listen(address)
		if err != nil {
			t.Fatal(err)
		}
		defer network.Close()
		wg.Go(func() { d.play(t, ctx, i, network) })
	}
	kills := 0
	for ctx.Err() == nil {
		select {
		case <-time.After(time.Duration(2000+rand.IntN(1500)) * time.Millisecond): // of the server's life
			if kills >= 3 && d.enough() {
				cancel()
				continue
			}
			server.Process.Kill()
			server.Wait()
			server = serve()
			kills++
		case <-ctx.Done():
		}
	}
	t.Logf("killed %d times", kills)
	wg.Wait()
	server.Process.Kill()
	server.Wait()

	s, err := sqlite.Open(db, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	groups := wholeGroups(t, s, 2)
	once := map[eventlog.Kind]map[string]int{eventlog.Assigned: {}, eventlog.Outcome: {}}
	records, err := s.Records(t.Context(), 0, 1_000_000)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		if once[r.Kind] != nil {
			if once[r.Kind][r.Participant]++; once[r.Kind][r.Participant] > 1 {
				t.Errorf("%s %s twice", r.Participant, r.Kind)
			}
		}
	}
	counts := map[string]int{}
	for who := range once[eventlog.Assigned] {
		session, _, err := s.Session(t.Context(), who)
		if err != nil {
			t.Fatal(err)
		}
		part := session.Part
		counts[part.Condition]++
		if told, ok := d.parts[who]; ok && (told.Condition != part.Condition || !reflect.DeepEqual(told.Scenes, part.Scenes)) {
			t.Errorf("%s was told %+v, stored is %+v", who, told, part)
		}
		if told, ok := d.ends[who]; ok && (told.Outcome != part.Outcome.Kind || told.Code != part.Outcome.Code || once[eventlog.Outcome][who] != 1) {
			t.Errorf("%s was told %+v, stored is %+v", who, told, part.Outcome)
		}
	}
	if block := counts["a"]; counts["b"] < 2*(block-1) || counts["b"] > 2*(block+1) {
		t.Errorf("conditions are not balanced: %v", counts)
	}
	t.Logf("conditions %v, %d outcomes told, %d groups, %d records", counts, len(d.ends), groups, len(records))
	if len(d.ends) < 2 || groups < 3 {
		t.Errorf("little has happened: %d outcomes, %d groups", len(d.ends), groups)
	}
}
