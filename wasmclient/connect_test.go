//go:build !js

package wasmclient

import (
	"context"
	"errors"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"initgrace/grace/protocol"
	"initgrace/wasmclient/internal/siotest"
)

func TestDial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth := make(chan protocol.Auth, 1)
		script := func(c *siotest.Conn) {
			c.Open(25*time.Second, 20*time.Second)
			if c.Connect() {
				auth <- c.Auth
				time.Sleep(time.Second)
				c.Session(protocol.Session{Token: "t2", Epoch: 3, Version: 4, Group: "g", Partners: []string{"p2"}})
				c.Wait()
			}
		}
		s := siotest.Pipe(t, script)
		began := time.Now()
		c := connect(t, s, Options{Experiment: "e", Group: "g", Token: "t1"})
		if d := time.Since(began); d != time.Second {
			t.Errorf("Dial took %v and not until the session event came", d)
		}
		want := protocol.Auth{Participant: "p1", Experiment: "e", Group: "g", Token: "t1", PageID: "page", Host: protocol.HostPage, Seq: new(uint64)}
		if got := <-auth; !reflect.DeepEqual(got, want) {
			t.Errorf("auth %+v; want %+v", got, want)
		}
		st := c.State()
		if st.Session.Token != "t2" || st.Session.Epoch != 3 || st.Session.Version != 4 || !slices.Equal(st.Session.Partners, []string{"p2"}) || !st.Connected {
			t.Errorf("state %+v", st)
		}
	})
}

func TestDialNeedsAParticipant(t *testing.T) {
	_, err := Dial(t.Context(), "http://127.0.0.1:1", nil)
	hasCode(t, err, protocol.CodeUnauthorized)
}

// A refusal that would be repeated is returned at once, another one is tried
// again.
func TestDialRefused(t *testing.T) {
	for _, code := range []protocol.Code{
		protocol.CodeUnauthorized, protocol.CodeBadToken, protocol.CodeInvalidPayload,
		protocol.CodeUnknownExperiment, protocol.CodeTooLarge, protocol.CodeReplaced,
	} {
		t.Run(string(code), func(t *testing.T) {
			script := func(c *siotest.Conn) { c.Open(time.Hour, time.Hour); c.Refuse(code); c.Wait() }
			bubble(t, script, func(t *testing.T, s *siotest.Server) {
				_, err := dialTo(t.Context(), s, Options{})
				hasCode(t, err, code)
				if s.Count() != 1 {
					t.Errorf("%d attempts", s.Count())
				}
			})
		})
	}
	for _, code := range []protocol.Code{
		protocol.CodeOverloaded, protocol.CodeRestarting, protocol.CodeStore, protocol.CodeInternal,
		protocol.CodeRateLimit, "something new",
	} {
		t.Run(string(code), func(t *testing.T) {
			script := func(c *siotest.Conn) {
				if c.N < 4 {
					c.Open(time.Hour, time.Hour)
					c.Refuse(code)
				} else {
					c.Greet()
				}
				c.Wait()
			}
			bubble(t, script, func(t *testing.T, s *siotest.Server) {
				connect(t, s, Options{})
				if s.Count() != 4 {
					t.Errorf("%d attempts", s.Count())
				}
			})
		})
	}
}

// What a server can do wrong before the session costs one attempt.
func TestDialSurvivesABadServer(t *testing.T) {
	scripts := map[string]func(c *siotest.Conn){
		"drops":               func(c *siotest.Conn) {},
		"drops after open":    func(c *siotest.Conn) { c.Open(time.Hour, time.Hour) },
		"closes":              func(c *siotest.Conn) { c.Close(1011) },
		"closes by Engine.IO": func(c *siotest.Conn) { c.Write("1"); c.Wait() },
		"says nothing":        func(c *siotest.Conn) { c.Wait() },
		"no session":          func(c *siotest.Conn) { c.Open(time.Hour, time.Hour); c.Connect(); c.Wait() },
		"empty frame":         func(c *siotest.Conn) { c.Write(""); c.Wait() },
		"unknown frame":       func(c *siotest.Conn) { c.Write("9"); c.Wait() },
		"bad handshake":       func(c *siotest.Conn) { c.Write("0[]"); c.Wait() },
		"no pingInterval":     func(c *siotest.Conn) { c.Write(`0{"sid":"s"}`); c.Wait() },
		"two handshakes":      func(c *siotest.Conn) { c.Open(time.Hour, time.Hour); c.Open(time.Hour, time.Hour); c.Wait() },
		"bad packet":          func(c *siotest.Conn) { c.Write("42[1]"); c.Wait() },
		"binary packet":       func(c *siotest.Conn) { c.Write(`451-["x",{"_placeholder":true,"num":0}]`); c.Wait() },
		"binary frame":        func(c *siotest.Conn) { c.WriteBinary([]byte{1}); c.Wait() },
		"bad session": func(c *siotest.Conn) {
			c.Open(time.Hour, time.Hour)
			c.Connect()
			c.Write(`42["session",[]]`)
			c.Wait()
		},
		"a stranger's refusal": func(c *siotest.Conn) {
			c.Open(time.Hour, time.Hour)
			c.Read()
			c.Write(`44{"message":"Invalid namespace"}`)
			c.Wait()
		},
	}
	for name, script := range scripts {
		t.Run(name, func(t *testing.T) {
			both := func(c *siotest.Conn) {
				if c.N == 1 {
					script(c)
				} else {
					c.Greet()
					c.Wait()
				}
			}
			bubble(t, both, func(t *testing.T, s *siotest.Server) {
				connect(t, s, Options{})
				if s.Count() != 2 {
					t.Errorf("%d attempts", s.Count())
				}
			})
		})
	}
}

// The server may have admitted a client whose session event does not arrive in
// time. It must not take the next attempt for the end of the page.
func TestAnAttemptGivenUpIsNoGoodbye(t *testing.T) {
	code := make(chan websocket.StatusCode, 1)
	script := func(c *siotest.Conn) {
		if c.N > 1 {
			c.Greet()
			c.Wait()
			return
		}
		c.Open(time.Hour, time.Hour)
		c.Connect()
		c.Wait()
		code <- c.Code
	}
	bubble(t, script, func(t *testing.T, s *siotest.Server) { connect(t, s, Options{}) })
	if got := <-code; got != protocol.CloseRetry {
		t.Errorf("close code %d, want %d", got, protocol.CloseRetry)
	}
}

func TestDialGivesUpWithItsContext(t *testing.T) {
	refuse := func(c *siotest.Conn) { c.Open(time.Hour, time.Hour); c.Refuse(protocol.CodeOverloaded); c.Wait() }
	bubble(t, refuse, func(t *testing.T, s *siotest.Server) {
		began := time.Now()
		_, err := dialTo(within(t, time.Minute), s, Options{})
		hasCode(t, err, CodeUnreachable)
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "overloaded") {
			t.Errorf("error %v does not tell both reasons", err)
		}
		if d := time.Since(began); d != time.Minute {
			t.Errorf("gave up after %v", d)
		}
		if n := s.Count(); n < 12 || n > 30 {
			t.Errorf("%d attempts in a minute", n)
		}
	})
}

// An attempt whose session comes in the last moment is not wasted: after a
// block of the page the timeout and the session come together.
func TestConnectTimeoutLooksOnceMore(t *testing.T) {
	for _, c := range []struct {
		after    time.Duration
		attempts int
	}{
		{10*time.Second + lastLook - time.Millisecond, 1},
		{10*time.Second + lastLook + time.Millisecond, 2},
	} {
		script := func(sc *siotest.Conn) {
			if sc.N == 1 {
				sc.Open(time.Hour, time.Hour)
				sc.Connect()
				time.Sleep(c.after)
				sc.Session(protocol.Session{})
			} else {
				sc.Greet()
			}
			sc.Wait()
		}
		bubble(t, script, func(t *testing.T, s *siotest.Server) {
			connect(t, s, Options{})
			if s.Count() != c.attempts {
				t.Errorf("session after %v: %d attempts, want %d", c.after, s.Count(), c.attempts)
			}
		})
	}
}

func TestPingIsAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		frames := make(chan string, 1)
		script := func(c *siotest.Conn) {
			if c.Greet() {
				c.Write("2")
				f, _ := c.Read()
				frames <- f
				c.Wait()
			}
		}
		s := siotest.Pipe(t, script)
		connect(t, s, Options{})
		if f := <-frames; f != "3" {
			t.Errorf("a ping was answered by %q", f)
		}
	})
}

// A silent server is noticed, at both edges of the deadline: a frame in the
// last moment, even in the last look, keeps the connection.
func TestSilence(t *testing.T) {
	const interval, timeout = 2 * time.Second, 240 * time.Second
	const looks = silenceLook + lastLook
	for _, c := range []struct {
		name   string
		want   time.Duration // Options.Silence
		limit  time.Duration
		speaks time.Duration // after the session
		kept   bool
	}{
		{"default", 0, 10 * time.Second, 10*time.Second + looks + time.Millisecond, false},
		{"in the last look", 0, 10 * time.Second, 10*time.Second + looks - time.Millisecond, true},
		{"in time", 0, 10 * time.Second, 10*time.Second - time.Millisecond, true},
		{"as wanted", 3 * time.Second, 3 * time.Second, 5 * time.Second, false},
		{"no longer than advertised", time.Hour, interval + timeout, interval + timeout + 2*silenceLook, false},
		{"as long as advertised", time.Hour, interval + timeout, interval + timeout - time.Millisecond, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			script := func(sc *siotest.Conn) {
				sc.Open(interval, timeout)
				if !sc.Connect() {
					return
				}
				sc.Session(protocol.Session{})
				if sc.N == 1 {
					time.Sleep(c.speaks)
					sc.Write("2")
				}
				sc.Wait()
			}
			bubble(t, script, func(t *testing.T, s *siotest.Server) {
				began := time.Now()
				lost := make(chan time.Duration, 1)
				connect(t, s, Options{Silence: c.want, Handlers: map[string]func([]byte){
					EventReconnecting: func([]byte) { lost <- time.Since(began) },
				}})
				time.Sleep(c.limit + looks + 100*time.Millisecond)
				select {
				case d := <-lost:
					if c.kept {
						t.Errorf("given up after %v", d)
					} else if want := c.limit + looks; d != want {
						t.Errorf("given up after %v, want %v", d, want)
					}
				default:
					if !c.kept {
						t.Error("kept")
					}
				}
			})
		})
	}
}

func TestBackoff(t *testing.T) {
	b := Backoff{Min: 500 * time.Millisecond, Max: 5 * time.Second}
	for attempt, want := range map[int]time.Duration{
		1: 500 * time.Millisecond, 2: time.Second, 3: 2 * time.Second, 4: 4 * time.Second,
		5: 5 * time.Second, 6: 5 * time.Second, 1000: 5 * time.Second,
	} {
		if d := b.delay(attempt, 0); d != want/2 {
			t.Errorf("attempt %d, shortest: %v, want %v", attempt, d, want/2)
		}
		if d := b.delay(attempt, 0.999999); d <= want*9/10 || d >= want {
			t.Errorf("attempt %d, longest: %v, want just under %v", attempt, d, want)
		}
	}
	if d := (Backoff{Min: 5 * time.Second, Max: 5 * time.Second}).delay(3, 0); d != 2500*time.Millisecond {
		t.Errorf("Min = Max: %v", d)
	}
}

func TestEndpoint(t *testing.T) {
	for in, want := range map[string]string{
		"http://h":                     "ws://h/socket.io/?EIO=4&transport=websocket",
		"https://h:8443/":              "wss://h:8443/socket.io/?EIO=4&transport=websocket",
		"ws://h/lab/socket.io":         "ws://h/lab/socket.io/?EIO=4&transport=websocket",
		"wss://h/socket.io/?x=1#frag":  "wss://h/socket.io/?EIO=4&transport=websocket&x=1",
		"http://[::1]:80/?EIO=3&EIO=2": "ws://[::1]:80/socket.io/?EIO=4&transport=websocket",
		"ftp://h":                      "",
		"h:80":                         "",
		"/socket.io":                   "",
		"http://":                      "",
		"http://h\x00":                 "",
	} {
		got, err := endpoint(in)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("endpoint(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
}

// The handshake's headers reach the server, for clients that are not browsers.
func TestHeader(t *testing.T) {
	s := siotest.New(t, func(c *siotest.Conn) { c.Greet(); c.Wait() })
	seen := make(chan string, 1)
	srv := newHTTPServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen <- r.Header.Get("X-Test")
		s.ServeHTTP(w, r)
	}))
	c, err := Dial(t.Context(), srv, &Options{
		Participant: "p", DialWebSocket: dialer(&websocket.DialOptions{HTTPHeader: http.Header{"X-Test": {"yes"}}}),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	if got := <-seen; got != "yes" {
		t.Errorf("header %q", got)
	}
}

// The page may retry at once when the browser is online again.
func TestRetrySkipsThePause(t *testing.T) {
	script := func(c *siotest.Conn) {
		c.Greet()
		if c.N > 1 {
			c.Wait()
		}
	}
	bubble(t, script, func(t *testing.T, s *siotest.Server) {
		restored := make(chan time.Time, 1)
		lost := make(chan time.Time, 1)
		c := connect(t, s, Options{Backoff: Backoff{Min: time.Hour, Max: time.Hour}, Handlers: map[string]func([]byte){
			EventReconnecting: func([]byte) { lost <- time.Now() },
			EventRestored:     func([]byte) { restored <- time.Now() },
		}})
		at := <-lost
		synctest.Wait()
		time.Sleep(time.Second)
		c.Retry()
		if d := (<-restored).Sub(at); d != time.Second {
			t.Errorf("restored after %v", d)
		}
	})
}

// A Retry is for the attempt under way, and not for a pause an hour later.
func TestRetryIsForNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		at := make(chan time.Time, 10)
		script := func(c *siotest.Conn) {
			at <- time.Now()
			switch c.N {
			case 2:
				time.Sleep(2 * time.Second) // in the attempt
				c.Greet()
				time.Sleep(time.Hour)
				c.Emit(protocol.EventServerRestarting, protocol.Restarting{DelayMS: 60_000})
			case 1:
				c.Greet()
			default:
				c.Greet()
				c.Wait()
			}
		}
		s := siotest.Pipe(t, script)
		c := connect(t, s, Options{})
		<-at
		<-at
		time.Sleep(time.Second)
		c.Retry() // online, visible: an attempt is under way
		time.Sleep(1500 * time.Millisecond)
		if !c.State().Connected {
			t.Fatal()
		}
		lost := time.Now().Add(time.Hour - 500*time.Millisecond)
		back := <-at
		if back.Sub(lost) < 50*time.Second {
			t.Error("too early")
		}
	})
}
