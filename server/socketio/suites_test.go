package socketio

import (
	"encoding/json"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"initgrace/grace/protocol"
	"initgrace/grace/protocol/sio"
)

// TestProtocolSuites runs the published conformance suites, which are not part
// of this repository. To run them:
//
//	git clone --depth 1 https://github.com/socketio/socket.io /tmp/socket.io
//	(cd /tmp/socket.io/docs/engine.io-protocol/v4-test-suite && npm ci)
//	(cd /tmp/socket.io/docs/socket.io-protocol/v5-test-suite && npm ci)
//	INITGRACE_SUITES=/tmp/socket.io/docs go test -run ProtocolSuites ./server/socketio/
//
// The first is about Engine.IO below any Socket.IO and is run there; all the rest,
// sockets, long-polling, upgrade, heartbeat and outbox, is what serves the second.
// What must fail is listed with its reason; anything else that fails, and
// anything on the list that passes, fails this test.
func TestProtocolSuites(t *testing.T) {
	docs := os.Getenv("INITGRACE_SUITES")
	if docs == "" {
		t.Skip("INITGRACE_SUITES does not name the suites' folder")
	}
	const (
		binary    = "the guard lets no binary in"
		namespace = "there is one namespace"
	)
	for _, suite := range []struct {
		dir   string
		raw   func(*Conn, []byte)
		fails map[string]string
	}{
		{"engine.io-protocol/v4-test-suite", func(c *Conn, data []byte) { c.put(append([]byte{byte(sio.Message)}, data...)) }, map[string]string{
			"Engine.IO protocol message HTTP long-polling sends and receives a payload containing plain text and binary packets": binary,
			"Engine.IO protocol message WebSocket sends and receives a binary packet":                                            binary,
		}},
		{"socket.io-protocol/v5-test-suite", nil, map[string]string{
			"Socket.IO protocol connect should allow connection to a custom namespace":                namespace,
			"Socket.IO protocol connect should allow connection to a custom namespace with a payload": namespace,
			"Socket.IO protocol disconnect should connect then disconnect from a custom namespace":    namespace,
			"Socket.IO protocol message should send a packet with binary attachments":                 binary,
			"Socket.IO protocol message should send a packet with binary attachments and an ack":      binary,
		}},
	} {
		t.Run(suite.dir, func(t *testing.T) {
			s, err := New(suiteHandler{}, &Options{
				PingInterval: 300 * time.Millisecond, PingTimeout: 200 * time.Millisecond, Polling: true,
				Limits: Limits{Packet: 1_000_000, ConnectTimeout: time.Second},
			})
			if err != nil {
				t.Fatal(err)
			}
			s.raw = suite.raw
			l, err := net.Listen("tcp", "localhost:3000") // as the suites have it
			if err != nil {
				t.Fatal(err)
			}
			hs := &http.Server{Handler: s} // under every path: the suites differ in it
			go hs.Serve(l)
			defer hs.Close()

			cmd := exec.Command("npx", "mocha", "--exit", "--reporter", "json", "test-suite.js")
			cmd.Dir = filepath.Join(docs, suite.dir)
			out, _ := cmd.Output() // the exit status is the number of failures
			var report struct {
				Passes   []struct{ FullTitle string }
				Failures []struct {
					FullTitle string
					Err       struct{ Message string }
				}
			}
			if err := json.Unmarshal(out, &report); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			t.Logf("%d passed, %d failed", len(report.Passes), len(report.Failures))
			var failed []string
			for _, f := range report.Failures {
				failed = append(failed, f.FullTitle)
				if why := suite.fails[f.FullTitle]; why == "" {
					t.Errorf("failed: %s\n\t%s", f.FullTitle, f.Err.Message)
				} else {
					t.Logf("failed as it must, %s: %s", why, f.FullTitle)
				}
			}
			for title := range suite.fails {
				if !slices.Contains(failed, title) {
					t.Errorf("passed, or is no longer in the suite: %s", title)
				}
			}
		})
	}
}

// suiteHandler does what the suites ask of a server.
type suiteHandler struct{ echo }

func (suiteHandler) Authorize(c Client, h Handshake) *protocol.Error {
	c.SetValue([]byte(h.Auth))
	return nil
}

func (suiteHandler) Connected(c Client) {
	auth := c.Value().([]byte)
	if auth == nil {
		auth = []byte("{}")
	}
	c.EmitFrame(sio.AppendEvent([]byte("42"), "auth", auth))
}

func (suiteHandler) Event(c Client, e Event) {
	args := make([][]byte, len(e.Args))
	for i, a := range e.Args {
		args[i] = a
	}
	switch e.Name {
	case "message":
		c.EmitFrame(sio.AppendEvent([]byte("42"), "message-back", args...))
	case "message-with-ack":
		c.EmitFrame(sio.Append([]byte("4"), sio.Packet{Type: sio.Ack, ID: e.AckID, HasID: true, Data: sio.AppendArgs(nil, args...)}))
	}
}
