// Package socketio is the wall around the Socket.IO module: the only package
// that imports it, and the guard that makes it safe to expose.
//
// The module does what it is good at: the Engine.IO handshake, the transport
// upgrade, namespaces and CONNECT; then it is let go. Everything a browser sends passes
// through our own transports first, is validated by the project's codec
// (grace/protocol/sio), and is refused with a counted reason if it is not
// allowed in the connection's state; inbound.go has the table. Events never
// reach the module: they are decoded here and handed over in the order in which
// they were sent, one at a time; what is emitted is encoded here and queued,
// within bounds, behind what the module itself sends.
//
// How a connection lives, and where to read about it:
//
//	admit.go      an HTTP request: origin, versions, limits, address
//	module.go     the handshake goes through the module, which asks for a transport
//	websocket.go  reads and writes; nothing is read before the module listens
//	inbound.go    packets, CONNECT, events
//	asking.go     pings of an admitted connection, which the module has let go
//	outbox.go     what waits to be written, and who writes it
//	conn.go       the end: begun once, by whoever is first, told once
//	polling.go    the same by HTTP requests, if Options.Polling admits them
//	reason.go     for what the guard turns clients away, and how often it did
//
// A connection costs one goroutine, which reads, and another one while there is
// something to write; with long-polling the module keeps one, for its pings. A client that sends too
// fast is read more slowly; one that reads too slowly is closed. What one client
// can make the server hold is bounded by Limits: one packet in, Limits.Outbound
// out, and twice that with long-polling.
//
// One thing cannot be closed from outside: if the module's ping falls into the
// very moment in which it lets a connection go, a timer of it stays behind for
// Options.PingTimeout.
package socketio
