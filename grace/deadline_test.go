package grace_test

import (
	"strings"
	"testing"
	"time"

	"initgrace/grace"
)

// TestDeadlines meets every deadline of the policy at both edges, in every
// state in which it applies: one nanosecond before, nothing happens; exactly
// then, the change. Each case is met twice: by a loop that looked punctually
// all along, and by one that looks for the first time since the story's end.
//
// Stories are in the language of world. They end with the last thing that
// happened before the deadline.
func TestDeadlines(t *testing.T) {
	const alone = "policy ProbeInterval=-1s; " // nobody's browser is ever asked

	for _, c := range []struct {
		rule, state string
		story       string
		then        string // at the deadline; default: a look
		at          string // the deadline, counted from the beginning
		want        string
	}{
		// Silence of everything, where the browser can be asked.
		{rule: "SilenceTimeout", state: "active, never heard again",
			story: "attach p probe",
			at:    "4s", want: "active -> away (silence) until 34s"},
		{rule: "SilenceTimeout", state: "active, after the page",
			story: "attach p probe; +2s; pong p",
			at:    "6s", want: "active -> away (silence) until 36s"},
		{rule: "SilenceTimeout", state: "active, after the browser",
			story: "attach p probe; +2s; browser p",
			at:    "6s", want: "active -> away (silence) until 36s"},
		{rule: "SilenceTimeout", state: "active, after a beat",
			story: "attach p probe; +2s; beat p silent=2s",
			at:    "6s", want: "active -> away (silence) until 36s"},
		{rule: "SilenceTimeout", state: "active, after a minute of answers in time",
			story: "attach p probe; runs p; +80s; cut p",
			at:    "84s", want: "active -> away (silence) until 114s"},
		{rule: "SilenceTimeout", state: "active, after a refused load",
			story: "policy LoadCount=-1 LoadBudget=60s LoadCap=60s; attach p probe; runs p; load p; +60s; load p; cut p",
			at:    "64s", want: "active -> away (silence) until 94s"},
		{rule: "SilenceTimeout", state: "active on a second connection",
			story: "attach p page=a probe; +2s; attach p page=a probe; pong p epoch=1",
			at:    "6s", want: "active -> away (silence) until 36s"},
		{rule: "SilenceTimeout", state: "loading, from the start",
			story: "attach p probe; load p id=x",
			at:    "4s", want: "loading -> away (silence) until 60s"},
		{rule: "SilenceTimeout", state: "loading, after progress",
			story: "attach p probe; load p id=x; +2s; progress p id=x",
			at:    "6s", want: "loading -> away (silence) until 60s"},
		{rule: "SilenceTimeout", state: "loading, page frozen for long",
			story: "attach p probe; load p id=x; freezes p; +30s; cut p",
			at:    "34s", want: "loading -> away (silence) until 64s"},
		{rule: "SilenceTimeout", state: "loading, after a reconnect",
			story: "attach p page=a probe; load p id=x; +1s; close p transport_lost; +5s; attach p page=a probe",
			at:    "10s", want: "loading -> away (silence) until 60s"},
		{rule: "SilenceTimeout", state: "blocked",
			story: "attach p probe; freezes p; +5s; cut p",
			at:    "9s", want: "blocked -> away (silence) until 39s"},
		{rule: "SilenceTimeout", state: "back from away",
			story: "attach p probe; +10s; browser p",
			at:    "14s", want: "active -> away (silence) until 44s"},
		{rule: "SilenceTimeout", state: "after pagehide: the page ended",
			story: "attach p probe; +1s; pagehide p",
			at:    "5s", want: "active -> away (pagehide) until 20s"},
		{rule: "SilenceTimeout", state: "loading, after pagehide: the lease holds nothing",
			story: "attach p probe; load p id=x; +1s; pagehide p",
			at:    "5s", want: "loading -> away (pagehide) until 20s"},

		// Where the browser cannot be asked, but a worker beats.
		{rule: "SilenceTimeout", state: "active, beats on long-polling",
			story: "attach p; +2s; beat p silent=1s",
			at:    "6s", want: "active -> away (silence) until 36s"},
		{rule: "SilenceTimeout", state: "active, a beat that saw the page run just now",
			story: "attach p; +2s; beat p silent=0s",
			at:    "6s", want: "active -> away (silence) until 36s"},
		{rule: "SilenceTimeout", state: "loading, beats on long-polling",
			story: "attach p; load p id=x; +2s; beat p silent=2s",
			at:    "6s", want: "loading -> away (silence) until 60s"},
		{rule: "SilenceTimeout", state: "loading, back from away by a beat",
			story: "attach p; load p id=x; +2s; beat p silent=2s; +5s; beat p silent=7s",
			at:    "11s", want: "loading -> away (silence) until 60s"},
		{rule: "SilenceTimeout", state: "blocked, beats on long-polling",
			story: "attach p; +3s; beat p silent=3s",
			at:    "7s", want: "blocked -> away (silence) until 37s"},

		// Where nobody can be asked.
		{rule: "PageTimeout", state: "active on long-polling",
			story: "attach p",
			at:    "16s", want: "active -> away (silence) until 46s"},
		{rule: "PageTimeout", state: "active on long-polling, after the page",
			story: "attach p; +10s; pong p",
			at:    "26s", want: "active -> away (silence) until 56s"},
		{rule: "PageTimeout", state: "active, the page answered after the last beat",
			story: "attach p; +1s; beat p silent=1s; +1s; pong p",
			at:    "18s", want: "active -> away (silence) until 48s"},
		{rule: "PageTimeout", state: "active, no probes for anybody",
			story: alone + "attach p probe; +1s; pong p",
			at:    "17s", want: "active -> away (silence) until 47s"},
		{rule: "PageTimeout", state: "blocked, no probes for anybody",
			story: alone + "attach p probe; +3s; browser p",
			at:    "19s", want: "blocked -> away (silence) until 49s"},
		{rule: "PageTimeout", state: "after a load on long-polling",
			story: "attach p; load p id=x; +10s; complete p id=x",
			at:    "26s", want: "active -> away (silence) until 56s"},
		{rule: "PageTimeout", state: "loading on long-polling proves nothing before the lease's end",
			story: "attach p; load p id=x",
			at:    "60s", want: "loading -> away (silence) until 90s"},
		{rule: "PageTimeout", state: "loading, no probes for anybody",
			story: alone + "attach p probe; load p id=x expected=40s; +64s; pong p",
			at:    "80s", want: "loading -> away (silence) until 110s"},
		{rule: "PageTimeout", state: "active after a lease that ended less than PageTimeout after the page",
			story: "attach p; load p id=x; +50s; pong p; +10s",
			at:    "66s", want: "active -> away (silence) until 96s"},

		// Only the browser answers.
		{rule: "BlockedAfter", state: "active, the browser answers",
			story: "attach p probe; +1s; browser p", then: "browser p",
			at: "3s", want: "active -> blocked (page_silent) until 20s"},
		{rule: "BlockedAfter", state: "active, after the page",
			story: "attach p probe; +2s; pong p", then: "browser p",
			at: "5s", want: "active -> blocked (page_silent) until 22s"},
		{rule: "BlockedAfter", state: "active, after a minute of answers in time",
			story: "attach p probe; runs p; +80s; freezes p",
			at:    "83s", want: "active -> blocked (page_silent) until 100s"},
		{rule: "BlockedAfter", state: "active, a beat on long-polling",
			story: "attach p; +7s; pong p", then: "beat p silent=1h",
			at: "10s", want: "active -> blocked (page_silent) until 27s"},
		{rule: "BlockedAfter", state: "active, no probes for anybody",
			story: alone + "attach p probe", then: "browser p",
			at: "3s", want: "active -> blocked (page_silent) until 20s"},
		{rule: "BlockedAfter", state: "back from away: full time again",
			story: "attach p probe; +10s; browser p", then: "browser p",
			at: "13s", want: "active -> blocked (page_silent) until 30s"},
		{rule: "BlockedAfter", state: "after a load",
			story: "attach p probe; load p id=x; freezes p; +30s; complete p id=x", then: "browser p",
			at: "33s", want: "active -> blocked (page_silent) until 50s"},
		{rule: "BlockedAfter", state: "a beat that claims the future",
			story: "attach p probe; +1s; beat p silent=-1h; +1s; browser p", then: "browser p",
			at: "4s", want: "active -> blocked (page_silent) until 21s"},
		{rule: "BlockedAfter", state: "saying pagehide is no sign of a running page",
			story: "attach p probe; +1s; browser p", then: "pagehide p",
			at: "3s", want: "active -> blocked (page_silent) until 20s"},

		{rule: "BlockedTimeout", state: "blocked, the browser answers to the end",
			story: "attach p probe; freezes p; +3s",
			at:    "20s", want: "blocked -> gone (blocked_timeout)"},
		{rule: "BlockedTimeout", state: "blocked, after the page",
			story: "attach p probe; +2s; pong p; freezes p; +3s",
			at:    "22s", want: "blocked -> gone (blocked_timeout)"},
		{rule: "BlockedTimeout", state: "blocked, back from away in between",
			story: "attach p probe; freezes p; +5s; cut p; +5s; browser p; freezes p; +3s",
			at:    "30s", want: "blocked -> gone (blocked_timeout)"},
		{rule: "BlockedTimeout", state: "blocked after a lease",
			story: "attach p probe; load p id=x; +3s; runs p; +44s; freezes p; +13s",
			at:    "80s", want: "blocked -> gone (blocked_timeout)"},
		{rule: "BlockedTimeout", state: "silent throughout a lease",
			story: "attach p probe; load p id=x; freezes p; +60s",
			at:    "80s", want: "blocked -> gone (blocked_timeout)"},
		{rule: "BlockedTimeout", state: "blocked since the last of two leases",
			story: "attach p probe; load p id=x; +10s; load p id=y; freezes p; +60s",
			at:    "90s", want: "blocked -> gone (blocked_timeout)"},
		{rule: "BlockedTimeout", state: "blocked again after a lease that ran out",
			story: "attach p probe; load p id=x; freezes p; +62s; pong p; +3s",
			at:    "82s", want: "blocked -> gone (blocked_timeout)"},
		{rule: "BlockedTimeout", state: "blocked, by beats on long-polling",
			story: "attach p; +3s; beat p silent=3s; +3s; beat p silent=5s; +3s; beat p silent=8s; +3s; beat p silent=11s; " +
				"+3s; beat p silent=14s; +3s; beat p silent=17s; +2s; beat p silent=1h",
			at: "21s", want: "blocked -> gone (blocked_timeout)"},

		// Leases.
		{rule: "LoadTimeout", state: "no expectation",
			story: "attach p probe; runs p; +1s; load p id=x",
			at:    "61s", want: "loading -> active (lease_expired)"},
		{rule: "LoadTimeout", state: "a short expectation",
			story: "attach p probe; runs p; load p id=x expected=29.999999999s",
			at:    "60s", want: "loading -> active (lease_expired)"},
		{rule: "LoadTimeout", state: "twice the expectation",
			story: "attach p probe; runs p; load p id=x expected=40s",
			at:    "80s", want: "loading -> active (lease_expired)"},
		{rule: "LoadTimeout", state: "an absurd expectation is no expectation",
			story: "attach p probe; runs p; load p id=x expected=-2562047h",
			at:    "60s", want: "loading -> active (lease_expired)"},
		{rule: "LoadTimeout", state: "after a reconnect that leaves it open",
			story: "attach p page=a probe; load p id=x; +10s; attach p page=a probe loads=x; runs p",
			at:    "60s", want: "loading -> active (lease_expired)"},
		{rule: "LoadTimeout", state: "the latest of several",
			story: "attach p probe; runs p; load p id=x; +10s; load p id=y",
			at:    "70s", want: "loading -> active (lease_expired)"},
		{rule: "LoadTimeout", state: "page silent for less than BlockedAfter",
			story: "attach p probe; load p id=x; freezes p; +57.5s; pong p",
			at:    "60s", want: "loading -> active (lease_expired)"},
		{rule: "LoadTimeout", state: "page silent for BlockedAfter, as the last answer knew",
			story: "attach p probe; load p id=x; freezes p; +56.5s; pong p",
			at:    "60s", want: "loading -> blocked (lease_expired) until 80s"},
		{rule: "LoadTimeout", state: "page silent throughout",
			story: "attach p probe; load p id=x; freezes p",
			at:    "60s", want: "loading -> blocked (lease_expired) until 80s"},
		{rule: "LoadTimeout", state: "on long-polling, page lately heard",
			story: "attach p; load p id=x; +50s; pong p",
			at:    "60s", want: "loading -> active (lease_expired)"},
		{rule: "LoadTimeout", state: "extended",
			story: "attach p probe; load p id=x; runs p; +50s; progress p id=x expected=40s",
			at:    "130s", want: "loading -> active (lease_expired)"},
		{rule: "LoadCap", state: "a long expectation",
			story: "attach p probe; runs p; load p id=x expected=91s",
			at:    "180s", want: "loading -> active (lease_expired)"},
		{rule: "LoadCap", state: "an absurd expectation",
			story: "attach p probe; runs p; load p id=x expected=2562047h",
			at:    "180s", want: "loading -> active (lease_expired)"},
		{rule: "LoadCap", state: "extended, counted from the start",
			story: "attach p probe; runs p; load p id=x; +50s; progress p id=x expected=90s",
			at:    "180s", want: "loading -> active (lease_expired)"},
		{rule: "LoadBudget", state: "what is left of it",
			story: "policy LoadBudget=80s LoadCap=60s; attach p probe; runs p; load p id=x; +50s; complete p id=x; +10s; load p id=y",
			at:    "90s", want: "loading -> active (lease_expired)"},
		{rule: "LoadBudget", state: "one load, extended",
			story: "policy LoadBudget=100s LoadCap=100s; attach p probe; runs p; load p id=x; +50s; complete p id=x; load p id=y; +10s; progress p id=y expected=90s",
			at:    "100s", want: "loading -> active (lease_expired)"},
		{rule: "LoadBudget", state: "what is left of it, beside an open load",
			story: "policy LoadBudget=100s LoadCap=100s; attach p probe; runs p; load p id=x; +50s; load p id=y expected=50s",
			at:    "100s", want: "loading -> active (lease_expired)"},
		{rule: "LoadBudget", state: "none",
			story: "policy LoadBudget=-1s; attach p probe; runs p; load p expected=90s; +180s; load p expected=90s; +180s; load p expected=90s; +180s; load p expected=90s",
			at:    "720s", want: "loading -> active (lease_expired)"},

		// Holds after a lost network.
		{rule: "ReconnectTimeout", state: "active, reset",
			story: "attach p probe; +1s; close p transport_lost",
			at:    "31s", want: "away -> gone (reconnect_timeout)"},
		{rule: "ReconnectTimeout", state: "active, closed by the guard",
			story: "attach p probe; +1s; close p refused",
			at:    "31s", want: "away -> gone (reconnect_timeout)"},
		{rule: "ReconnectTimeout", state: "active on long-polling",
			story: "attach p; +1s; close p transport_lost",
			at:    "31s", want: "away -> gone (reconnect_timeout)"},
		{rule: "ReconnectTimeout", state: "active, silence",
			story: "attach p probe; +4s",
			at:    "34s", want: "away -> gone (reconnect_timeout)"},
		{rule: "ReconnectTimeout", state: "silence, then a reset",
			story: "attach p probe; +33s; close p transport_lost",
			at:    "34s", want: "away -> gone (reconnect_timeout)"},
		{rule: "ReconnectTimeout", state: "blocked, reset",
			story: "attach p probe; freezes p; +10s; close p transport_lost",
			at:    "40s", want: "away -> gone (reconnect_timeout)"},
		{rule: "ReconnectTimeout", state: "loading, held to the lease's deadline",
			story: "attach p probe; load p id=x; +1s; close p transport_lost",
			at:    "60s", want: "away -> gone (reconnect_timeout)"},
		{rule: "ReconnectTimeout", state: "loading, silence, held to the lease's deadline",
			story: "attach p probe; load p id=x expected=50s; freezes p; +10s; cut p; +4s",
			at:    "100s", want: "away -> gone (reconnect_timeout)"},
		{rule: "ReconnectTimeout", state: "loading, where the lease ends earlier",
			story: "attach p probe; load p id=x; freezes p; +50s; close p transport_lost",
			at:    "80s", want: "away -> gone (reconnect_timeout)"},
		{rule: "ReconnectTimeout", state: "loading several, held to the latest deadline",
			story: "attach p probe; load p id=x; load p id=y expected=45s; +1s; close p transport_lost",
			at:    "90s", want: "away -> gone (reconnect_timeout)"},
		{rule: "ReconnectTimeout", state: "lost again after a return",
			story: "attach p page=a probe; +1s; close p transport_lost; +29s; attach p page=a probe; +1s; close p transport_lost",
			at:    "61s", want: "away -> gone (reconnect_timeout)"},
		{rule: "ReconnectTimeout", state: "restart",
			story: "attach p probe; runs p; +10s; restart 2s",
			at:    "42s", want: "away -> gone (reconnect_timeout)"},
		{rule: "ReconnectTimeout", state: "restart while loading",
			story: "attach p probe; load p id=x expected=50s; runs p; +10s; restart 2s",
			at:    "100s", want: "away -> gone (reconnect_timeout)"},
		{rule: "ReconnectTimeout", state: "restart while away",
			story: "attach p probe; +1s; close p transport_lost; +29s; restart 2s",
			at:    "62s", want: "away -> gone (reconnect_timeout)"},

		// Holds after the page ended.
		{rule: "LeaveTimeout", state: "active, closed by the browser",
			story: "attach p probe; +1s; close p page_closed",
			at:    "16s", want: "away -> gone (leave_timeout)"},
		{rule: "LeaveTimeout", state: "active, said goodbye",
			story: "attach p probe; +1s; close p disconnected",
			at:    "16s", want: "away -> gone (leave_timeout)"},
		{rule: "LeaveTimeout", state: "active on long-polling",
			story: "attach p; +1s; close p page_closed",
			at:    "16s", want: "away -> gone (leave_timeout)"},
		{rule: "LeaveTimeout", state: "active, pagehide and a reset",
			story: "attach p probe; +1s; pagehide p; +1s; close p transport_lost",
			at:    "17s", want: "away -> gone (leave_timeout)"},
		{rule: "LeaveTimeout", state: "active, pagehide and silence",
			story: "attach p probe; pagehide p; +4s",
			at:    "19s", want: "away -> gone (leave_timeout)"},
		{rule: "LeaveTimeout", state: "pagehide, silence, and a close that only confirms it",
			story: "attach p probe; pagehide p; +14s; close p page_closed",
			at:    "19s", want: "away -> gone (leave_timeout)"},
		{rule: "LeaveTimeout", state: "blocked, closed by the browser",
			story: "attach p probe; freezes p; +10s; close p page_closed",
			at:    "25s", want: "away -> gone (leave_timeout)"},
		{rule: "LeaveTimeout", state: "loading, closed by the browser",
			story: "attach p probe; load p id=x expected=90s; freezes p; +10s; close p page_closed",
			at:    "25s", want: "away -> gone (leave_timeout)"},
		{rule: "LeaveTimeout", state: "loading, pagehide and a reset",
			story: "attach p probe; load p id=x; +1s; pagehide p; close p transport_lost",
			at:    "16s", want: "away -> gone (leave_timeout)"},
		{rule: "LeaveTimeout", state: "away, then closed by the browser",
			story: "attach p probe; load p id=x; +10s; close p page_closed",
			at:    "25s", want: "away -> gone (leave_timeout)"},
		{rule: "LeaveTimeout", state: "restart after a closed tab",
			story: "attach p probe; load p id=x; close p page_closed; +1s; restart 2s",
			at:    "18s", want: "away -> gone (leave_timeout)"},
	} {
		t.Run(c.rule+"/"+c.state, func(t *testing.T) {
			at, err := time.ParseDuration(c.at)
			if err != nil {
				t.Fatal(err)
			}
			tell := func() *world {
				w := newWorld(grace.Policy{})
				if err := w.script(c.story); err != nil {
					t.Fatal(err)
				}
				w.said()
				return w
			}
			then := c.then
			if then == "" {
				then = "advance"
			}
			want := seconds(at)
			want += strings.Repeat(" ", max(0, 8-len(want))) + " p "

			for _, loop := range []struct {
				name string
				to   func(w *world, d time.Duration)
			}{
				{"punctual", func(w *world, d time.Duration) { w.pass(d) }},
				{"late", func(w *world, d time.Duration) { w.now = w.now.Add(d) }},
			} {
				before := tell()
				answering := before.people["p"].answers
				if loop.name == "late" && answering {
					continue // somebody must be there to answer
				}
				loop.to(before, before.start.Add(at-1).Sub(before.now))
				if err := before.script(then); err != nil {
					t.Fatal(err)
				}
				if said := before.said(); said != "" {
					t.Errorf("%s, 1 ns before: %s", loop.name, said)
				}

				exactly := tell()
				loop.to(exactly, exactly.start.Add(at-1).Sub(exactly.now))
				exactly.now = exactly.now.Add(1)
				if err := exactly.script(then); err != nil {
					t.Fatal(err)
				}
				said := strings.TrimSuffix(exactly.said(), "\n")
				number, change, _ := strings.Cut(strings.TrimPrefix(said, want), " ")
				if !strings.HasPrefix(said, want) || !strings.HasPrefix(number, "#") || change != c.want {
					t.Errorf("%s, at %s:\ngot  %s\nwant %s#n %s", loop.name, c.at, said, want, c.want)
				}
			}
		})
	}
}
