package server

import (
	"strings"
	"testing"

	"initgrace/grace/protocol"
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
		{auth: `{"participant":"p","loads":[{"id":""}]}`, code: protocol.CodeUnauthorized},
		{auth: `{"participant":"p","loads":[{"id":"x","expected_ms":-1}]}`, code: protocol.CodeUnauthorized},
		{auth: `{"participant":"p","loads":[` + strings.Repeat(`{"id":"x"},`, 8) + `{"id":"x"}]}`, code: protocol.CodeUnauthorized},
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
