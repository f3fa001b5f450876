//go:build !js

package live

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"sync"
	"testing"
	"time"

	"initgrace/grace/protocol"
	"initgrace/server"
	"initgrace/server/deploy/deploytest"
	"initgrace/server/eventlog"
	"initgrace/server/faultproxy"
	"initgrace/server/socketio"
	"initgrace/server/store"
	"initgrace/server/store/sqlite"
	"initgrace/server/study"
	"initgrace/wasmclient"
)

var (
	chaosFor  = flag.Duration("chaos.for", 12*time.Second, "how long TestChaos goes on")
	chaosMany = flag.Int("chaos.participants", 24, "how many participants TestChaos has, in groups of four")
	chaosSeed = flag.Uint64("chaos.seed", 1, "what TestChaos draws from")
)

const (
	chaosDB   = "INITGRACE_CHAOS_DB"
	chaosAddr = "INITGRACE_CHAOS_ADDR"
	chaosHold = 20 * time.Second // nobody may be lost on the way
	chaosEnd  = 2 * time.Minute  // for everything to arrive
	chaosSize = 4                // of a group
)

// chaosStudy has holds in which nobody may be lost on the way.
const chaosStudy = `
page_interval: 500ms
policy: {reconnect_timeout: 20s, leave_timeout: 20s, blocked_timeout: 20s, page_timeout: 20s}
experiments:
  chaos:
    group: {size: 4, wait_timeout: 1h}
    conditions: [{name: a}, {name: b, weight: 2}]
`

// TestChaosServer is the process that TestChaos kills.
func TestChaosServer(t *testing.T) {
	if os.Getenv(chaosDB) == "" {
		t.Skip("is run by TestChaos")
	}
	db, err := sqlite.Open(os.Getenv(chaosDB), nil)
	if err != nil {
		t.Fatal(err)
	}
	file, err := study.Parse("chaos.yaml", []byte(chaosStudy))
	if err != nil {
		t.Fatal(err)
	}
	srv, err := server.New(server.Config{
		Store: db, Study: file, Limits: socketio.Limits{Handshakes: -1},
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})),
	})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", os.Getenv(chaosAddr))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println("serving")
	t.Fatal(http.Serve(l, srv))
}

// TestChaos lets participants find each other and play while connections are
// reset and cut, pages are refreshed and opened twice, and the server is killed
// every few seconds. What was acknowledged must be there: every state, and every
// message, once and in order. No group begins short, the conditions are
// balanced, and every session ends exactly once.
//
// For longer: go test -run TestChaos ./wasmclient/internal/live -chaos.for 5m -chaos.participants 200
func TestChaos(t *testing.T) {
	t.Parallel() // it mostly waits
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	c := newChaos(t)
	c.lobby = true
	c.db, c.addr = filepath.Join(t.TempDir(), "chaos.db"), freeAddr(t)
	c.open = func() (store.Store, error) { return sqlite.Open(c.db, nil) }
	c.serve()
	defer c.kill()
	c.serversHarm = func() {
		c.kills++
		c.kill()
		time.Sleep(time.Duration(c.r.IntN(700)) * time.Millisecond)
		c.serve()
	}
	c.run(c.addr)
	if c.kills == 0 {
		t.Error("that was no chaos")
	}
}

// run is the study, at a server's address.
func (c *chaos) run(addr string) {
	t := c.t
	var err error
	if c.network, err = faultproxy.Listen(addr); err != nil {
		t.Fatal(err)
	}
	defer c.network.Close()
	for i := range *chaosMany {
		c.players = append(c.players, newPlayer(c, i))
	}
	var playing sync.WaitGroup
	end := time.Now().Add(*chaosFor)
	if !c.lobby { // a message goes to who is in the group by then
		for _, p := range c.players {
			playing.Go(p.open)
		}
		playing.Wait()
		end = time.Now().Add(*chaosFor)
	}
	for _, p := range c.players {
		playing.Go(func() {
			if c.lobby {
				p.open()
			}
			p.play(end)
		})
	}
	for time.Now().Before(end) || c.enough != nil && !c.enough() && time.Now().Before(end.Add(chaosEnd)) {
		c.harm()
	}
	c.network.Resume()
	if c.heal != nil {
		c.heal()
	}
	playing.Wait()
	deadline := time.Now().Add(chaosEnd)
	for _, p := range c.players { // at once: a group needs them all, and the last join of one may have been lost
		playing.Go(func() { p.find(deadline) })
	}
	playing.Wait()
	if t.Failed() {
		t.FailNow() // nothing can settle
	}
	for _, p := range c.players {
		p.settle(deadline)
	}
	for _, p := range c.players {
		p.leave()
	}
	c.checkLog()
	sent, saved, refreshed, twice := 0, 0, 0, 0
	for _, p := range c.players {
		sent, saved, refreshed, twice = sent+p.sent, saved+p.saves, refreshed+p.refreshed, twice+p.twice
	}
	t.Logf("%d participants: %d messages to %d each and %d states acknowledged; %d refreshes, %d second tabs, %d resets, %d cuts, %d kills",
		len(c.players), sent, chaosSize-1, saved, refreshed, twice, c.resets, c.cuts, c.kills)
	if refreshed == 0 || twice == 0 || sent == 0 {
		t.Error("that was no chaos")
	}
}

type chaos struct {
	t        *testing.T
	r        *rand.Rand // of the harm
	db, addr string
	cmd      *exec.Cmd
	network  *faultproxy.Proxy
	players  []*player

	lobby       bool                        // groups are found, not known beforehand
	serversHarm func()                      // does one bad thing to the servers
	heal        func()                      // ends what is bad; may be nil
	enough      func() bool                 // what must have happened has; may be nil
	often       int                         // as often as that, beside 8 times something to the network
	first       int                         // times before anything else
	open        func() (store.Store, error) // what they have stored

	resets, cuts, kills int
}

func newChaos(t *testing.T) *chaos {
	return &chaos{t: t, r: rand.New(rand.NewPCG(*chaosSeed, 0)), often: 2}
}

func freeAddr(t *testing.T) string {
	addr, err := deploytest.FreeAddr()
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

// serve starts the server, as a process of its own.
func (c *chaos) serve() {
	exe, err := os.Executable()
	if err != nil {
		c.t.Fatal(err)
	}
	c.cmd = exec.Command(exe, "-test.run=^TestChaosServer$", "-test.timeout=0")
	c.cmd.Env = append(os.Environ(), chaosDB+"="+c.db, chaosAddr+"="+c.addr)
	c.cmd.Stderr = os.Stderr
	out, err := c.cmd.StdoutPipe()
	if err == nil {
		err = c.cmd.Start()
	}
	if err != nil {
		c.t.Fatal(err)
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if lines.Text() == "serving" {
			return
		}
	}
	c.t.Fatal("the server did not start")
}

func (c *chaos) kill() {
	_ = c.cmd.Process.Kill()
	_ = c.cmd.Wait()
}

// harm does one bad thing, and then lets things be for a moment.
func (c *chaos) harm() {
	conns := c.network.Conns()
	switch n := c.r.IntN(8+c.often) - c.often; {
	case n < 0 || c.first > 0:
		c.first--
		c.serversHarm()
	case n < 1:
		c.resets += len(conns)
		c.network.Reset()
	case n < 4:
		for range min(1+len(conns)/8, len(conns)) {
			conns[c.r.IntN(len(conns))].Reset()
			c.resets++
		}
	default:
		for range min(1+len(conns)/8, len(conns)) { // half of the way, or all of it, goes silent for good
			conns[c.r.IntN(len(conns))].Cut([]faultproxy.Direction{faultproxy.Up, faultproxy.Down, faultproxy.Both}[c.r.IntN(3)])
			c.cuts++
		}
	}
	time.Sleep(time.Duration(200+c.r.IntN(1200)) * time.Millisecond)
}

// checkLog waits until the log has the end of every session, and reads from it
// that each was seated once, drew one condition, was put into one group, whole
// from the beginning, and ended once.
func (c *chaos) checkLog() {
	var counts map[eventlog.Kind]map[string]int // by participant
	var began, drawn map[string]int             // by group, by condition
	for deadline := time.Now().Add(chaosHold + chaosEnd); ; time.Sleep(500 * time.Millisecond) {
		counts = map[eventlog.Kind]map[string]int{eventlog.Assigned: {}, eventlog.GroupJoined: {}, eventlog.Gone: {}}
		began, drawn = map[string]int{}, map[string]int{}
		presence := map[string]protocol.Presence{}
		for _, r := range c.records() {
			if n := counts[r.Kind]; n != nil {
				n[r.Participant]++
			}
			switch r.Kind {
			case eventlog.Presence:
				presence[r.Participant] = r.To
			case eventlog.Assigned:
				drawn[r.Detail]++
			case eventlog.GroupJoined:
				began[r.Group]++
				if now := presence[r.Participant]; c.lobby && (now == protocol.Away || now == protocol.Gone) {
					c.t.Errorf("%s was %s when its group began", r.Participant, now)
				}
			}
		}
		if len(counts[eventlog.Gone]) == len(c.players) || time.Now().After(deadline) {
			break
		}
	}
	for kind, n := range counts {
		if kind != eventlog.Gone && !c.lobby {
			continue
		}
		for _, p := range c.players {
			if n[p.id] != 1 {
				c.t.Errorf("%s: %d times %s", p.id, n[p.id], kind)
			}
		}
	}
	if !c.lobby {
		return
	}
	for g, n := range began {
		if n != chaosSize {
			c.t.Errorf("group %s began with %d members", g, n)
		}
	}
	c.t.Logf("%d groups, conditions %v", len(began), drawn)
	if a := drawn["a"]; a+drawn["b"] != len(c.players) || drawn["b"] < 2*(a-1) || drawn["b"] > 2*(a+1) {
		c.t.Errorf("conditions are not balanced: %v", drawn)
	}
}

// records are the whole log.
func (c *chaos) records() []eventlog.Record {
	log, err := c.open()
	if err != nil {
		c.t.Fatal(err)
	}
	defer log.Close()
	records, err := log.Records(context.Background(), 0, 1_000_000)
	if err != nil {
		c.t.Fatal(err)
	}
	return records
}

// A player is a person with a page. What the page knows is lost with it: the
// next one goes on from the state that was saved, and from the messages that
// the state does not know.
type player struct {
	c     *chaos
	r     *rand.Rand
	id    string
	group string // once its page knows of it
	// handshake names the group, if there is no lobby.
	handshake string
	token     string
	page      *page
	version   uint64         // of the state that was acknowledged last
	state     map[string]int // and what it says
	sent      int            // messages acknowledged

	saves, refreshed, twice int
}

// page is one page instance.
type page struct {
	p      *player
	client *wasmclient.Client
	mu     sync.Mutex
	seq    uint64
	got    map[string]int // the last number of each partner
	faulty bool
}

func newPlayer(c *chaos, i int) *player {
	p := &player{
		c: c, r: rand.New(rand.NewPCG(*chaosSeed, uint64(i)+1)), id: "p" + strconv.Itoa(i), state: map[string]int{},
	}
	if !c.lobby {
		p.group = "g" + strconv.Itoa(i/chaosSize)
		p.handshake = p.group
	}
	return p
}

// open opens a page; what was there before is not told.
func (p *player) open() {
	p.c.t.Helper()
	pg := &page{p: p}
	var greeted sync.Once
	restored := make(chan struct{})
	ctx, cancel := context.WithTimeout(context.Background(), chaosEnd)
	defer cancel()
	var err error
	pg.client, err = wasmclient.Dial(ctx, "http://"+p.c.network.Addr(), &wasmclient.Options{
		Participant: p.id, Group: p.handshake, Token: p.token, Keep: true,
		ConnectTimeout: 5 * time.Second, Silence: 3 * time.Second,
		Backoff: wasmclient.Backoff{Min: 50 * time.Millisecond, Max: time.Second},
		Handlers: map[string]func([]byte){
			protocol.EventSession: func(data []byte) {
				greeted.Do(func() {
					pg.restore(data)
					close(restored)
				})
			},
			protocol.EventMessage: pg.receive,
			protocol.EventMessageDropped: func(data []byte) {
				p.c.t.Errorf("%s: dropped %s", p.id, data)
			},
		},
	})
	if err != nil {
		p.c.t.Errorf("%s cannot connect: %v", p.id, err)
		return
	}
	select {
	case <-restored: // a save before it would forget what was saved
	case <-ctx.Done():
		p.c.t.Errorf("%s was not told its session", p.id)
		return
	}
	p.token = pg.client.State().Session.Token
	p.page = pg
}

// restore takes the state from the session.
func (pg *page) restore(data []byte) {
	var s protocol.Session
	if err := json.Unmarshal(data, &s); err != nil {
		pg.p.c.t.Errorf("session: %v", err)
	}
	pg.mu.Lock()
	defer pg.mu.Unlock()
	pg.got = map[string]int{}
	if s.Version > 0 {
		if err := json.Unmarshal(s.Globals, &pg.got); err != nil {
			pg.p.c.t.Errorf("%s: globals %q: %v", pg.p.id, s.Globals, err)
		}
	}
	if s.Version != pg.p.version || !reflect.DeepEqual(pg.got, pg.p.state) {
		pg.p.c.t.Errorf("%s: the session has state %d %v; %d %v was acknowledged", pg.p.id, s.Version, pg.got, pg.p.version, pg.p.state)
	}
	if s.Expired {
		pg.p.c.t.Errorf("%s: the seat was given up", pg.p.id)
	}
}

// receive takes a message, which must be the sender's next.
func (pg *page) receive(data []byte) {
	var m protocol.Message
	if err := json.Unmarshal(data, &m); err != nil {
		pg.p.c.t.Errorf("message: %v", err)
	}
	n, err := strconv.Atoi(string(m.Data))
	pg.mu.Lock()
	defer pg.mu.Unlock()
	if pg.faulty {
		return
	}
	if err != nil || n != pg.got[m.From]+1 {
		pg.faulty = true
		pg.p.c.t.Errorf("%s: message %s of %s (number %d) after %d", pg.p.id, m.Data, m.From, m.Seq, pg.got[m.From])
	}
	pg.got[m.From], pg.seq = n, m.Seq
}

func (p *player) play(end time.Time) {
	for time.Now().Before(end) && p.page != nil {
		switch n := p.r.IntN(20); {
		case n < 12:
			if p.join() {
				p.send(1 + p.r.IntN(4))
			}
		case n < 17:
			p.save()
		case n < 19: // refreshed: the old page says nothing
			old := p.page.client
			if p.r.IntN(2) == 0 {
				old.Hide(false)
			}
			_ = old.Close(done)
			p.open()
			p.refreshed++
		default: // a second tab takes over; the first one is told, and stays away
			old := p.page.client
			p.open()
			p.twice++
			<-old.Done()
			var e *protocol.Error
			if !errors.As(old.Err(), &e) || e.Code != protocol.CodeReplaced {
				p.c.t.Errorf("%s: the first tab ended with %v", p.id, old.Err())
			}
		}
		time.Sleep(time.Duration(p.r.IntN(600)) * time.Millisecond)
	}
}

// join says whether there is a group, and makes for the wait room if not.
func (p *player) join() bool {
	if !p.c.lobby {
		return true
	}
	group := p.page.client.State().Session.Group
	if p.group != "" && p.group != group {
		p.c.t.Errorf("%s was in group %s and is in %q", p.id, p.group, group)
	}
	if p.group = group; group == "" {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		// It may be lost on the way, or come too late: then it is tried again.
		_ = p.page.client.EmitAck(ctx, protocol.EventJoin, protocol.Join{}, nil)
	}
	return group != ""
}

// find joins until there is a group.
func (p *player) find(deadline time.Time) {
	for !p.join() {
		if time.Now().After(deadline) {
			p.c.t.Errorf("%s has found no group", p.id)
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// done is a context that is over: Close does not wait for a proper goodbye.
var done = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// send sends the next messages all at once, and waits for their acks.
func (p *player) send(n int) {
	ctx, cancel := context.WithTimeout(context.Background(), chaosEnd)
	defer cancel()
	var waits []func(context.Context) (protocol.Sent, error)
	for i := range n {
		wait, err := p.page.client.Queue(p.sent+i+1, nil)
		if err != nil {
			p.c.t.Errorf("%s: message %d: %v", p.id, p.sent+i+1, err)
			return
		}
		waits = append(waits, wait)
	}
	for i, wait := range waits {
		if sent, err := wait(ctx); err != nil || len(sent.Dropped) > 0 {
			p.c.t.Errorf("%s: message %d: %+v, %v", p.id, p.sent+i+1, sent, err)
		}
	}
	p.sent += n
}

// save stores what the page knows.
func (p *player) save() {
	ctx, cancel := context.WithTimeout(context.Background(), chaosEnd)
	defer cancel()
	p.page.mu.Lock()
	state, seq := maps.Clone(p.page.got), p.page.seq
	p.page.mu.Unlock()
	globals, err := json.Marshal(state)
	if err != nil {
		p.c.t.Error(err)
	}
	version, err := p.page.client.SaveStateAt(ctx, protocol.State{SceneID: "s", Globals: globals}, seq)
	if err != nil || version != p.version+1 {
		p.c.t.Errorf("%s: saving version %d: %d, %v", p.id, p.version+1, version, err)
		return
	}
	p.version, p.state = version, state
	p.saves++
}

// settle waits until everything has arrived that the partners have sent.
func (p *player) settle(deadline time.Time) {
	want := map[string]int{}
	for _, o := range p.c.players {
		if o.group == p.group && o != p && o.sent > 0 {
			want[o.id] = o.sent
		}
	}
	for {
		p.page.mu.Lock()
		got := maps.Clone(p.page.got)
		p.page.mu.Unlock()
		switch {
		case reflect.DeepEqual(got, want):
			return
		case time.Now().After(deadline):
			p.c.t.Errorf("%s has %v, the partners have sent %v", p.id, got, want)
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// leave saves, closes the page, and finds the state in the store.
func (p *player) leave() {
	p.save()
	_ = p.page.client.Close(context.Background())
	db, err := p.c.open()
	if err != nil {
		p.c.t.Fatal(err)
	}
	defer db.Close()
	s, ok, err := db.Session(context.Background(), p.id)
	var stored map[string]int
	if err != nil || !ok || json.Unmarshal(s.State.Globals, &stored) != nil || s.Version != p.version || !maps.Equal(stored, p.state) {
		p.c.t.Errorf("%s: stored %d %s, acknowledged %d %v (%v)", p.id, s.Version, s.State.Globals, p.version, p.state, err)
	}
	if box, _, err := db.Mailbox(context.Background(), p.id); err != nil || box.Sent != uint64(p.sent) {
		p.c.t.Errorf("%s: the store counts %d messages, %d were acknowledged (%v)", p.id, box.Sent, p.sent, err)
	}
}
