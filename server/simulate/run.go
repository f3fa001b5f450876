package simulate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"initgrace/grace"
	"initgrace/server"
	"initgrace/server/socketio"
)

// Options say what is simulated. Nil and the zero value are the defaults.
type Options struct {
	// URL of the server. It must run with the same policy, divided by Scale.
	// Default: one is started in this process.
	URL string
	// Participants is an even number. Default 100.
	Participants int
	// Seed determines the script, and nothing else does but Participants,
	// Duration and Policy.
	Seed uint64
	// Duration is how long the experiment lasts, in its own time; the deaths
	// come after it. Default 4 min.
	Duration time.Duration
	// Scale divides every time, the policy's too. Default 2, and 1 with URL.
	Scale float64
	// Policy before it is divided.
	Policy grace.Policy
	// PageInterval is server.Config.PageInterval before it is divided. Default
	// 2 s.
	PageInterval time.Duration
	// Progress, if set, is called a few times a second, from one goroutine.
	Progress func(Progress)
	// Logger receives the log of a server in this process. Default: none.
	Logger *slog.Logger
}

// Progress says how far a run has come.
type Progress struct {
	Participants, Connected int
	Episodes, Played        int
	Deaths, Died            int
	Took                    time.Duration
}

func (o *Options) withDefaults() (Options, error) {
	var out Options
	if o != nil {
		out = *o
	}
	if out.Participants == 0 {
		out.Participants = 100
	}
	if out.Duration == 0 {
		out.Duration = 4 * time.Minute
	}
	if out.Scale == 0 {
		out.Scale = 2
		if out.URL != "" {
			out.Scale = 1
		}
	}
	if out.PageInterval == 0 {
		out.PageInterval = 2 * time.Second
	}
	if out.Logger == nil {
		out.Logger = slog.New(slog.DiscardHandler)
	}
	switch {
	case out.Participants < 2 || out.Participants%2 != 0:
		return out, fmt.Errorf("%d participants: they come in pairs", out.Participants)
	case out.Duration < 0:
		return out, fmt.Errorf("duration %v is negative", out.Duration)
	case !(out.Scale > 0):
		return out, fmt.Errorf("scale %v is not positive", out.Scale)
	}
	if err := out.Policy.Validate(); err != nil {
		return out, fmt.Errorf("policy: %w", err)
	}
	out.Policy = out.Policy.WithDefaults()
	if out.Policy.ProbeInterval < 0 {
		return out, errors.New("policy: ProbeInterval is off, and without probes no frozen page can be told from a dead one")
	}
	return out, nil
}

// scaled divides every duration of a policy.
func scaled(p grace.Policy, scale float64) grace.Policy {
	for _, d := range []*time.Duration{
		&p.ProbeInterval, &p.SilenceTimeout, &p.BlockedAfter, &p.BlockedTimeout, &p.LoadTimeout, &p.LoadCap,
		&p.LoadBudget, &p.ReconnectTimeout, &p.LeaveTimeout, &p.PageTimeout,
	} {
		if *d > 0 {
			*d = time.Duration(float64(*d) / scale)
		}
	}
	return p
}

// Run simulates and reports. The error says that nothing can be reported: the
// options contradict themselves, the server cannot be used, or ctx ended.
func Run(ctx context.Context, o *Options) (*Report, error) {
	opts, err := o.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("simulate: %w", err)
	}
	policy := scaled(opts.Policy, opts.Scale)
	address := opts.URL
	if address == "" {
		local, err := serve(policy, time.Duration(float64(opts.PageInterval)/opts.Scale), opts.Logger)
		if err != nil {
			return nil, err
		}
		defer local.stop()
		address = local.url
	}
	s := &stage{url: address, scale: opts.Scale}
	if s.target, err = hostPort(address); err != nil {
		return nil, fmt.Errorf("simulate: %w", err)
	}
	if opts.URL != "" {
		if err := s.agrees(ctx, policy); err != nil {
			return nil, err
		}
	}
	t := &tally{opts: opts, policy: policy, began: time.Now()}
	pairs, err := s.cast(&opts, policy, t)
	defer func() { // the network first, so that no connection lingers
		var all sync.WaitGroup
		for _, p := range pairs {
			for _, who := range p.both {
				all.Go(who.leave)
			}
		}
		all.Wait()
	}()
	if err != nil {
		return nil, err
	}
	if err := t.play(ctx, pairs); err != nil {
		return nil, err
	}
	return t.report(), nil
}

// cast engages the participants. They come one after the other, not at once.
func (s *stage) cast(o *Options, policy grace.Policy, t *tally) ([]*pair, error) {
	run := strconv.FormatUint(rand.Uint64()>>32, 36) // a server may remember those of the last run
	var pairs []*pair
	for i := range o.Participants / 2 {
		group := fmt.Sprintf("sim-%s-%d", run, i)
		p := &pair{stage: s, policy: policy, script: script(o.Policy, o.Seed, i, o.Duration), done: t.record}
		for k, suffix := range []string{"a", "b"} {
			who, err := newPerson(s, group+suffix, group)
			if err != nil {
				if k == 1 {
					p.both[0].leave()
				}
				return pairs, fmt.Errorf("simulate: %w", err)
			}
			p.both[k] = who
		}
		pairs = append(pairs, p)
		t.progress.Episodes += len(p.script)
		for _, e := range p.script {
			if e.Class == Dies {
				t.progress.Deaths++
			}
		}
	}
	t.progress.Participants = o.Participants
	return pairs, nil
}

// A local server runs in this process.
type local struct {
	url  string
	stop func()
}

func serve(policy grace.Policy, page time.Duration, log *slog.Logger) (*local, error) {
	srv, err := server.New(server.Config{
		Policy: policy, PageInterval: page, Logger: log,
		Limits: socketio.Limits{Connections: -1, PerAddress: -1, Handshakes: -1},
	})
	if err != nil {
		return nil, fmt.Errorf("simulate: %w", err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, errors.Join(fmt.Errorf("simulate: %w", err), srv.Close(context.Background()))
	}
	web := &http.Server{Handler: srv, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug)}
	var running sync.WaitGroup
	running.Go(func() { web.Serve(listener) })
	return &local{
		url: "http://" + listener.Addr().String(),
		stop: func() {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			srv.Close(ctx)
			web.Close()
			running.Wait()
		},
	}, nil
}

// hostPort is where an address's server listens.
func hostPort(address string) (string, error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", err
	}
	if u.Hostname() == "" {
		return "", fmt.Errorf("%q is not the address of a server", address)
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "wss": "443"}[u.Scheme]
	}
	if port == "" {
		port = "80"
	}
	return net.JoinHostPort(u.Hostname(), port), nil
}

// agrees checks that the server's policy is the one that will be judged by.
func (s *stage) agrees(ctx context.Context, p grace.Policy) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	who, err := newPerson(s, fmt.Sprintf("sim-%x", rand.Uint64()), "")
	if err != nil {
		return fmt.Errorf("simulate: %w", err)
	}
	defer who.leave()
	if err := who.open(ctx); err != nil {
		return fmt.Errorf("simulate: %w", err)
	}
	has := who.page.State().Session.Policy
	for _, f := range []struct {
		name string
		ms   int64
		want time.Duration
	}{
		{"silence_timeout", has.SilenceMS, p.SilenceTimeout}, {"blocked_timeout", has.BlockedMS, p.BlockedTimeout},
		{"load_timeout", has.LoadMS, p.LoadTimeout}, {"load_cap", has.LoadCapMS, p.LoadCap},
		{"reconnect_timeout", has.ReconnectMS, p.ReconnectTimeout}, {"leave_timeout", has.LeaveMS, p.LeaveTimeout},
	} {
		if got := time.Duration(f.ms) * time.Millisecond; got != f.want.Truncate(time.Millisecond) {
			return fmt.Errorf("simulate: the server's %s is %v, and %v was expected: its policy must be the given one, divided by the scale %v",
				f.name, got, f.want, s.scale)
		}
	}
	return nil
}
