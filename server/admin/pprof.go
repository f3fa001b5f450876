package admin

import (
	"fmt"
	"io"
	"net/http"
	"runtime/pprof"
	"runtime/trace"
	"slices"
	"strconv"
	"strings"
	"time"

	"initgrace/grace/protocol"
)

// The profiles of net/http/pprof, without that package: it opens itself on
// http.DefaultServeMux, which a program that embeds the server may serve to
// everybody.

// maxProfile bounds how long a profile or trace may run.
const maxProfile = time.Minute

// profiles lists the profiles of the runtime, or writes one of them.
func profiles(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/debug/pprof/")
	if name == "" {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		names := []string{"profile", "trace"}
		for _, p := range pprof.Profiles() {
			names = append(names, p.Name())
		}
		slices.Sort(names)
		for _, name := range names {
			fmt.Fprintln(w, name)
		}
		return
	}
	p := pprof.Lookup(name)
	if p == nil {
		http.Error(w, "there is no such profile", http.StatusNotFound)
		return
	}
	debug, _ := strconv.Atoi(r.URL.Query().Get("debug"))
	if debug > 0 {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	} else {
		w.Header().Set("Content-Type", "application/octet-stream")
	}
	p.WriteTo(w, debug) // a failure is the client's having gone
}

func cpuProfile(w http.ResponseWriter, r *http.Request) {
	record(w, r, 10*time.Second, pprof.StartCPUProfile, pprof.StopCPUProfile)
}

func executionTrace(w http.ResponseWriter, r *http.Request) {
	record(w, r, time.Second, trace.Start, trace.Stop)
}

// record runs a profile for as long as is asked.
func record(w http.ResponseWriter, r *http.Request, length time.Duration, start func(io.Writer) error, stop func()) {
	if text := r.URL.Query().Get("seconds"); text != "" {
		seconds, err := strconv.ParseFloat(text, 64)
		if err != nil || !(seconds > 0) || seconds > maxProfile.Seconds() {
			refuse(w, http.StatusBadRequest, protocol.CodeInvalidPayload, "seconds must be over 0 and up to 60")
			return
		}
		length = time.Duration(seconds * float64(time.Second))
	}
	http.NewResponseController(w).SetWriteDeadline(time.Now().Add(length + writeTime))
	w.Header().Set("Content-Type", "application/octet-stream")
	if err := start(w); err != nil {
		w.Header().Del("Content-Type")
		refuse(w, http.StatusServiceUnavailable, codeBusy, err.Error())
		return
	}
	defer stop()
	timer := time.NewTimer(length)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.Context().Done():
	}
}
