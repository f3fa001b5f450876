package sio

import "errors"

// What Decode, DecodeEngine, SplitPayload, SplitEvent and SplitArgs refuse.
// They are returned as they are, never wrapped.
var (
	ErrEmpty     = errors.New("sio: empty packet")
	ErrType      = errors.New("sio: unknown packet type")
	ErrBinary    = errors.New("sio: binary packets are not part of this protocol")
	ErrEngine    = errors.New("sio: this Engine.IO packet type carries no such data")
	ErrPackets   = errors.New("sio: too many packets in one payload")
	ErrNamespace = errors.New("sio: malformed or overlong namespace")
	ErrID        = errors.New("sio: packet id missing, out of range or not allowed here")
	ErrUTF8      = errors.New("sio: not valid UTF-8")
	ErrJSON      = errors.New("sio: data is not valid JSON")
	ErrDepth     = errors.New("sio: data is nested too deeply")
	ErrShape     = errors.New("sio: data has the wrong shape for the packet type")
)
