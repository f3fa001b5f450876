//go:build !js

package wasmclient

import "encoding/json"

func marshalOther(payload any) ([]byte, error) { return json.Marshal(payload) }

func decodeOther(data []byte, reply any) error { return json.Unmarshal(data, reply) }
