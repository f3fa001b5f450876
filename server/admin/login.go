package admin

import (
	"net/http"
	"time"

	"initgrace/grace/protocol"
)

type ok struct {
	OK bool `json:"ok"`
}

// login gives a cookie for the token.
func (a *Admin) login(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Token string `json:"token"`
	}
	if !read(w, r, &body) {
		return
	}
	switch a.guard.try(r, body.Token) {
	case byToken:
		until := time.Now().Add(cookieLife)
		http.SetCookie(w, a.guard.cookie(r, until))
		a.Logger.Info("the experimenter has logged in", "from", a.Address(r), "until", until.UTC().Format(time.RFC3339))
		answer(w, http.StatusOK, ok{true})
	case tooOften:
		w.Header().Set("Retry-After", "2")
		refuse(w, http.StatusTooManyRequests, codeTooOften, "too many wrong tokens; wait a little")
	default:
		a.Logger.Warn("a wrong admin token", "from", a.Address(r))
		refuse(w, http.StatusUnauthorized, protocol.CodeUnauthorized, "this is not the token")
	}
}

// logout takes the browser's cookie away. Its copies end by themselves.
func (a *Admin) logout(w http.ResponseWriter, r *http.Request) {
	c := a.guard.cookie(r, time.Unix(1, 0))
	c.Value, c.MaxAge = "", -1
	http.SetCookie(w, c)
	answer(w, http.StatusOK, ok{true})
}
