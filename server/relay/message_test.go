package relay

import (
	"bytes"
	"reflect"
	"testing"
	"time"

	"initgrace/grace/protocol"
	"initgrace/server/socketio"
)

// examples has every kind, and every field.
var examples = []message{
	{},
	{kind: beat, stats: &socketio.Stats{Connections: 3, Refused: map[string]uint64{"flood": 2}}},
	{kind: authorize, client: 1, id: "abc", addr: "2001:db8::1", name: "websocket", data: []byte(`{"participant":"p"}`)},
	{kind: authorize, client: 1 << 63},
	{kind: connected, client: 300, canProbe: true},
	{kind: event, client: 7, name: "send", args: [][]byte{[]byte(`{"data":1}`), []byte("2")}, ack: true, ackID: 1 << 40},
	{kind: event, client: 7, name: "", args: [][]byte{}},
	{kind: pagePong, client: 7},
	{kind: browserPong, client: 7, roundTrip: 3 * time.Millisecond},
	{kind: disconnected, client: 7, cause: socketio.Cause{Kind: socketio.BrowserClosed, Detail: "1001"}},
	{kind: goodbye},
	{kind: verdict, client: 7},
	{kind: verdict, client: 7, refused: protocol.NewError(protocol.CodeUnauthorized, "who?")},
	{kind: frame, client: 7, data: []byte(`42["pong",{}]`)},
	{kind: probe, client: 7},
	{kind: closing, client: 7, name: "replaced", after: socketio.ComeBack},
}

func TestMessages(t *testing.T) {
	seen := map[kind]bool{}
	for _, m := range examples {
		seen[m.kind] = true
		b := appendMessage([]byte("before"), &m)
		if !bytes.HasPrefix(b, []byte("before")) {
			t.Fatalf("%+v overwrites what is there", m)
		}
		b = b[len("before")+4:]
		var got message
		if err := got.decode(b); err != nil || !reflect.DeepEqual(got, m) {
			t.Errorf("%+v became %+v: %v", m, got, err)
		}
		for n := range b {
			if new(message).decode(b[:n]) == nil {
				t.Errorf("%d of the %d bytes of %+v are a message too", n, len(b), m)
			}
		}
		if new(message).decode(append(b, 0)) == nil {
			t.Errorf("%+v and something is a message", m)
		}
	}
	if len(seen) != int(closing)+1 {
		t.Errorf("%d kinds have no example", int(closing)+1-len(seen))
	}
}

func FuzzMessage(f *testing.F) {
	for _, m := range examples {
		f.Add(appendMessage(nil, &m)[4:])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var m, again message
		if m.decode(b) != nil {
			return
		}
		if err := again.decode(appendMessage(nil, &m)[4:]); err != nil || !reflect.DeepEqual(m, again) {
			t.Errorf("%+v became %+v: %v", m, again, err)
		}
	})
}
