package e2e

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"initgrace/grace"
	"initgrace/grace/protocol"
	"initgrace/server"
	"initgrace/server/faultproxy"
	"initgrace/server/store"
	"initgrace/server/store/sqlite"
)

// scaled is a policy with the default one's proportions, fast enough for a
// suite of minutes and slow enough for a browser and a server that share two
// cores with a page that takes one of them. Leases are not scaled down,
// Pyodide takes what it takes, nor is silence: on a starved machine a browser's
// answer has come more than two seconds late.
func scaled() grace.Policy {
	return grace.Policy{
		ProbeInterval:    300 * time.Millisecond,
		SilenceTimeout:   4 * time.Second,
		BlockedAfter:     2 * time.Second,
		BlockedTimeout:   6 * time.Second,
		LoadTimeout:      2 * time.Minute,
		LoadCap:          3 * time.Minute,
		ReconnectTimeout: 6 * time.Second,
		LeaveTimeout:     3 * time.Second,
		PageTimeout:      5 * time.Second,
	}
}

// pageInterval is how often the page is asked for a sign of life.
const pageInterval = 500 * time.Millisecond

// slack is what the scheduling of a busy machine may add to a deadline.
const slack = 3 * time.Second

// A Lab is a real server on a real listener, what it observed, and the network
// in front of it.
type Lab struct {
	t      testing.TB
	Policy grace.Policy
	Store  *watchedStore
	URL    string
	Pages  string // what participants open: plain.html or study.html

	// Proxied puts a network of its own, which can be damaged, before each
	// page that is opened.
	Proxied bool

	log *syncBuffer

	mu      sync.Mutex
	changes []grace.Change
	read    map[string]int // per participant: how many of its changes WaitFor has passed
	signal  chan struct{}  // closed at the next change
}

// newLab starts a server. set changes its configuration and may be nil. Tests
// with labs run beside each other: most of them wait for most of their time.
func newLab(t testing.TB, set func(*server.Config)) *Lab {
	t.Helper()
	if t, ok := t.(*testing.T); ok {
		t.Parallel()
	}
	l := &Lab{t: t, Pages: "plain.html", log: &syncBuffer{}, read: make(map[string]int), signal: make(chan struct{})}
	file, err := sqlite.Open(filepath.Join(t.TempDir(), "sessions.db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	l.Store = &watchedStore{Store: file, stored: make(map[string]time.Time)}
	cfg := server.Config{
		Policy: scaled(), PageInterval: pageInterval, Site: site(), Pyodide: pyodide(t), Store: l.Store,
		Logger: slog.New(slog.NewTextHandler(l.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Observe: func(c grace.Change) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.changes = append(l.changes, c)
			close(l.signal)
			l.signal = make(chan struct{})
		},
	}
	if set != nil {
		set(&cfg)
	}
	l.Policy = cfg.Policy.WithDefaults()
	srv, err := server.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	listener := httptest.NewUnstartedServer(srv)
	listener.Config.ErrorLog = slog.NewLogLogger(slog.NewTextHandler(l.log, nil), slog.LevelError)
	listener.Start()
	l.URL = listener.URL
	t.Cleanup(func() {
		if t.Failed() {
			os.WriteFile(filepath.Join(artifacts(t), "server.log"), l.log.Bytes(), 0o644)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := srv.Close(ctx); err != nil {
			t.Errorf("closing the server: %v", err)
		}
		listener.CloseClientConnections()
		listener.Close()
	})
	return l
}

// open opens a page of the site for a participant. What is in query goes to
// the page, as "name=value&…".
func (l *Lab) open(page, participant, query string) *Page {
	l.t.Helper()
	var network *faultproxy.Proxy
	origin := l.URL
	if l.Proxied {
		var err error
		if network, err = faultproxy.Listen(strings.TrimPrefix(l.URL, "http://")); err != nil {
			l.t.Fatal(err)
		}
		l.t.Cleanup(func() { network.Close() })
		origin = "http://" + network.Addr()
	}
	p := open(l.t, participant, "") // its window closes before its network does
	p.net = network
	if host := os.Getenv("INITGRACE_HOST"); host != "" && page == study { // else the loader's default
		query += "&host=" + host
	}
	p.goTo(origin + "/" + page + "?participant=" + url.QueryEscape(participant) + "&" + query)
	return p
}

// WaitFor reads the participant's changes, from where the last call stopped,
// up to the next one into a presence, and returns that one.
func (l *Lab) WaitFor(participant string, want protocol.Presence, within time.Duration) grace.Change {
	l.t.Helper()
	return l.waitFor(participant, fmt.Sprintf("become %s", want), within, func(c grace.Change) bool {
		return c.To == want && c.From != c.To
	})
}

func (l *Lab) waitFor(participant, what string, within time.Duration, match func(grace.Change) bool) grace.Change {
	l.t.Helper()
	timeout := time.After(within)
	for {
		l.mu.Lock()
		signal, n := l.signal, 0
		for _, c := range l.changes {
			if c.Participant != participant {
				continue
			}
			if n++; n > l.read[participant] && match(c) {
				l.read[participant] = n
				l.mu.Unlock()
				return c
			}
		}
		l.mu.Unlock()
		select {
		case <-signal:
		case <-timeout:
			l.t.Fatalf("%s did not %s within %v; history: %v", participant, what, within, l.History(participant))
		}
	}
}

// Changes are all of a participant's, updates within a presence included.
func (l *Lab) Changes(participant string) []grace.Change {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(l.changes), func(c grace.Change) bool { return c.Participant != participant })
}

// History is every presence that the participant went through.
func (l *Lab) History(participant string) []protocol.Presence {
	var h []protocol.Presence
	for _, c := range l.Changes(participant) {
		if c.From != c.To {
			h = append(h, c.To)
		}
	}
	return h
}

// wantHistory checks a whole timeline.
func (l *Lab) wantHistory(participant string, want ...protocol.Presence) {
	l.t.Helper()
	if got := l.History(participant); !slices.Equal(got, want) {
		l.t.Errorf("%s went through %v, want %v", participant, got, want)
	}
	for i, c := range l.Changes(participant) {
		if c.Seq != uint64(i+1) {
			l.t.Errorf("change %d of %s has the number %d", i+1, participant, c.Seq)
		}
	}
}

//go:embed testdata
var testdata embed.FS

// overlay looks a file up in several file systems, in order, and
// can do harm to files.
type overlay struct {
	layers []fs.FS
	mu     sync.Mutex
	harm   map[string]func() (fs.File, error)
	found  chan struct{} // closed when what stalls is found
}

func (o *overlay) Open(name string) (fs.File, error) {
	o.mu.Lock()
	harm := o.harm[name]
	o.mu.Unlock()
	err := error(&fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist})
	if harm != nil {
		return harm()
	}
	for _, layer := range o.layers {
		var f fs.File
		if f, err = layer.Open(name); !errors.Is(err, fs.ErrNotExist) {
			return f, err
		}
	}
	return nil, err
}

// lose makes a file disappear.
func (o *overlay) lose(name string) {
	o.set(name, func() (fs.File, error) { return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist} })
}

// corrupt gives a file another content.
func (o *overlay) corrupt(name string) {
	junk := fstest.MapFS{name: {Data: bytes.Repeat([]byte("junk"), 1000)}}
	o.set(name, func() (fs.File, error) { return junk.Open(name) })
}

// stall lets reading a file stand still until it is found again.
func (o *overlay) stall(name string) {
	o.mu.Lock()
	o.found = make(chan struct{})
	found := o.found
	o.mu.Unlock()
	o.set(name, func() (fs.File, error) {
		f, err := o.layers[0].Open(name)
		if err != nil {
			return nil, err
		}
		info, err := f.Stat()
		return &stalled{File: f, found: found, left: info.Size() / 2}, err
	})
}

// mend lets a file be opened again. What stalls goes on doing so.
func (o *overlay) mend(name string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.harm, name)
}

// find brings a file back.
func (o *overlay) find(name string) {
	o.mend(name)
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.found != nil {
		close(o.found)
		o.found = nil
	}
}

func (o *overlay) set(name string, harm func() (fs.File, error)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.harm == nil {
		o.harm = make(map[string]func() (fs.File, error))
	}
	o.harm[name] = harm
}

// stalled is a file whose first half can be read, for now.
type stalled struct {
	fs.File
	found <-chan struct{}
	left  int64
}

func (s *stalled) Read(b []byte) (int, error) {
	if s.left <= 0 {
		<-s.found
		return 0, io.ErrUnexpectedEOF // this download is over; another one works
	}
	n, err := s.File.Read(b[:min(int64(len(b)), s.left)])
	s.left -= int64(n)
	return n, err
}

func (s *stalled) Seek(offset int64, whence int) (int64, error) {
	return s.File.(io.Seeker).Seek(offset, whence)
}

// site is the suite's own pages beside socket.io-client as npm has it.
func site() fs.FS {
	pages, err := fs.Sub(testdata, "testdata")
	if err != nil {
		panic(err) // the path is valid
	}
	return &overlay{layers: []fs.FS{
		pages, os.DirFS("../node_modules/socket.io-client/dist"),
		os.DirFS("../web/examples/jspsych"), os.DirFS("../node_modules/jspsych/dist"), os.DirFS("../node_modules/jspsych"),
	}}
}

// pyodide is the real one, as npm has it.
func pyodide(t testing.TB) *overlay {
	t.Helper()
	const dir = "../node_modules/pyodide"
	if _, err := os.Stat(dir + "/pyodide.asm.wasm"); err != nil {
		t.Fatalf("%v; run npm ci", err)
	}
	return &overlay{layers: []fs.FS{os.DirFS(dir)}}
}

// watchedStore notes when the loads of each participant were first stored.
type watchedStore struct {
	store.Store
	mu     sync.Mutex
	stored map[string]time.Time // by participant/load
}

func (w *watchedStore) Put(ctx context.Context, b store.Batch) error {
	if err := w.Store.Put(ctx, b); err != nil {
		return err
	}
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range b.Sessions {
		for _, l := range s.Loads {
			key := s.Participant + "/" + l.ID
			if _, known := w.stored[key]; !known {
				w.stored[key] = now
			}
		}
	}
	return nil
}

// loadStoredAt is when a load was stored, zero if it never was.
func (w *watchedStore) loadStoredAt(participant, load string) time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stored[participant+"/"+load]
}

// session reads what is stored of a participant.
func (l *Lab) session(participant string) store.Session {
	l.t.Helper()
	s, ok, err := l.Store.Session(context.Background(), participant)
	if err != nil || !ok {
		l.t.Fatalf("the stored session of %s: %v, %v", participant, ok, err)
	}
	return s
}

// syncBuffer is a log that goroutines write and a test reads.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) Bytes() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Clone(s.b.Bytes())
}
