package socketio

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"initgrace/grace/protocol"
)

// The official JavaScript client speaks with the wall, over a WebSocket and
// over long-polling with its upgrade.
func TestOfficialClient(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("needs Node.js")
	}
	if err := exec.Command(node, "-e", `import("socket.io-client").catch(()=>process.exit(1))`).Run(); err != nil {
		t.Skip("needs npm install at the root: socket.io-client is missing")
	}
	for _, transports := range []string{"websocket", "polling,websocket", "polling"} {
		t.Run(transports, func(t *testing.T) {
			t.Parallel()
			r := newRecorder()
			r.authorize = func(_ *Conn, h Handshake) *protocol.Error {
				if strings.Contains(string(h.Auth), "refuse") {
					return protocol.NewError(protocol.CodeBadToken, "not you")
				}
				return nil
			}
			r.event = func(c *Conn, e Event) {
				switch e.Name {
				case "echo":
					c.Ack(e.AckID, e.Args[0])
				case "close":
					after := StayAway
					if string(e.Args[0]) == "true" {
						after = ComeBack
					}
					c.Close("because the test says so", after)
				}
			}
			s, addr := testServer(t, r, &Options{Polling: true, PingInterval: 50 * time.Millisecond})
			ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
			defer cancel()
			cmd := exec.CommandContext(ctx, node, "testdata/client.mjs", "http://"+addr, transports)
			out, err := cmd.Output()
			if err != nil {
				var ee *exec.ExitError
				if errors.As(err, &ee) {
					t.Logf("%s", ee.Stderr)
				}
				t.Fatalf("%v\n%s\nrefused: %v", err, out, s.Stats().Refused)
			}
			var got map[string]any
			if err := json.Unmarshal(out, &got); err != nil {
				t.Fatal(err)
			}
			carried := "websocket"
			if transports == "polling" {
				carried = "polling"
			}
			want := map[string]any{
				"refusal":        map[string]any{"message": "not you", "data": map[string]any{"ok": false, "code": "bad_token", "message": "not you"}},
				"inOrder":        true,
				"transport":      carried,
				"stillConnected": true,
				"comeBackReason": "transport close",
				"cameBack":       true,
				"stayAwayReason": "io server disconnect",
				"stayedAway":     true,
			}
			for k := range want {
				if g, w := fmt.Sprint(got[k]), fmt.Sprint(want[k]); g != w {
					t.Errorf("%s: %s, want %s", k, g, w)
				}
			}
			for name, n := range s.Stats().Refused {
				late := transports != "websocket" && name == "bad_request" // its own goodbye, when all is over
				if n != 0 && !late {
					t.Errorf("%s counted %d times", name, n)
				}
			}
			waitFor(t, "the connections to go", func() bool { return s.Stats().Connections == 0 })
			if len(r.joined) != 2 || r.early != 0 {
				t.Errorf("%d connected, %d calls out of turn", len(r.joined), r.early)
			}
		})
	}
}
