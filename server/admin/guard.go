package admin

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	// An address may be wrong guessBurst times and then guessRate times a
	// second; what it says beyond that is not looked at.
	guessRate  = 0.5
	guessBurst = 10
	// maxAddresses bounds the addresses that are remembered.
	maxAddresses = 1024

	cookieName = "initgrace_admin"
	// cookieLife is how long a login lasts.
	cookieLife = 12 * time.Hour
)

// guard tells who has the token.
type guard struct {
	token   [sha256.Size]byte // hashed to one length, so that the time of a comparison tells nothing
	key     []byte            // signs cookies; another token voids them
	address func(*http.Request) string

	mu    sync.Mutex
	wrong map[string]*rate.Limiter // by address
}

type verdict int

const (
	byNothing verdict = iota
	byToken
	byCookie
	tooOften
)

func newGuard(token string, secret []byte, address func(*http.Request) string) *guard {
	return &guard{
		token: sha256.Sum256([]byte(token)), key: derive(secret, "admin cookie\x00"+token),
		address: address, wrong: make(map[string]*rate.Limiter),
	}
}

// derive makes a key for one purpose.
func derive(secret []byte, purpose string) []byte {
	h := hmac.New(sha256.New, secret)
	h.Write([]byte(purpose))
	return h.Sum(nil)
}

// check judges a request. A valid cookie cannot be guessed, so that whoever is
// logged in is not kept out by the guesses of others at the same address.
func (g *guard) check(r *http.Request) verdict {
	if _, ok := g.expiry(r, time.Now()); ok {
		return byCookie
	}
	header := r.Header.Get("Authorization")
	if header == "" {
		return byNothing
	}
	scheme, token, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return byNothing
	}
	return g.try(r, token)
}

// try compares a token, unless the address was wrong too often.
func (g *guard) try(r *http.Request, token string) verdict {
	from := g.address(r)
	g.mu.Lock()
	defer g.mu.Unlock()
	guesses := g.wrong[from]
	if guesses != nil && guesses.Tokens() < 1 {
		return tooOften
	}
	got := sha256.Sum256([]byte(token))
	if subtle.ConstantTimeCompare(got[:], g.token[:]) == 1 {
		return byToken
	}
	if guesses == nil {
		if len(g.wrong) >= maxAddresses {
			clear(g.wrong)
		}
		guesses = rate.NewLimiter(guessRate, guessBurst)
		g.wrong[from] = guesses
	}
	guesses.Allow()
	return byNothing
}

// cookie is a login that ends at an instant.
func (g *guard) cookie(r *http.Request, until time.Time) *http.Cookie {
	stamp := strconv.FormatInt(until.Unix(), 10)
	return &http.Cookie{
		Name: cookieName, Value: stamp + "." + g.sign(stamp), Path: "/", Expires: until,
		HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: secure(r),
	}
}

// secure says whether the browser's connection is encrypted. A proxy's word is
// taken: who invents it only makes the own browser keep the cookie back.
func secure(r *http.Request) bool {
	return r.TLS != nil || strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https")
}

func (g *guard) sign(stamp string) string {
	return base64.RawURLEncoding.EncodeToString(derive(g.key, stamp))
}

// expiry is when a request's login ends, or false if it is none or has ended.
func (g *guard) expiry(r *http.Request, now time.Time) (time.Time, bool) {
	c, err := r.Cookie(cookieName)
	if err != nil {
		return time.Time{}, false
	}
	stamp, mac, _ := strings.Cut(c.Value, ".")
	if subtle.ConstantTimeCompare([]byte(mac), []byte(g.sign(stamp))) != 1 {
		return time.Time{}, false
	}
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	until := time.Unix(seconds, 0)
	return until, err == nil && now.Before(until)
}

// foreign says what is wrong with where a request comes from, or nothing.
// Programs say nothing of that; browsers do, and cannot be made to lie by a
// page. Also a mere link from another site is refused: no page of another
// origin has a reason to point here.
func foreign(r *http.Request) string {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
	default:
		return "not from another site; open this address by itself"
	}
	if origin := r.Header.Get("Origin"); origin != "" && !own(origin, r) {
		return "not from another origin"
	}
	return ""
}

// fromOwnPage says whether a browser vouches that a page of ours asks.
func fromOwnPage(r *http.Request) bool {
	return r.Header.Get("Sec-Fetch-Site") == "same-origin" || own(r.Header.Get("Origin"), r)
}

func own(origin string, r *http.Request) bool {
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && strings.EqualFold(u.Host, r.Host)
}
