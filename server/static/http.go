package static

import (
	"io"
	"net/http"
	"strconv"
	"strings"
)

// DefaultCSP lets a page run its own scripts and WebAssembly and talk to this
// server, and nothing else in or out. Pyodide needs no more, except for
// Python's run_js. blob: is for workers made from a page's own code.
const DefaultCSP = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self' blob:; " +
	"connect-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src 'self' data: blob:; " +
	"font-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'self'"

// policyWith is the default policy for pages that may also ask one origin more.
func policyWith(origin string) string {
	if origin == "" {
		return DefaultCSP
	}
	return strings.Replace(DefaultCSP, "connect-src 'self'", "connect-src 'self' "+origin, 1)
}

// Secure sets the security headers on everything h answers: a worker obeys the
// policy of its own script's response, so that pages alone do not suffice.
// An empty csp means DefaultCSP.
func Secure(h http.Handler, csp string) http.Handler {
	if csp == "" {
		csp = DefaultCSP
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Content-Security-Policy", csp)
		header.Set("X-Content-Type-Options", "nosniff")
		// The address of a page names the participant (?PROLIFIC_PID=…).
		header.Set("Referrer-Policy", "no-referrer")
		h.ServeHTTP(w, r)
	})
}

func readOnly(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// immutable marks what never changes at its address: no browser asks again.
func immutable(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
		h.ServeHTTP(w, r)
	})
}

// revalidate makes browsers ask each time; the answer is mostly 304. The page,
// its loader and the server must be of one version.
func revalidate(w http.ResponseWriter) { w.Header().Set("Cache-Control", "no-cache") }

func notFound(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	http.Error(w, "not found", http.StatusNotFound)
}

// failed answers for a file that is there and cannot be served. What was said
// of the file already is taken back, or a proxy would keep the failure.
func failed(w http.ResponseWriter, status int) {
	for _, name := range []string{"Content-Encoding", "ETag", "Last-Modified"} {
		w.Header().Del(name)
	}
	w.Header().Set("Cache-Control", "no-store")
	http.Error(w, "this file cannot be read", status)
}

// accepts reports whether an Accept-Encoding header allows a coding: named, or
// covered by "*", and not with the weight 0 (RFC 9110, 12.5.3). Which of two
// the client likes better is not asked: in practice all weigh the same.
func accepts(header, coding string) bool {
	others := false
	for item := range strings.SplitSeq(header, ",") {
		name, params, _ := strings.Cut(item, ";")
		key, value, _ := strings.Cut(params, "=")
		allowed := true
		if strings.EqualFold(strings.TrimSpace(key), "q") {
			q, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			allowed = err == nil && q > 0
		}
		switch name = strings.TrimSpace(name); {
		case strings.EqualFold(name, coding):
			return allowed
		case name == "*":
			others = allowed
		}
	}
	return others
}

// writeTagged answers with what open returns, size bytes, or with 304 when the
// client has it. tag is the ETag without quotes. Ranges are not offered: what
// is served so is wanted whole.
func writeTagged(w http.ResponseWriter, r *http.Request, tag string, size int64, open func() (io.ReadCloser, error)) {
	header := w.Header()
	header.Set("ETag", `"`+tag+`"`)
	if tagMatches(r, `"`+tag+`"`) {
		header.Del("Content-Type")
		header.Del("Content-Encoding")
		w.WriteHeader(http.StatusNotModified)
		return
	}
	header.Set("Content-Length", strconv.FormatInt(size, 10))
	if r.Method == http.MethodHead {
		return
	}
	body, err := open()
	if err != nil {
		failed(w, http.StatusInternalServerError)
		return
	}
	defer body.Close()
	// A failure now, nearly always the client's leaving, shows as a body
	// shorter than announced; net/http then closes the connection.
	_, _ = io.Copy(w, body)
}

func tagMatches(r *http.Request, etag string) bool {
	for tag := range strings.SplitSeq(strings.Join(r.Header.Values("If-None-Match"), ","), ",") {
		tag = strings.TrimPrefix(strings.TrimSpace(tag), "W/") // a proxy may have weakened it
		if tag == etag || tag == "*" {
			return true
		}
	}
	return false
}
