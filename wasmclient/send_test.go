//go:build !js

package wasmclient

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"initgrace/grace/protocol"
	"initgrace/wasmclient/internal/siotest"
)

// A message whose ack is lost with the connection is sent again with the same
// id, in order, and later ones have later ids.
func TestSendAgain(t *testing.T) {
	var j journal
	script := func(c *siotest.Conn) {
		c.Open(time.Hour, time.Hour)
		c.Connect()
		c.Session(protocol.Session{Sent: 7})
		for n := 0; ; n++ {
			e, ok := c.Next()
			if !ok || c.N == 1 && n == 3 {
				return
			}
			j.add(fmt.Sprint(c.N, string(e.Payload)))
			if c.N == 2 || n == 0 {
				c.Ack(e, protocol.Sent{OK: true, Seq: uint64(n + 1)})
			}
		}
	}
	bubble(t, script, func(t *testing.T, s *siotest.Server) {
		c := connect(t, s, Options{Latency: -1})
		acks := make(chan error, 3)
		for i := range 3 {
			go func() {
				_, err := c.Send(t.Context(), i, &SendOptions{Latest: "k"})
				acks <- err
			}()
			synctest.Wait()
		}
		if err := c.sendNow(protocol.Send{Volatile: true, Data: protocol.Raw("9")}); err != nil { // ends the connection
			t.Error(err)
		}
		synctest.Wait()
		if _, err := c.Send(t.Context(), 3, &SendOptions{Volatile: true}); err != nil { // there is none: lost
			t.Error(err)
		}
		for range 3 {
			if err := <-acks; err != nil {
				t.Error(err)
			}
		}
		if sent, err := c.Send(t.Context(), 4, nil); err != nil || sent.Seq == 0 {
			t.Errorf("%+v, %v", sent, err)
		}
		of := func(n, data, id int) string { return fmt.Sprintf(`%d{"data":%d,"id":%d,"latest":"k"}`, n, data, id) }
		want := []string{of(1, 0, 8), of(1, 1, 9), of(1, 2, 10), of(2, 1, 9), of(2, 2, 10), `2{"data":4,"id":11}`}
		if got := j.all(); !slices.Equal(got, want) {
			t.Errorf("the server saw\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		_, err := c.Send(t.Context(), func() {}, nil)
		hasCode(t, err, protocol.CodeInvalidPayload)
	})
}

// Handlers see each message once, whatever comes again, and the server is told
// how far they are.
func TestMessagesOnce(t *testing.T) {
	synctest.Test(t, testMessagesOnce) // channels of the script must be the bubble's
}

func testMessagesOnce(t *testing.T) {
	auths := make(chan uint64, 3)
	ping := make(chan string, 1)
	script := func(c *siotest.Conn) {
		c.Open(time.Hour, time.Hour)
		c.Connect()
		auths <- *c.Auth.Seq
		emit := func(seqs ...uint64) {
			for _, seq := range seqs {
				c.Emit(protocol.EventMessage, protocol.Message{From: "p2", Seq: seq, Data: protocol.Raw(fmt.Sprint(seq))})
			}
		}
		switch c.N {
		case 1:
			c.Session(protocol.Session{Seq: 4})
			emit(5, 5, 6, 0, 4, 8, 7)
			time.Sleep(1500 * time.Millisecond)
		case 2:
			c.Session(protocol.Session{Seq: 6}) // the server knows less
			emit(7, 8, 9)
			time.Sleep(time.Millisecond)
		default:
			c.Session(protocol.Session{Seq: 0}) // another server, which counts anew
			emit(1, 2)
			frame, _ := c.Read()
			ping <- frame
			c.Wait()
		}
	}
	s := siotest.Pipe(t, script)
	var j journal
	c := connect(t, s, Options{Latency: time.Second, Handlers: j.handlers(protocol.EventMessage)})
	if frame := <-ping; frame != `42["ping",{"seq":2,"id":1}]` {
		t.Errorf("ping: %s", frame)
	}
	for _, want := range []uint64{0, 8, 9} {
		if got := <-auths; got != want {
			t.Errorf("auth says %d, want %d", got, want)
		}
	}
	var got []string
	for _, e := range j.all() {
		var m protocol.Message
		_ = unmarshal([]byte(strings.TrimPrefix(e, protocol.EventMessage+" ")), &m)
		got = append(got, string(m.Data))
	}
	// In the second session the server is believed: it sends again from 6.
	if want := strings.Fields("5 6 0 8 7 8 9 1 2"); !slices.Equal(got, want) {
		t.Errorf("messages %q, want %q", got, want)
	}
	if c.events.handed.Load() != 2 {
		t.Errorf("handed %d", c.events.handed.Load())
	}
}
