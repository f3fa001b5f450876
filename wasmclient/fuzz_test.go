//go:build !js

package wasmclient

import (
	"bytes"
	"testing"
	"time"

	"initgrace/grace/protocol/sio"
)

// FuzzReceive feeds a client whatever a server could send, line by line, on a
// connection without a socket. It must never panic, block, or send anything
// but valid frames; and a call that is acknowledged is acknowledged once.
func FuzzReceive(f *testing.F) {
	for _, s := range []string{
		"0{\"pingInterval\":2000,\"pingTimeout\":1000,\"maxPayload\":100}\n40{\"sid\":\"x\"}\n42[\"session\",{\"token\":\"t\"}]\n430[{\"ok\":true}]\n430[]",
		"2\n2probe\n3\n6\n1", "44{\"message\":\"no\",\"data\":{\"ok\":false,\"code\":\"bad_token\"}}", "44{}", "41",
		"42[\"session\",null]\n42[\"pong\",{\"id\":1,\"max_latency\":1e300}]\n42[\"presence\",{\"state\":\"away\"}]",
		"42[\"group_ready\",{\"group\":\"g\",\"members\":[\"p\"]}]\n42[\"group_end\",{\"group\":\"g\"}]\n42[\"replaced\"]",
		"42[\"server_restarting\",{\"delay_ms\":9223372036854775807}]\n41\n42[\"expired\",{\"reason\":1}]",
		"42[\"message\",{\"seq\":-1}]\n4\n\n451-[\"x\"]\n42/a,[\"x\"]\n430\n43999[1]",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, script []byte) {
		c, err := newClient("http://h", &Options{Participant: "p"})
		if err != nil {
			t.Fatal(err)
		}
		cn := newConn(nil, 1<<20)
		c.current = cn
		k := &call{ack: true}
		if err := c.emit(k, "x", nil); err != nil {
			t.Fatal(err)
		}
		for line := range bytes.SplitSeq(script, []byte("\n")) {
			c.frame(cn, line)
			c.ping(cn)
		}
		out, _ := cn.take()
		for _, frame := range out {
			typ, data, err := sio.DecodeEngine(frame)
			if err == nil && typ == sio.Message {
				_, err = sio.Decode(data)
			}
			if err != nil {
				t.Fatalf("sent %q: %v", frame, err)
			}
		}
		if cn.isReady != (c.live == cn) {
			t.Fatalf("ready %t, live %t", cn.isReady, c.live == cn)
		}
		if d := cn.patience(0); d < 0 || cn.interval > 0 && d > cn.interval+cn.timeout {
			t.Fatalf("patience %v of %v + %v", d, cn.interval, cn.timeout)
		}
		if l := c.State().Latency; l < 0 || l > time.Minute {
			t.Fatalf("latency %v", l)
		}
		if len(c.calls) > 1 || c.bytes < 0 || (len(c.calls) == 0) != (len(k.done) == 1) {
			t.Fatalf("%d calls of %d bytes, %d outcomes", len(c.calls), c.bytes, len(k.done))
		}
	})
}
