// Command bare is the Socket.IO module as it comes, with the same events and the
// same grace as the other servers of the comparison: a disconnect holds the seat
// for 30 s, or until the lease of a load ends.
package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/zishang520/engine.io/v2/types"
	"github.com/zishang520/socket.io/v2/socket"
)

const (
	lease = 60 * time.Second
	hold  = 30 * time.Second
)

func main() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, "bare:", err)
		os.Exit(1)
	}
	opts := socket.DefaultServerOptions()
	opts.SetServeClient(false)
	opts.SetPingInterval(2 * time.Second)
	opts.SetPingTimeout(7500 * time.Millisecond)
	opts.SetTransports(types.NewSet("websocket"))
	opts.SetAllowUpgrades(false)
	io := socket.NewServer(nil, opts)
	s := &server{seats: make(map[string]*seat), group: make(map[string][]*seat)}
	io.On("connection", func(args ...any) { s.connected(args[0].(*socket.Socket)) })
	fmt.Printf("serves http://%s/\n", l.Addr())
	fmt.Fprintln(os.Stderr, "bare:", http.Serve(l, io.ServeHandler(nil)))
	os.Exit(1)
}

type server struct {
	mu    sync.Mutex
	seats map[string]*seat
	group map[string][]*seat
}

type seat struct {
	participant, token, scene string
	partners                  []*seat
	epoch, version, seq       int
	loading                   time.Time
	gone                      *time.Timer
	sock                      *socket.Socket // nil: away
}

type object = map[string]any

func (s *server) connected(sock *socket.Socket) {
	auth, _ := sock.Handshake().Auth.(map[string]any)
	text := func(name string) string { v, _ := auth[name].(string); return v }
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.seats[text("participant")]
	restored := t != nil
	if t == nil {
		t = &seat{participant: text("participant"), token: string(sock.Id())}
		s.seats[t.participant] = t
		g := append(s.group[text("group")], t)
		s.group[text("group")] = g
		for _, m := range g {
			m.partners = g
		}
	} else if t.token != text("token") {
		sock.Disconnect(true)
		return
	}
	if t.gone != nil {
		t.gone.Stop()
	}
	t.sock = sock
	t.epoch++
	sock.Emit("session", object{
		"participant": t.participant, "token": t.token, "epoch": t.epoch, "restored": restored,
		"scene_id": t.scene, "version": t.version, "group": text("group"),
	})
	s.tell(t, "active")

	on := func(event string, f func(v object) object) {
		sock.On(event, func(args ...any) {
			v := object{}
			var ack func([]any, error)
			for _, a := range args {
				switch a := a.(type) {
				case map[string]any:
					v = a
				case func([]any, error):
					ack = a
				}
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			if reply := f(v); ack != nil {
				ack([]any{reply}, nil)
			}
		})
	}
	on("pyodide_loading_start", func(object) object {
		t.loading = time.Now().Add(lease)
		s.tell(t, "loading")
		return object{"ok": true, "lease_ms": 60000, "cap_ms": 180000}
	})
	on("pyodide_loading_complete", func(object) object {
		t.loading = time.Time{}
		s.tell(t, "active")
		return object{"ok": true, "duration_ms": 0}
	})
	on("send", func(v object) object {
		for _, m := range t.partners {
			if m != t && m.sock != nil {
				m.sock.Emit("message", object{"from": t.participant, "data": v["data"]})
			}
		}
		return object{"ok": true}
	})
	on("state_save", func(v object) object {
		t.scene, _ = v["scene_id"].(string)
		t.version++
		return object{"ok": true, "version": t.version}
	})
	on("ping", func(object) object {
		sock.Emit("pong", object{})
		return object{}
	})
	sock.On("disconnect", func(...any) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if t.sock != sock {
			return
		}
		t.sock = nil
		s.tell(t, "away")
		t.gone = time.AfterFunc(max(hold, time.Until(t.loading)), func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			if t.sock == nil {
				t.loading = time.Time{}
				s.tell(t, "gone")
			}
		})
	})
}

func (s *server) tell(t *seat, state string) {
	t.seq++
	for _, m := range t.partners {
		if m != t && m.sock != nil {
			m.sock.Emit("partner_state", object{"participant": t.participant, "state": state, "seq": t.seq})
		}
	}
}
