package e2e

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"initgrace/grace"
	"initgrace/grace/protocol"
	"initgrace/server"
	"initgrace/server/simulate"
)

const adminToken = "the experimenter's token"

// A performance is a simulation that goes on while its dashboard is looked at.
type performance struct {
	lab      *Lab
	page     *Page
	progress chan simulate.Progress
	done     chan struct{}
	end      func() // and waits for it
}

// perform starts a server, its dashboard, and a simulation of participants.
func perform(t *testing.T, participants int, length time.Duration, scale float64) *performance {
	t.Helper()
	policy := grace.Policy{}.WithDefaults()
	for _, d := range []*time.Duration{
		&policy.ProbeInterval, &policy.SilenceTimeout, &policy.BlockedAfter, &policy.BlockedTimeout, &policy.LoadTimeout,
		&policy.LoadCap, &policy.LoadBudget, &policy.ReconnectTimeout, &policy.LeaveTimeout, &policy.PageTimeout,
	} {
		*d = time.Duration(float64(*d) / scale)
	}
	l := newStudy(t, study, func(c *server.Config) {
		c.Policy = policy
		c.AdminToken, c.PageInterval, c.Site = adminToken, time.Duration(float64(2*time.Second)/scale), nil
		c.Limits.Handshakes, c.Limits.PerAddress = -1, -1
		c.Logger = slog.New(slog.DiscardHandler) // thousands of lines
	})
	p := &performance{lab: l, progress: make(chan simulate.Progress, 1)}
	p.page = l.experimenter(t)
	ctx, cancel := context.WithCancel(context.Background())
	p.done = make(chan struct{})
	go func() {
		defer close(p.done)
		_, err := simulate.Run(ctx, &simulate.Options{
			URL: l.URL, Participants: participants, Seed: 7, Duration: length, Scale: scale,
			Progress: func(now simulate.Progress) {
				select {
				case <-p.progress:
				default:
				}
				p.progress <- now
			},
		})
		if err != nil && ctx.Err() == nil {
			t.Error(err)
		}
	}()
	p.end = func() { cancel(); <-p.done }
	t.Cleanup(p.end)
	return p
}

// until waits until the simulation has come so far.
func (p *performance) until(t *testing.T, ok func(simulate.Progress) bool) {
	t.Helper()
	deadline := time.After(4 * time.Minute)
	for {
		select {
		case now := <-p.progress:
			if ok(now) {
				return
			}
		case <-deadline:
			t.Fatal("the simulation does not get on")
		}
	}
}

// experimenter opens the dashboard and logs in, as a person does.
func (l *Lab) experimenter(t testing.TB) *Page {
	t.Helper()
	p := open(t, "experimenter", l.URL+"/admin/")
	p.awaitPage(`document.querySelector("#token")`)
	await[any](p, `(() => {
		document.querySelector("#token").value = `+strconv.Quote(adminToken)+`;
		document.querySelector("form").requestSubmit();
	})()`)
	p.awaitPage(`globalThis.dashboard?.view.complete`)
	return p
}

// export reads a table as an analysis gets it.
func (l *Lab) export(query string, into func(row map[string]any)) {
	l.t.Helper()
	req, err := http.NewRequest("GET", l.URL+"/admin/export?format=jsonl&"+query, nil)
	if err != nil {
		l.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+adminToken)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		l.t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(res.Body)
		l.t.Fatalf("%s: %s", res.Status, text)
	}
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var row map[string]any
		if err := json.Unmarshal(lines.Bytes(), &row); err != nil {
			l.t.Fatal(err)
		}
		into(row)
	}
	if err := lines.Err(); err != nil {
		l.t.Fatal(err)
	}
}

// shownLane is a lane as the page has it.
type shownLane struct {
	Participant string            `json:"participant"`
	Presence    protocol.Presence `json:"presence"`
	Sections    [][4]any          `json:"sections"`
	Gaps        [][3]any          `json:"gaps"`
	Loads       []struct {
		ID     string  `json:"id"`
		Start  float64 `json:"start"`
		End    float64 `json:"end"`
		Result string  `json:"result"`
	} `json:"loads"`
}

// TestDashboardShowsTheLog: after a simulation in which everything happens, the
// lanes on the page are what the export says: every presence of everybody, to
// the millisecond, and every load.
func TestDashboardShowsTheLog(t *testing.T) {
	p := perform(t, 12, 40*time.Second, 4)
	select {
	case <-p.done: // and everybody has left
	case <-time.After(4 * time.Minute):
		t.Fatal("the simulation does not end")
	}
	l := p.lab

	type step struct {
		At       int64
		Presence string
	}
	type load struct {
		ID, Result string
		Took       int64
	}
	presences, loads, gaps := map[string][]step{}, map[string][]load{}, map[string]int64{} // of gaps: the sum
	records := 0
	count := func() {
		clear(presences)
		clear(loads)
		clear(gaps)
		records = 0
		l.export("", func(row map[string]any) {
			records++
			who, _ := row["participant"].(string)
			at, err := time.Parse(time.RFC3339Nano, row["at"].(string))
			if err != nil {
				t.Fatal(err)
			}
			switch row["kind"] {
			case "presence":
				if row["from_presence"] != row["to_presence"] {
					presences[who] = append(presences[who], step{at.UnixMilli(), row["to_presence"].(string)})
				}
			case "gap":
				gaps[who] += int64(row["duration_ms"].(float64))
			case "load_ended":
				loads[who] = append(loads[who], load{row["load_id"].(string), row["reason"].(string), int64(row["duration_ms"].(float64))})
			}
		})
	}
	// Nothing more happens once everybody is gone: then page and log can be compared.
	p.page.awaitPage(`dashboard.view.lanes.size >= 12 && [...dashboard.view.lanes.values()].every((l) => l.presence === "gone")`)
	count()
	p.page.awaitPage(`dashboard.view.totals.records >= ` + strconv.Itoa(records))
	count()
	lanes := await[[]shownLane](p.page, `[...dashboard.view.lanes.values()]`)
	if len(lanes) != len(presences) || len(lanes) < 12 {
		t.Fatalf("%d lanes are shown, and %d participants are in the log", len(lanes), len(presences))
	}
	kinds := map[string]int{}
	for _, lane := range lanes {
		var shown []step
		for _, s := range lane.Sections {
			presence := s[1].(string)
			if presence != "" && (len(shown) == 0 || shown[len(shown)-1].Presence != presence) {
				shown = append(shown, step{int64(s[0].(float64)), presence})
				kinds[presence]++
			}
		}
		logged := presences[lane.Participant]
		if len(shown) != len(logged) {
			t.Errorf("%s: shown %v, logged %v", lane.Participant, shown, logged)
			continue
		}
		for i := range shown {
			if shown[i] != logged[i] {
				t.Errorf("%s, step %d: shown %v, logged %v", lane.Participant, i, shown[i], logged[i])
			}
		}
		var missing int64
		for _, gap := range lane.Gaps {
			length := int64(gap[1].(float64) - gap[0].(float64))
			least := l.Policy.SilenceTimeout
			if gap[2] == "page_silent" {
				least = l.Policy.BlockedAfter
			}
			if length < least.Milliseconds()-1 && gap[2] != "suspect_proxy" {
				t.Errorf("%s: %v is a gap of %d ms, and nothing follows from less than %v", lane.Participant, gap, length, least)
			}
			missing += length
			kinds[gap[2].(string)]++
		}
		if missing != gaps[lane.Participant] {
			t.Errorf("%s: gaps of %d ms are shown and of %d ms logged: %v", lane.Participant, missing, gaps[lane.Participant], lane.Gaps)
		}
		if len(lane.Loads) != len(loads[lane.Participant]) {
			t.Errorf("%s: %d loads are shown and %d logged", lane.Participant, len(lane.Loads), len(loads[lane.Participant]))
		}
		for _, s := range lane.Loads {
			found := false
			for _, logged := range loads[lane.Participant] {
				found = found || logged == load{s.ID, s.Result, int64(s.End - s.Start)}
			}
			if !found {
				t.Errorf("%s: the load %+v is not in the log: %v", lane.Participant, s, loads[lane.Participant])
			}
		}
	}
	for _, kind := range []string{"active", "loading", "blocked", "away", "gone", "silence", "page_silent"} {
		if kinds[kind] == 0 {
			t.Errorf("there was never %s: the simulation shows too little (%v)", kind, kinds)
		}
	}
	// Filter and search leave the right ones.
	name := lanes[3].Participant
	await[any](p.page, `(() => {
		const search = document.querySelector("#search");
		search.value = `+strconv.Quote(strings.ToUpper(name))+`;
		search.dispatchEvent(new Event("input"));
	})()`)
	if rows := await[[]string](p.page, `dashboard.lanes.rows.map((l) => l.participant)`); len(rows) != 1 || rows[0] != name {
		t.Errorf("searching %s shows %v", name, rows)
	}
}

// TestDashboardActs: what the buttons do, happens.
func TestDashboardActs(t *testing.T) {
	l := newLab(t, func(c *server.Config) { c.AdminToken = adminToken })
	l.open("plain.html", "somebody", "")
	l.WaitFor("somebody", protocol.Active, patience)
	p := l.experimenter(t)
	p.awaitPage(`dashboard.lanes.rows.length === 1`)
	await[any](p, `(() => {
		const lanes = document.querySelector("#lanes");
		lanes.focus();
		lanes.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowDown", bubbles: true }));
	})()`)
	p.awaitPage(`document.querySelector("#details h2").textContent === "somebody"`)
	await[any](p, `(() => {
		document.querySelector("#notice input").value = "hello";
		document.querySelector("#notice").requestSubmit();
	})()`)
	p.awaitPage(`document.querySelector("#outcome").textContent === "sent"`)
	await[any](p, `document.querySelector("#end").click()`)
	p.awaitPage(`document.querySelector("#confirm").open`)
	await[any](p, `document.querySelector("#confirm [value=yes]").click()`)
	if c := l.WaitFor("somebody", protocol.Gone, patience); c.Reason != protocol.ReasonEnded {
		t.Errorf("gone because of %s", c.Reason)
	}
	p.awaitPage(`dashboard.view.lanes.get("somebody").presence === "gone"`)
	await[any](p, `document.querySelector("#logout").click()`)
	p.awaitPage(`document.querySelector("#token")`)
}

// TestDashboardOfMany: with 500 participants no task of the page's main thread
// takes 50 ms: not when the page is opened and gets all of them at once, not
// while it follows them, and not while somebody looks around. Counted is what
// the thread itself computed, which is what the page costs; a participant's 500
// machines are not on the experimenter's. INITGRACE_LOAD_TESTS asks for it.
func TestDashboardOfMany(t *testing.T) {
	if os.Getenv("INITGRACE_LOAD_TESTS") == "" {
		t.Skip("INITGRACE_LOAD_TESTS is not set")
	}
	p := perform(t, 500, 50*time.Second, 1)
	p.until(t, func(now simulate.Progress) bool { return now.Connected == 500 })
	p.page.awaitPage(`dashboard.view.lanes.size >= 500`)
	var records, frames int
	tasks := p.page.traced(func() {
		p.page.goTo(p.lab.URL + "/admin/")
		p.page.awaitPage(`globalThis.dashboard?.view.complete`)
		frames = await[int](p.page, lookAround)
		records = await[int](p.page, `dashboard.view.totals.records`)
	})
	longest := slices.MaxFunc(tasks, func(a, b task) int { return cmp.Compare(a.CPU, b.CPU) })
	slowest := slices.MaxFunc(tasks, func(a, b task) int { return cmp.Compare(a.Wall, b.Wall) })
	t.Logf("%d tasks; the longest computed for %v, and the one that took longest took %v; %d frames; %d events", len(tasks), longest.CPU, slowest.Wall, frames, records)
	for _, k := range tasks {
		if k.CPU >= 20*time.Millisecond || k.Wall >= 50*time.Millisecond {
			t.Logf("after %v: computed for %v in %v: %s", k.At, k.CPU, k.Wall, k.Of)
		}
	}
	if longest.CPU >= 50*time.Millisecond {
		t.Errorf("the main thread was busy for %v with %s", longest.CPU, longest.Of)
	}
	p.page.shoot("dashboard-500")
}

// lookAround is what an experimenter does for half a minute.
const lookAround = `(async () => {
	const $ = (selector) => document.querySelector(selector);
	const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
	const set = (selector, value) => {
		$(selector).value = value;
		$(selector).dispatchEvent(new Event($(selector).type === "search" ? "input" : "change"));
	};
	let frames = 0;
	const frame = () => { frames++; requestAnimationFrame(frame); };
	requestAnimationFrame(frame);
	const lanes = $("#lanes"), orders = ["group", "trouble", "name", "recent"], windows = [60, 3600, 300];
	for (let i = 0; i < 300; i++) {
		lanes.scrollTop = (i * 97) % (lanes.scrollHeight - lanes.clientHeight);
		if (i % 25 === 0) set("#order", orders[(i / 25) % 4]);
		if (i % 40 === 0) set("#window", windows[(i / 40) % 3]);
		if (i % 60 === 30) set("#search", ["1", "p", "", "7"][Math.floor(i / 60) % 4]);
		if (i % 60 === 50) set("#search", "");
		if (i % 10 === 5) lanes.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowDown", bubbles: true }));
		await pause(100);
	}
	return frames;
})()`

// TestDashboardPictures takes those of the README, if they are asked for.
func TestDashboardPictures(t *testing.T) {
	if os.Getenv("INITGRACE_SCREENSHOTS") == "" {
		t.Skip("INITGRACE_SCREENSHOTS is not set")
	}
	p := perform(t, 40, 90*time.Second, 1)
	p.page.awaitPage(`dashboard.view.lanes.size > 40`)
	seen := 0
	for deadline := time.Now().Add(4 * time.Minute); time.Now().Before(deadline); time.Sleep(500 * time.Millisecond) {
		kinds := await[int](p.page, `new Set([...dashboard.view.lanes.values()].map((l) => l.presence)).size`)
		if now := await[float64](p.page, `dashboard.view.now() - Math.min(...[...dashboard.view.lanes.values()].map((l) => l.sections[0]?.[0] ?? Infinity))`); kinds == 5 && now > 60_000 {
			if seen++; seen > 1 {
				break
			}
		}
	}
	dress := func(name string, width, height int64, scheme string, mobile bool) {
		t.Helper()
		call := func(err error) {
			if err != nil {
				t.Fatal(err)
			}
		}
		_, err := chromedp.Call(p.page.ctx, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
			Width: width, Height: height, DeviceScaleFactor: 1, Mobile: mobile,
		})
		call(err)
		_, err = chromedp.Call(p.page.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		})
		call(err)
		await[any](p.page, `new Promise((resolve) => setTimeout(resolve, 1500))`)
		p.page.shoot(name)
	}
	await[any](p.page, `(() => {
		document.querySelector("#window").value = "180";
		document.querySelector("#window").dispatchEvent(new Event("change"));
	})()`)
	dress("dashboard", 1280, 900, "light", false)
	dress("dashboard-dark", 1280, 900, "dark", false)
	await[any](p.page, `(() => {
		const order = document.querySelector("#order");
		order.value = "trouble";
		order.dispatchEvent(new Event("change"));
	})()`)
	dress("dashboard-phone", 390, 844, "light", true)
	await[any](p.page, `document.querySelector("#lanes").dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowDown", bubbles: true }))`)
	dress("dashboard-phone-details", 390, 844, "dark", true)
	dress("dashboard-details", 1280, 900, "light", false)
}
