// Package sio is the text codec of Engine.IO v4 and Socket.IO v5: the one
// grammar that the server's guard and the client share.
//
// It is strict where the reference parsers are lenient, because what it accepts
// is handed to code that trusts it: every id is in range, every payload is
// valid JSON in valid UTF-8, of bounded depth and of the shape that its packet
// type demands. Binary packets are recognised and refused by name, since the
// protocol on top of it has none.
//
// A Socket.IO packet travels inside an Engine.IO message:
//
//	frame   = engine-type payload                       "42[\"ping\",{}]"
//	message = type [namespace ","] [id] [data]           "2[\"ping\",{}]"
//
// The package is pure and does not reflect. Decoding copies nothing: slices in
// results point into the input.
package sio
