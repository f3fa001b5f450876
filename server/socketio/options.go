package socketio

import (
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// Options configure a Server. Nil and the zero value are the defaults.
type Options struct {
	// PingInterval is how often the page is asked for a sign of life by an
	// Engine.IO ping. Default 2 s.
	PingInterval time.Duration
	// PingTimeout is the ceiling after which an unanswered Engine.IO ping ends
	// the connection, whatever the Handler thinks; clients drop themselves
	// when they hear nothing for PingInterval + PingTimeout. It must exceed
	// the longest time for which a page may be blocked. Default 4 min.
	PingTimeout time.Duration
	// Polling also admits HTTP long-polling, with an upgrade to WebSocket.
	// Off by default: a browser behind long-polling cannot be probed.
	Polling bool
	// Origins are the values of the Origin header that are allowed besides
	// the request's own host, such as "https://lab.example.org". "*" allows
	// every origin. Requests without an Origin do not come from a browser's
	// page and are allowed.
	Origins []string
	// TrustedProxies are the addresses or prefixes ("10.0.0.0/8") from which
	// X-Forwarded-For is believed.
	TrustedProxies []string
	// Limits bound what clients can make the server do.
	Limits Limits
	// Logger defaults to slog.Default().
	Logger *slog.Logger
}

// Limits bound what clients can make the server do. Zero is the default,
// negative is no limit.
type Limits struct {
	// Packet is the largest inbound packet in bytes, the Engine.IO type
	// included, and with long-polling the largest request body. A larger one
	// closes the connection. Default 1 MiB.
	Packet int
	// Auth is the largest auth object in bytes. A larger one is answered by a
	// connect_error of code too_large. Default 16 KiB.
	Auth int
	// Events is how many packets a second, control frames included, are taken
	// from one connection. Nothing is lost above it: the connection is read
	// only as fast as that, so that what a page sends in one go after a long
	// block arrives a little later. Default 500, in bursts of EventBurst, which a
	// connection has to earn: it begins with a quarter of a second's worth.
	Events     float64
	EventBurst int // default twice Events
	// Bytes is the same for the bytes on the wire. Default 1 MiB/s, in bursts
	// of ByteBurst.
	Bytes     int
	ByteBurst int // default four times Bytes
	// Flood is for how long without a break a client may want more than
	// Events or Bytes before it is closed. Default 1 min.
	Flood time.Duration
	// Outbound is how many bytes may wait to be written to one connection;
	// one more closes it. Default 2 MiB.
	Outbound int
	// WriteTimeout is for how long a connection may accept no byte at all
	// while there is something to write; up to half as long again passes before
	// that is noticed. Default 10 s.
	WriteTimeout time.Duration
	// ConnectTimeout is the time a client has, from the handshake on, to be
	// admitted. Default 10 s; it cannot be switched off.
	ConnectTimeout time.Duration
	// Connections is how many may be open at the same time. Default 20,000.
	Connections int
	// PerAddress is the same for one IPv4 address or one IPv6 /64 network. A
	// whole university can share an address. Default 1,000.
	PerAddress int
	// Handshakes is how many new connections a second are accepted. Default
	// 300, in bursts of HandshakeBurst.
	Handshakes     float64
	HandshakeBurst int // default twice Handshakes
}

const (
	defaultPingInterval = 2 * time.Second
	defaultPingTimeout  = 4 * time.Minute

	// noLimit stands for a limit that is switched off. It leaves room to be
	// multiplied in 32 bits.
	noLimit = 1 << 28
)

func (l Limits) withDefaults() Limits {
	number := func(n *int, def int) {
		switch {
		case *n == 0:
			*n = def
		case *n < 0:
			*n = noLimit
		}
	}
	rate := func(r *float64, burst *int, def float64) {
		switch {
		case *r == 0:
			*r = def
		case *r < 0:
			*r = noLimit
		}
		number(burst, int(2**r)+1)
	}
	span := func(d *time.Duration, def time.Duration) {
		switch {
		case *d == 0:
			*d = def
		case *d < 0:
			*d = 365 * 24 * time.Hour
		}
	}
	number(&l.Packet, 1<<20)
	number(&l.Auth, 16<<10)
	rate(&l.Events, &l.EventBurst, 500)
	number(&l.Bytes, 1<<20)
	number(&l.ByteBurst, 4*l.Bytes)
	span(&l.Flood, time.Minute)
	number(&l.Outbound, 2<<20)
	span(&l.WriteTimeout, 10*time.Second)
	if l.ConnectTimeout <= 0 {
		l.ConnectTimeout = 10 * time.Second
	}
	number(&l.Connections, 20_000)
	number(&l.PerAddress, 1_000)
	rate(&l.Handshakes, &l.HandshakeBurst, 300)
	return l
}

// parseOrigins checks what a person wrote into a set. An origin has a scheme
// and a host and nothing else; anything else would never match.
func parseOrigins(list []string) (allowed map[string]bool, all bool, err error) {
	allowed = make(map[string]bool, len(list))
	for _, o := range list {
		if o == "*" {
			all = true
			continue
		}
		o = strings.TrimSuffix(strings.ToLower(o), "/")
		u, err := url.Parse(o)
		if err != nil || u.Scheme == "" || u.Host == "" || u.Scheme+"://"+u.Host != o {
			return nil, false, fmt.Errorf("socketio: origin %q is not of the form https://host or https://host:port", o)
		}
		allowed[o] = true
	}
	return allowed, all, nil
}

func parseProxies(list []string) ([]netip.Prefix, error) {
	var prefixes []netip.Prefix
	for _, s := range list {
		if a, err := netip.ParseAddr(s); err == nil {
			prefixes = append(prefixes, netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()))
			continue
		}
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return nil, fmt.Errorf("socketio: trusted proxy %q is neither an address nor a prefix", s)
		}
		prefixes = append(prefixes, p.Masked())
	}
	return prefixes, nil
}
