// Command loader is the client as browsers run it, compiled with GOOS=js
// GOARCH=wasm. It puts one object on globalThis, __initgrace, which
// web/loader.js takes away again and makes the library out of that studies use:
//
//	version                     of this binary
//	track(f)                    f is called before each new WebSocket
//	dial(options, listener)     → {session: Promise<handle>, cancel()}
//
// and a handle
//
//	session(), status()         → JSON
//	alive()                     the page has answered its worker
//	emit(event, json, ms)       → Promise of the ack's JSON or undefined
//	post(event, json)           → Promise, without an ack
//	send(json, options, ms)     → Promise of the ack's JSON
//	save(json, ms, seq)         → Promise of the version
//	load(options, run)          → Promise of the result's JSON; what run resolves
//	                            with, or throws, may say {blockedMs, longestBlockMs}
//	retry(), hide(persisted), show(), close()
//
// Between the two travel JSON text, functions and promises, nothing else.
// Rejections are Error objects with a code, or what a function of the page's
// threw. The listener is called with an event's name and JSON, or undefined,
// and the last event, close, is the last use of a handle.
package main
