package wasmclient

import (
	"context"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/coder/websocket"

	"initgrace/grace/protocol"
)

// Options configure a Client. Participant is required; the zero value of
// everything else is its documented default.
type Options struct {
	Participant string
	Experiment  string
	Group       string
	// Token is the right to an earlier session of the participant. It is
	// replaced by the one that the server hands out.
	Token string
	// PageID names the page instance: open loads survive a reconnect with the
	// same one. Default: random.
	PageID string
	// Keep has the server keep messages until SaveState has stored a state that
	// knows of them, instead of until they have arrived: a page that is
	// refreshed and goes on from the saved state then misses none.
	Keep bool
	// Host says where this code runs. Default protocol.HostPage.
	Host string

	// Handlers receive events from the first one on; On adds others later.
	Handlers map[string]func(json []byte)
	// Listener, if set, receives every event, before its handlers.
	Listener func(event string, json []byte)

	// ConnectTimeout bounds one attempt, from the dialling to the session.
	// Default 10 s.
	ConnectTimeout time.Duration
	// Silence is how long the server may be silent before the connection is
	// given up for another one. Default: three of the server's ping intervals
	// and at least 10 s. Never more than the server's pingInterval +
	// pingTimeout.
	Silence time.Duration
	// Backoff spaces the attempts to connect.
	Backoff Backoff
	// QueueSize is how many emits may wait for a connection or, with EmitAck,
	// for their ack. Default 256.
	QueueSize int
	// QueueBytes bounds what waits to be written, in bytes. Default 4 MiB.
	QueueBytes int
	// Latency is the interval of latency measurements. Default 1 s; negative:
	// none.
	Latency time.Duration

	// DialWebSocket opens the WebSocket. Default: websocket.Dial without
	// options.
	DialWebSocket func(ctx context.Context, url string) (*websocket.Conn, error)
}

// Backoff says how long to wait before the n-th attempt in a row: Min doubled
// n-1 times, at most Max, of which the upper half is random so that the clients
// of a restarted server do not come back all at once.
type Backoff struct {
	Min time.Duration // default 500 ms
	Max time.Duration // default 5 s, well inside of the time a seat is held
}

// delay is the pause before an attempt, counted from 1. Random is in [0, 1).
func (b Backoff) delay(attempt int, random float64) time.Duration {
	d := b.Min
	for range attempt - 1 {
		if d >= b.Max/2 {
			d = b.Max
			break
		}
		d *= 2
	}
	d = min(d, b.Max)
	return d/2 + time.Duration(float64(d/2)*random)
}

func (o *Options) withDefaults() (Options, error) {
	var out Options
	if o != nil {
		out = *o
	}
	if out.Participant == "" {
		return out, protocol.NewError(protocol.CodeUnauthorized, "Options.Participant is missing")
	}
	if out.PageID == "" {
		out.PageID = "page-" + randomID()
	}
	if out.Host == "" {
		out.Host = protocol.HostPage
	}
	def(&out.ConnectTimeout, 10*time.Second)
	def(&out.Backoff.Min, 500*time.Millisecond)
	def(&out.Backoff.Max, 5*time.Second)
	def(&out.QueueSize, 256)
	def(&out.QueueBytes, 4<<20)
	def(&out.Latency, time.Second)
	out.Backoff.Max = max(out.Backoff.Max, out.Backoff.Min)
	return out, nil
}

func def[T int | time.Duration](v *T, d T) {
	if *v == 0 {
		*v = d
	}
}

func randomID() string { return strconv.FormatUint(rand.Uint64(), 36) }

// endpoint turns what a person wrote into the address of the WebSocket. A path
// other than "/" is kept, for servers behind a prefix.
func endpoint(raw string) (string, error) {
	wrong := func(what string) (string, error) {
		return "", protocol.NewError(protocol.CodeInvalidPayload, "wasmclient: "+`"`+raw+`"`+" "+what)
	}
	raw, _, _ = strings.Cut(raw, "#")
	scheme, rest, ok := strings.Cut(raw, "://")
	if !ok || strings.ContainsFunc(raw, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return wrong("is not an address")
	}
	switch strings.ToLower(scheme) {
	case "http", "ws":
		scheme = "ws"
	case "https", "wss":
		scheme = "wss"
	default:
		return wrong("is not an http, https, ws or wss address")
	}
	rest, query, _ := strings.Cut(rest, "?")
	host, path, _ := strings.Cut(rest, "/")
	switch {
	case host == "" || host[0] == ':':
		return wrong("has no host")
	case path == "":
		path = "socket.io/"
	case !strings.HasSuffix(path, "/"):
		path += "/"
	}
	kept := []string{"EIO=4", "transport=websocket"}
	for pair := range strings.SplitSeq(query, "&") {
		if name, _, _ := strings.Cut(pair, "="); name != "" && name != "EIO" && name != "transport" {
			kept = append(kept, pair)
		}
	}
	return scheme + "://" + host + "/" + path + "?" + strings.Join(kept, "&"), nil
}
