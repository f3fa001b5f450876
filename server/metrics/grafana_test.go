package metrics

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"initgrace/grace/protocol"
	"initgrace/server/eventlog"
	"initgrace/server/socketio"
)

// Every query of grafana.json asks for metrics and labels that there are.
func TestGrafanaDashboard(t *testing.T) {
	m := New()
	m.Collect(Sockets(func() socketio.Stats { return socketio.Stats{Refused: map[string]uint64{"flood": 1}} }))
	m.Gauge("initgrace_loop_inbox", "", func() float64 { return 0 })
	for _, kind := range eventlog.Kinds { // so that every vector has a member
		m.Record(&eventlog.Record{Kind: kind.Kind, From: protocol.Active, To: protocol.Away, Reason: eventlog.LoadOK})
	}
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	labels := map[string]string{}
	for _, f := range families {
		names := []string{"job", "le"}
		for _, l := range f.Metric[0].Label {
			names = append(names, l.GetName())
		}
		for _, suffix := range []string{"", "_bucket", "_count", "_sum"} {
			labels[f.GetName()+suffix] = " " + strings.Join(names, " ") + " "
		}
	}

	text, err := os.ReadFile("grafana.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			ID      int
			Title   string
			Targets []struct{ Expr, LegendFormat string }
		}
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	metric := regexp.MustCompile(`\b(?:initgrace|process|go)_\w+`)
	by := regexp.MustCompile(`by \(([^)]*)\)|\{\{(\w+)\}\}|(\w+)=`)
	asked := map[string]bool{}
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			names := metric.FindAllString(target.Expr, -1)
			if len(names) != 1 {
				t.Errorf("%s: %s asks for %q", p.Title, target.Expr, names)
				continue
			}
			has, ok := labels[names[0]]
			if !ok {
				t.Errorf("%s: there is no %s", p.Title, names[0])
			}
			asked[strings.TrimSuffix(strings.TrimSuffix(names[0], "_bucket"), "_count")] = true
			for _, found := range by.FindAllStringSubmatch(target.Expr+target.LegendFormat, -1) {
				for label := range strings.FieldsFuncSeq(found[1]+","+found[2]+","+found[3], func(r rune) bool { return r == ',' || r == ' ' }) {
					if !strings.Contains(has, " "+label+" ") {
						t.Errorf("%s: %s has no label %s", p.Title, names[0], label)
					}
				}
			}
		}
	}
	if len(dashboard.Panels) < 10 || len(asked) < 20 {
		t.Errorf("%d panels, %d metrics", len(dashboard.Panels), len(asked))
	}
}
