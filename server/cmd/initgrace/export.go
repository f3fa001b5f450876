package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"initgrace/server/eventlog/export"
	"initgrace/server/store/redis"
	"initgrace/server/store/sqlite"
)

type exporter struct {
	DB           string        `name:"db" xor:"store" placeholder:"FILE" help:"SQLite file of a server, which may be running."`
	Redis        string        `name:"redis" xor:"store" placeholder:"URL" help:"Redis of servers, which may be running."`
	RedisPrefix  string        `default:"initgrace:" placeholder:"TEXT" help:"As for serve."`
	Table        string        `enum:"events,participants,loads" default:"events" help:"events: everything that happened; participants, loads: one row for each (${enum})."`
	Format       export.Format `enum:"csv,jsonl,parquet,markdown" default:"csv" help:"${enum}; markdown for --codebook only."`
	Out          string        `short:"o" placeholder:"FILE" help:"Where to write (default: standard output)."`
	Experiment   string        `placeholder:"NAME" help:"Only rows of this experiment."`
	Since        instant       `placeholder:"TIME" help:"Only rows from then on: 2026-11-03, or 2026-11-03T14:00:00+01:00; UTC unless it says otherwise."`
	Until        instant       `placeholder:"TIME" help:"Only rows from before."`
	Pseudonymise string        `placeholder:"KEYFILE" help:"Replace participants, groups and load ids by keyed hashes. The file is made if there is none."`
	Codebook     bool          `help:"Write what every table, column and value means, instead of data."`
}

func (e exporter) Run(ctx context.Context, c console) error {
	write, err := e.job(ctx, c)
	if err != nil {
		return err
	}
	if e.Out == "" || e.Out == "-" {
		if f, ok := c.stdout.(*os.File); ok && e.Format == export.Parquet && terminal(f) {
			return errors.New("--out: parquet is not for a terminal; name a file")
		}
		out := bufio.NewWriter(c.stdout)
		return errors.Join(write(out), out.Flush())
	}
	return e.toFile(write)
}

// job is what is to be written, with everything checked that can be.
func (e exporter) job(ctx context.Context, c console) (func(io.Writer) error, error) {
	if e.Codebook {
		return func(to io.Writer) error { return export.WriteCodebook(to, e.Format) }, nil
	}
	o := &export.Options{
		Table: e.Table, Format: e.Format, Experiment: e.Experiment, Since: time.Time(e.Since), Until: time.Time(e.Until),
	}
	switch {
	case e.DB == "" && e.Redis == "":
		return nil, errors.New("--db: which database? (or --redis, or --codebook)")
	case e.Format == export.Markdown:
		return nil, errors.New("--format: markdown is for --codebook")
	case !o.Until.IsZero() && !o.Since.Before(o.Until):
		return nil, fmt.Errorf("--since %s is not before --until %s", o.Since.Format(time.RFC3339), o.Until.Format(time.RFC3339))
	case e.Out != "" && sameFile(e.Out, e.DB):
		return nil, errors.New("--out: that is the database")
	}
	log, err := e.log(ctx)
	if err != nil {
		return nil, err
	}
	if e.Pseudonymise != "" {
		p, made, open, err := export.PseudonymsFrom(e.Pseudonymise)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("--pseudonymise: %w", err), log.Close())
		}
		if made {
			fmt.Fprintf(c.stderr, "made the key %s; keep it apart from the data\n", e.Pseudonymise)
		} else if open {
			fmt.Fprintf(c.stderr, "warning: others may read the key %s\n", e.Pseudonymise)
		}
		o.Pseudonyms = p
	}
	return func(to io.Writer) error {
		rows, err := export.Write(ctx, to, log, o)
		if err = errors.Join(err, log.Close()); err == nil {
			fmt.Fprintf(c.stderr, "%d rows of %s\n", rows, e.Table)
		}
		return err
	}, nil
}

// source is an event log that can be closed.
type source interface {
	export.Source
	io.Closer
}

func (e exporter) log(ctx context.Context) (source, error) {
	if e.Redis != "" {
		s, err := redis.Open(ctx, e.Redis, &redis.Options{Prefix: e.RedisPrefix})
		if err != nil {
			return nil, fmt.Errorf("--redis: %w", err)
		}
		return s, nil
	}
	log, err := sqlite.OpenLog(e.DB)
	if err != nil {
		return nil, fmt.Errorf("--db: %w", err)
	}
	return log, nil
}

// toFile replaces the file only by a whole one.
func (e exporter) toFile(write func(io.Writer) error) error {
	f, err := os.CreateTemp(filepath.Dir(e.Out), "."+filepath.Base(e.Out)+"-*")
	if err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	defer os.Remove(f.Name()) // fails when all went well
	out := bufio.NewWriter(f)
	if err = errors.Join(write(out), out.Flush(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), e.Out); err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	return nil
}

func sameFile(a, b string) bool {
	fa, errA := os.Stat(a)
	fb, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(fa, fb)
}

func terminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// instant is a time as a person writes it.
type instant time.Time

func (i *instant) UnmarshalText(text []byte) error {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04Z07:00", "2006-01-02T15:04:05", "2006-01-02T15:04", time.DateOnly} {
		if t, err := time.Parse(layout, strings.Replace(string(text), " ", "T", 1)); err == nil {
			*i = instant(t)
			return nil
		}
	}
	return fmt.Errorf("%q is not a time such as 2026-11-03 or 2026-11-03T14:00:00Z", text)
}
