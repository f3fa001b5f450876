package socketio

import (
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// Both fuzzers feed a live server and look, after each input, whether it is
// still what it was: another participant is served, the connection is gone,
// and the Handler's calls came in turn.

type fuzzed struct {
	*recorder
	s      *Server
	addr   string
	canary *client
	turn   sync.Mutex // one input at a time
	inputs int
	held   usage // when all was warm
}

// usage is what a process holds.
type usage struct {
	goroutines int
	heap       uint64
}

func used() usage {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return usage{runtime.NumGoroutine(), m.HeapAlloc}
}

func newFuzzed(f *testing.F) *fuzzed {
	z := &fuzzed{recorder: newRecorder()}
	z.s, z.addr = testServer(f, z.recorder, &Options{PingInterval: time.Hour, Limits: Limits{
		Packet: 4 << 10, Events: -1, Bytes: -1, WriteTimeout: time.Second,
	}})
	z.canary = dial(f, z.addr)
	return z
}

func (z *fuzzed) check(t *testing.T, input any) {
	t.Helper()
	z.canary.t = t
	z.canary.send(`427["canary"]`)
	z.canary.expect(`437[]`)
	waitFor(t, "the connection to go", func() bool { return z.s.Stats().Connections == 1 })
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.early != 0 || len(z.joined) != len(z.left)+1 || z.s.Stats().Refused["panic"] != 0 {
		t.Fatalf("%d calls out of turn, %d joined, %d left, after %q", z.early, len(z.joined), len(z.left), input)
	}
	// Keep what is needed of the past, which is the canary.
	for c := range z.left {
		delete(z.left, c)
		delete(z.joined, c)
	}
	z.calls, z.causes, z.conns = nil, nil, nil
	z.leaks(t)
}

// leaks looks now and then whether the process holds more than when it was
// warm. What a connection leaves for a moment, and what the fuzzer itself
// learns, is far less than one thing kept for each input.
func (z *fuzzed) leaks(t *testing.T) {
	const warm, every, slack = 1_000, 5_000, 16 << 20
	switch z.inputs++; {
	case z.inputs == warm:
		z.held = used()
	case z.inputs%every == 0:
		if now := used(); now.goroutines > z.held.goroutines+20 || now.heap > z.held.heap+slack {
			t.Fatalf("after %d inputs %d goroutines and %d MB of heap, were %d and %d MB",
				z.inputs, now.goroutines, now.heap>>20, z.held.goroutines, z.held.heap>>20)
		}
	}
}

// open upgrades and, if asked, is admitted.
func (z *fuzzed) open(t *testing.T, admitted bool) *tcpClient {
	c := dialTCP(t, z.addr)
	c.await("0{")
	if admitted {
		c.send(1, "40")
		c.await("40{")
	}
	return c
}

// leave says goodbye, ends the stream and waits for the other end.
func leave(nc net.Conn) {
	nc.Write(frame(closeFrame, closePayload(1000)))
	nc.(*net.TCPConn).CloseWrite()
	nc.SetReadDeadline(time.Now().Add(5 * time.Second))
	io.Copy(io.Discard, nc)
	nc.Close()
}

// FuzzFrames sends whole frames. The frames of an input are separated by 0xff;
// the first byte of each chooses its opcode.
func FuzzFrames(f *testing.F) {
	for _, tc := range refusals {
		var frames []string
		for _, fr := range tc.frames {
			opcode := "\x01"
			if b, ok := strings.CutPrefix(fr, "binary:"); ok {
				opcode, fr = "\x02", b
			}
			if len(fr) < 200 {
				frames = append(frames, opcode+fr)
			}
		}
		f.Add(tc.connected, []byte(strings.Join(frames, "\xff")))
	}
	f.Add(true, []byte("\x0142[\"e\",{\"a\":[1,2.5e3,null,true,\"\\ud83d\\ude00\"]}]\xff\x01427[\"e\"]\xff\x0141"))
	f.Add(false, []byte("\x0140/x,{}\xff\x0140{\"a\":1}\xff\x0142[\"e\"]\xff\x09ping\xff\x0apong\xff\x08\x03\xe9"))
	f.Add(true, []byte("\x011\xff\x0142[\"e\"]"))
	z := newFuzzed(f)
	f.Fuzz(func(t *testing.T, admitted bool, input []byte) {
		z.turn.Lock()
		defer z.turn.Unlock()
		c := z.open(t, admitted)
		for chunk := range strings.SplitSeq(string(input), "\xff") {
			if chunk == "" {
				continue
			}
			opcode := chunk[0] & 0x0f
			payload := chunk[1:]
			if opcode >= 8 {
				payload = payload[:min(len(payload), 125)]
			}
			c.send(opcode, payload[:min(len(payload), 0xffff)])
		}
		leave(c.nc)
		z.check(t, input)
	})
}

// FuzzWire sends anything at all after the upgrade.
func FuzzWire(f *testing.F) {
	f.Add(false, []byte{})
	f.Add(true, frame(1, `42["e"]`))
	f.Add(true, []byte("\x01\x81\x00\x00\x00\x004\x80\x88\x00\x00\x00\x002[\"e\"]xx")) // in fragments
	f.Add(true, []byte("\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x004"))
	f.Add(false, []byte("GET / HTTP/1.1\r\n\r\n"))
	f.Add(true, []byte("\xc1\x81\x00\x00\x00\x004"))
	z := newFuzzed(f)
	f.Fuzz(func(t *testing.T, admitted bool, input []byte) {
		z.turn.Lock()
		defer z.turn.Unlock()
		c := z.open(t, admitted)
		c.nc.Write(input)
		if len(input)%2 == 0 {
			c.nc.(*net.TCPConn).CloseWrite() // without goodbye
		}
		leave(c.nc)
		z.check(t, input)
	})
}
