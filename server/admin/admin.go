// Package admin serves what only the experimenter may see and do: the
// dashboard, the exports, the metrics and the profiles. Everything behind it
// wants the admin token, by a header or by the cookie that logging in gives,
// and answers no other origin. Without a token nothing of it exists.
package admin

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"initgrace/server/eventlog/export"
	"initgrace/server/live"
)

// Seats acts on participants. The errors are *protocol.Error; a call has taken
// effect, and is stored, when it returns nil.
type Seats interface {
	// Extend moves the end of a participant's lease, or of the hold of one who
	// is away, and returns how long that is from now.
	Extend(ctx context.Context, participant string, by time.Duration) (time.Duration, error)
	// End gives up a participant's seat at once.
	End(ctx context.Context, participant string) error
	// Notify shows a participant's page a text, once it can read.
	Notify(ctx context.Context, participant, text string) error
}

// Options configure a handler. All but Token are required.
type Options struct {
	// Token opens everything. Empty: nothing is served.
	Token string
	// Secret signs cookies, and makes the pseudonyms of exports.
	Secret []byte
	// Address is whom a request comes from, for counting wrong tokens.
	Address func(*http.Request) string
	Feed    *live.Feed
	Seats   Seats
	Log     export.Source
	Metrics http.Handler
	// Pages are the dashboard's files; paths arrive as the browser sent them.
	Pages  http.Handler
	Logger *slog.Logger
}

// Admin is an http.Handler of the paths below Prefixes.
type Admin struct {
	Options
	guard  *guard
	mux    *http.ServeMux
	public map[string]bool // patterns that ask for no token
	busy   chan struct{}   // exports and profiles that run
}

// Prefixes are where an Admin wants to be asked.
var Prefixes = []string{"/admin/", "/metrics", "/debug/pprof/"}

// A route is one thing that is served.
type route struct {
	pattern string // of http.ServeMux
	// public: a person who is not logged in needs it to log in, and there is
	// nothing in it that depends on the participants.
	public  bool
	handler http.Handler
}

// heavyMax is how many exports and profiles run at a time.
const heavyMax = 2

// New returns the handler; one that knows nothing if there is no token.
func New(o Options) http.Handler {
	if o.Token == "" {
		return http.NotFoundHandler()
	}
	a := &Admin{
		Options: o, guard: newGuard(o.Token, o.Secret, o.Address),
		mux: http.NewServeMux(), public: make(map[string]bool), busy: make(chan struct{}, heavyMax),
	}
	for _, r := range a.routes() {
		a.mux.Handle(r.pattern, r.handler)
		a.public[r.pattern] = r.public
	}
	return a
}

// routes are all of them.
func (a *Admin) routes() []route {
	f := func(h http.HandlerFunc) http.Handler { return h }
	return []route{
		{"GET /admin/login", true, f(a.page("/admin/login.html"))},
		{"GET /admin/login.js", true, a.Pages},
		{"GET /admin/login.css", true, a.Pages},
		{"POST /admin/login", true, f(a.login)},
		{"POST /admin/logout", false, f(a.logout)},
		{"GET /admin/", false, a.Pages},
		{"GET /admin/events", false, f(a.events)},
		{"POST /admin/act", false, f(a.act)},
		{"GET /admin/export", false, a.heavy(a.export)},
		{"GET /metrics", false, a.Metrics},
		{"GET /debug/pprof/", false, f(profiles)},
		{"GET /debug/pprof/profile", false, a.heavy(cpuProfile)},
		{"GET /debug/pprof/trace", false, a.heavy(executionTrace)},
	}
}

// csp lets the dashboard run its own scripts and ask this server, and nobody
// frame it.
const csp = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

func (a *Admin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", csp)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	if refused := foreign(r); refused != "" {
		refuse(w, http.StatusForbidden, codeOrigin, refused)
		return
	}
	_, pattern := a.mux.Handler(r)
	if !a.public[pattern] && !a.admitted(w, r) {
		return
	}
	a.mux.ServeHTTP(w, r)
}

// admitted says whether a request may see something, and answers if not.
func (a *Admin) admitted(w http.ResponseWriter, r *http.Request) bool {
	switch a.guard.check(r) {
	case byToken:
		return true
	case byCookie:
		if reads(r) || fromOwnPage(r) {
			return true
		}
		refuse(w, http.StatusForbidden, codeOrigin, "only the dashboard's own pages may do this with a cookie")
	case tooOften:
		w.Header().Set("Retry-After", "2")
		refuse(w, http.StatusTooManyRequests, codeTooOften, "too many wrong tokens")
	default:
		if r.URL.Path == "/admin/" && reads(r) {
			http.Redirect(w, r, "/admin/login", http.StatusSeeOther)
			return false
		}
		w.Header().Set("WWW-Authenticate", `Bearer realm="initgrace"`)
		refuse(w, http.StatusUnauthorized, codeToken, "this needs the admin token")
	}
	return false
}

// page serves one of the pages at another path.
func (a *Admin) page(path string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c := r.Clone(r.Context())
		c.URL.Path = path
		a.Pages.ServeHTTP(w, c)
	}
}

// heavy lets few of what costs much run at a time.
func (a *Admin) heavy(h http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case a.busy <- struct{}{}:
			defer func() { <-a.busy }()
			h(w, r)
		default:
			w.Header().Set("Retry-After", "10")
			refuse(w, http.StatusServiceUnavailable, codeBusy, "others are being made; try again when they are done")
		}
	})
}

func reads(r *http.Request) bool { return r.Method == http.MethodGet || r.Method == http.MethodHead }

// isJSON keeps out what a form of another page can send.
func isJSON(r *http.Request) bool {
	kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	return strings.EqualFold(strings.TrimSpace(kind), "application/json")
}
