// Package socketio is the wall around the Socket.IO module: the only package
// that imports it, and the guard that makes it safe to expose.
//
// The module does what it is good at: the Engine.IO handshake, its pings, the
// transport upgrade, namespaces and CONNECT. Everything a browser sends passes
// through our own transports first, is validated by the project's codec
// (grace/protocol/sio), and is refused with a counted reason if it is not
// allowed in the connection's state. Events never reach the module: they are
// decoded here and handed over in the order in which they were sent, one at a
// time; what is emitted is encoded here and queued, within bounds, behind what
// the module itself sends.
package socketio
