// Command floor is the least that a server can do for the events of the
// comparison: a bare WebSocket server that hand-speaks what it needs of
// Engine.IO and Socket.IO, checks nothing, bounds nothing, stores nothing and
// logs nothing. What any server costs above it is what that server adds.
package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"time"
)

func main() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, "floor:", err)
		os.Exit(1)
	}
	fmt.Printf("serves http://%s/\n", l.Addr())
	fmt.Fprintln(os.Stderr, "floor:", http.Serve(l, newServer(2*time.Second, 7500*time.Millisecond)))
	os.Exit(1)
}
