package sio

// EngineType is the first byte of an Engine.IO v4 packet.
type EngineType byte

const (
	Open    EngineType = '0' // server: the handshake, a JSON object
	Close   EngineType = '1'
	Ping    EngineType = '2' // server: are you there; "2probe" from a client that upgrades
	Pong    EngineType = '3' // the answer, with the same data
	Message EngineType = '4' // a Socket.IO packet
	Upgrade EngineType = '5'
	Noop    EngineType = '6'
)

// Separator stands between the packets of one long-polling payload.
const Separator = 0x1e

// probe is the only data that a ping or a pong may carry.
const probe = "probe"

// DecodeEngine splits a frame into its type and its data. Only Open and
// Message carry data of their own; it is not looked at here.
func DecodeEngine(frame []byte) (EngineType, []byte, error) {
	if len(frame) == 0 {
		return 0, nil, ErrEmpty
	}
	t, data := EngineType(frame[0]), frame[1:]
	switch t {
	case Open, Message:
		return t, data, nil
	case Ping, Pong:
		if len(data) != 0 && string(data) != probe {
			return 0, nil, ErrEngine
		}
		return t, data, nil
	case Close, Upgrade, Noop:
		if len(data) != 0 {
			return 0, nil, ErrEngine
		}
		return t, data, nil
	case 'b': // base64, in long-polling
		return 0, nil, ErrBinary
	}
	return 0, nil, ErrType
}

// AppendEngine appends a frame to dst.
func AppendEngine(dst []byte, t EngineType, data []byte) []byte {
	return append(append(dst, byte(t)), data...)
}

// SplitPayload splits the body of a long-polling request into at most limit
// frames. An empty frame, and with it an empty body, is refused.
func SplitPayload(body []byte, limit int) ([][]byte, error) {
	var frames [][]byte
	start := 0
	for i := 0; i <= len(body); i++ {
		if i < len(body) && body[i] != Separator {
			continue
		}
		switch {
		case i == start:
			return nil, ErrEmpty
		case len(frames) == limit:
			return nil, ErrPackets
		}
		frames = append(frames, body[start:i:i])
		start = i + 1
	}
	return frames, nil
}
