package server

import (
	"testing"

	"initgrace/grace/protocol"
)

// From a client in a worker, what answers is the worker: only page_alive, and
// what the page has done, says that the page runs.
func TestWorkerHost(t *testing.T) {
	r := start(t, Config{Policy: quick()})
	p, _ := r.connect(`{"participant":"p","host":"worker"}`) // answers every ping
	r.await("p", protocol.Active, 1)
	r.await("p", protocol.Blocked, 1)
	p.call("page_alive", "", nil)
	r.await("p", protocol.Active, 2)
	r.await("p", protocol.Blocked, 2)
}
