package simulate

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"initgrace/grace/protocol"
)

// A Report is the confusion table. All its times but Took and Lag are the
// experiment's.
type Report struct {
	Participants int
	Seed         uint64
	Scale        float64
	Duration     time.Duration
	Episodes     int // played
	Deaths       int // of them
	FalseDrops   int
	Missed       int
	Rows         []Row
	Incidents    []string // every false drop and missed death, in words
	Troubles     []string // what kept a script from being played

	Took time.Duration // the whole run
	Lag  Times         // how much later than asked the machine woke us up
}

// A Row is one kind of what happened, while the participant did one thing.
type Row struct {
	Class      Class
	Kind       Kind
	While      While
	N          int
	FalseDrops int
	Missed     int
	Bound      time.Duration // the longest that Detection may be; 0: nothing is to be detected
	Detection  Times         // from the fault to the first word of it: away or gone, or blocked of who is frozen for ever
	Gone       Times         // from the fault to the end of the seat
	Returned   Times         // from being reachable again to being told so
	Reasons    map[protocol.Reason]int
}

// Times are what became of several measurements.
type Times struct {
	N             int
	P50, P99, Max time.Duration
}

// OK says whether nobody alive was dropped and nobody dead was missed, and the
// script was played.
func (r *Report) OK() bool { return r.FalseDrops == 0 && r.Missed == 0 && len(r.Troubles) == 0 }

// Err says in one line what is not OK; nil if all is.
func (r *Report) Err() error {
	if r.OK() {
		return nil
	}
	return fmt.Errorf("%d false drops, %d missed deaths, %d scripts not played", r.FalseDrops, r.Missed, len(r.Troubles))
}

// sample collects what a row is made of.
type sample struct {
	Row
	detection, gone, returned []time.Duration
}

func (s *sample) add(v *verdict, scale float64) {
	s.N++
	s.FalseDrops += len(v.falseDrops)
	s.Missed += len(v.missed)
	for _, t := range []struct {
		to   *[]time.Duration
		took time.Duration
	}{{&s.detection, v.detection}, {&s.gone, v.gone}, {&s.returned, v.returned}} {
		if t.took >= 0 {
			*t.to = append(*t.to, time.Duration(float64(t.took)*scale))
		}
	}
	for _, reason := range v.reasons {
		s.Reasons[reason]++
	}
}

func (s *sample) row() Row {
	r := s.Row
	r.Detection, r.Gone, r.Returned = timesOf(s.detection), timesOf(s.gone), timesOf(s.returned)
	return r
}

// timesOf sorts its argument. Quantiles are by nearest rank.
func timesOf(d []time.Duration) Times {
	if len(d) == 0 {
		return Times{}
	}
	slices.Sort(d)
	rank := func(q int) time.Duration { return d[(len(d)*q+99)/100-1] }
	return Times{N: len(d), P50: rank(50), P99: rank(99), Max: d[len(d)-1]}
}

// WriteTable writes the report for people.
func (r *Report) WriteTable(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%d participants, seed %d, %v of an experiment at %v times its pace, in %v: %d episodes, %d deaths.\n",
		r.Participants, r.Seed, r.Duration, r.Scale, r.Took.Round(time.Second), r.Episodes, r.Deaths)
	fmt.Fprintf(&b, "Times are the experiment's, in seconds. The machine was late by %s (p99), %s (max) of them.\n\n",
		seconds(time.Duration(float64(r.Lag.P99)*r.Scale)), seconds(time.Duration(float64(r.Lag.Max)*r.Scale)))
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "\t\t\tfalse\tmissed\tdetected after\t\t\tat most\tgone\tback\t")
	fmt.Fprintln(t, "kind\twhile\tn\tdrops\tdeaths\tp50\tp99\tmax\t\tp99\tp99\t")
	class := Class("")
	for _, row := range r.Rows {
		if row.Class != class {
			class = row.Class
			fmt.Fprintf(t, "%s:\t\t\t\t\t\t\t\t\t\t\t\n", class)
		}
		missed := strconv.Itoa(row.Missed)
		if row.Bound == 0 {
			missed = ""
		}
		fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", row.Kind, row.While, row.N, row.FalseDrops, missed,
			some(row.Detection, row.Detection.P50), some(row.Detection, row.Detection.P99), some(row.Detection, row.Detection.Max),
			bounded(row.Bound), some(row.Gone, row.Gone.P99), some(row.Returned, row.Returned.P99))
	}
	t.Flush()
	fmt.Fprintf(&b, "\n%d false drops, %d missed deaths.\n", r.FalseDrops, r.Missed)
	for _, list := range [][]string{r.Incidents, r.Troubles} {
		for i, s := range list {
			if i == shown {
				fmt.Fprintf(&b, "- and %d more\n", len(list)-shown)
				break
			}
			fmt.Fprintf(&b, "- %s\n", s)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// shown is how many incidents a person wants to read.
const shown = 20

func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', 2, 64) }

func some(t Times, d time.Duration) string {
	if t.N == 0 {
		return ""
	}
	return seconds(d)
}

func bounded(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return seconds(d)
}

// WriteJSON writes the report for machines. Durations are in milliseconds, in
// fields that end in _ms.
func (r *Report) WriteJSON(w io.Writer) error {
	type object = map[string]any
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	times := func(t Times) any {
		if t.N == 0 {
			return nil
		}
		return object{"n": t.N, "p50_ms": ms(t.P50), "p99_ms": ms(t.P99), "max_ms": ms(t.Max)}
	}
	rows := make([]object, len(r.Rows))
	for i, row := range r.Rows {
		rows[i] = object{
			"class": row.Class, "kind": row.Kind, "while": row.While, "n": row.N,
			"false_drops": row.FalseDrops, "missed": row.Missed, "bound_ms": ms(row.Bound),
			"detection": times(row.Detection), "gone": times(row.Gone), "returned": times(row.Returned),
			"reasons": maps.Clone(row.Reasons),
		}
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(object{
		"ok": r.OK(), "participants": r.Participants, "seed": r.Seed, "scale": r.Scale, "duration_ms": ms(r.Duration),
		"episodes": r.Episodes, "deaths": r.Deaths, "false_drops": r.FalseDrops, "missed": r.Missed, "rows": rows,
		"incidents": append([]string{}, r.Incidents...), "troubles": append([]string{}, r.Troubles...),
		"took_real_ms": ms(r.Took), "lag_real": times(r.Lag),
	})
}
