package admin

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"initgrace/server/live"
)

func testGuard() *guard {
	return newGuard("the token", []byte("secret"), func(r *http.Request) string { return r.RemoteAddr })
}

// Who guesses is soon not listened to any more, and keeps nobody else out.
func TestGuessing(t *testing.T) {
	g := testGuard()
	ask := func(address, token string) verdict {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = address
		r.Header.Set("Authorization", "Bearer "+token)
		return g.check(r)
	}
	said := map[verdict]int{}
	for i := range 50 {
		said[ask("192.0.2.1", fmt.Sprint("guess", i))]++
	}
	if n := said[byNothing]; n < guessBurst || n > guessBurst+2 || said[tooOften] != 50-n {
		t.Errorf("said %v", said)
	}
	if v := ask("192.0.2.1", "the token"); v != tooOften {
		t.Errorf("the right one at last: %v", v)
	}
	if v := ask("192.0.2.2", "the token"); v != byToken {
		t.Errorf("somebody else: %v", v)
	}
	r := httptest.NewRequest("GET", "/", nil)
	r.RemoteAddr = "192.0.2.1"
	r.AddCookie(g.cookie(r, time.Now().Add(time.Hour)))
	if v := g.check(r); v != byCookie {
		t.Errorf("who is logged in at the same address: %v", v)
	}
	for i := range 2 * maxAddresses {
		ask(fmt.Sprint("a", i), "wrong")
	}
	if n := len(g.wrong); n > maxAddresses {
		t.Errorf("%d addresses are remembered", n)
	}
}

func TestCookieEnds(t *testing.T) {
	g := testGuard()
	until := time.Unix(1_800_000_000, 0)
	r := httptest.NewRequest("GET", "/", nil)
	r.AddCookie(g.cookie(r, until))
	for _, c := range []struct {
		now  time.Time
		want bool
	}{{until.Add(-time.Nanosecond), true}, {until, false}} {
		if _, ok := g.expiry(r, c.now); ok != c.want {
			t.Errorf("%v before its end: %v", until.Sub(c.now), ok)
		}
	}
	for _, other := range []*guard{
		newGuard("another token", []byte("secret"), nil), newGuard("the token", []byte("another secret"), nil),
	} {
		if _, ok := other.expiry(r, until.Add(-time.Hour)); ok {
			t.Error("another server believes it")
		}
	}
}

func TestCookieIsSecureOverHTTPS(t *testing.T) {
	for _, c := range []struct {
		url, forwarded string
		want           bool
	}{
		{"http://lab/", "", false}, {"https://lab/", "", true}, {"http://lab/", "https", true}, {"http://lab/", "http", false},
	} {
		r := httptest.NewRequest("GET", c.url, nil)
		r.Header.Set("X-Forwarded-Proto", c.forwarded)
		k := testGuard().cookie(r, time.Now())
		if k.Secure != c.want || !k.HttpOnly || k.SameSite != http.SameSiteStrictMode {
			t.Errorf("%s %s: %+v", c.url, c.forwarded, k)
		}
	}
}

func TestForeign(t *testing.T) {
	for _, c := range []struct {
		site, origin string
		foreign      bool
	}{
		{"", "", false}, {"none", "", false}, {"same-origin", "", false}, {"same-origin", "http://lab:8080", false}, {"", "http://LAB:8080", false},
		{"cross-site", "", true}, {"same-site", "", true}, {"same-origin", "http://evil", true}, {"", "http://lab", true},
		{"", "http://lab:8081", true}, {"", "null", true}, {"", "://", true}, {"", "lab:8080", true},
	} {
		r := httptest.NewRequest("GET", "http://lab:8080/admin/", nil)
		r.Header.Set("Sec-Fetch-Site", c.site)
		r.Header.Set("Origin", c.origin)
		if got := foreign(r) != ""; got != c.foreign {
			t.Errorf("site %q, origin %q: %v", c.site, c.origin, got)
		}
	}
}

// What costs much is bounded.
func TestHeavy(t *testing.T) {
	feed := live.New()
	defer feed.Close()
	a := New(Options{Token: "t", Feed: feed, Pages: http.NotFoundHandler(), Metrics: http.NotFoundHandler()}).(*Admin)
	running, goOn := make(chan struct{}), make(chan struct{})
	h := a.heavy(func(http.ResponseWriter, *http.Request) { running <- struct{}{}; <-goOn })
	for range heavyMax {
		go h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
		<-running
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("one more: %d", w.Code)
	}
	close(goOn)
}
