package admin_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"initgrace/grace/protocol"
	"initgrace/server"
	"initgrace/server/admin"
	"initgrace/server/live"
	"initgrace/server/store/memory"
	"initgrace/server/store/sqlite"
	"initgrace/wasmclient"
)

const (
	token    = "the experimenter's token"
	somebody = "marked-person-17" // a name that must not be seen
)

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

// rig is a real server with one real participant.
type rig struct {
	t      *testing.T
	url    string
	secret []byte
	page   *wasmclient.Client
	notice chan string
	asked  int
}

func start(t *testing.T, token string) *rig {
	t.Helper()
	db := memory.New()
	r := &rig{t: t, notice: make(chan string, 10)}
	var err error
	if r.secret, err = db.Secret(t.Context()); err != nil {
		t.Fatal(err)
	}
	srv, err := server.New(server.Config{
		Store: db, AdminToken: token, Logger: slog.New(slog.DiscardHandler), TrustedProxies: []string{"127.0.0.1"},
	})
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(srv)
	r.url = web.URL
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := srv.Close(ctx); err != nil {
			t.Error(err)
		}
		web.Close()
	})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r.page, err = wasmclient.Dial(ctx, r.url, &wasmclient.Options{
		Participant: somebody, Handlers: map[string]func([]byte){protocol.EventNotice: func(data []byte) {
			var n protocol.Notice
			json.Unmarshal(data, &n)
			r.notice <- n.Text
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.page.Close(context.Background()) })
	return r
}

// do asks, and reads at most the first chunk of what streams on.
func (r *rig) do(pattern string, change func(*http.Request)) (status int, text string) {
	r.t.Helper()
	method, path, _ := strings.Cut(pattern, " ")
	if strings.HasPrefix(path, "/debug/pprof/") && path != "/debug/pprof/" {
		path += "?seconds=0.05"
	}
	body := map[string]string{
		"/admin/login": `{"token":"wrong"}`,
		"/admin/act":   `{"participant":"` + somebody + `","action":"notify","text":"hello"}`,
	}[path]
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, r.url+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	if method == "POST" {
		req.Header.Set("Content-Type", "application/json")
	}
	r.asked++ // each from an address of its own, or soon none would be listened to
	req.Header.Set("X-Forwarded-For", fmt.Sprintf("10.0.%d.%d", r.asked/256, r.asked%256))
	change(req)
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	if res.Header.Get("Content-Type") == "text/event-stream" {
		lines := bufio.NewReader(res.Body)
		for !strings.Contains(text, `"complete"`) {
			line, err := lines.ReadString('\n')
			if err != nil {
				r.t.Fatal(err)
			}
			text += line
		}
		return res.StatusCode, text
	}
	all, err := io.ReadAll(res.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return res.StatusCode, string(all)
}

func bearer(token string) func(*http.Request) {
	return func(req *http.Request) { req.Header.Set("Authorization", "Bearer "+token) }
}

// TestNothingIsShown goes over every route there is with everything that is
// not enough.
func TestNothingIsShown(t *testing.T) {
	r := start(t, token)
	off := start(t, "")
	good := admin.Cookie(token, r.secret, time.Now().Add(time.Hour))
	with := func(cookie *http.Cookie, headers ...string) func(*http.Request) {
		return func(req *http.Request) {
			if cookie != nil {
				req.AddCookie(cookie)
			}
			for i := 0; i < len(headers); i += 2 {
				req.Header.Set(headers[i], headers[i+1])
			}
		}
	}
	named := func(value string) *http.Cookie { return &http.Cookie{Name: good.Name, Value: value} }
	stamp, mac, _ := strings.Cut(good.Value, ".")
	refused := []struct {
		name   string
		change func(*http.Request)
		always bool // public routes refuse it, too
	}{
		{"no token", with(nil), false},
		{"wrong token", bearer("wrong"), false},
		{"empty token", bearer(""), false},
		{"token in the address", func(req *http.Request) { req.URL.RawQuery = url.Values{"token": {token}}.Encode() }, false},
		{"basic auth", func(req *http.Request) { req.SetBasicAuth("admin", token) }, false},
		{"expired cookie", with(admin.Cookie(token, r.secret, time.Now().Add(-time.Second))), false},
		{"cookie of another token", with(admin.Cookie("other", r.secret, time.Now().Add(time.Hour))), false},
		{"cookie of another server", with(admin.Cookie(token, off.secret, time.Now().Add(time.Hour))), false},
		{"prolonged cookie", with(named(stamp + "0." + mac)), false},
		{"cookie without signature", with(named(stamp)), false},
		{"empty cookie", with(named("")), false},
		{"the token as cookie", with(named("the-token")), false},
		{"another origin", with(good, "Origin", "https://evil.example"), true},
		{"an opaque origin", with(good, "Origin", "null"), true},
		{"another port", with(good, "Origin", "http://127.0.0.1:1"), true},
		{"another site", with(good, "Sec-Fetch-Site", "cross-site"), true},
		{"a sibling site", with(good, "Sec-Fetch-Site", "same-site"), true},
		{"another origin, with the token", func(req *http.Request) {
			bearer(token)(req)
			req.Header.Set("Origin", "https://evil.example")
		}, true},
	}
	routes := admin.Routes()
	if len(routes) < 12 {
		t.Fatalf("only %d routes", len(routes))
	}
	for _, want := range []string{
		"GET /admin/", "GET /admin/events", "POST /admin/act", "GET /admin/export", "GET /metrics", "GET /debug/pprof/", "GET /debug/pprof/profile", "GET /debug/pprof/trace",
	} {
		if !slices.Contains(routes, admin.Route{Pattern: want}) {
			t.Errorf("%s is not a route, or everybody's", want)
		}
	}
	for _, page := range []string{"index.html", "app.js", "view.js", "lanes.js", "details.js", "charts.js", "paint.js", "style.css", "uplot.js", "uplot.css"} {
		routes = append(routes, admin.Route{Pattern: "GET /admin/" + page})
	}
	for _, route := range append(routes, admin.Route{Pattern: "GET /admin/nothing"}, admin.Route{Pattern: "GET /debug/pprof/heap"},
		admin.Route{Pattern: "PUT /admin/act"}, admin.Route{Pattern: "HEAD /metrics"}) {
		// What is refused below would be given: the test can fail.
		if status, text := r.do(route.Pattern, bearer(token)); route.Pattern != "GET /admin/nothing" && route.Pattern != "PUT /admin/act" &&
			status != http.StatusOK && !strings.Contains(text, "not built in") && !strings.Contains(text, "not the token") {
			t.Errorf("%s with the token: %d %.200s", route.Pattern, status, text)
		}
		for _, c := range refused {
			if route.Public && !c.always {
				if _, text := r.do(route.Pattern, c.change); strings.Contains(text, somebody) {
					t.Errorf("%s with %s shows somebody", route.Pattern, c.name)
				}
				continue
			}
			status, text := r.do(route.Pattern, c.change)
			redirected := status == http.StatusSeeOther && route.Pattern == "GET /admin/" && !c.always
			if status != http.StatusUnauthorized && status != http.StatusForbidden && !redirected {
				t.Errorf("%s with %s: %d", route.Pattern, c.name, status)
			}
			if len(text) > 200 || strings.Contains(text, somebody) || strings.Contains(text, "initgrace_") {
				t.Errorf("%s with %s shows %.300s", route.Pattern, c.name, text)
			}
		}
		if method, _, _ := strings.Cut(route.Pattern, " "); method == "POST" && !route.Public {
			if status, _ := r.do(route.Pattern, with(good)); status != http.StatusForbidden {
				t.Errorf("%s with a cookie, and without an origin: %d", route.Pattern, status)
			}
			if status, _ := r.do(route.Pattern, with(good, "Origin", r.url)); status != http.StatusOK {
				t.Errorf("%s with a cookie, from the own page: %d", route.Pattern, status)
			}
		}
		if status, _ := off.do(route.Pattern, bearer("")); status != http.StatusNotFound {
			t.Errorf("%s of a server without a token: %d", route.Pattern, status)
		}
	}
}

// TestRoutesAreListed: nothing is served but what TestNothingIsShown goes over.
func TestRoutesAreListed(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) < 8 {
		t.Fatalf("%v, %v", files, err)
	}
	handles := 0
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(name, "_test.go") {
			handles += bytes.Count(text, []byte(".Handle(")) + bytes.Count(text, []byte(".HandleFunc("))
		}
	}
	if handles != 1 {
		t.Errorf("handlers are registered at %d places, not only from routes", handles)
	}
	text, err := os.ReadFile("../routes.go")
	if err != nil {
		t.Fatal(err)
	}
	// Whoever adds a route to the server decides here that it is everybody's.
	known := []string{"prefix, experimenter", `"/socket.io/"`, `"GET /healthz"`, `"GET /readyz"`, `"POST "+beatPath`, `"POST "+pageHidePath`,
		"relay.Path, s.relay", // asks for a key
		`"/", pages`}
	calls := regexp.MustCompile(`\.Handle(?:Func)?\((.*)`).FindAllStringSubmatch(string(text), -1)
	for _, call := range calls {
		if !slices.ContainsFunc(known, func(k string) bool { return strings.HasPrefix(call[1], k) }) {
			t.Errorf("is this for everybody? %s", call[0])
		}
	}
	if len(calls) != len(known) {
		t.Errorf("%d routes of the server, want %d", len(calls), len(known))
	}
}

func TestLogin(t *testing.T) {
	r := start(t, token)
	post := func(path, kind, body string, cookie *http.Cookie) *http.Response {
		req, err := http.NewRequest("POST", r.url+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", kind)
		req.Header.Set("Origin", r.url)
		if cookie != nil {
			req.AddCookie(cookie)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		return res
	}
	for _, c := range []struct {
		kind, body string
		want       int
	}{
		{"application/json", `{"token":"nearly"}`, http.StatusUnauthorized},
		{"application/json", `{}`, http.StatusUnauthorized},
		{"application/json", `{`, http.StatusBadRequest},
		{"application/json", `{"token":"` + strings.Repeat("x", 20<<10) + `"}`, http.StatusRequestEntityTooLarge},
		{"text/plain", `{"token":"` + token + `"}`, http.StatusUnsupportedMediaType},
	} {
		if res := post("/admin/login", c.kind, c.body, nil); res.StatusCode != c.want || len(res.Cookies()) != 0 {
			t.Errorf("%s %.40s: %s, %v", c.kind, c.body, res.Status, res.Cookies())
		}
	}
	res := post("/admin/login", "application/json; charset=utf-8", `{"token":"`+token+`"}`, nil)
	if res.StatusCode != http.StatusOK || len(res.Cookies()) != 1 {
		t.Fatalf("%s, %v", res.Status, res.Cookies())
	}
	cookie := res.Cookies()[0]
	if !cookie.HttpOnly || cookie.SameSite != http.SameSiteStrictMode || cookie.Secure || strings.Contains(cookie.Value, token) {
		t.Errorf("the cookie: %+v", cookie)
	}
	for _, path := range []string{"/metrics", "/debug/pprof/", "/admin/export"} {
		if status, _ := r.do("GET "+path, func(req *http.Request) { req.AddCookie(cookie) }); status != http.StatusOK {
			t.Errorf("%s with the cookie: %d", path, status)
		}
	}
	res = post("/admin/logout", "application/json", "", cookie)
	if out := res.Cookies(); res.StatusCode != http.StatusOK || len(out) != 1 || out[0].MaxAge >= 0 || out[0].Value != "" {
		t.Errorf("logging out: %s %v", res.Status, out)
	}
}

// act does something to the participant.
func (r *rig) act(body string) (status int, answer map[string]any) {
	r.t.Helper()
	status, text := r.do("POST /admin/act", func(req *http.Request) {
		bearer(token)(req)
		req.Body, req.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
	})
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		r.t.Fatalf("%s: %v", text, err)
	}
	return status, answer
}

// TestActions does everything that can be done, and finds it in the log.
func TestActions(t *testing.T) {
	r := start(t, token)
	for _, c := range []struct {
		body   string
		status int
		code   protocol.Code
	}{
		{`{}`, 400, protocol.CodeInvalidPayload},
		{`{"participant":"` + somebody + `","action":"explode"}`, 400, protocol.CodeInvalidPayload},
		{`{"participant":"` + somebody + `","action":"extend"}`, 400, protocol.CodeInvalidPayload},
		{`{"participant":"` + somebody + `","action":"extend","by_ms":900001}`, 400, protocol.CodeInvalidPayload},
		{`{"participant":"` + somebody + `","action":"notify","text":"  "}`, 400, protocol.CodeInvalidPayload},
		{`{"participant":"` + somebody + `","action":"extend","by_ms":60000}`, 409, protocol.CodeNoDeadline},
		{`{"participant":"nobody","action":"extend","by_ms":60000}`, 409, protocol.CodeUnknownParticipant},
		{`{"participant":"nobody","action":"end"}`, 409, protocol.CodeUnknownParticipant},
		{`{"participant":"nobody","action":"notify","text":"hello"}`, 409, protocol.CodeUnknownParticipant},
	} {
		if status, a := r.act(c.body); status != c.status || a["code"] != string(c.code) || a["ok"] != false {
			t.Errorf("%s: %d %v", c.body, status, a)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var lease protocol.LoadAck
	if err := r.page.EmitAck(ctx, protocol.EventLoadStart, protocol.LoadStart{ID: "a"}, &lease); err != nil {
		t.Fatal(err)
	}
	status, a := r.act(`{"participant":"` + somebody + `","action":"extend","by_ms":60000}`)
	if left, _ := a["left_ms"].(float64); status != 200 || left < float64(lease.LeaseMS+50_000) || left > float64(lease.LeaseMS+60_000) {
		t.Errorf("extended a lease of %d ms: %d %v", lease.LeaseMS, status, a)
	}
	if status, a := r.act(`{"participant":"` + somebody + `","action":"notify","text":"please wait"}`); status != 200 {
		t.Errorf("notify: %d %v", status, a)
	}
	if err := r.page.EmitAck(ctx, protocol.EventLoadComplete, protocol.LoadComplete{ID: "a"}, nil); err != nil {
		t.Fatal(err)
	}
	select {
	case text := <-r.notice: // held back as long as the page was loading
		if text != "please wait" {
			t.Errorf("the page was told %q", text)
		}
	case <-ctx.Done():
		t.Error("the page was told nothing")
	}
	if status, a := r.act(`{"participant":"` + somebody + `","action":"end"}`); status != 200 {
		t.Errorf("end: %d %v", status, a)
	}
	if status, _ := r.act(`{"participant":"` + somebody + `","action":"end"}`); status != 409 {
		t.Errorf("end, again: %d", status)
	}
	_, text := r.do("GET /admin/export", bearer(token))
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	column := map[string]int{}
	for i, name := range rows[0] {
		column[name] = i
	}
	seen := map[string]int{}
	for _, row := range rows[1:] {
		seen[row[column["kind"]]+" "+row[column["reason"]]+row[column["detail"]]]++
	}
	for _, want := range []string{"notice please wait", "presence extended", "load_progress ", "gone ended"} {
		if seen[want] != 1 {
			t.Errorf("%q is %d times in the log: %v", want, seen[want], seen)
		}
	}
}

// TestEvents: what streams is what is so.
func TestEvents(t *testing.T) {
	r := start(t, token)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", r.url+"/admin/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	bearer(token)(req)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 1<<20)
	var view live.View
	until := func(what string, ok func(l *live.Lane) bool) {
		t.Helper()
		for lines.Scan() {
			if text, data := bytes.CutPrefix(lines.Bytes(), []byte("data: ")); data {
				if err := view.Apply(text); err != nil {
					t.Fatal(err)
				}
			}
			if l := view.Lanes[somebody]; l != nil && ok(l) {
				return
			}
		}
		t.Fatalf("%s: not seen; %v", what, lines.Err())
	}
	until("active", func(l *live.Lane) bool { return l.Presence == protocol.Active && l.Connected })
	if err := r.page.EmitAck(ctx, protocol.EventLoadStart, protocol.LoadStart{ID: "a", Phase: "python"}, nil); err != nil {
		t.Fatal(err)
	}
	until("loading", func(l *live.Lane) bool {
		return l.Presence == protocol.Loading && l.Phase == "python" && len(l.Loads) == 1 && l.Loads[0].End == 0 && l.Deadline > view.Now+50_000
	})
	if err := r.page.EmitAck(ctx, protocol.EventLoadComplete, protocol.LoadComplete{ID: "a"}, nil); err != nil {
		t.Fatal(err)
	}
	until("loaded", func(l *live.Lane) bool { return l.Presence == protocol.Active && l.Loads[0].Result == "ok" })
	until("a pong", func(l *live.Lane) bool { return l.PongMS > 0 || len(view.Points) > 3 })
	if len(view.Policy) == 0 || view.Totals.Loads["ok"] != 1 {
		t.Errorf("policy %s, totals %+v", view.Policy, view.Totals)
	}
}

// TestRestart: what was seen before a restart is still there.
func TestRestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "study.db")
	serve := func(then func(url string)) {
		db, err := sqlite.Open(path, nil)
		if err != nil {
			t.Fatal(err)
		}
		srv, err := server.New(server.Config{Store: db, AdminToken: token, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		web := httptest.NewServer(srv)
		defer web.Close()
		then(web.URL)
		if err := srv.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	serve(func(url string) {
		page, err := wasmclient.Dial(t.Context(), url, &wasmclient.Options{Participant: somebody})
		if err != nil {
			t.Fatal(err)
		}
		if err := page.EmitAck(t.Context(), protocol.EventLoadStart, protocol.LoadStart{ID: "a"}, nil); err != nil {
			t.Fatal(err)
		}
		page.Close(t.Context())
	})
	serve(func(url string) {
		r := &rig{t: t, url: url}
		_, text := r.do("GET /admin/events", bearer(token))
		var view live.View
		for line := range strings.Lines(text) {
			if data, ok := strings.CutPrefix(line, "data: "); ok {
				if err := view.Apply([]byte(data)); err != nil {
					t.Fatal(err)
				}
			}
		}
		l := view.Lanes[somebody]
		if l == nil || len(l.Loads) != 1 || !slices.ContainsFunc(l.Sections, func(s live.Section) bool { return s.Presence == protocol.Loading }) {
			t.Errorf("after a restart the lane is %+v", l)
		}
	})
}

func TestExport(t *testing.T) {
	r := start(t, token)
	for _, c := range []struct {
		query string
		want  int
		has   string
	}{
		{"", 200, "id,at,mono_ms"}, {"?table=participants&format=jsonl", 200, `"participant":"` + somebody + `"`},
		{"?format=parquet", 200, "PAR1"}, {"?table=participants&since=2090-01-01T00:00:00Z", 200, "participant,"},
		{"?table=meta", 400, "table must be"}, {"?format=markdown", 400, "format must be"}, {"?since=yesterday", 400, "since must be"},
	} {
		status, text := r.do("GET /admin/export", func(req *http.Request) {
			bearer(token)(req)
			req.URL.RawQuery = strings.TrimPrefix(c.query, "?")
		})
		if status != c.want || !strings.Contains(text, c.has) {
			t.Errorf("%s: %d %.200s", c.query, status, text)
		}
	}
	hidden := func() string {
		_, text := r.do("GET /admin/export", func(req *http.Request) {
			bearer(token)(req)
			req.URL.RawQuery = "table=participants&pseudonymise=1"
		})
		return text
	}
	name := func(text string) string {
		line := strings.SplitN(text, "\n", 3)[1]
		return line[:strings.Index(line, ",")]
	}
	if a, b := hidden(), hidden(); strings.Contains(a, somebody) || name(a) != name(b) || name(a) == "" {
		t.Errorf("pseudonyms:\n%s\n%s", a, b)
	}
}

func TestReady(t *testing.T) {
	ask := func(srv http.Handler) (answers string) {
		for _, path := range []string{"/healthz", "/readyz"} {
			w := httptest.NewRecorder()
			srv.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
			answers += fmt.Sprintln(w.Code, strings.TrimSpace(w.Body.String()))
		}
		return answers
	}
	for _, c := range []struct {
		name string
		do   func(*server.Server, *memory.Store)
		want string
	}{
		{"running", func(*server.Server, *memory.Store) {}, "200 ok\n200 ready\n"},
		{"nothing can be stored", func(_ *server.Server, db *memory.Store) { db.Close() }, "200 ok\n503 the store does not answer\n"},
		{"stopped", func(srv *server.Server, _ *memory.Store) { srv.Close(t.Context()) }, "503 shutting down\n503 shutting down\n"},
	} {
		db := memory.New()
		srv, err := server.New(server.Config{Store: db, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		if got := ask(srv); got != "200 ok\n200 ready\n" {
			t.Errorf("at first: %s", got)
		}
		c.do(srv, db)
		if got := ask(srv); got != c.want {
			t.Errorf("%s: %s", c.name, got)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		srv.Close(ctx) // with a dead store it cannot end
		cancel()
	}
}
