package simulate

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"initgrace/grace/protocol"
	"initgrace/server/faultproxy"
	"initgrace/wasmclient"
)

// A person is one native participant: a page in a browser on a network, each of
// which can fail by itself.
type person struct {
	id, group string
	stage     *stage
	network   *faultproxy.Proxy
	ear       ear // what this one is told about the partner

	page    *wasmclient.Client
	browser *browser
	old     sync.WaitGroup // pages that are being closed
	trips   uint64
}

// stage is where all of them play: the server and the pace.
type stage struct {
	url    string // of the server
	target string // its host and port
	scale  float64
	tls    *tls.Config // nil: the default one
}

// real is how long a time of the experiment takes here.
func (s *stage) real(d time.Duration) time.Duration { return time.Duration(float64(d) / s.scale) }

func newPerson(s *stage, id, group string) (*person, error) {
	network, err := faultproxy.Listen(s.target)
	if err != nil {
		return nil, err
	}
	p := &person{id: id, group: group, stage: s, network: network}
	p.ear.signal = make(chan struct{})
	return p, nil
}

// open opens a page and waits for its session.
func (p *person) open(ctx context.Context) error {
	p.browser = newBrowser(p.network.Addr(), p.stage.tls)
	page, err := wasmclient.Dial(ctx, p.stage.url, &wasmclient.Options{
		Participant: p.id, Group: p.group, DialWebSocket: p.browser.open,
		Handlers: map[string]func([]byte){
			protocol.EventPartnerState: p.ear.state,
			protocol.EventMessage:      p.ear.message,
			protocol.EventPong:         p.ear.pong,
		},
		// The client's own times, at the pace of everything else.
		ConnectTimeout: max(p.stage.real(10*time.Second), time.Second),
		Silence:        p.stage.real(10 * time.Second),
		Backoff:        wasmclient.Backoff{Min: p.stage.real(500 * time.Millisecond), Max: p.stage.real(5 * time.Second)},
		Latency:        p.stage.real(time.Second),
	})
	if err != nil {
		return fmt.Errorf("%s: %w", p.id, err)
	}
	p.page = page
	return nil
}

// forget lets go of a page whose browser has ended, without a word.
func (p *person) forget() {
	page := p.page
	p.old.Go(func() {
		now, cancel := context.WithCancel(context.Background())
		cancel()
		page.Close(now)
		<-page.Done()
	})
}

// leave ends everything of the person's.
func (p *person) leave() {
	if p.page != nil {
		p.browser.vanish()
		p.forget()
	}
	p.old.Wait()
	p.network.Close()
}

// roundTrip waits until the page can reach the server and hear it, and has
// handled everything that the server had decided before. An ack comes after all
// that; but only events, such as the pong of a second ping, wait for their turn
// in the client too.
func (p *person) roundTrip(ctx context.Context) error {
	if err := p.page.EmitAck(ctx, protocol.EventPing, protocol.Ping{}, nil); err != nil {
		return err
	}
	p.trips++
	id := markPings + p.trips
	if err := p.page.EmitAck(ctx, protocol.EventPing, protocol.Ping{ID: id}, nil); err != nil {
		return err
	}
	if !p.ear.until(ctx, patience, func() bool { return p.ear.ponged >= id }) {
		return errors.New("an ack and no pong")
	}
	return nil
}

// markPings tells our own pings from the client's measurements.
const markPings = 1 << 40

// A notice is what somebody was told about the partner, and when.
type notice struct {
	at time.Time
	protocol.PartnerState
}

func (n notice) lost() bool { return n.State == protocol.Away || n.State == protocol.Gone }

// An ear remembers what a participant is told.
type ear struct {
	mu       sync.Mutex
	notices  []notice // by Seq: repetitions are left out
	messages []uint64 // Seq of the partner's
	ponged   uint64   // last of our own pings
	signal   chan struct{}
}

func (e *ear) state(data []byte) {
	n := notice{at: time.Now()}
	if json.Unmarshal(data, &n.PartnerState) != nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if k := len(e.notices); k == 0 || n.Seq > e.notices[k-1].Seq {
		e.notices = append(e.notices, n)
		e.wake()
	}
}

func (e *ear) message(data []byte) {
	var m protocol.Message
	if json.Unmarshal(data, &m) != nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.messages = append(e.messages, m.Seq)
	e.wake()
}

func (e *ear) pong(data []byte) {
	var pong protocol.Pong
	if json.Unmarshal(data, &pong) != nil || pong.ID <= markPings {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ponged = max(e.ponged, pong.ID)
	e.wake()
}

func (e *ear) wake() {
	close(e.signal)
	e.signal = make(chan struct{})
}

// since returns the notices told from an instant on.
func (e *ear) since(at time.Time) []notice {
	e.mu.Lock()
	defer e.mu.Unlock()
	i := len(e.notices)
	for i > 0 && !e.notices[i-1].at.Before(at) {
		i--
	}
	return slices.Clone(e.notices[i:])
}

// now is the last notice; zero if there was none.
func (e *ear) now() notice {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.last()
}

func (e *ear) last() notice {
	if len(e.notices) == 0 {
		return notice{}
	}
	return e.notices[len(e.notices)-1]
}

// await waits until the partner is told to be in one of the states. It is false
// when that did not happen in time.
func (e *ear) await(ctx context.Context, limit time.Duration, states ...protocol.Presence) bool {
	return e.until(ctx, limit, func() bool { return slices.Contains(states, e.last().State) })
}

// until waits until what was heard satisfies ok.
func (e *ear) until(ctx context.Context, limit time.Duration, ok func() bool) bool {
	timeout := time.NewTimer(limit)
	defer timeout.Stop()
	for {
		e.mu.Lock()
		heard, signal := ok(), e.signal
		e.mu.Unlock()
		if heard {
			return true
		}
		select {
		case <-signal:
		case <-timeout.C:
			return false
		case <-ctx.Done():
			return false
		}
	}
}
