package sio

import (
	"strconv"
	"unicode/utf8"
)

// Type is the first byte of a Socket.IO v5 packet.
type Type byte

const (
	Connect      Type = '0'
	Disconnect   Type = '1'
	Event        Type = '2'
	Ack          Type = '3'
	ConnectError Type = '4'
	BinaryEvent  Type = '5' // refused by Decode
	BinaryAck    Type = '6' // refused by Decode
)

const (
	// MaxNamespace is the longest namespace that Decode accepts, in bytes.
	MaxNamespace = 128
	// MaxDepth is how deeply arrays and objects may be nested, the outermost
	// one included.
	MaxDepth = 64
)

// A Packet is one Socket.IO packet.
type Packet struct {
	Type      Type
	Namespace string // begins with a slash; empty means "/" to Append
	ID        uint64
	HasID     bool   // an Event that wants an Ack, or the Ack
	Data      []byte // JSON, or nil
}

// Decode reads one packet, the data of an Engine.IO message. What each type
// must carry:
//
//	Connect       nothing or an object    no id
//	Disconnect    nothing                 no id
//	Event         an array, first a string
//	Ack           an array                an id
//	ConnectError  an object               no id
//
// Data points into message.
func Decode(message []byte) (Packet, error) {
	if len(message) == 0 {
		return Packet{}, ErrEmpty
	}
	p := Packet{Type: Type(message[0]), Namespace: "/"}
	switch {
	case p.Type == BinaryEvent || p.Type == BinaryAck:
		return Packet{}, ErrBinary
	case p.Type < Connect || p.Type > BinaryAck:
		return Packet{}, ErrType
	case !utf8.Valid(message):
		return Packet{}, ErrUTF8
	}
	rest, err := p.namespace(message[1:])
	if err == nil {
		rest, err = p.id(rest)
	}
	if err == nil {
		err = checkData(p.Type, rest)
	}
	if err != nil {
		return Packet{}, err
	}
	if len(rest) > 0 {
		p.Data = rest
	}
	return p, nil
}

// namespace takes "/name," from the front of b. The comma may be missing at
// the end of the packet, as the reference parsers have it.
func (p *Packet) namespace(b []byte) ([]byte, error) {
	if len(b) == 0 || b[0] != '/' {
		return b, nil
	}
	for i, c := range b {
		switch {
		case i > MaxNamespace || c <= ' ' || c == 0x7f:
			return nil, ErrNamespace
		case c == ',':
			p.setNamespace(b[:i])
			return b[i+1:], nil
		}
	}
	if len(b) > MaxNamespace {
		return nil, ErrNamespace
	}
	p.setNamespace(b)
	return nil, nil
}

func (p *Packet) setNamespace(b []byte) {
	if len(b) > 1 {
		p.Namespace = string(b)
	}
}

// id takes a decimal number from the front of b: no sign, no leading zero, not
// over 64 bits.
func (p *Packet) id(b []byte) ([]byte, error) {
	n := 0
	for n < len(b) && '0' <= b[n] && b[n] <= '9' {
		d := uint64(b[n] - '0')
		if n > 0 && p.ID == 0 || p.ID > (1<<64-1-d)/10 {
			return nil, ErrID
		}
		p.ID = p.ID*10 + d
		n++
	}
	p.HasID = n > 0
	switch {
	case p.Type == Ack && !p.HasID, p.Type != Ack && p.Type != Event && p.HasID:
		return nil, ErrID
	}
	return b[n:], nil
}

// checkData says whether data is valid JSON of the shape that t demands.
func checkData(t Type, data []byte) error {
	if len(data) == 0 && (t == Connect || t == Disconnect) {
		return nil
	}
	i := space(data, 0)
	open := at(data, i)
	var ok bool
	switch t {
	case Connect, ConnectError:
		ok = open == '{'
	case Event:
		ok = open == '[' && at(data, space(data, i+1)) == '"'
	case Ack:
		ok = open == '['
	}
	if !ok {
		return ErrShape
	}
	end, err := value(data, i, 0)
	if err != nil {
		return err
	}
	if space(data, end) != len(data) {
		return ErrJSON
	}
	return nil
}

// Append appends the packet to dst. It does not check what Decode checks: the
// namespace and the data are the caller's own.
func Append(dst []byte, p Packet) []byte {
	dst = append(dst, byte(p.Type))
	if p.Namespace != "" && p.Namespace != "/" {
		dst = append(append(dst, p.Namespace...), ',')
	}
	if p.HasID {
		dst = strconv.AppendUint(dst, p.ID, 10)
	}
	return append(dst, p.Data...)
}
