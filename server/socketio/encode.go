package socketio

import (
	"bytes"
	"encoding/json"
	"fmt"

	"initgrace/grace/protocol/sio"
)

// EncodeEvent encodes an event once, for any number of Conn.EmitFrame. A nil
// payload is no argument; anything else becomes the event's one argument, as
// encoding/json has it.
func EncodeEvent(event string, payload any) ([]byte, error) {
	if payload == nil {
		return sio.AppendEvent([]byte("42"), event), nil
	}
	data, err := marshal(payload)
	if err != nil {
		return nil, fmt.Errorf("socketio: event %q: %w", event, err)
	}
	return sio.AppendEvent(append(make([]byte, 0, len(event)+len(data)+8), "42"...), event, data), nil
}

// EncodeAck makes the frame that answers the event of an AckID, with at most one
// argument.
func EncodeAck(id uint64, payload any) ([]byte, error) {
	var args [][]byte
	if payload != nil {
		data, err := marshal(payload)
		if err != nil {
			return nil, fmt.Errorf("socketio: ack: %w", err)
		}
		args = [][]byte{data}
	}
	p := sio.Packet{Type: sio.Ack, ID: id, HasID: true, Data: sio.AppendArgs(nil, args...)}
	return sio.Append([]byte{byte(sio.Message)}, p), nil
}

// marshal is json.Marshal without its escapes for HTML, which nothing here goes
// into: a state of markup would be up to six times as long as it was.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte{'\n'}), err
}
