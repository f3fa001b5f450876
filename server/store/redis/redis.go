// Package redis keeps sessions, messages on their way and the event log in one
// Redis (or Valkey) that several servers share, of which one leads (Lead).
//
// What Put has stored is as safe as Redis makes it. To lose nothing that was
// acknowledged when Redis itself dies, it needs
//
//	appendonly yes
//	appendfsync always
//
// Open warns when Redis says that it is set up otherwise. Redis Cluster is not
// supported: a batch is stored in one step, and a cluster has no step across
// its slots. For failover name the Sentinels in the address.
package redis

import (
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"initgrace/server/eventlog"
	"initgrace/server/store"
)

// Options may be nil.
type Options struct {
	// Prefix begins every key, so that several studies can share a Redis.
	// Default "initgrace:".
	Prefix string
	// Retention is how long a session and its messages are kept after they
	// changed last. Default 90 days, negative: for ever.
	Retention time.Duration
	// LogRecords is about how many records of the event log are kept, the
	// latest ones. Default 10 million (some 3 GB), negative: all.
	LogRecords int64
	// Logger is told when Redis is not set up to keep what it has acknowledged.
	// Default: slog.Default().
	Logger *slog.Logger
}

const (
	defaultPrefix     = "initgrace:"
	defaultRetention  = 90 * 24 * time.Hour
	defaultLogRecords = 10_000_000

	// putTimeout bounds one Put once it is on its way; for so long it is also
	// tried again.
	putTimeout = 10 * time.Second
	// maxRetries, with the driver's pauses of up to half a second between them,
	// bridges a failover or a restart.
	maxRetries = 12
	// openTimeout bounds the first contact.
	openTimeout = 10 * time.Second
	// seatedPage is how many sessions Seated asks for at a time.
	seatedPage  = 64
	secretBytes = 32
)

// The scripts of Redis: each of them runs as one step.
var (
	//go:embed put.lua
	putSource string
	//go:embed mailbox.lua
	mailboxSource string

	putScript     = redis.NewScript(putSource)
	mailboxScript = redis.NewScript(mailboxSource)
)

// Store is a store.Store.
type Store struct {
	client *redis.Client
	prefix string
	o      Options
	closed atomic.Bool

	// Since Lead.
	term       string
	address    string
	leading    chan struct{} // closed: no longer, by Close
	led        chan struct{} // closed: the lease is not renewed any more
	superseded chan struct{} // closed: no longer, another server leads
}

// Open connects to the Redis at an address:
//
//	redis://[USER:PASSWORD@]HOST[:PORT][/DB]      rediss:// with TLS
//	unix://[USER:PASSWORD@]/PATH[?db=DB]
//	redis+sentinel://[USER:PASSWORD@]HOST[:PORT][,HOST[:PORT]…]/MASTER[/DB]
//
// Errors are one line and name the address without its password.
func Open(ctx context.Context, address string, o *Options) (*Store, error) {
	s := &Store{}
	if o != nil {
		s.o = *o
	}
	s.prefix = s.o.Prefix
	if s.prefix == "" {
		s.prefix = defaultPrefix
	}
	if s.o.Retention == 0 {
		s.o.Retention = defaultRetention
	}
	if s.o.LogRecords == 0 {
		s.o.LogRecords = defaultLogRecords
	}
	if s.o.Logger == nil {
		s.o.Logger = slog.Default()
	}
	var err error
	if s.client, err = connect(address); err == nil {
		if err = s.greet(ctx); err != nil {
			s.Close()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("redis %s: %w", without(address), err)
	}
	return s, nil
}

// driverLog keeps the driver's own words for those who look for them: whatever
// they are about comes back as an error as well.
type driverLog struct{}

func (driverLog) Printf(ctx context.Context, format string, v ...any) {
	slog.DebugContext(ctx, fmt.Sprintf("redis: "+format, v...))
}

func init() { redis.SetLogger(driverLog{}) }

func connect(address string) (*redis.Client, error) {
	if rest, ok := strings.CutPrefix(address, "redis+sentinel://"); ok {
		o, err := sentinels(rest)
		if err != nil {
			return nil, err
		}
		return redis.NewFailoverClient(o), nil
	}
	o, err := redis.ParseURL(address)
	if err != nil {
		// The parser's own words may quote the password.
		return nil, errors.New("the address must be redis://HOST:PORT/DB, rediss://, unix:// or redis+sentinel://HOST,HOST/MASTER")
	}
	o.ContextTimeoutEnabled = true
	o.MaxRetries = maxRetries
	return redis.NewClient(o), nil
}

// sentinels reads USER:PASSWORD@HOST:PORT,HOST:PORT/MASTER/DB.
func sentinels(s string) (*redis.FailoverOptions, error) {
	bad := errors.New("the address must be redis+sentinel://HOST:PORT,HOST:PORT/MASTER")
	o := &redis.FailoverOptions{ContextTimeoutEnabled: true, MaxRetries: maxRetries}
	login, hosts, ok := strings.Cut(s, "@")
	if !ok {
		login, hosts = "", s
	}
	hosts, path, _ := strings.Cut(hosts, "/")
	var db string
	o.MasterName, db, _ = strings.Cut(path, "/")
	if hosts == "" || o.MasterName == "" {
		return nil, bad
	}
	if login != "" {
		u, err := url.Parse("redis://" + login + "@host")
		if err != nil {
			return nil, bad
		}
		o.Username = u.User.Username()
		o.Password, _ = u.User.Password()
	}
	for host := range strings.SplitSeq(hosts, ",") {
		if !strings.Contains(host, ":") {
			host += ":26379"
		}
		o.SentinelAddrs = append(o.SentinelAddrs, host)
	}
	if db != "" {
		if _, err := fmt.Sscanf(db, "%d", &o.DB); err != nil {
			return nil, bad
		}
	}
	return o, nil
}

// without is an address without its password.
func without(address string) string {
	scheme, rest, ok := strings.Cut(address, "://")
	if !ok {
		return "address"
	}
	if i := strings.LastIndex(rest, "@"); i >= 0 {
		rest = rest[i+1:]
	}
	return scheme + "://" + rest
}

// greet finds out whether Redis answers, and whether it keeps what it is told.
func (s *Store) greet(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	if err := s.client.Ping(ctx).Err(); err != nil {
		return err
	}
	for name, want := range map[string]string{"appendonly": "yes", "appendfsync": "always"} {
		got, err := s.client.ConfigGet(ctx, name).Result()
		if err != nil {
			return nil // a hosted Redis does not say
		}
		if got[name] != want {
			s.o.Logger.Warn("what is acknowledged may be lost when Redis dies", "setting", name, "is", got[name], "should be", want)
		}
	}
	return nil
}

func (s *Store) key(parts ...string) string { return s.prefix + strings.Join(parts, ":") }

func (s *Store) fail(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("redis: %s: %w", what, err)
}

// Session implements store.Store.
func (s *Store) Session(ctx context.Context, participant string) (store.Session, bool, error) {
	text, err := s.client.Get(ctx, s.key("session", store.ValidText(participant))).Result()
	if errors.Is(err, redis.Nil) {
		return store.Session{}, false, nil
	}
	var session store.Session
	if err == nil {
		session, err = decodeSession(participant, text)
	}
	if err != nil {
		return store.Session{}, false, s.fail("session", err)
	}
	return session, true, nil
}

// Seated implements store.Store.
func (s *Store) Seated(ctx context.Context, f func(store.Session) error) error {
	var damaged []error
	seen := make(map[string]bool) // a scan may name somebody twice
	for cursor := uint64(0); ; {
		names, next, err := s.client.SScan(ctx, s.key("seated"), cursor, "", seatedPage).Result()
		if err != nil {
			return s.fail("seated", err)
		}
		for _, p := range names {
			if seen[p] {
				continue
			}
			seen[p] = true
			session, ok, err := s.Session(ctx, p)
			switch {
			case errors.Is(err, store.ErrCorrupt):
				damaged = append(damaged, err)
			case err != nil:
				return err
			case ok && session.Presence != "gone":
				if err := f(session); err != nil {
					return err
				}
			case !ok: // its time was over
				if err := s.client.SRem(ctx, s.key("seated"), p).Err(); err != nil {
					return s.fail("seated", err)
				}
			}
		}
		if cursor = next; cursor == 0 {
			return errors.Join(damaged...)
		}
	}
}

// Assigned implements store.Store.
func (s *Store) Assigned(ctx context.Context) ([]store.Assigned, error) {
	drawn, err := s.client.HVals(ctx, s.key("conditions")).Result()
	if err != nil {
		return nil, s.fail("assigned", err)
	}
	counts := make(map[[2]string]int)
	for _, text := range drawn {
		var d [2]string
		if err := json.Unmarshal([]byte(text), &d); err != nil {
			return nil, s.fail("assigned", fmt.Errorf("%w: %w", store.ErrCorrupt, err))
		}
		counts[d]++
	}
	all := make([]store.Assigned, 0, len(counts))
	for d, n := range counts {
		all = append(all, store.Assigned{Experiment: d[0], Condition: d[1], Count: n})
	}
	return all, nil
}

// Mailbox implements store.Store.
func (s *Store) Mailbox(ctx context.Context, participant string) (store.Mailbox, []store.Message, error) {
	p := store.ValidText(participant)
	texts, err := mailboxScript.Run(ctx, s.client, []string{s.key("mailbox", p), s.key("mail", p)}).StringSlice()
	var box store.Mailbox
	var messages []store.Message
	if err == nil {
		box, messages, err = decodeMail(participant, texts)
	}
	if err != nil {
		return store.Mailbox{}, nil, s.fail("mailbox", fmt.Errorf("participant %.128q: %w", participant, err))
	}
	return box, messages, nil
}

// Put implements store.Store. Once it is on its way it is not interrupted, and
// is tried again until Redis answers or its time is over. Only then is its
// outcome in doubt: the error may be about a batch that was stored all the same.
func (s *Store) Put(ctx context.Context, b store.Batch) error {
	if err := ctx.Err(); err != nil || b.Empty() {
		return s.fail("put", err)
	}
	args, err := encodeBatch(&b, s.o.Retention, s.o.LogRecords)
	if err != nil {
		return s.fail("put", err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), putTimeout)
	defer cancel()
	return s.fail("put", fenced(putScript.Run(ctx, s.client, []string{s.prefix}, append([]any{s.term}, args...)...).Err()))
}

// Records implements store.Store.
func (s *Store) Records(ctx context.Context, after int64, limit int) ([]eventlog.Record, error) {
	if limit <= 0 || after == 1<<63-1 {
		return nil, ctx.Err()
	}
	entries, err := s.client.XRangeN(ctx, s.key("log"), fmt.Sprint(max(after, 0)+1), "+", int64(limit)).Result()
	if err != nil {
		return nil, s.fail("records", err)
	}
	records := make([]eventlog.Record, len(entries))
	for i, e := range entries {
		if err := decodeRecord(e, &records[i]); err != nil {
			return nil, s.fail("records", err)
		}
	}
	return records, nil
}

// Secret implements store.Store.
func (s *Store) Secret(ctx context.Context) ([]byte, error) {
	fresh := make([]byte, secretBytes)
	rand.Read(fresh) // never fails
	if err := s.client.SetNX(ctx, s.key("secret"), fresh, 0).Err(); err != nil {
		return nil, s.fail("secret", err)
	}
	secret, err := s.client.Get(ctx, s.key("secret")).Bytes()
	if err == nil && len(secret) != secretBytes {
		err = fmt.Errorf("%w: it has %d bytes", store.ErrCorrupt, len(secret))
	}
	if err != nil {
		return nil, s.fail("secret", err)
	}
	return secret, nil
}

// Close implements store.Store.
func (s *Store) Close() error {
	if s.client == nil || s.closed.Swap(true) {
		return nil
	}
	s.resign()
	return s.client.Close()
}
