package simulate

import (
	"strings"
	"testing"
	"time"

	"initgrace/grace"
	"initgrace/grace/protocol"
)

var origin = time.Unix(1_000_000, 0)

func second(s float64) time.Time { return origin.Add(time.Duration(s * float64(time.Second))) }

// tell makes a notice.
func tell(at float64, state protocol.Presence, seq uint64) notice {
	return notice{at: second(at), PartnerState: protocol.PartnerState{State: state, Seq: seq}}
}

func never(from, to time.Time) time.Duration { return 0 }

// Under the default policy, with the fault at second 10 after the begin of the
// episode; leases run to second 70.
func TestJudge(t *testing.T) {
	policy := grace.Policy{}.WithDefaults()
	const (
		active, loading, blocked, away, gone = protocol.Active, protocol.Loading, protocol.Blocked, protocol.Away, protocol.Gone
	)
	for _, c := range []struct {
		name        string
		kind        Kind
		class       Class
		while       While
		back        float64 // 0: never
		told        []notice
		wrong, miss string // part of the sentence; "" is none
	}{
		{"a load", Load, Alive, Loading, 0, []notice{tell(1, loading, 2), tell(30, active, 3)}, "", ""},
		{"a block", Block, Alive, Active, 0, []notice{tell(13, blocked, 2), tell(30, active, 3)}, "", ""},
		{"away in a load", Load, Alive, Loading, 0, []notice{tell(1, loading, 2), tell(20, away, 3), tell(21, loading, 4)}, "alive and reachable", ""},
		{"gone in a load", Load, Alive, Loading, 0, []notice{tell(1, loading, 2), tell(20, gone, 3)}, "alive and reachable", ""},
		{"both", BothLoad, Alive, Loading, 0, []notice{tell(40, active, 3)}, "", ""},
		{"both, and nobody saw it", BothLoad, Alive, Loading, 0, []notice{tell(40, active, 5)}, "4 changes", ""},

		{"a cut", Cut, CutOff, Active, 20, []notice{tell(14, away, 2), tell(20.1, active, 3)}, "", ""},
		{"a cut, told at the bound", Cut, CutOff, Active, 20, []notice{tell(15.5, away, 2), tell(20.1, active, 3)}, "", ""},
		{"a cut, told too late", Cut, CutOff, Active, 20, []notice{tell(15.6, away, 2), tell(20.1, active, 3)}, "", "told after 5.6s"},
		{"a cut that nobody noticed", Cut, CutOff, Active, 20, nil, "", "never told"},
		{"told before the cut", Cut, CutOff, Active, 20, []notice{tell(9, away, 2), tell(9.5, active, 3), tell(14, away, 4), tell(20, active, 5)}, "nothing had happened", ""},
		{"gone in a cut", Cut, CutOff, Active, 20, []notice{tell(14, away, 2), tell(19, gone, 3)}, "came back in time", ""},
		{"away when back", Cut, CutOff, Active, 20, []notice{tell(14, away, 2), tell(20, active, 3), tell(22, away, 4), tell(23, active, 5)}, "back already", ""},
		{"away for too long", Cut, CutOff, Active, 20, []notice{tell(14, away, 2), tell(25.6, active, 3)}, "since long", ""},
		{"away for ever", Cut, CutOff, Active, 20, []notice{tell(14, away, 2)}, "for ever", ""},
		{"a refresh", Refresh, CutOff, Active, 12, []notice{tell(10, away, 2), tell(12, active, 3)}, "", ""},
		{"a refresh, told late", Refresh, CutOff, Active, 12, []notice{tell(11.6, away, 2), tell(12, active, 3)}, "", "told after 1.6s"},

		{"silent", Silent, Dies, Active, 0, []notice{tell(14, away, 2), tell(44, gone, 3)}, "", ""},
		{"silent, late", Silent, Dies, Active, 0, []notice{tell(16, away, 2), tell(46, gone, 3)}, "", "told after 6s"},
		{"silent, unnoticed", Silent, Dies, Loading, 0, []notice{tell(1, loading, 2)}, "", "never told"},
		{"silent, and held for ever", Silent, Dies, Active, 0, []notice{tell(14, away, 2)}, "", "never given up"},
		{"silent, and held too long", Silent, Dies, Active, 0, []notice{tell(14, away, 2), tell(46, gone, 3)}, "", "2s too long"},
		{"silent, and not held", Silent, Dies, Active, 0, []notice{tell(14, away, 2), tell(30, gone, 3)}, "10s longer", ""},
		{"silent, gone twice", Silent, Dies, Active, 0, []notice{tell(14, away, 2), tell(44, gone, 3), tell(44, gone, 4)}, "a second time", ""},
		{"silent in a lease, held for it", Silent, Dies, Loading, 0, []notice{tell(14, away, 2), tell(70, gone, 3)}, "", ""},
		{"silent in a lease, not held for it", Silent, Dies, Loading, 0, []notice{tell(14, away, 2), tell(44, gone, 3)}, "26s longer", ""},
		{"closed", Closed, Dies, Active, 0, []notice{tell(10, away, 2), tell(25, gone, 3)}, "", ""},
		{"closed in a lease, which ends", Closed, Dies, Loading, 0, []notice{tell(10, away, 2), tell(25, gone, 3)}, "", ""},
		{"closed in a lease, held for it", Closed, Dies, Loading, 0, []notice{tell(10, away, 2), tell(70, gone, 3)}, "", "too long"},
		{"reset", Reset, Dies, Active, 0, []notice{tell(10, away, 2), tell(40, gone, 3)}, "", ""},
		{"reset, late", Reset, Dies, Active, 0, []notice{tell(14, away, 2), tell(44, gone, 3)}, "", "told after 4s"},
		{"frozen", Frozen, Dies, Active, 0, []notice{tell(13, blocked, 2), tell(30, gone, 3)}, "", ""},
		{"frozen, and away", Frozen, Dies, Active, 0, []notice{tell(14, away, 2), tell(30, gone, 3)}, "the browser answers", ""},
		{"frozen, gone too soon", Frozen, Dies, Active, 0, []notice{tell(13, blocked, 2), tell(20, gone, 3)}, "4s longer", ""},
		{"frozen, told at the bound", Frozen, Dies, Active, 0, []notice{tell(15.5, blocked, 2), tell(30, gone, 3)}, "", ""},
		{"frozen, told too late", Frozen, Dies, Active, 0, []notice{tell(15.6, blocked, 2), tell(30, gone, 3)}, "", "told after 5.6s"},
		{"frozen, held too long", Frozen, Dies, Active, 0, []notice{tell(13, blocked, 2), tell(32, gone, 3)}, "", "2s too long"},
		{"past the lease", Late, Alive, Loading, 0, []notice{tell(1, loading, 2), tell(70, blocked, 3), tell(80, active, 4)}, "", ""},
		{"gone with the lease", Late, Alive, Loading, 0, []notice{tell(1, loading, 2), tell(70, gone, 3)}, "alive and reachable", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := &record{
				Episode: Episode{Kind: c.kind, Class: c.class, While: c.while},
				subject: "p", began: second(0), fault: second(10), end: second(100), before: 1, told: c.told,
			}
			if c.back > 0 {
				r.back = second(c.back)
			}
			if c.while == Loading {
				r.leaseFrom, r.leaseTo = second(70), second(70.1)
			}
			v := judge(&policy, r, never)
			for _, k := range []struct {
				what string
				got  []string
				want string
			}{{"false drops", v.falseDrops, c.wrong}, {"missed deaths", v.missed, c.miss}} {
				if (len(k.got) > 0) != (k.want != "") || !strings.Contains(strings.Join(k.got, "; "), k.want) {
					t.Errorf("%s: %q, want %q", k.what, k.got, k.want)
				}
			}
		})
	}
}

// A lease that runs out is measured from its end.
func TestJudgeOverlong(t *testing.T) {
	policy := grace.Policy{}.WithDefaults()
	r := &record{
		Episode: Episode{Kind: Overlong, Class: Dies, While: Loading}, subject: "p",
		began: second(0), fault: second(60), leaseFrom: second(60), leaseTo: second(60.2),
	}
	for _, c := range []struct {
		blocked, gone       float64
		falseDrops, misseds int
	}{
		{60.1, 80.1, 0, 0}, {61.7, 81.7, 0, 0},
		{59, 80.1, 1, 1},   // the lease was cut short, and its end never told
		{60.1, 79.9, 1, 0}, // the time behind it was
		{62, 80.1, 0, 1},   // late to be told
		{60.1, 82, 0, 1},   // held for too long
	} {
		r.told = []notice{tell(1, protocol.Loading, 2), tell(c.blocked, protocol.Blocked, 3), tell(c.gone, protocol.Gone, 4)}
		v := judge(&policy, r, never)
		if len(v.falseDrops) != c.falseDrops || len(v.missed) != c.misseds {
			t.Errorf("blocked at %v, gone at %v: %q, %q", c.blocked, c.gone, v.falseDrops, v.missed)
		}
	}
}

// What the machine missed is not the server's delay, and no more than that.
func TestJudgeOnAMachineThatStoodStill(t *testing.T) {
	policy := grace.Policy{}.WithDefaults()
	for _, c := range []struct {
		stood, away float64
		missed      int
	}{{2, 17, 0}, {2, 18, 1}} {
		r := &record{
			Episode: Episode{Kind: Silent, Class: Dies, While: Active}, subject: "p", began: second(0), fault: second(10),
			told: []notice{tell(c.away, protocol.Away, 2), tell(c.away+30, protocol.Gone, 3)},
		}
		tl := &tally{lags: []lag{{second(5), time.Hour}, {second(13), time.Duration(c.stood * float64(time.Second))}, {second(14), standstill - 1}}}
		tl.lags[0].late = 3 * time.Second // over before the fault
		if v := judge(&policy, r, tl.stood); len(v.missed) != c.missed || len(v.falseDrops) != 0 {
			t.Errorf("away at %v: %q, %q", c.away, v.falseDrops, v.missed)
		}
	}
}

func TestTimesOf(t *testing.T) {
	var d []time.Duration
	for i := range 200 {
		d = append(d, time.Duration(200-i))
	}
	if got, want := timesOf(d), (Times{N: 200, P50: 100, P99: 198, Max: 200}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got, want := timesOf([]time.Duration{7}), (Times{1, 7, 7, 7}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}
