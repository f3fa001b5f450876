package server

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"initgrace/grace/protocol"
	"initgrace/server/eventlog"
)

func TestIdentify(t *testing.T) {
	secret, other := []byte("secret"), []byte("other secret")
	good := token(secret, "p", 3)
	for _, c := range []struct {
		auth string
		code protocol.Code // "": admitted
		id   string
	}{
		{auth: `{"participant":"p"}`, id: "p"},
		{auth: `{"subject_id":"5f.A:b@c-d_"}`, id: "5f.A:b@c-d_"},
		{auth: `{"participant":"p","subject_id":"q"}`, id: "p"},
		{auth: `{"participant":"` + strings.Repeat("x", 128) + `"}`, id: strings.Repeat("x", 128)},
		{auth: `{"participant":"p","token":"` + good + `"}`, id: "p"},
		{auth: `{"participant":"p","unknown":[1]}`, id: "p"},

		{auth: ``, code: protocol.CodeUnauthorized},
		{auth: `{}`, code: protocol.CodeUnauthorized},
		{auth: `{"participant":""}`, code: protocol.CodeUnauthorized},
		{auth: `{"participant":7}`, code: protocol.CodeUnauthorized},
		{auth: `{"participant":"a b"}`, code: protocol.CodeUnauthorized},
		{auth: `{"participant":"a\n"}`, code: protocol.CodeUnauthorized},
		{auth: `{"participant":"é"}`, code: protocol.CodeUnauthorized},
		{auth: `{"participant":"` + strings.Repeat("x", 129) + `"}`, code: protocol.CodeUnauthorized},
		{auth: `{"participant":"p","group":"` + strings.Repeat("g", 10_000) + `"}`, code: protocol.CodeUnauthorized},
		{auth: `{"participant":"p","page_id":"<script>"}`, code: protocol.CodeUnauthorized},
		{auth: `{"participant":"p","host":"moon"}`, code: protocol.CodeUnauthorized},
		{auth: `{"participant":"p","loads":"x"}`, code: protocol.CodeUnauthorized},
		{auth: `{"participant":"q","token":"` + good + `"}`, code: protocol.CodeBadToken}, // somebody else's
		{auth: `{"participant":"p","token":"4` + good[1:] + `"}`, code: protocol.CodeBadToken},
		{auth: `{"participant":"p","token":"` + token(other, "p", 3) + `"}`, code: protocol.CodeBadToken},
		{auth: `{"participant":"p","token":"nonsense"}`, code: protocol.CodeBadToken},
		{auth: `{"participant":"p","token":"3.***"}`, code: protocol.CodeBadToken},
	} {
		id, err := identify([]byte(c.auth), secret)
		switch {
		case c.code == "" && err != nil:
			t.Errorf("%.60s: refused: %v", c.auth, err)
		case c.code == "" && id.participant != c.id:
			t.Errorf("%.60s: participant %q", c.auth, id.participant)
		case c.code != "" && (err == nil || err.Code != c.code):
			t.Errorf("%.60s: %v, want %s", c.auth, err, c.code)
		case err != nil && (err.OK || err.Message == ""):
			t.Errorf("%.60s: refusal %+v says nothing", c.auth, err)
		}
	}
}

// nil loads mean that the client does not say; none means that none is open.
func TestIdentifyLoads(t *testing.T) {
	silent, _ := identify([]byte(`{"participant":"p"}`), nil)
	none, _ := identify([]byte(`{"participant":"p","loads":[]}`), nil)
	if silent.loads != nil || none.loads == nil || len(none.loads) != 0 {
		t.Fatalf("silent %v, none %v", silent.loads, none.loads)
	}
}

// A load that cannot be taken is left out, and the others and the participant are not.
func TestIdentifyLeavesLoadsOut(t *testing.T) {
	for loads, want := range map[string]int{
		`{"id":""}`:                         0,
		`{"id":"y","expected_ms":-1}`:       0,
		`{"id":"y","expected_ms":86400001}`: 0,
		`{"id":"y","expected_ms":1.5}`:      0,
		`{"id":"y","phase":"` + strings.Repeat("p", protocol.MaxPhase+1) + `"}`: 0,
		`{"id":"` + strings.Repeat("i", protocol.MaxLoadID+1) + `"}`:            0,
		`7`:          0,
		`{"id":"y"}`: 1,
		`{"id":"y"}` + strings.Repeat(`,{"id":"y"}`, 8): 7,
	} {
		id, err := identify([]byte(`{"participant":"p","loads":[{"id":"x"},`+loads+`]}`), nil)
		if err != nil || len(id.loads) != want+1 || id.loads[0].ID != "x" {
			t.Errorf("%.60s: loads %v, %v, want x and %d", loads, id.loads, err, want)
		}
	}
}

// Where the token is required nobody without it takes a session over, and who
// tries is refused before anybody is replaced.
func TestTokenRequired(t *testing.T) {
	t.Parallel()
	l := startLab(t, `
  closed: {require_token: true}
  open: {}
`)
	refused := func(auth string, want protocol.Code) {
		t.Helper()
		if _, err := l.dial(auth); err == nil || !strings.Contains(err.Error(), string(want)) {
			t.Errorf("%s: %v, want %s", auth, err, want)
		}
	}
	locked := func(token string) {
		t.Helper()
		for _, auth := range []string{
			`{"participant":"p","experiment":"closed"}`,
			`{"participant":"p","experiment":"closed","page_id":"another"}`,
			`{"participant":"p","experiment":"closed","token":""}`,
			`{"participant":"p","experiment":"open"}`, // is no way around it
		} {
			refused(auth, protocol.CodeTokenRequired)
		}
		refused(`{"participant":"p","experiment":"closed","token":"`+token+`x"}`, protocol.CodeBadToken)
	}
	p, first := l.connect(`{"participant":"p","experiment":"closed","page_id":"one"}`)
	p.call(protocol.EventStateSave, `{"scene_id":"here","version":0}`, nil)
	_, other := l.connect(`{"participant":"other","experiment":"closed"}`)
	locked(other.Token)
	p.call(protocol.EventPing, `{}`, nil) // who is in it is not even told
	if h := l.history("p"); !slices.Equal(h, []protocol.Presence{protocol.Active}) {
		t.Errorf("history %v", h)
	}
	// The first connection can end before the page has the token.
	_, s := l.connect(`{"participant":"p","experiment":"closed","page_id":"one"}`)
	<-p.closed
	if !s.Restored || s.Token == first.Token {
		t.Errorf("session %+v", s)
	}
	// A refresh, with a token whose successor was lost on the way.
	p, s = l.connect(`{"participant":"p","experiment":"closed","page_id":"two","token":"` + first.Token + `"}`)
	if !s.Restored || s.SceneID != "here" {
		t.Errorf("session %+v", s)
	}
	leave(p)
	l.await("p", protocol.Gone, 1)
	locked(other.Token) // the state is still the participant's
	l.restart()
	locked(other.Token)
	kept := make(chan bool)
	l.srv.loop.post(func(l *loop, now time.Time) {
		_, in := l.members["p"]
		kept <- in
	})
	if <-kept {
		t.Error("asking for a participant costs memory")
	}
	if _, s = l.connect(`{"participant":"p","experiment":"closed","token":"` + s.Token + `"}`); !s.Expired || s.SceneID != "here" {
		t.Errorf("session %+v", s)
	}
	if len(l.log("p", eventlog.HandshakeRefused)) == 0 {
		t.Error("the log knows of no refusal")
	}

	q, _ := l.connect(`{"participant":"q","experiment":"open"}`)
	if _, s := l.connect(`{"participant":"q","experiment":"open"}`); !s.Restored {
		t.Errorf("session %+v", s)
	}
	<-q.closed
	refused(`{"participant":"q","experiment":"closed"}`, protocol.CodeTokenRequired)
}

// Of those who come at once, all without a token, one is the participant.
func TestTokenRequiredAtOnce(t *testing.T) {
	t.Parallel()
	r := start(t, Config{RequireToken: true})
	for i := range 10 {
		in := make(chan *plain, 4)
		var coming sync.WaitGroup
		for range cap(in) {
			coming.Go(func() {
				if c, err := r.dial(fmt.Sprintf(`{"participant":"p%d"}`, i)); err == nil {
					in <- c
				}
			})
		}
		coming.Wait()
		close(in)
		greeted := 0
		for c := range in {
			select {
			case e := <-c.events:
				if e.name != protocol.EventSession {
					t.Errorf("first event %s", e.name)
				}
				greeted++
			case <-c.closed:
			case <-time.After(patience):
				t.Error("neither a session nor an end")
			}
		}
		if greeted != 1 {
			t.Errorf("p%d: %d have the session", i, greeted)
		}
	}
}
