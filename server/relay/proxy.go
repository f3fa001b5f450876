package relay

import (
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
)

// Proxy has the Leader answer requests. address says whom one comes from.
func (f *Follower) Proxy(address func(*http.Request) string) http.Handler {
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: f.Leader()})
			r.Out.Host = r.In.Host // origins are compared with it
			if proto := r.In.Header.Values("X-Forwarded-Proto"); proto != nil {
				r.Out.Header["X-Forwarded-Proto"] = proto
			}
			r.Out.Header.Set(keyHeader, f.key)
			r.Out.Header.Set(clientHeader, address(r.In))
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			f.log.Debug("a request could not be passed on", "err", err)
			Unavailable(w)
		},
		ErrorLog: slog.NewLogLogger(f.log.Handler(), slog.LevelDebug),
	}
}

// Unavailable answers while no Leader is reached, in a way that has a load balancer
// ask another server.
func Unavailable(w http.ResponseWriter) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Retry-After", "1")
	http.Error(w, noLeader, http.StatusServiceUnavailable)
}
