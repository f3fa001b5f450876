package wasmclient

import "initgrace/grace/protocol/codec"

// In a browser every byte is downloaded, and encoding/json is a quarter of a
// megabyte of them.

func marshalOther(any) ([]byte, error) { return nil, codec.ErrUnknown }

func decodeOther([]byte, any) error { return codec.ErrUnknown }
