package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"time"

	"initgrace/server"
	"initgrace/server/socketio"
	"initgrace/server/store"
	"initgrace/server/store/memory"
	"initgrace/server/store/redis"
	"initgrace/server/store/sqlite"
)

type serve struct {
	Addr         string     `default:"127.0.0.1:8080" placeholder:"HOST:PORT" help:"Address to listen on."`
	Site         string     `placeholder:"DIR" help:"Folder of the study's pages, served at / (default: the demo study)."`
	Pyodide      string     `placeholder:"DIR" help:"Folder of the npm package pyodide (default: the embedded one)."`
	Packages     string     `placeholder:"DIR" help:"Folder of packages for Pyodide, filled by initgrace pyodide add (default: none)."`
	PackageCDN   string     `placeholder:"URL" help:"Where pages find packages that are not in --packages: a folder's URL, {version} stands for Pyodide's, or public, Pyodide's own CDN (default: nowhere)."`
	DB           string     `name:"db" xor:"store" placeholder:"FILE" help:"SQLite file of the sessions and the event log (default: in memory, lost at exit, with the latest million or so records of the log)."`
	Redis        string     `name:"redis" xor:"store" placeholder:"URL" help:"Redis or Valkey of the sessions instead: redis://[USER:PASSWORD@]HOST[:PORT][/DB], rediss://…, unix://…, or redis+sentinel://HOST,HOST/MASTER. Of several servers with the same one, one decides, and the others hold connections for it and stand by to take over."`
	Advertise    string     `placeholder:"HOST:PORT" help:"With --redis: where the other servers reach this one (default: --addr, with the host's name if that is every address)."`
	RedisPrefix  string     `default:"initgrace:" placeholder:"TEXT" help:"What every key in Redis begins with: one for each study."`
	Study        string     `aliases:"config" placeholder:"FILE" help:"Study file (default: initgrace.yaml in --site, if there is one)."`
	AdminToken   string     `placeholder:"TOKEN" help:"Token of the administration pages (default: they are off)."`
	LogLevel     slog.Level `default:"info" placeholder:"LEVEL" help:"debug, info, warn or error."`
	Origin       []string   `placeholder:"ORIGIN" help:"Allowed Origin besides the server's own host, such as https://lab.example; * allows all. May be given several times."`
	TrustedProxy []string   `placeholder:"ADDRESS" help:"Address or prefix (10.0.0.0/8) of a proxy whose X-Forwarded-For is believed. May be given several times."`
	Polling      bool       `help:"Also admit long-polling, where a frozen page cannot be told from a dead one as fast."`
	RequireToken bool       `help:"Only the browser that began a session comes back to it, in every experiment (default: where the study file says so; elsewhere the participant's id is enough)."`
	Limits       limits     `embed:"" prefix:"max-" group:"Limits (0: the default, -1: none)"`
}

// limits are those of socketio.Limits that somebody may have to change.
type limits struct {
	Packet      int           `placeholder:"BYTES" help:"Largest inbound packet (1 MiB)."`
	Events      float64       `placeholder:"N" help:"Packets a second taken from one connection (500)."`
	Bytes       int           `placeholder:"BYTES" help:"Bytes a second taken from one connection (1 MiB)."`
	Outbound    int           `placeholder:"BYTES" help:"Bytes that may wait to be written to one connection (2 MiB)."`
	Connections int           `placeholder:"N" help:"Open connections (20000)."`
	PerAddress  int           `placeholder:"N" help:"Open connections of one address (1000)."`
	Handshakes  float64       `placeholder:"N" help:"New connections a second (300)."`
	ConnectTime time.Duration `placeholder:"TIME" help:"Time from a connection's start until it is admitted (10s)."`
	WriteTime   time.Duration `placeholder:"TIME" help:"Time for which a connection may accept no byte (10s)."`
}

func (l limits) socketio() socketio.Limits {
	return socketio.Limits{
		Packet: l.Packet, Events: l.Events, Bytes: l.Bytes, Outbound: l.Outbound,
		Connections: l.Connections, PerAddress: l.PerAddress, Handshakes: l.Handshakes,
		ConnectTimeout: l.ConnectTime, WriteTimeout: l.WriteTime,
	}
}

// shutdownTimeout is how long an orderly end may take.
const shutdownTimeout = 10 * time.Second

func (s serve) Run(ctx context.Context, c console) error {
	log := slog.New(slog.NewTextHandler(c.stderr, &slog.HandlerOptions{Level: s.LogLevel}))
	cfg := server.Config{
		Origins: s.Origin, PackageCDN: s.PackageCDN, TrustedProxies: s.TrustedProxy, Polling: s.Polling, RequireToken: s.RequireToken,
		Limits: s.Limits.socketio(), Logger: log, AdminToken: s.AdminToken,
	}
	var err error
	if cfg.Site, err = folder("--site", s.Site); err != nil {
		return err
	}
	if cfg.Study, err = readStudy("--study", s.Study, s.Site); err != nil {
		return err
	}
	if cfg.Pyodide, err = folder("--pyodide", s.Pyodide); err != nil {
		return err
	}
	if cfg.Packages, err = folder("--packages", s.Packages); err != nil {
		return err
	}
	var shared *redis.Store // nil: not with others
	switch {
	case s.DB == "" && s.Redis == "":
		cfg.Store = memory.New()
	case s.Redis == "":
		if cfg.Store, err = sqlite.Open(s.DB, nil); err != nil {
			return fmt.Errorf("--db: %w", err)
		}
	default:
		if err = server.Check(cfg); err != nil { // now: it may stand by for months
			return err
		}
		cfg.Relay = true
		if shared, err = redis.Open(ctx, s.Redis, &redis.Options{Prefix: s.RedisPrefix, Logger: log}); err != nil {
			return fmt.Errorf("--redis: %w", err)
		}
		cfg.Store = shared
	}
	listener, err := net.Listen("tcp", s.Addr)
	if err != nil {
		return errors.Join(fmt.Errorf("--addr: %w", err), cfg.Store.Close())
	}
	var door door
	var arriving crowd
	go arriving.watch(ctx, debug.FreeOSMemory)
	web := &http.Server{
		Handler: &door, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug), ConnState: arriving.state,
	}
	failed := make(chan error, 1)
	if shared != nil {
		go func() { failed <- web.Serve(listener) }()
		if err := s.standBy(ctx, c, cfg, shared, &door, listener.Addr()); err != nil {
			if ctx.Err() != nil { // it was asked to end
				err = nil
			}
			return errors.Join(err, web.Close(), shared.Close())
		}
	}
	srv, err := server.New(cfg) // closes the store
	if err != nil {
		return errors.Join(err, listener.Close(), web.Close())
	}
	door.open(srv)
	if shared == nil {
		go func() { failed <- web.Serve(listener) }()
	}
	fmt.Fprintf(c.stdout, "initgrace serves http://%s/\n", listener.Addr())

	patience := shutdownTimeout
	select {
	case err = <-failed:
	case <-ctx.Done():
		log.Info("shutting down")
	case <-superseded(shared):
		err = fmt.Errorf("--redis: %w; start this one again to stand by", store.ErrSuperseded)
		patience = time.Second // nothing of this one's can be stored any more
	}
	ending, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	listener.Close() // no new ones; the open ones are told to come back
	err = errors.Join(err, srv.Close(ending), web.Shutdown(ending))
	return err
}

// standBy follows the server that leads, until this one is to lead or ctx ends.
func (s serve) standBy(ctx context.Context, c console, cfg server.Config, shared *redis.Store, door *door, addr net.Addr) error {
	starting, cancel := context.WithTimeout(ctx, shutdownTimeout)
	defer cancel()
	secret, err := shared.Secret(starting)
	if err != nil {
		return fmt.Errorf("--redis: %w", err)
	}
	follower, err := server.NewFollower(cfg, secret)
	if err != nil {
		return err
	}
	door.open(follower)
	fmt.Fprintf(c.stdout, "initgrace stands by at http://%s/\n", addr)
	led := shared.Lead(ctx, s.advertised(addr), follower.Lead)
	ending, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	door.close()
	if err := follower.Close(ending); err != nil {
		cfg.Logger.Warn("not everybody could be told to come back", "err", err)
	}
	return led
}

// advertised is where other servers reach this one.
func (s serve) advertised(addr net.Addr) string {
	if s.Advertise != "" {
		return s.Advertise
	}
	host, port, err := net.SplitHostPort(addr.String())
	if ip := net.ParseIP(host); err == nil && ip.IsUnspecified() {
		if name, err := os.Hostname(); err == nil {
			return net.JoinHostPort(name, port)
		}
	}
	return addr.String()
}

// superseded never happens to a server that shares its store with nobody.
func superseded(s *redis.Store) <-chan struct{} {
	if s == nil {
		return nil
	}
	return s.Superseded()
}

// folder opens a folder that is given by a flag; nil if it is not.
func folder(flag, path string) (fs.FS, error) {
	if path == "" {
		return nil, nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("%s: %s is not a folder", flag, path)
	}
	root, err := os.OpenRoot(path) // symbolic links cannot lead out of it
	if err != nil {
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	if _, err := fs.ReadDir(root.FS(), "."); err != nil {
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	return root.FS(), nil
}
