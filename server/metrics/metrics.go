// Package metrics counts for Prometheus what a server does. Most of it is
// derived from the records of the event log, so that both say the same.
package metrics

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"initgrace/grace/protocol"
	"initgrace/server/eventlog"
)

// Metrics is safe for concurrent use. All durations are in seconds, as
// Prometheus wants them.
type Metrics struct {
	registry *prometheus.Registry

	participants  *prometheus.GaugeVec
	changes       *prometheus.CounterVec
	spent         *prometheus.CounterVec
	outcomes      *prometheus.CounterVec
	connections   *prometheus.CounterVec
	disconnects   *prometheus.CounterVec
	refused       *prometheus.CounterVec
	handshakes    *prometheus.CounterVec
	leases        prometheus.Histogram
	loads         *prometheus.HistogramVec
	longestBlocks prometheus.Histogram
	dropped       prometheus.Counter
	waits         prometheus.Histogram
	records       prometheus.Counter

	detection   prometheus.Histogram
	browserPong prometheus.Histogram
	latency     prometheus.Histogram
	storing     prometheus.Histogram
	batches     prometheus.Histogram
	storeErrors prometheus.Counter
	unstored    prometheus.Gauge
	unsent      prometheus.Gauge
}

// Buckets, in seconds.
var (
	quick = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
	long  = []float64{.1, .25, .5, 1, 2, 3, 5, 7.5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 600}
	// The verdict is promised within SilenceTimeout and a probe (5 s by default).
	silence = []float64{.25, .5, 1, 2, 3, 3.5, 4, 4.25, 4.5, 4.75, 5, 5.5, 6, 8, 16, 32}
	sizes   = prometheus.ExponentialBuckets(1, 2, 14)
)

// New returns counters at zero.
func New() *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry()}
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))

	counter := func(name, help string) prometheus.Counter {
		return register(m, prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help}))
	}
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		return register(m, prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels))
	}
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		return register(m, prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}))
	}

	m.participants = register(m, prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "initgrace_participants", Help: "Participants who hold a seat, by presence.",
	}, []string{"presence"}))
	m.changes = counters("initgrace_presence_changes_total", "Changes of presence; to=away are drops, to=gone verdicts.", "from", "to", "reason")
	m.spent = counters("initgrace_presence_seconds_total", "Time that participants spent in each presence; its rate is how many there are.", "presence")
	m.outcomes = counters("initgrace_gone_total", "Seats given up.", "reason")
	m.connections = counters("initgrace_connections_total", "Connections of participants.", "reason")
	m.disconnects = counters("initgrace_disconnects_total", "Connections that ended.", "reason")
	m.refused = counters("initgrace_refused_events_total", "Events of participants that were refused. All but the first of a code in a connection count when it ends.", "code")
	m.handshakes = counters("initgrace_refused_handshakes_total", "Connections that were not admitted.", "code")
	m.leases = histogram("initgrace_lease_seconds", "Leases as they were granted.", long)
	m.loads = register(m, prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "initgrace_load_seconds", Help: "How long loads took.", Buckets: long,
	}, []string{"result"}))
	m.longestBlocks = histogram("initgrace_load_longest_block_seconds", "Longest freeze of each load, as the page measured it.", long)
	m.dropped = counter("initgrace_dropped_events_total", "Events held for a page that never reached it.")
	m.waits = histogram("initgrace_wait_room_seconds", "Time in the wait room until a group began.", long)
	m.records = counter("initgrace_log_records_total", "Records of the event log.")

	m.detection = histogram("initgrace_detection_seconds", "From the last sign of life to the verdict that a silent participant is away.", silence)
	m.browserPong = histogram("initgrace_browser_pong_seconds", "Round trips of WebSocket pings to the browser.", quick)
	m.latency = histogram("initgrace_client_latency_seconds", "Round trips as clients measured them.", quick)
	m.storing = histogram("initgrace_store_seconds", "How long a batch took to be stored.", quick)
	m.batches = histogram("initgrace_store_batch_size", "Sessions and records of a batch.", sizes)
	m.unstored = register(m, prometheus.NewGauge(prometheus.GaugeOpts{Name: "initgrace_log_backlog", Help: "Records of the event log that are not stored yet."}))
	m.unsent = register(m, prometheus.NewGauge(prometheus.GaugeOpts{Name: "initgrace_effects_backlog", Help: "Acks and events that wait for the store."}))
	m.storeErrors = counter("initgrace_store_errors_total", "Batches that could not be stored; they are tried again.")

	// What has not happened yet is zero and not unknown.
	for _, p := range []protocol.Presence{protocol.Active, protocol.Loading, protocol.Blocked, protocol.Away} {
		m.participants.WithLabelValues(string(p))
		m.spent.WithLabelValues(string(p))
	}
	for _, result := range []string{eventlog.LoadOK, eventlog.LoadFailed, eventlog.LoadExpired, eventlog.LoadAbandoned} {
		m.loads.WithLabelValues(result)
	}
	return m
}

func register[C prometheus.Collector](m *Metrics, c C) C {
	m.registry.MustRegister(c)
	return c
}

// Gauge adds a value that is read when it is asked for. f must be safe to call
// from any goroutine.
func (m *Metrics) Gauge(name, help string, f func() float64) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, f))
}

// Collect adds a collector.
func (m *Metrics) Collect(c prometheus.Collector) { m.registry.MustRegister(c) }

// Handler serves the metrics. It asks for nothing: package admin does.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry})
}

// Record counts what a record of the event log says.
func (m *Metrics) Record(r *eventlog.Record) {
	m.records.Inc()
	switch r.Kind {
	case eventlog.Presence:
		m.changed(r)
	case eventlog.Gone:
		m.outcomes.WithLabelValues(r.Reason).Inc()
	case eventlog.Connected:
		m.connections.WithLabelValues(r.Reason).Inc()
	case eventlog.Disconnected:
		m.disconnects.WithLabelValues(r.Reason).Inc()
	case eventlog.Refused:
		m.refused.WithLabelValues(r.Reason).Add(float64(r.Count.Or(1)))
	case eventlog.HandshakeRefused:
		m.handshakes.WithLabelValues(r.Reason).Add(float64(r.Count.Or(1)))
	case eventlog.LoadStarted:
		observe(m.leases, r.Lease)
	case eventlog.LoadEnded:
		observe(m.loads.WithLabelValues(r.Reason), r.Duration)
		observe(m.longestBlocks, r.LongestBlock)
	case eventlog.Dropped:
		m.dropped.Add(float64(r.Count.Or(0)))
	case eventlog.GroupJoined:
		observe(m.waits, r.Duration)
	}
}

func (m *Metrics) changed(r *eventlog.Record) {
	if r.Duration.Known {
		m.spent.WithLabelValues(string(r.From)).Add(float64(r.Duration.N) / 1000)
	}
	if r.From == r.To && r.Duration.Known {
		return
	}
	// A seat that another run left counts from its first record in this one,
	// which does not know for how long it had lasted.
	if r.From != "" && r.Duration.Known {
		m.participants.WithLabelValues(string(r.From)).Dec()
	}
	if r.To != protocol.Gone {
		m.participants.WithLabelValues(string(r.To)).Inc()
	}
	if r.From != r.To {
		m.changes.WithLabelValues(string(r.From), string(r.To), r.Reason).Inc()
	}
}

// observe adds milliseconds to a histogram, if they are known.
func observe(h prometheus.Observer, ms eventlog.Int) {
	if ms.Known {
		h.Observe(float64(ms.N) / 1000)
	}
}

// Detected adds the time from the last sign of life to the verdict.
func (m *Metrics) Detected(after time.Duration) { m.detection.Observe(after.Seconds()) }

// BrowserPong adds the round trip of a WebSocket ping.
func (m *Metrics) BrowserPong(roundTrip time.Duration) { m.browserPong.Observe(roundTrip.Seconds()) }

// Latency adds a round trip that a client measured.
func (m *Metrics) Latency(roundTrip time.Duration) { m.latency.Observe(roundTrip.Seconds()) }

// Backlog says what waits for the store.
func (m *Metrics) Backlog(records, effects int) {
	m.unstored.Set(float64(records))
	m.unsent.Set(float64(effects))
}

// Stored adds a batch and how long it took to be stored, or not to be.
func (m *Metrics) Stored(size int, took time.Duration, err error) {
	m.batches.Observe(float64(size))
	m.storing.Observe(took.Seconds())
	if err != nil {
		m.storeErrors.Inc()
	}
}
