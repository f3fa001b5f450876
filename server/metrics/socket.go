package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"initgrace/server/socketio"
)

// Sockets collects a socketio.Server's counters.
func Sockets(stats func() socketio.Stats) prometheus.Collector { return sockets{stats} }

type sockets struct{ stats func() socketio.Stats }

var (
	openDesc     = prometheus.NewDesc("initgrace_sockets", "Open connections, those not yet admitted included.", nil, nil)
	admittedDesc = prometheus.NewDesc("initgrace_sockets_admitted_total", "Connections that were admitted.", nil, nil)
	eventsDesc   = prometheus.NewDesc("initgrace_socket_events_total", "Events received.", nil, nil)
	probesDesc   = prometheus.NewDesc("initgrace_browser_pings_total", "WebSocket pings written to ask browsers.", nil, nil)
	sweptDesc    = prometheus.NewDesc("initgrace_swept_total", "Ends of connections that only the periodic sweep noticed; expected 0.", nil, nil)
	guardDesc    = prometheus.NewDesc("initgrace_guard_refusals_total", "What the guard turned away.", []string{"reason"}, nil)
)

func (s sockets) Describe(to chan<- *prometheus.Desc) { prometheus.DescribeByCollect(s, to) }

func (s sockets) Collect(to chan<- prometheus.Metric) {
	st := s.stats()
	to <- prometheus.MustNewConstMetric(openDesc, prometheus.GaugeValue, float64(st.Connections))
	to <- prometheus.MustNewConstMetric(admittedDesc, prometheus.CounterValue, float64(st.Admitted))
	to <- prometheus.MustNewConstMetric(eventsDesc, prometheus.CounterValue, float64(st.Events))
	to <- prometheus.MustNewConstMetric(probesDesc, prometheus.CounterValue, float64(st.Probes))
	to <- prometheus.MustNewConstMetric(sweptDesc, prometheus.CounterValue, float64(st.Swept))
	for reason, n := range st.Refused {
		to <- prometheus.MustNewConstMetric(guardDesc, prometheus.CounterValue, float64(n), reason)
	}
}
