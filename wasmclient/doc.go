// Package wasmclient is a participant's side of the wire: a client of the
// initgrace server that is the same natively and in the browser
// (GOOS=js GOARCH=wasm), and the Loader that declares a blocking load, waits
// for the server's ack, and only then lets the page freeze.
//
//	c, err := wasmclient.Dial(ctx, "https://lab.example.org", &wasmclient.Options{Participant: "p1"})
//	if err != nil { … }
//	defer c.Close(ctx)
//	result, err := wasmclient.NewLoader(c).Load(ctx, wasmclient.LoadOptions{
//		ID: "pyodide", Expected: 12 * time.Second,
//		Run: func(ctx context.Context, l *wasmclient.Load) error { return loadPyodide(ctx) },
//	})
//
// # Delivery
//
// A Client keeps the session alive over any number of connections. What was
// emitted while there is none waits in a bounded queue. A call of EmitAck that
// was not acknowledged is sent again, under the same id, on the next
// connection; one that was acknowledged never is. The server may therefore see
// a call twice (its ack was lost), and a plain Emit not at all (the connection
// was lost under it). Events are handed to handlers one at a time, in the order
// in which the server sent them.
//
// # Time
//
// While a page is blocked nothing in it runs, this package included. When the
// block ends, timers that came due fire before messages that have long arrived
// are delivered. Wherever a timeout could end something here, it yields and
// looks once more before it does.
//
// # In the browser
//
// What is emitted, and what an ack is read into, is a payload of package
// protocol or JSON as a protocol.Raw: there is no encoding/json, and no fmt, in
// what participants download (web/internal/size holds it to a budget).
//
// The browser offers no protocol pings, no read deadline and no way to drop a
// connection without a close handshake. So a silent server is noticed by what
// is heard, closing happens in the background and is bounded by the browser
// itself, and an abandoned connection attempt closes its socket when the
// browser gets that far. A panic, in a handler or anywhere in the package, ends
// the client with an error of code CodePanic and closes its socket, since a
// dead instance would leave it open and unanswered.
package wasmclient
