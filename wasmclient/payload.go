package wasmclient

import (
	"errors"

	"initgrace/grace/protocol/codec"
)

// marshal writes a payload, without reflection if it is the protocol's.
func marshal(payload any) ([]byte, error) {
	if own, ok := payload.(interface{ encode() []byte }); ok {
		return own.encode(), nil
	}
	data, err := codec.Encode(payload)
	if errors.Is(err, codec.ErrUnknown) {
		return marshalOther(payload)
	}
	return data, err
}

// decode reads an ack into what the caller gave.
func decode(data []byte, reply any) error {
	err := codec.Decode(data, reply)
	if errors.Is(err, codec.ErrUnknown) {
		return decodeOther(data, reply)
	}
	return err
}

// only reads a single field.
func only(field string, into any) codec.Object {
	return func(name string) any {
		if name == field {
			return into
		}
		return nil
	}
}
