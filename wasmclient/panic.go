package wasmclient

import (
	"runtime"
	"strconv"
)

// printed is a panic's value as a text.
func printed(value any) string {
	switch v := value.(type) {
	case error:
		return v.Error()
	case string:
		return v
	case interface{ String() string }:
		return v.String()
	case int:
		return strconv.Itoa(v)
	}
	return "a value that is neither a text nor an error"
}

// stack is what runtime/debug.Stack returns; that package brings fmt and os.
func stack() []byte {
	b := make([]byte, 64<<10)
	return b[:runtime.Stack(b, false)]
}
