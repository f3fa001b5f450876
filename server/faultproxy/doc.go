// Package faultproxy is a TCP proxy that damages a network on purpose, for
// tests and for simulations. It stands between clients and one server, and
// can, for one connection or for all of them and in each direction:
//
//   - Pause: hold every byte until Resume, as a gap in radio coverage does;
//   - Cut: let the connection die silently, as a network change does: nothing
//     is forwarded and nothing is closed, ever again, not even after Resume;
//   - Reset: end it at both ends with RST;
//   - Shape: delay it, and stall it at random, which is what the loss of a
//     packet looks like to the user of a TCP connection.
//
// While bytes are held the proxy does not read either, so that its memory is
// bounded (QueueBytes per direction) and the sender's own buffers fill up as
// they would. The end of a connection is a part of its stream: it is held,
// delayed and lost with it.
package faultproxy
