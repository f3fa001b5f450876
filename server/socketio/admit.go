package socketio

import (
	"bufio"
	"encoding/json"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/gorilla/websocket"

	"initgrace/grace/protocol/sio"
)

// What a refused request is answered with, as the reference server has it.
type requestError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

var (
	errTransport  = requestError{0, "Transport unknown"}
	errSID        = requestError{1, "Session ID unknown"}
	errMethod     = requestError{2, "Bad handshake method"}
	errBadRequest = requestError{3, "Bad request"}
	errForbidden  = requestError{4, "Forbidden"}
	errVersion    = requestError{5, "Unsupported protocol version"}
	errBusy       = requestError{3, "Too many connections"}
)

func httpError(w http.ResponseWriter, status int, e requestError) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(e)
}

// ServeHTTP serves the requests for Path.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.allowOrigin(w, r) {
		s.deny(w, badOrigin, http.StatusForbidden, errForbidden)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	upgrade := websocket.IsWebSocketUpgrade(r)
	q := r.URL.Query()
	switch {
	case r.Method == http.MethodOptions && !upgrade:
		s.preflight(w)
		return
	case q.Get("EIO") != "4" || q.Has("j"):
		s.deny(w, badVersion, http.StatusBadRequest, errVersion)
		return
	case !s.speaks(q, upgrade):
		s.deny(w, badRequest, http.StatusBadRequest, errTransport)
		return
	}
	sid := q.Get("sid")
	switch {
	case sid == "" && r.Method != http.MethodGet:
		s.deny(w, badRequest, http.StatusBadRequest, errMethod)
	case sid == "":
		s.handshake(w, r, q.Get("transport"))
	default:
		c := s.find(sid)
		if c == nil {
			s.deny(w, badRequest, http.StatusBadRequest, errSID)
			return
		}
		s.again(w, r, c, upgrade)
	}
}

// deny counts a refused request.
func (s *Server) deny(w http.ResponseWriter, why reason, status int, e requestError) {
	s.count.refused[why].Add(1)
	if status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", "1")
	}
	httpError(w, status, e)
}

// speaks says whether the request names a transport that is served, once and
// as it is used.
func (s *Server) speaks(q url.Values, upgrade bool) bool {
	for _, key := range []string{"EIO", "transport", "sid"} {
		if len(q[key]) > 1 { // the module reads the last, net/url the first
			return false
		}
	}
	switch q.Get("transport") {
	case "websocket":
		return upgrade
	case "polling":
		return !upgrade && s.polling
	}
	return false
}

// allowOrigin says whether a page of the request's origin may speak to us. It
// is asked for WebSockets too, which CORS does not cover.
func (s *Server) allowOrigin(w http.ResponseWriter, r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true
	}
	w.Header().Add("Vary", "Origin")
	if s.anyOrigin {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		return true
	}
	u, err := url.Parse(origin)
	same := err == nil && u.Host != "" && strings.EqualFold(u.Host, r.Host)
	if !same && !s.origins[strings.ToLower(origin)] {
		return false
	}
	if !same {
		w.Header().Set("Access-Control-Allow-Origin", origin)
		w.Header().Set("Access-Control-Allow-Credentials", "true")
	}
	return true
}

func (s *Server) preflight(w http.ResponseWriter) {
	w.Header().Set("Access-Control-Allow-Methods", "GET, POST")
	w.Header().Set("Access-Control-Allow-Headers", "Content-Type")
	w.WriteHeader(http.StatusNoContent)
}

// handshake admits a new connection to the module.
func (s *Server) handshake(w http.ResponseWriter, r *http.Request, transport string) {
	c, why := s.admit(r, transport)
	if c == nil {
		status := http.StatusServiceUnavailable
		if why == tooManyFromAddress {
			status = http.StatusTooManyRequests
		}
		s.deny(w, why, status, errBusy)
		return
	}
	defer c.release()
	h := &handshake{c: c}
	s.throughModule(w, r, h)
	c.mu.Lock()
	made := c.engine != nil
	c.mu.Unlock()
	if !made {
		c.end(Cause{Kind: Lost, Detail: "the handshake failed"}, nil)
	}
	// Admitting goes as deep as the handshake, for which this goroutine's stack has
	// grown; only then a connection gets one of its own, which stays small.
	if h.ws != nil && h.ws.read(c.alone.Load) {
		go h.ws.read(never)
	}
}

func never() bool { return false }

// again serves a request of a connection that began with long-polling.
func (s *Server) again(w http.ResponseWriter, r *http.Request, c *Conn, upgrade bool) {
	switch {
	case upgrade:
		if c.CanProbe() || !c.retain() {
			s.turnAway(w, r)
			return
		}
		defer c.release()
		if !c.upgrading.CompareAndSwap(false, true) {
			s.turnAway(w, r)
			return
		}
		h := &handshake{c: c, upgrade: true}
		s.throughModule(w, r, h)
		if h.ws == nil {
			c.upgrading.Store(false)
			return
		}
		go h.ws.read(never)
	case c.CanProbe():
		s.deny(w, badRequest, http.StatusBadRequest, errBadRequest)
	case r.Method == http.MethodGet:
		c.polling.get(w, r)
	case r.Method == http.MethodPost:
		c.polling.post(w, r)
	default:
		s.deny(w, badRequest, http.StatusBadRequest, errBadRequest)
	}
}

// turnAway accepts a second upgrade of a connection and closes it, as the
// reference does: a status would be an error where clients expect a close.
func (s *Server) turnAway(w http.ResponseWriter, r *http.Request) {
	s.count.refused[badRequest].Add(1)
	u := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }} // it was checked
	if ws, err := u.Upgrade(w, r, nil); err == nil {
		ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.ClosePolicyViolation, badRequest.String()), time.Now().Add(linger))
		ws.Close()
	}
}

// throughModule lets the module serve the request. When it returns, the module
// has attached its listeners to the transport that it has made: now, and not
// before, the transport may be read.
func (s *Server) throughModule(w http.ResponseWriter, r *http.Request, h *handshake) {
	defer h.c.recovered("in the handshake")
	rw := &responseWriter{ResponseWriter: w, c: h.c, addr: r.RemoteAddr, together: !h.upgrade}
	s.engine.ServeHTTP(rw, r.WithContext(h.context(r.Context())))
}

// A responseWriter lets the module hijack the connection, but into our socket.
// What the module writes to a hijacked response, in its error paths, goes
// nowhere instead of into the server's log.
type responseWriter struct {
	http.ResponseWriter
	c        *Conn
	addr     string
	together bool // the response leaves with the first packet
	hijacked bool
}

func (w *responseWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	w.hijacked = true
	// The module keeps the response for as long as the connection lives; the
	// server's buffers need not live with it.
	w.ResponseWriter = nowhere{}
	return &guardedConn{Conn: conn, c: w.c, addr: textAddr(w.addr), together: w.together}, rw, nil
}

// nowhere is the response of a request whose connection was hijacked.
type nowhere struct{}

func (nowhere) Header() http.Header         { return http.Header{} }
func (nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (nowhere) WriteHeader(int)             {}

// admit takes a new connection onto the books, or says why not.
func (s *Server) admit(r *http.Request, transport string) (*Conn, reason) {
	if !s.handshakes.Allow() {
		return nil, tooManyHandshakes
	}
	addr, network := s.clientAddr(r)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closing:
		return nil, shuttingDown
	case len(s.conns) >= s.limits.Connections:
		return nil, tooManyConnections
	case s.byAddress[network] >= s.limits.PerAddress:
		return nil, tooManyFromAddress
	}
	l := s.limits
	c := &Conn{
		srv: s, addr: addr, network: network, header: r.Header,
		transport: transport,
		done:      make(chan struct{}),
	}
	c.out.limit = l.Outbound
	c.out.farewell = sio.Close
	c.packets.limiter = newLimiter(l.Events, l.EventBurst)
	c.bytes.limiter = newLimiter(float64(l.Bytes), l.ByteBurst)
	if c.transport == "polling" {
		c.out.poll = make(chan struct{}, 1)
	}
	c.parts.Store(2) // the end, and the handshake
	s.conns[c] = struct{}{}
	s.byAddress[network]++
	return c, 0
}

func (s *Server) find(sid string) *Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bySID[sid]
}

// ClientAddress is whom a request comes from, by the same trust in proxies as
// for connections.
func (s *Server) ClientAddress(r *http.Request) string {
	addr, network := s.clientAddr(r)
	if network.IsValid() {
		return network.String()
	}
	return addr
}

// clientAddr is the address to believe, and the network that it counts for.
func (s *Server) clientAddr(r *http.Request) (string, netip.Prefix) {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil { // a Unix socket, or a test's
		return r.RemoteAddr, netip.Prefix{}
	}
	addr := ap.Addr().Unmap()
	if s.trusted(addr) {
		addr = s.forwarded(r, addr)
	}
	bits := addr.BitLen()
	if addr.Is6() {
		bits = 64 // what one subscriber has
	}
	network, _ := addr.WithZone("").Prefix(bits)
	return addr.String(), network
}

// forwarded walks X-Forwarded-For from the nearest hop outwards: the first
// address that is not a trusted proxy's is the client's, and whatever stands
// before it could be the client's own invention.
func (s *Server) forwarded(r *http.Request, peer netip.Addr) netip.Addr {
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		addr, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			return peer
		}
		if peer = addr.Unmap(); !s.trusted(peer) {
			return peer
		}
	}
	return peer
}

func (s *Server) trusted(addr netip.Addr) bool {
	for _, p := range s.proxies {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}
