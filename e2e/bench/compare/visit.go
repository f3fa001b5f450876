package main

import (
	"context"
	"fmt"
	"math"
	"time"

	"initgrace/e2e/bench/generator"
)

// A visit is what one crowd measured on one server.
type visit struct {
	At      time.Time          `json:"at"`
	Commit  string             `json:"commit"`
	Server  string             `json:"server"`
	Size    int                `json:"size"`
	Metrics map[string]float64 `json:"metrics"`
	Error   string             `json:"error,omitempty"`
}

// spans are how long things are measured.
type spans struct{ idle, load, relay, freeze, churn, left time.Duration }

var (
	thorough = spans{idle: 6 * time.Second, load: 3 * time.Second, relay: 3 * time.Second, freeze: 12 * time.Second, churn: 12 * time.Second, left: 3 * time.Second}
	quick    = spans{idle: 4 * time.Second, load: 2 * time.Second, relay: 2 * time.Second, freeze: 12 * time.Second, churn: 6 * time.Second, left: 2 * time.Second}
)

// pace is how many messages a second go between partners when their latency is
// measured and not what the server can do.
const pace = 500

// look makes a visit: start, connect, measure the rows, leave.
func look(ctx context.Context, c contestant, size int, rows map[string]bool, s spans, work string) (v visit, err error) {
	m := make(map[string]float64)
	v = visit{At: time.Now().UTC().Truncate(time.Second), Server: c.name, Size: size, Metrics: m}
	p, err := c.start(work)
	if err != nil {
		return v, err
	}
	defer p.stop()
	time.Sleep(time.Second) // what starting costs is paid
	before, cpu := p.rss(), p.cpu()
	var stored int64
	if p.redis != nil {
		stored = rss(p.redis.PID())
	}
	crowd := generator.New(size, p.addrs...)
	got := crowd.Connect(ctx, false)
	if got.Missing > 0 {
		return v, fmt.Errorf("%d of %d could not connect: %w", got.Missing, size, got.Err)
	}
	if rows["connect"] {
		m["connect_rate"] = float64(size) / got.Took.Seconds()
		m["connect_p99_ms"] = ms(got.Latency.Quantile(0.99))
		m["connect_cpu_us"] = each(p.cpu()-cpu, size)
		m["connect_retries"] = float64(got.Retries)
	}
	defer crowd.Drop()

	if rows["idle"] {
		time.Sleep(2 * time.Second)
		cpu, leads, behind := p.cpu(), p.leads(), p.behind()
		time.Sleep(s.idle)
		if len(p.others) > 0 {
			m["idle_leads_us"] = each(p.leads()-leads, size) / s.idle.Seconds()
		}
		if p.redis != nil {
			m["idle_redis_us"] = each(p.behind()-behind, size) / s.idle.Seconds()
			m["idle_redis_kb"] = float64(rss(p.redis.PID())-stored) / 1024 / float64(size)
		}
		m["idle_cpu_us"] = each(p.cpu()-cpu, size) / s.idle.Seconds()
		m["idle_rss_kb"] = float64(p.rss()-before) / 1024 / float64(size)
	}
	if err := crowd.Save(ctx); err != nil {
		return v, err
	}
	if rows["loads"] {
		acks, took, err := crowd.Herd(ctx, max(1, min(20, 10000/size)))
		if err != nil {
			return v, fmt.Errorf("loads: %w", err)
		}
		m["herd_rate"] = float64(len(acks)) / took.Seconds()
		m["herd_p50_ms"], m["herd_p99_ms"], m["herd_max_ms"] = ms(acks.Quantile(0.5)), ms(acks.Quantile(0.99)), ms(acks.Quantile(1))
		cpu, leads, behind, began := p.cpu(), p.leads(), p.behind(), time.Now()
		if acks, err = crowd.Loads(ctx, s.load); err != nil {
			return v, fmt.Errorf("loads: %w", err)
		}
		m["load_rate"] = float64(len(acks)) / time.Since(began).Seconds()
		m["load_p99_ms"] = ms(acks.Quantile(0.99))
		m["load_cpu_us"] = each(p.cpu()-cpu, len(acks))
		if len(p.others) > 0 {
			m["load_leads_us"] = each(p.leads()-leads, len(acks))
		}
		if p.redis != nil {
			m["load_redis_us"] = each(p.behind()-behind, len(acks))
		}
	}
	if rows["relay"] {
		cpu, leads, behind := p.cpu(), p.leads(), p.behind()
		got, err := crowd.Relay(ctx, s.relay, 0)
		if err != nil {
			return v, fmt.Errorf("relay: %w", err)
		}
		m["relay_cpu_us"] = each(p.cpu()-cpu, got.Received)
		if len(p.others) > 0 {
			m["relay_leads_us"] = each(p.leads()-leads, got.Received)
		}
		if p.redis != nil {
			m["relay_redis_us"] = each(p.behind()-behind, got.Received)
		}
		m["relay_rate"] = float64(got.Received) / got.Took.Seconds()
		m["relay_lost"], m["relay_disorder"] = float64(got.Sent-got.Received), float64(got.Disordered)
		if got, err = crowd.Relay(ctx, s.relay, pace); err != nil {
			return v, fmt.Errorf("relay: %w", err)
		}
		m["relay_p50_ms"], m["relay_p99_ms"] = ms(got.Latency.Quantile(0.5)), ms(got.Latency.Quantile(0.99))
	}
	if rows["storm"] {
		crowd.Drop()
		time.Sleep(200 * time.Millisecond)
		cpu := p.cpu()
		got := crowd.Connect(ctx, true)
		m["storm_s"] = got.Took.Seconds()
		m["storm_cpu_us"] = each(p.cpu()-cpu, size)
		m["storm_retries"], m["storm_missing"], m["storm_lost"] = float64(got.Retries), float64(got.Missing), float64(got.Lost)
		if got.Missing+got.Lost > 0 {
			return v, fmt.Errorf("storm: %d missing, %d without their session: %w", got.Missing, got.Lost, got.Err)
		}
	}
	if rows["churn"] {
		var seen []int64
		visits, began := 0, time.Now()
		if err := crowd.Churn(ctx, s.churn, func(n int) { seen, visits = append(seen, p.rss()), n }); err != nil {
			return v, fmt.Errorf("churn: %w", err)
		}
		m["churn_rate"] = float64(visits) / time.Since(began).Seconds()
		if third := len(seen) / 3; third > 0 {
			m["churn_growth_mb"] = float64(seen[len(seen)-1]-seen[third]) / (1 << 20) // per visits since
			m["churn_growth_b"] = float64(seen[len(seen)-1]-seen[third]) / float64(size*(len(seen)-1-third))
		}
	}
	if rows["freeze"] {
		got, err := crowd.Freeze(ctx, s.freeze)
		if err != nil {
			return v, fmt.Errorf("freeze: %w", err)
		}
		m["freeze_false_pct"] = 100 * float64(got.False) / float64(got.Frozen)
		m["freeze_loading_s"], m["freeze_playing_s"] = got.DeadLoading.Quantile(0.5).Seconds(), got.DeadPlaying.Quantile(0.5).Seconds()
		m["freeze_loading_max_s"], m["freeze_playing_max_s"] = got.DeadLoading.Quantile(1).Seconds(), got.DeadPlaying.Quantile(1).Seconds()
		m["freeze_unseen"] = float64(got.Unseen)
		crowd.Revive()
	}
	if rows["left"] {
		crowd.Leave()
		time.Sleep(s.left)
		m["left_rss_mb"] = float64(p.rss()-before) / (1 << 20)
		if c.goroutines {
			m["left_goroutines"] = float64(p.goroutines())
		}
	}
	return v, nil
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func each(d time.Duration, n int) float64 { return float64(d.Microseconds()) / math.Max(1, float64(n)) }
