package admin

import (
	"net/http"
	"time"
)

// A Route is what the tests are told of a route.
type Route struct {
	Pattern string
	Public  bool
}

// Routes are all of them.
func Routes() (out []Route) {
	for _, r := range (&Admin{}).routes() {
		out = append(out, Route{r.pattern, r.public})
	}
	return out
}

// Cookie is one that a server with that token and secret would have given.
func Cookie(token string, secret []byte, until time.Time) *http.Cookie {
	r, _ := http.NewRequest("GET", "/", nil)
	return newGuard(token, secret, nil).cookie(r, until)
}
