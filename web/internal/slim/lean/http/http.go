// Package http stands in for net/http in the browser's build of
// github.com/coder/websocket, where it is in two signatures and does nothing.
package http

// StatusSwitchingProtocols is the status of a WebSocket's handshake.
const StatusSwitchingProtocols = 101

type (
	// Response is what Dial returns beside the connection.
	Response struct{ StatusCode int }
	// Request and ResponseWriter are for Accept, which no browser can do.
	Request        struct{}
	ResponseWriter any
)
