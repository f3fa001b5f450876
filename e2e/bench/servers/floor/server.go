package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

const (
	lease = 60 * time.Second // of a load
	hold  = 30 * time.Second // of a seat without a connection
)

type server struct {
	upgrader    websocket.Upgrader
	ask, answer time.Duration // how often pages are asked, and how long they have

	mu    sync.Mutex
	seats map[string]*seat
	group map[string][]*seat
	conns map[*conn]struct{}
}

type seat struct {
	participant string
	partners    []*seat // of the group, itself included
	token       string
	epoch       int
	scene       string
	version     int
	loading     time.Time // deadline; zero: no load
	gone        *time.Timer
	conn        *conn // nil: away
	seq         int
}

type conn struct {
	ws    *websocket.Conn
	seat  *seat
	heard time.Time

	mu sync.Mutex // of writing
}

func newServer(ask, answer time.Duration) *server {
	s := &server{
		ask: ask, answer: answer,
		upgrader: websocket.Upgrader{ReadBufferSize: 512, WriteBufferSize: 1024, WriteBufferPool: &sync.Pool{}},
		seats:    make(map[string]*seat), group: make(map[string][]*seat), conns: make(map[*conn]struct{}),
	}
	go s.ping()
	return s
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ws, err := s.upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	c := &conn{ws: ws, heard: time.Now()}
	go s.serve(c)
}

func (s *server) serve(c *conn) {
	defer s.ended(c)
	c.write(fmt.Appendf(nil, `0{"sid":"%p","upgrades":[],"pingInterval":%d,"pingTimeout":%d,"maxPayload":1000000}`,
		c, s.ask.Milliseconds(), s.answer.Milliseconds()))
	var buf bytes.Buffer
	for {
		_, r, err := c.ws.NextReader()
		if err != nil {
			return
		}
		buf.Reset()
		if _, err := buf.ReadFrom(r); err != nil {
			return
		}
		switch b := buf.Bytes(); {
		case bytes.HasPrefix(b, []byte("42")):
			s.event(c, b[2:])
		case len(b) == 1 && b[0] == '3':
			s.mu.Lock()
			c.heard = time.Now()
			s.mu.Unlock()
		case bytes.HasPrefix(b, []byte("40")):
			if !s.enter(c, b[2:]) {
				return
			}
		}
	}
}

func (c *conn) write(frame []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ws.WriteMessage(websocket.TextMessage, frame)
}

// ping asks all pages in turn, and ends who has not answered.
func (s *server) ping() {
	for now := range time.Tick(s.ask) {
		s.mu.Lock()
		all := make([]*conn, 0, len(s.conns))
		for c := range s.conns {
			if now.Sub(c.heard) > s.ask+s.answer {
				c.ws.Close()
			} else {
				all = append(all, c)
			}
		}
		s.mu.Unlock()
		for _, c := range all {
			c.write([]byte("2"))
		}
	}
}

// enter gives a connection its seat.
func (s *server) enter(c *conn, auth []byte) bool {
	var a struct{ Participant, Group, Token string }
	if json.Unmarshal(auth, &a) != nil || a.Participant == "" {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.seats[a.Participant]
	restored := t != nil
	if t == nil {
		t = &seat{participant: a.Participant, token: fmt.Sprintf("%p", c)}
		s.seats[a.Participant] = t
		g := append(s.group[a.Group], t)
		s.group[a.Group] = g
		for _, m := range g {
			m.partners = g
		}
	} else if a.Token != t.token {
		return false
	}
	if t.gone != nil {
		t.gone.Stop()
	}
	c.seat, t.conn = t, c
	t.epoch++
	s.conns[c] = struct{}{}
	c.write(fmt.Appendf(nil, `40{"sid":"%p"}`, c))
	c.write(fmt.Appendf(nil, `42["session",{"participant":%q,"token":%q,"epoch":%d,"restored":%t,"scene_id":%q,"version":%d,"group":%q}]`,
		t.participant, t.token, t.epoch, restored, t.scene, t.version, a.Group))
	s.tell(t, "active")
	return true
}

// tell tells the partners of a change.
func (s *server) tell(t *seat, state string) {
	t.seq++
	frame := fmt.Appendf(nil, `42["partner_state",{"participant":%q,"state":%q,"seq":%d}]`, t.participant, state, t.seq)
	for _, m := range t.partners {
		if m != t && m.conn != nil {
			m.conn.write(frame)
		}
	}
}

func (s *server) ended(c *conn) {
	c.ws.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	t := c.seat
	if t == nil || t.conn != c {
		return
	}
	t.conn = nil
	s.tell(t, "away")
	t.gone = time.AfterFunc(max(hold, time.Until(t.loading)), func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if t.conn == nil {
			t.loading = time.Time{}
			s.tell(t, "gone")
		}
	})
}

// event handles 12["name",{…}].
func (s *server) event(c *conn, b []byte) {
	digits := bytes.IndexByte(b, '[')
	end := bytes.IndexByte(b[max(digits, 0):], ',')
	if digits < 0 || end < 3 || c.seat == nil {
		return
	}
	id, name, object := b[:digits], b[digits+2:digits+end-1], b[digits+end+1:len(b)-1]
	s.mu.Lock()
	defer s.mu.Unlock()
	t := c.seat
	c.heard = time.Now()
	switch string(name) {
	case "pyodide_loading_start":
		t.loading = c.heard.Add(lease)
		c.ack(id, `{"ok":true,"lease_ms":60000,"cap_ms":180000}`)
		s.tell(t, "loading")
	case "pyodide_loading_complete":
		t.loading = time.Time{}
		c.ack(id, `{"ok":true,"duration_ms":0}`)
		s.tell(t, "active")
	case "send":
		frame := append(append([]byte(`42["message",{"from":"`), t.participant...), `",`...)
		frame = append(append(frame, object[1:]...), ']') // its "data"
		for _, m := range t.partners {
			if m != t && m.conn != nil {
				m.conn.write(frame)
			}
		}
		c.ack(id, `{"ok":true}`)
	case "state_save":
		var v struct {
			Scene string `json:"scene_id"`
		}
		json.Unmarshal(object, &v)
		t.scene = v.Scene
		t.version++
		c.ack(id, `{"ok":true,"version":`+strconv.Itoa(t.version)+`}`)
	case "ping":
		c.write([]byte(`42["pong",{}]`))
	}
}

func (c *conn) ack(id []byte, object string) {
	c.write(append(append(append(append([]byte("43"), id...), '['), object...), ']'))
}
