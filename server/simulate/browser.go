package simulate

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync"

	"github.com/coder/websocket"
)

// A browser is what one page's connections go through: not the page, which is
// a wasmclient.Client, and not the network, which is a faultproxy.Proxy. When
// it is gone, nothing leaves it any more, whatever the client still tries.
type browser struct {
	proxy string      // address of the participant's network
	tls   *tls.Config // nil: the default one
	http  *http.Client

	mu    sync.Mutex
	lines []*line
	gone  chan struct{} // closed: no new connections
}

func newBrowser(proxy string, config *tls.Config) *browser {
	b := &browser{proxy: proxy, tls: config, gone: make(chan struct{})}
	b.http = &http.Client{Transport: &http.Transport{
		DialContext:       b.dial,
		DialTLSContext:    b.dialTLS,
		DisableKeepAlives: true,
	}}
	return b
}

// open opens a WebSocket.
func (b *browser) open(ctx context.Context, url string) (*websocket.Conn, error) {
	ws, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{HTTPClient: b.http})
	return ws, err
}

// dial connects to the network, whatever the address.
func (b *browser) dial(ctx context.Context, network, _ string) (net.Conn, error) {
	conn, err := b.connect(ctx, network)
	if err != nil {
		return nil, err
	}
	return b.line(conn)
}

func (b *browser) dialTLS(ctx context.Context, network, addr string) (net.Conn, error) {
	raw, err := b.connect(ctx, network)
	if err != nil {
		return nil, err
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		host = addr
	}
	config := &tls.Config{}
	if b.tls != nil {
		config = b.tls.Clone()
	}
	config.ServerName, config.NextProtos = host, []string{"http/1.1"}
	conn := tls.Client(raw, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, err
	}
	return b.line(conn)
}

func (b *browser) connect(ctx context.Context, network string) (net.Conn, error) {
	select {
	case <-b.gone:
		<-ctx.Done() // a dead browser does not even fail
		return nil, ctx.Err()
	default:
	}
	return new(net.Dialer).DialContext(ctx, network, b.proxy)
}

func (b *browser) line(conn net.Conn) (net.Conn, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-b.gone:
		conn.Close()
		return nil, net.ErrClosed
	default:
	}
	l := &line{Conn: conn}
	b.lines = append(b.lines, l)
	return l, nil
}

// close is what happens when the tab is closed, crashes or navigates away: the
// browser closes the WebSocket for the page, with 1001.
func (b *browser) close() { b.end((*line).goAway) }

// kill is what the operating system does for a process that has ended.
func (b *browser) kill() { b.end((*line).hangUp) }

// vanish lets nothing out any more, and closes nothing.
func (b *browser) vanish() { b.end((*line).mute) }

func (b *browser) end(how func(*line)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-b.gone:
		return
	default:
	}
	close(b.gone)
	for _, l := range b.lines {
		how(l)
	}
}

// A line is one connection of a browser.
type line struct {
	net.Conn
	mu    sync.Mutex
	muted bool
}

func (l *line) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.muted {
		return len(p), nil
	}
	return l.Conn.Write(p)
}

// goingAway is a WebSocket close frame with code 1001, masked with zeros.
var goingAway = []byte{0x88, 0x82, 0, 0, 0, 0, 1001 >> 8, 1001 & 0xff}

func (l *line) goAway() {
	l.Write(goingAway) // whole frames only are ever written, so this stands between two
	l.mute()
}

func (l *line) hangUp() {
	l.mute()
	l.Conn.Close()
}

func (l *line) mute() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.muted = true
}
