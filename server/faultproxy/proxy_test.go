package faultproxy_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"initgrace/server/faultproxy"
)

const (
	soon   = 5 * time.Second       // for what must happen
	silent = 60 * time.Millisecond // for what must not
)

// server hands out the connections that it accepts.
func server(t *testing.T) (addr string, accepted <-chan *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	conns := make(chan *net.TCPConn, 100)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { c.Close() })
			conns <- c.(*net.TCPConn)
		}
	}()
	t.Cleanup(func() { l.Close() })
	return l.Addr().String(), conns
}

func listen(t *testing.T, target string) *faultproxy.Proxy {
	t.Helper()
	p, err := faultproxy.Listen(target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func dial(t *testing.T, p *faultproxy.Proxy) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.(*net.TCPConn)
}

// pair is a connection through a proxy, both ends of it.
func pair(t *testing.T) (p *faultproxy.Proxy, client, srv *net.TCPConn, accepted <-chan *net.TCPConn) {
	t.Helper()
	addr, accepted := server(t)
	p = listen(t, addr)
	client = dial(t, p)
	return p, client, accept(t, accepted), accepted
}

func accept(t *testing.T, accepted <-chan *net.TCPConn) *net.TCPConn {
	t.Helper()
	select {
	case c := <-accepted:
		return c
	case <-time.After(soon):
		t.Fatal("no connection reached the server")
		return nil
	}
}

func send(t *testing.T, c net.Conn, s string) {
	t.Helper()
	c.SetWriteDeadline(time.Now().Add(soon))
	if _, err := c.Write([]byte(s)); err != nil {
		t.Fatalf("sending %q: %v", s, err)
	}
}

func receive(t *testing.T, c net.Conn, want string) {
	t.Helper()
	buf := make([]byte, len(want))
	c.SetReadDeadline(time.Now().Add(soon))
	if _, err := io.ReadFull(c, buf); err != nil || string(buf) != want {
		t.Fatalf("received %q, %v; want %q", buf, err, want)
	}
}

// silence checks that nothing arrives, neither bytes nor an end.
func silence(t *testing.T, conns ...net.Conn) {
	t.Helper()
	deadline := time.Now().Add(silent)
	for _, c := range conns {
		c.SetReadDeadline(deadline)
		if n, err := c.Read(make([]byte, 1)); n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("received %d bytes, %v, where nothing must arrive", n, err)
		}
	}
}

func ended(t *testing.T, c net.Conn, want error) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(soon))
	if n, err := c.Read(make([]byte, 1)); n > 0 || !errors.Is(err, want) {
		t.Fatalf("received %d bytes, %v; want %v", n, err, want)
	}
}

func TestForward(t *testing.T) {
	p, client, srv, _ := pair(t)
	big := make([]byte, 8<<20)
	for i := range big {
		big[i] = byte(rand.Uint32())
	}
	var both sync.WaitGroup
	for _, way := range [][2]*net.TCPConn{{client, srv}, {srv, client}} {
		both.Go(func() {
			way[0].Write(big)
			way[0].CloseWrite()
		})
		both.Go(func() {
			got, err := io.ReadAll(way[1])
			if err != nil || !bytes.Equal(got, big) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
		})
	}
	both.Wait()
	for start := time.Now(); len(p.Conns()) > 0; runtime.Gosched() {
		if time.Since(start) > soon {
			t.Fatal("the connection has ended and is still listed")
		}
	}
}

func TestHalfClose(t *testing.T) {
	_, client, srv, _ := pair(t)
	client.CloseWrite()
	ended(t, srv, io.EOF)
	send(t, srv, "still here")
	receive(t, client, "still here")
	srv.Close()
	ended(t, client, io.EOF)
}

func TestPause(t *testing.T) {
	p, client, srv, accepted := pair(t)
	send(t, client, "a")
	receive(t, srv, "a")
	p.Pause(faultproxy.Both)
	send(t, client, "up")
	send(t, srv, "down")
	late := dial(t, p)
	send(t, late, "late")
	silence(t, client, srv)
	select {
	case <-accepted:
		t.Fatal("a new connection reached the server during a pause")
	default:
	}
	// The end of the stream waits like its bytes.
	srv.CloseWrite()
	silence(t, client)
	p.Resume()
	receive(t, srv, "up")
	receive(t, client, "down")
	ended(t, client, io.EOF)
	receive(t, accept(t, accepted), "late")
}

func TestPauseOneConnection(t *testing.T) {
	p, client, srv, accepted := pair(t)
	other := dial(t, p)
	otherSrv := accept(t, accepted)
	p.Conns()[0].Pause(faultproxy.Both)
	send(t, client, "held")
	send(t, other, "flows")
	receive(t, otherSrv, "flows")
	silence(t, srv)
	if up, down := p.Conns()[0].Forwarded(); up != 0 || down != 0 {
		t.Errorf("%d up, %d down", up, down)
	}
	p.Conns()[0].Resume()
	receive(t, srv, "held")
}

func TestCut(t *testing.T) {
	p, client, srv, accepted := pair(t)
	send(t, client, "a")
	receive(t, srv, "a")
	p.Cut(faultproxy.Both)
	send(t, client, "lost")
	send(t, srv, "lost")
	silence(t, client, srv)
	late := dial(t, p)
	send(t, late, "late")
	p.Resume()
	// New connections work again, the old one stays dead.
	receive(t, accept(t, accepted), "late")
	silence(t, client, srv)
	// Neither end learns that the other has gone, in order or not.
	srv.SetLinger(0)
	srv.Close()
	silence(t, client)
	send(t, client, "still no answer")
}

func TestCutClientVanishes(t *testing.T) {
	p, client, srv, _ := pair(t)
	p.Cut(faultproxy.Both)
	client.Close()
	silence(t, srv)
	send(t, srv, "into the void")
}

func TestHalfOpen(t *testing.T) {
	for _, lost := range []faultproxy.Direction{faultproxy.Up, faultproxy.Down} {
		p, client, srv, _ := pair(t)
		from, to := client, srv
		if lost == faultproxy.Down {
			from, to = srv, client
		}
		p.Conns()[0].Cut(lost)
		p.Resume() // does not bring it back
		send(t, from, "lost")
		send(t, to, "arrives")
		receive(t, from, "arrives")
		silence(t, to)
	}
}

func TestReset(t *testing.T) {
	p, client, srv, accepted := pair(t)
	p.Reset()
	ended(t, client, syscall.ECONNRESET)
	ended(t, srv, syscall.ECONNRESET)
	again := dial(t, p)
	send(t, again, "hello")
	receive(t, accept(t, accepted), "hello")
}

// TestResetHeld: a reset is an act of the proxy's, not a part of the stream.
func TestResetHeld(t *testing.T) {
	p, client, srv, _ := pair(t)
	p.Pause(faultproxy.Both)
	send(t, client, "held")
	p.Conns()[0].Reset()
	ended(t, client, syscall.ECONNRESET)
	ended(t, srv, syscall.ECONNRESET)
}

func TestResetPassedOn(t *testing.T) {
	_, client, srv, _ := pair(t)
	srv.SetLinger(0)
	srv.Close()
	ended(t, client, syscall.ECONNRESET)
}

func TestTargetRefuses(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	c, err := net.Dial("tcp", listen(t, l.Addr().String()).Addr())
	if err == nil { // the reset did not come at once
		defer c.Close()
		_, err = c.Read(make([]byte, 1))
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %v", err)
	}
}

func TestLatency(t *testing.T) {
	const latency = 50 * time.Millisecond
	p, client, srv, _ := pair(t)
	p.SetShape(faultproxy.Shape{Latency: latency})
	start := time.Now()
	send(t, client, "ping")
	receive(t, srv, "ping")
	send(t, srv, "pong")
	receive(t, client, "pong")
	if took := time.Since(start); took < 2*latency {
		t.Errorf("a round trip took %v", took)
	}
	// Latency is not bandwidth: 100 pieces in flight take no 100 latencies.
	start = time.Now()
	for range 100 {
		send(t, client, "0123456789")
		time.Sleep(time.Millisecond) // separate pieces
	}
	buf := make([]byte, 1000)
	srv.SetReadDeadline(time.Now().Add(soon))
	if _, err := io.ReadFull(srv, buf); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took > 50*latency {
		t.Errorf("100 pieces took %v", took)
	}
}

// TestStalls: with every piece lost once, order is kept and a stall is seen.
func TestStalls(t *testing.T) {
	const stall = 30 * time.Millisecond
	p, client, srv, _ := pair(t)
	p.SetShape(faultproxy.Shape{Loss: 1, Stall: stall, Jitter: 10 * time.Millisecond})
	start := time.Now()
	var sent []byte
	for i := range 50 {
		sent = append(sent, byte(i))
		send(t, client, string(sent[i:]))
		time.Sleep(time.Millisecond)
	}
	receive(t, srv, string(sent))
	if took := time.Since(start); took < stall {
		t.Errorf("took %v", took)
	}
	p.SetShape(faultproxy.Shape{Loss: 0.5, Stall: time.Millisecond})
	send(t, client, "x")
	receive(t, srv, "x")
}

// TestBounded floods a paused connection: the sender must come to a stop.
func TestBounded(t *testing.T) {
	for name, fault := range map[string]func(*faultproxy.Proxy){
		"paused":  func(p *faultproxy.Proxy) { p.Pause(faultproxy.Both) },
		"cut":     func(p *faultproxy.Proxy) { p.Cut(faultproxy.Both) },
		"delayed": func(p *faultproxy.Proxy) { p.SetShape(faultproxy.Shape{Latency: time.Hour}) },
	} {
		t.Run(name, func(t *testing.T) {
			p, client, _, _ := pair(t)
			fault(p)
			client.SetWriteDeadline(time.Now().Add(soon))
			buf, total := make([]byte, 1<<20), 0
			for total < 1<<30 {
				client.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
				n, err := client.Write(buf)
				total += n
				if err != nil {
					break
				}
			}
			const kernel = 16 << 20 // socket buffers of both ends
			if total > kernel+faultproxy.QueueBytes {
				t.Errorf("%d MB were taken", total>>20)
			}
		})
	}
}

// TestClose ends everything, whatever state it is in, and leaves no goroutine.
func TestClose(t *testing.T) {
	before := runtime.NumGoroutine()
	addr, accepted := server(t)
	for i := range 20 {
		p := listen(t, addr)
		a, b := dial(t, p), dial(t, p)
		aSrv := accept(t, accepted)
		accept(t, accepted)
		switch i % 4 {
		case 0:
			p.Pause(faultproxy.Both)
		case 1:
			p.Cut(faultproxy.Up)
		case 2:
			p.SetShape(faultproxy.Shape{Latency: time.Hour})
		}
		send(t, a, "x")
		dial(t, p)
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		ended(t, a, syscall.ECONNRESET)
		ended(t, b, syscall.ECONNRESET)
		_ = aSrv
		if _, err := net.Dial("tcp", p.Addr()); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("after Close: %v", err)
		}
	}
	for start := time.Now(); runtime.NumGoroutine() > before+2; runtime.Gosched() {
		if time.Since(start) > soon {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
	}
}

// TestManyChanges turns every knob while data flows: nothing is lost or
// reordered as long as nothing is cut.
func TestManyChanges(t *testing.T) {
	p, client, srv, _ := pair(t)
	stop := make(chan struct{})
	var turning sync.WaitGroup
	turning.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				p.Resume()
				p.SetShape(faultproxy.Shape{})
				return
			case <-time.After(time.Millisecond):
			}
			switch i % 5 {
			case 0:
				p.Pause(faultproxy.Up)
			case 1:
				p.SetShape(faultproxy.Shape{Latency: time.Millisecond, Jitter: time.Millisecond, Loss: 0.1, Stall: time.Millisecond})
			case 2:
				p.Conns()[0].Pause(faultproxy.Down)
			case 3:
				p.Resume()
			case 4:
				p.Conns()[0].Resume()
			}
		}
	})
	go io.Copy(srv, srv) // echo
	data := make([]byte, 4<<20)
	for i := range data {
		data[i] = byte(i * i >> 8)
	}
	go client.Write(data)
	got := make([]byte, len(data))
	client.SetReadDeadline(time.Now().Add(30 * time.Second))
	if n, err := io.ReadFull(client, got); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d of %d bytes, equal %v, %v", n, len(data), bytes.Equal(got, data), err)
	}
	close(stop)
	turning.Wait()
}
