package socketio

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// A poller speaks long-polling by hand.
type poller struct {
	t    testing.TB
	addr string
	sid  string
	http *http.Client // nil: the default
}

func openPolling(t testing.TB, addr string) *poller {
	t.Helper()
	p := &poller{t: t, addr: addr}
	status, body := p.get()
	if status != 200 {
		t.Fatalf("handshake: %d %s", status, body)
	}
	var open struct {
		SID        string
		Upgrades   []string
		MaxPayload int
	}
	mustJSON(t, strings.TrimPrefix(body, "0"), &open)
	if open.SID == "" || strings.Join(open.Upgrades, " ") != "websocket" || open.MaxPayload != 1<<20 {
		t.Fatalf("open packet %s", body)
	}
	p.sid = open.SID
	return p
}

func (p *poller) url() string {
	u := "http://" + p.addr + Path + "?EIO=4&transport=polling"
	if p.sid != "" {
		u += "&sid=" + p.sid
	}
	return u
}

func (p *poller) do(method, contentType string, body io.Reader) (int, string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	req, _ := http.NewRequestWithContext(ctx, method, p.url(), body)
	req.Header.Set("Content-Type", contentType)
	do := http.DefaultClient
	if p.http != nil {
		do = p.http
	}
	resp, err := do.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func (p *poller) get() (int, string) { p.t.Helper(); return p.do("GET", "", nil) }

func (p *poller) post(frames ...string) {
	p.t.Helper()
	status, body := p.do("POST", "text/plain", strings.NewReader(strings.Join(frames, "\x1e")))
	if status != 200 || body != "ok" {
		p.t.Fatalf("post: %d %s", status, body)
	}
}

// expect polls until it has a frame for each prefix, in that order.
func (p *poller) expect(prefixes ...string) []string {
	p.t.Helper()
	var got []string
	for len(got) < len(prefixes) {
		status, body := p.get()
		if status != 200 {
			p.t.Fatalf("want %q: %d %s", prefixes[len(got):], status, body)
		}
		for f := range strings.SplitSeq(body, "\x1e") {
			if f == "2" {
				p.post("3")
				continue
			}
			if len(got) == len(prefixes) || !strings.HasPrefix(f, prefixes[len(got)]) {
				p.t.Fatalf("got %.100q after %d frames, want %q", f, len(got), prefixes)
			}
			got = append(got, f)
		}
	}
	return got
}

func TestPolling(t *testing.T) {
	r := newRecorder()
	r.connected = func(c *Conn) { c.Emit("hello", nil) }
	s, addr := testServer(t, r, &Options{Polling: true})
	p := openPolling(t, addr)
	p.post("40")
	p.expect(`40{"sid":`, `42["hello"]`)
	if c := r.conns[0]; c.CanProbe() {
		t.Error("long-polling that can be probed")
	}
	// More than the module's 64 KiB, and several at once, in order.
	long := strings.Repeat("x", 200<<10)
	p.post(`420["a","`+long+`"]`, `421["b",1]`, `422["c"]`)
	p.expect(`430["`+long+`"]`, `431[1]`, `432[]`)
	p.post("41")
	r.wait(t, "Disconnected", func() bool { return len(r.causes) == 1 })
	if r.causes[0].Kind != ClientLeft {
		t.Errorf("%+v", r.causes[0])
	}
	last := make(chan string)
	go func() {
		_, body := p.get()
		last <- body
	}()
	waitFor(t, "a poll", func() bool { return s.find(p.sid).polling.getting.Load() })
	p.post("1")
	if body := <-last; body != "6" {
		t.Errorf("the poll at the end got %q", body)
	}
	waitFor(t, "the connection to go", func() bool { return s.Stats().Connections == 0 })
	if status, _ := p.get(); status != 400 {
		t.Errorf("status %d after the end", status)
	}
}

// What was emitted arrives once and in order through the upgrade, however the
// requests and frames fall.
func TestUpgrade(t *testing.T) {
	r := newRecorder()
	stop := make(chan struct{})
	emitted := make(chan int, 1)
	r.connected = func(c *Conn) {
		go func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					emitted <- i
					return
				case <-time.After(100 * time.Microsecond):
					c.Emit("n", i)
				}
			}
		}()
	}
	s, addr := testServer(t, r, &Options{Polling: true, PingInterval: 10 * time.Millisecond})
	p := openPolling(t, addr)
	p.post("40")

	var got []string
	take := func(f string) {
		if strings.HasPrefix(f, `42["n",`) {
			got = append(got, f)
		}
	}
	poll := func() {
		_, body := p.get()
		for f := range strings.SplitSeq(body, "\x1e") {
			if take(f); f == "2" {
				p.post("3")
			}
		}
	}
	for range 5 {
		poll()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	ws, _, err := websocket.Dial(ctx, "ws://"+addr+Path+"?EIO=4&transport=websocket&sid="+p.sid, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.CloseNow()
	c := &client{t: t, ws: ws}
	c.send("2probe")
	c.expect("3probe")
	second, _, err := websocket.Dial(ctx, "ws://"+addr+Path+"?EIO=4&transport=websocket&sid="+p.sid, nil)
	if err != nil {
		t.Fatal(err)
	}
	if code, why := (&client{t: t, ws: second}).closed(); code != websocket.StatusPolicyViolation {
		t.Errorf("a second upgrade: %d %s", code, why)
	}
	for range 3 {
		poll() // as a client does until its last poll is back
	}
	c.send("5")
	for range 200 {
		f, err := c.next()
		if err != nil {
			t.Fatal(err)
		}
		take(f)
	}
	close(stop)
	n := <-emitted
	for len(got) < n {
		f, err := c.next()
		if err != nil {
			t.Fatalf("after %d of %d: %v", len(got), n, err)
		}
		take(f)
	}
	for i, f := range got {
		if f != `42["n",`+strconv.Itoa(i)+"]" {
			t.Fatalf("frame %d is %s", i, f)
		}
	}
	if !r.conns[0].CanProbe() {
		t.Error("upgraded and cannot be probed")
	}
	if status, _ := p.get(); status != 400 {
		t.Errorf("a poll after the upgrade: %d", status)
	}
	ws.Close(websocket.StatusGoingAway, "")
	r.wait(t, "Disconnected", func() bool { return len(r.causes) == 1 })
	if r.causes[0].Kind != BrowserClosed {
		t.Errorf("%+v", r.causes[0])
	}
	waitFor(t, "the connection to go", func() bool { return s.Stats().Connections == 0 })
}

// An upgrade that comes to nothing leaves long-polling as it was, and another
// one may be tried.
func TestUpgradeAbandoned(t *testing.T) {
	t.Parallel()
	r := newRecorder()
	s, addr := testServer(t, r, &Options{Polling: true})
	p := openPolling(t, addr)
	p.post("40")
	p.expect("40{")
	for range 2 {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		waitFor(t, "the last upgrade to end", func() bool { return !s.find(p.sid).upgrading.Load() })
		ws, _, err := websocket.Dial(ctx, "ws://"+addr+Path+"?EIO=4&transport=websocket&sid="+p.sid, nil)
		if err != nil {
			t.Fatal(err)
		}
		c := &client{t: t, ws: ws}
		c.send("2probe")
		c.expect("3probe")
		ws.CloseNow()
		p.post(`421["still polling"]`)
		for {
			if _, body := p.get(); body != "6" {
				if body != "431[]" {
					t.Fatalf("%q", body)
				}
				break
			}
		}
	}
}

// A client amid an upgrade does not poll: what it is told when the connection
// is closed reaches it over the WebSocket.
func TestCloseDuringUpgrade(t *testing.T) {
	r := newRecorder()
	s, addr := testServer(t, r, &Options{Polling: true})
	p := openPolling(t, addr)
	p.post("40")
	p.expect("40{")
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	ws, _, err := websocket.Dial(ctx, "ws://"+addr+Path+"?EIO=4&transport=websocket&sid="+p.sid, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.CloseNow()
	c := &client{t: t, ws: ws}
	c.send("2probe")
	c.expect("3probe")
	r.conns[0].Close("replaced", StayAway)
	r.wait(t, "Disconnected", func() bool { return len(r.causes) == 1 })
	c.send("5")
	c.expect("41")
	if code, why := c.closed(); code != websocket.StatusNormalClosure || why != "replaced" {
		t.Errorf("%d %s", code, why)
	}
	waitFor(t, "the connection to go", func() bool { return s.Stats().Connections == 0 })
}

func TestPollingRefusals(t *testing.T) {
	t.Parallel()
	big := bytes.Repeat([]byte("x"), 2<<20)
	for _, tc := range []struct {
		name        string
		contentType string
		body        io.Reader
		status      int
		reason      reason
	}{
		{"too large", "text/plain", bytes.NewReader(big), 413, tooLarge},
		{"too large and chunked", "text/plain", io.MultiReader(bytes.NewReader(big)), 413, tooLarge},
		{"binary", "application/octet-stream", strings.NewReader("4"), 400, binaryFrame},
		{"base64", "text/plain", strings.NewReader("bAQID"), 400, binaryFrame},
		{"empty", "text/plain", strings.NewReader(""), 400, malformed},
		{"empty packet", "text/plain", strings.NewReader("40\x1e"), 400, malformed},
		{"an event before CONNECT", "text/plain", strings.NewReader(`42["x"]`), 400, beforeConnect},
		{"a crash in the second packet", "text/plain", strings.NewReader("40\x1e42"), 400, malformed},
		{"an early pong", "text/plain", strings.NewReader("3"), 400, unexpectedPong},
		{"a probe", "text/plain", strings.NewReader("2probe"), 400, unexpectedProbe},
		{"an upgrade", "text/plain", strings.NewReader("5"), 400, unexpectedProbe},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s, addr := testServer(t, newRecorder(), &Options{Polling: true})
			p := openPolling(t, addr)
			if status, body := p.do("POST", tc.contentType, tc.body); status != tc.status {
				t.Errorf("status %d %s, want %d", status, body, tc.status)
			}
			if n := s.Stats().Refused[tc.reason.String()]; n != 1 {
				t.Errorf("%s counted %d times: %v", tc.reason, n, s.Stats().Refused)
			}
			waitFor(t, "the connection to go", func() bool { return s.Stats().Connections == 0 })
		})
	}
	t.Run("two polls", func(t *testing.T) {
		r := newRecorder()
		s, addr := testServer(t, r, &Options{Polling: true, PingInterval: time.Hour})
		p := openPolling(t, addr)
		first := make(chan string)
		go func() {
			_, body := p.get()
			first <- body
		}()
		waitFor(t, "the first poll", func() bool { return s.find(p.sid).polling.getting.Load() })
		if status, _ := p.get(); status != 400 {
			t.Errorf("status %d", status)
		}
		if body := <-first; body != "1" {
			t.Errorf("the first poll got %q", body)
		}
	})
	t.Run("a poll is aborted", func(t *testing.T) {
		r := newRecorder()
		s, addr := testServer(t, r, &Options{Polling: true, PingInterval: time.Hour})
		p := openPolling(t, addr)
		p.post("40")
		p.expect("40{")
		ctx, cancel := context.WithCancel(context.Background())
		req, _ := http.NewRequestWithContext(ctx, "GET", p.url(), nil)
		go http.DefaultClient.Do(req)
		waitFor(t, "the poll", func() bool { return s.find(p.sid).polling.getting.Load() })
		cancel()
		r.wait(t, "Disconnected", func() bool { return len(r.causes) == 1 })
		if r.causes[0].Kind != Lost {
			t.Errorf("%+v", r.causes[0])
		}
	})
}

// A client that never polls can make no more wait than one that never reads.
func TestPollingSlowReader(t *testing.T) {
	r := newRecorder()
	s, addr := testServer(t, r, &Options{Polling: true, PingInterval: time.Hour})
	p := openPolling(t, addr)
	p.post("40")
	r.wait(t, "connected", func() bool { return len(r.conns) == 1 })
	for i := 0; s.Stats().Refused["slow_reader"] == 0; i++ {
		if r.conns[0].Emit("x", strings.Repeat("x", 100<<10)); i > 20 {
			t.Fatal("no bound")
		}
	}
}

func TestCORS(t *testing.T) {
	t.Parallel()
	_, addr := testServer(t, newRecorder(), &Options{Polling: true, Origins: []string{"https://lab.example.org"}})
	resp := request(t, addr, "EIO=4&transport=polling", "https://lab.example.org", false)
	if got := resp.Header.Get("Access-Control-Allow-Origin"); resp.StatusCode != 200 || got != "https://lab.example.org" {
		t.Errorf("%d %q", resp.StatusCode, got)
	}
	resp = request(t, addr, "EIO=4&transport=polling", "https://evil.example.org", false)
	if got := resp.Header.Get("Access-Control-Allow-Origin"); resp.StatusCode != 403 || got != "" {
		t.Errorf("%d %q", resp.StatusCode, got)
	}
}

// A browser may send the next poll over another TCP connection, as soon as it
// has read the answer to the last one.
func TestPollsOverManyConnections(t *testing.T) {
	r := newRecorder()
	s, addr := testServer(t, r, &Options{Polling: true})
	p := openPolling(t, addr)
	p.http = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	p.post("40")
	p.expect("40{")
	for i := range 150 {
		p.post(`42` + strconv.Itoa(i) + `["e"]`)
		p.expect(`43` + strconv.Itoa(i) + `[]`)
	}
	if n := s.Stats().Refused["overlap"]; n != 0 {
		t.Errorf("overlap counted %d times", n)
	}
}
