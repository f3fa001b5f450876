package metrics

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"strings"
	"sync"

	"golang.org/x/time/rate"
)

const (
	// An address may be wrong guessBurst times and then guessRate times a
	// second; what it says beyond that is not looked at.
	guessRate  = 0.5
	guessBurst = 10
	// maxAddresses bounds the addresses that are remembered.
	maxAddresses = 1024
)

// RequireToken serves h to requests with "Authorization: Bearer TOKEN" only.
// Without a token it serves nothing: 404, as if h were not there. A missing or
// wrong one is answered by 401, and by 429 when an address was wrong too often.
func RequireToken(token string, h http.Handler) http.Handler {
	if token == "" {
		return http.NotFoundHandler()
	}
	return &guarded{handler: h, token: sha256.Sum256([]byte(token)), wrong: make(map[string]*rate.Limiter)}
}

type guarded struct {
	handler http.Handler
	token   [sha256.Size]byte // hashed to one length, so that the time of a comparison tells nothing
	mu      sync.Mutex
	wrong   map[string]*rate.Limiter // by address
}

func (g *guarded) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	guesses := g.guesses(r)
	if guesses != nil && guesses.Tokens() < 1 {
		w.Header().Set("Retry-After", "2")
		http.Error(w, "too many wrong tokens", http.StatusTooManyRequests)
		return
	}
	scheme, given, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	got := sha256.Sum256([]byte(given))
	if !strings.EqualFold(scheme, "Bearer") || subtle.ConstantTimeCompare(got[:], g.token[:]) != 1 {
		g.count(r, guesses)
		w.Header().Set("WWW-Authenticate", `Bearer realm="initgrace"`)
		http.Error(w, "this needs the admin token", http.StatusUnauthorized)
		return
	}
	g.handler.ServeHTTP(w, r)
}

// guesses is what is left to an address; nil if it was never wrong.
func (g *guarded) guesses(r *http.Request) *rate.Limiter {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.wrong[address(r)]
}

func (g *guarded) count(r *http.Request, guesses *rate.Limiter) {
	if guesses == nil {
		guesses = rate.NewLimiter(guessRate, guessBurst)
		g.mu.Lock()
		if len(g.wrong) >= maxAddresses {
			clear(g.wrong)
		}
		g.wrong[address(r)] = guesses
		g.mu.Unlock()
	}
	guesses.Allow()
}

func address(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
