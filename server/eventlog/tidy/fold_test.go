package tidy_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"initgrace/grace/protocol"
	"initgrace/server/eventlog"
	"initgrace/server/eventlog/tidy"
)

// fold computes both tables.
func fold(t testing.TB, log []eventlog.Record) (participants map[string]tidy.Participant, loads map[string]tidy.Load) {
	t.Helper()
	participants, loads = map[string]tidy.Participant{}, map[string]tidy.Load{}
	f := &tidy.Fold{Load: func(l *tidy.Load) error {
		key := l.Participant + "/" + l.ID
		if _, twice := loads[key]; twice {
			t.Errorf("load %s came twice", key)
		}
		loads[key] = *l
		return nil
	}}
	for i := range log {
		if err := f.Add(&log[i]); err != nil {
			t.Fatal(err)
		}
	}
	err := f.Close(func(p *tidy.Participant) error {
		key := p.Participant + "/" + p.Experiment
		if _, twice := participants[key]; twice {
			t.Errorf("participant %s came twice", key)
		}
		participants[key] = *p
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return participants, loads
}

// TestSums checks random logs against a reckoning that goes through them
// millisecond by millisecond, and against the durations that they contain.
func TestSums(t *testing.T) {
	var total tidy.Participant
	for seed := range uint64(150) {
		log := random(seed)
		people, loads := fold(t, log)
		want, wantLoads := reckon(log)
		if len(people) != len(want) || len(loads) != len(wantLoads) {
			t.Fatalf("seed %d: %d participants of %d, %d loads of %d", seed, len(people), len(want), len(loads), len(wantLoads))
		}
		for key, p := range people {
			w := want[key]
			got := reckoned{
				times:  map[protocol.Presence]int64{protocol.Active: p.Active, protocol.Loading: p.Loading, protocol.Blocked: p.Blocked, protocol.Away: p.Away},
				logged: w.logged, rest: w.rest,
				wait: p.PartnerWait, drops: p.Drops, blocks: p.Blocks, seats: p.Seats, loads: p.Loads,
				ended: map[string]int64{eventlog.LoadFailed: p.Failed, eventlog.LoadExpired: p.Expired, eventlog.LoadAbandoned: p.Abandoned},
				sent:  p.Sent, refused: p.Refused, saves: p.Saves, longest: p.LongestBlock,
				longestBlocked: p.LongestBlocked, longestAway: p.LongestAway, gone: p.Outcome == string(protocol.Gone),
			}
			if !reflect.DeepEqual(got, *w) {
				t.Fatalf("seed %d, %s:\ngot  %+v\nwant %+v", seed, key, got, *w)
			}
			for _, presence := range []protocol.Presence{protocol.Active, protocol.Loading, protocol.Blocked, protocol.Away} {
				if sum := w.logged[presence] + w.rest[presence]; sum != w.times[presence] {
					t.Fatalf("seed %d, %s: the log's durations of %s add up to %d, %d is right", seed, key, presence, sum, w.times[presence])
				}
			}
			if p.Present != p.Active+p.Loading+p.Blocked+p.Away || p.Grace != p.Present-p.Active {
				t.Fatalf("seed %d: %+v", seed, p)
			}
			total.Loading += p.Loading
			total.Blocked += p.Blocked
			total.Away += p.Away
			total.PartnerWait += p.PartnerWait
			total.Drops += p.Drops
			total.Expired += p.Expired
		}
		for key, l := range loads {
			w := wantLoads[key]
			got := reckonedLoad{l.Loading, l.Away, l.PartnerWait, l.Drops, l.Extensions, l.Result, l.LastPhase, l.LongestBlock, l.Late.Known}
			if got != *w || l.Grace != l.Loading+l.Away {
				t.Fatalf("seed %d, load %s:\ngot  %+v\nwant %+v", seed, key, got, *w)
			}
		}
	}
	if total.Loading == 0 || total.Blocked == 0 || total.Away == 0 || total.PartnerWait == 0 || total.Drops == 0 || total.Expired == 0 {
		t.Errorf("the logs are too simple: %+v", total)
	}
}

// reckoned is what a participant's row must say.
type reckoned struct {
	times        map[protocol.Presence]int64
	logged, rest map[protocol.Presence]int64 // durations in the log, and what no row of it ends
	wait         int64
	drops        int64
	blocks       int64
	seats        int64
	loads        int64
	ended        map[string]int64
	sent         int64
	refused      int64
	saves        int64
	longest      eventlog.Int

	longestBlocked, longestAway int64
	gone                        bool
}

type reckonedLoad struct {
	loading, away, wait, drops, extensions int64
	result, phase                          string
	longest                                eventlog.Int
	late                                   bool
}

// reckon is the dumb way: look at every millisecond of every run, who is in
// which presence, group and load then.
func reckon(log []eventlog.Record) (map[string]*reckoned, map[string]*reckonedLoad) {
	people, loads := map[string]*reckoned{}, map[string]*reckonedLoad{}
	last := map[string]int64{}
	for _, r := range log {
		last[r.Run] = r.Mono
	}
	open := map[string][]string{} // by participant
	expired := map[string]string{}
	i := 0
	for i < len(log) {
		run := log[i].Run
		presence, group, key := map[string]protocol.Presence{}, map[string]string{}, map[string]string{}
		spell := map[string]int64{}
		for now := int64(0); now <= last[run]; now++ {
			for ; i < len(log) && log[i].Run == run && log[i].Mono == now; i++ {
				r := log[i]
				who := r.Participant
				if who == "" {
					continue
				}
				key[who] = who + "/" + r.Experiment
				p := people[key[who]]
				if p == nil {
					p = &reckoned{times: map[protocol.Presence]int64{}, logged: map[protocol.Presence]int64{}, rest: map[protocol.Presence]int64{}, ended: map[string]int64{}}
					for _, x := range []protocol.Presence{protocol.Active, protocol.Loading, protocol.Blocked, protocol.Away} {
						p.times[x], p.logged[x], p.rest[x] = 0, 0, 0
					}
					for _, x := range []string{eventlog.LoadFailed, eventlog.LoadExpired, eventlog.LoadAbandoned} {
						p.ended[x] = 0
					}
					people[key[who]] = p
				}
				if r.From != "" {
					p.logged[r.From] += r.Duration.Or(0)
				}
				load := loads[who+"/"+r.LoadID]
				switch r.Kind {
				case eventlog.Presence:
					if r.From == "" {
						p.seats++
					} else if r.From != r.To {
						spell[who] = 0
					}
					if r.To == protocol.Away && r.From != protocol.Away && r.Reason != string(protocol.ReasonRestart) {
						p.drops++
						for _, l := range open[who] {
							loads[l].drops++
						}
					}
					if r.To == protocol.Blocked && r.From != protocol.Blocked {
						p.blocks++
					}
					presence[who], p.gone = r.To, r.To == protocol.Gone
					if r.To != protocol.Gone {
						group[who] = r.Group
					}
				case eventlog.Suspended:
					delete(presence, who)
				case eventlog.GroupJoined:
					group[who] = r.Group
				case eventlog.GroupLeft:
					delete(group, who)
				case eventlog.LoadStarted:
					p.loads++
					loads[who+"/"+r.LoadID] = &reckonedLoad{result: tidy.LoadOpen, phase: r.Phase}
					open[who] = append(open[who], who+"/"+r.LoadID)
				case eventlog.LoadProgress:
					load.extensions += r.Count.Or(1)
					load.phase = r.Phase
				case eventlog.LoadEnded:
					open[who] = slices.DeleteFunc(open[who], func(l string) bool { return l == who+"/"+r.LoadID })
					load.result, load.longest = r.Reason, r.LongestBlock
					if r.Reason != eventlog.LoadOK {
						p.ended[r.Reason]++
					}
					if r.Reason == eventlog.LoadExpired {
						expired[who] = r.LoadID
					}
				case eventlog.LoadLate:
					load.longest, load.late = r.LongestBlock, true
				case eventlog.MessagesSent:
					p.sent += r.Count.N
				case eventlog.Refused:
					p.refused += r.Count.N
				case eventlog.StateSaved:
					p.saves++
				}
				if r.LongestBlock.Known {
					p.longest = eventlog.Of(max(p.longest.N, r.LongestBlock.N))
				}
			}
			if now == last[run] {
				break
			}
			for who, is := range presence {
				if is == protocol.Gone {
					continue
				}
				p := people[key[who]]
				p.times[is]++
				spell[who]++
				var waiting int64
				for other, theirs := range presence {
					if is != protocol.Active && other != who && theirs != protocol.Gone && group[who] != "" && group[who] == group[other] {
						waiting++
					}
				}
				p.wait += waiting
				switch is {
				case protocol.Blocked:
					p.longestBlocked = max(p.longestBlocked, spell[who])
				case protocol.Away:
					p.longestAway = max(p.longestAway, spell[who])
				}
				for _, id := range open[who] {
					l := loads[id]
					l.wait += waiting
					switch is {
					case protocol.Loading:
						l.loading++
					case protocol.Away:
						l.away++
					}
				}
			}
		}
		// What no row ends: the time since the last row of presence.
		since := map[string]int64{}
		for _, r := range log {
			if r.Run == run && (r.Kind == eventlog.Presence || r.Kind == eventlog.Suspended) {
				since[r.Participant] = r.Mono
			}
		}
		for who, is := range presence {
			if is != protocol.Gone {
				people[key[who]].rest[is] += last[run] - since[who]
			}
		}
	}
	return people, loads
}

// random makes a log as a server writes it.
func random(seed uint64) []eventlog.Record {
	g := &generator{Rand: rand.New(rand.NewPCG(seed, 1)), runs: 0}
	for range 1 + g.IntN(5) {
		g.people = append(g.people, &player{id: fmt.Sprint("p", len(g.people)), experiment: fmt.Sprint("e", g.IntN(2))})
	}
	for range 1 + g.IntN(3) {
		g.run()
	}
	return g.log
}

type generator struct {
	*rand.Rand
	log    []eventlog.Record
	people []*player
	runs   int
	seq    int64
	now    int64
}

type player struct {
	id, experiment, group string
	presence              protocol.Presence // "" and gone: no seat
	told                  int64             // when the last row of presence was written; -1: not in this run
	away, blocked         bool
	loads                 []string
	expired               string
	count                 int
}

func (g *generator) add(p *player, r eventlog.Record) {
	g.seq++
	r.ID, r.Seq, r.Run, r.Mono = int64(len(g.log)+1), g.seq, fmt.Sprint("run", g.runs), g.now
	r.At = time.UnixMilli(1_700_000_000_000 + int64(g.runs)*1_000_000 + g.now).UTC()
	if p != nil {
		r.Participant, r.Experiment = p.id, p.experiment
		if r.Group == "" {
			r.Group = p.group
		}
	}
	g.log = append(g.log, r)
}

// tell writes the presence, if it changed.
func (g *generator) tell(p *player, reason protocol.Reason, always bool) {
	to := protocol.Active
	switch {
	case p.away:
		to = protocol.Away
	case len(p.loads) > 0:
		to = protocol.Loading
	case p.blocked:
		to = protocol.Blocked
	}
	if to != p.presence || always {
		g.change(p, to, reason)
	}
}

func (g *generator) change(p *player, to protocol.Presence, reason protocol.Reason) {
	r := eventlog.Record{Kind: eventlog.Presence, From: p.presence, To: to, Reason: string(reason)}
	if p.presence == protocol.Gone {
		r.From = ""
	}
	if r.From != "" && p.told >= 0 {
		r.Duration = eventlog.Of(g.now - p.told)
	}
	g.add(p, r)
	p.presence, p.told = to, g.now
}

func (p *player) seated() bool { return p.presence != "" && p.presence != protocol.Gone }

func (g *generator) run() {
	g.runs++
	g.seq, g.now = 0, 0
	g.add(nil, eventlog.Record{Kind: eventlog.RunStarted})
	for _, p := range g.people {
		p.told = -1
		if p.seated() {
			p.away = true
			g.change(p, protocol.Away, protocol.ReasonRestart)
		}
	}
	for range g.IntN(120) {
		if g.IntN(4) > 0 {
			g.now += int64(g.IntN(15))
		}
		g.step(g.people[g.IntN(len(g.people))])
	}
	if g.IntN(2) == 0 { // or it is killed
		for _, p := range g.people {
			if p.seated() {
				r := eventlog.Record{Kind: eventlog.Suspended, From: p.presence}
				if p.told >= 0 {
					r.Duration = eventlog.Of(g.now - p.told)
				}
				g.add(p, r)
			}
		}
		g.add(nil, eventlog.Record{Kind: eventlog.RunStopped})
	}
}

func (g *generator) step(p *player) {
	if !p.seated() {
		g.add(p, eventlog.Record{Kind: eventlog.Connected, Reason: "connected"})
		if g.IntN(3) > 0 {
			p.group = fmt.Sprint("g", g.IntN(2))
			g.add(p, eventlog.Record{Kind: eventlog.GroupJoined, Count: eventlog.Of(1)})
		}
		p.away, p.blocked = false, false
		g.tell(p, protocol.ReasonConnected, true)
		return
	}
	switch g.IntN(14) {
	case 0, 1, 2:
		p.away = false
		p.count++
		p.loads = append(p.loads, fmt.Sprint("l", p.count))
		g.add(p, eventlog.Record{Kind: eventlog.LoadStarted, LoadID: p.loads[len(p.loads)-1], Phase: "a", Lease: eventlog.Of(100)})
		g.tell(p, protocol.ReasonLoadStarted, true)
	case 3, 4, 5:
		if len(p.loads) == 0 {
			return
		}
		p.away = false
		r := eventlog.Record{Kind: eventlog.LoadEnded, LoadID: p.loads[0], Reason: eventlog.LoadOK, Phase: "z"}
		switch g.IntN(4) {
		case 0:
			r.Reason = eventlog.LoadFailed
		case 1:
			r.Reason, p.expired = eventlog.LoadExpired, r.LoadID
		default:
			r.Blocked, r.LongestBlock = eventlog.Of(g.IntN(100)), eventlog.Of(g.IntN(100))
		}
		// The phase at the end is that of the load.
		for _, before := range g.log {
			if before.Participant == p.id && before.LoadID == r.LoadID {
				r.Phase = before.Phase
			}
		}
		p.loads = p.loads[1:]
		g.add(p, r)
		g.tell(p, protocol.ReasonLoadEnded, false)
	case 6:
		if len(p.loads) > 0 {
			g.add(p, eventlog.Record{Kind: eventlog.LoadProgress, LoadID: p.loads[0], Phase: fmt.Sprint("ph", g.IntN(3))})
			g.tell(p, protocol.ReasonLoadProgress, g.IntN(2) == 0)
		}
	case 7:
		if p.expired != "" {
			g.add(p, eventlog.Record{Kind: eventlog.LoadLate, LoadID: p.expired, Blocked: eventlog.Of(5), LongestBlock: eventlog.Of(300)})
			p.expired = ""
		}
	case 8:
		p.blocked = !p.blocked
		g.tell(p, protocol.ReasonPageSilent, false)
	case 9, 10:
		p.away = !p.away
		g.tell(p, protocol.ReasonSilence, false)
	case 11:
		if p.group != "" {
			g.add(p, eventlog.Record{Kind: eventlog.GroupLeft})
			p.group = ""
		} else {
			p.group = fmt.Sprint("g", g.IntN(2))
			g.add(p, eventlog.Record{Kind: eventlog.GroupJoined})
		}
	case 12:
		g.add(p, eventlog.Record{Kind: eventlog.MessagesSent, Count: eventlog.Of(g.IntN(9))})
		g.add(p, eventlog.Record{Kind: eventlog.Refused, Count: eventlog.Of(1 + g.IntN(3))})
		g.add(p, eventlog.Record{Kind: eventlog.StateSaved})
	case 13:
		if g.IntN(2) == 0 {
			return
		}
		for _, l := range p.loads {
			phase := ""
			for _, before := range g.log {
				if before.Participant == p.id && before.LoadID == l {
					phase = before.Phase
				}
			}
			g.add(p, eventlog.Record{Kind: eventlog.LoadEnded, LoadID: l, Phase: phase, Reason: eventlog.LoadAbandoned})
		}
		p.loads, p.expired = nil, ""
		g.change(p, protocol.Gone, protocol.ReasonLeaveTimeout)
		if p.group != "" {
			g.add(p, eventlog.Record{Kind: eventlog.GroupLeft})
		}
		g.add(p, eventlog.Record{Kind: eventlog.Gone, Reason: "leave_timeout"})
		p.group = ""
	}
}

// What a study file decides about a participant is in the participant's row,
// whatever is saved or decided after it.
func TestStudyColumns(t *testing.T) {
	of := func(kind eventlog.Kind, r eventlog.Record) eventlog.Record {
		r.Kind, r.Run, r.Participant, r.Experiment = kind, "r", "p", "x"
		return r
	}
	people, _ := fold(t, []eventlog.Record{
		of(eventlog.Connected, eventlog.Record{Reason: "connected"}),
		of(eventlog.Assigned, eventlog.Record{Detail: "slow", Scene: "intro game"}),
		of(eventlog.StateSaved, eventlog.Record{Scene: "game"}),
		of(eventlog.Outcome, eventlog.Record{Reason: "partner_gone", Partner: "q"}),
		of(eventlog.Gone, eventlog.Record{Reason: "leave_timeout"}),
	})
	p := people["p/x"]
	if p.Condition != "slow" || p.SceneOrder != "intro game" || p.StudyOutcome != "partner_gone" || p.Scene != "game" || p.OutcomeReason != "leave_timeout" {
		t.Errorf("row %+v", p)
	}
}
