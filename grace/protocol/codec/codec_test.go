package codec

import (
	"encoding/json"
	"errors"
	"math"
	"math/rand"
	"reflect"
	"strings"
	"testing"
	"testing/quick"
	"unicode/utf8"

	"initgrace/grace/protocol"
	"initgrace/grace/protocol/sio"
)

// written are values of every type that Encode knows.
var written = []any{
	protocol.Auth{}, protocol.OpenLoad{}, protocol.LoadStart{}, protocol.LoadProgress{}, protocol.LoadComplete{},
	protocol.State{}, protocol.StateSave{}, protocol.Join{}, protocol.Send{}, protocol.Sent{}, protocol.Ping{}, protocol.PageHide{},
	protocol.Session{}, protocol.Policy{}, protocol.PartnerState{}, &protocol.Error{},
}

// readable are those of every type that Decode knows.
var readable = []any{
	protocol.Session{}, protocol.State{}, protocol.Policy{}, protocol.PartnerState{}, protocol.LoadAck{}, protocol.CompleteAck{},
	protocol.StateSaved{}, protocol.Sent{}, protocol.Waiting{}, protocol.GroupReady{}, protocol.GroupEnd{}, protocol.GroupChanged{}, protocol.Ended{}, protocol.Message{},
	protocol.Pong{}, protocol.Restarting{}, protocol.Error{},
}

// random fills a value with anything that its type can hold and JSON can say.
func random(r *rand.Rand, v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		random(r, v.Elem())
	case reflect.Struct:
		for i := range v.NumField() {
			random(r, v.Field(i))
		}
	case reflect.Slice:
		switch {
		case r.Intn(3) == 0:
			v.SetZero()
		case v.Type() == reflect.TypeFor[protocol.Raw]():
			raw := []string{`null`, `{}`, `[1,{"a":"<é\u2028\n>"}]`, `"x"`, `-1.5e3`, `true`}
			v.SetBytes([]byte(raw[r.Intn(len(raw))]))
		default:
			v.Set(reflect.MakeSlice(v.Type(), r.Intn(3), 3))
			for i := range v.Len() {
				random(r, v.Index(i))
			}
		}
	case reflect.Float64:
		v.SetFloat(float64(r.Intn(3)) * math.Trunc(r.NormFloat64()*1e9) / 1e6)
	case reflect.String:
		text := []string{"", "p-1", "a \"b\" \\ \n\t\x01", "é😀\u2028<&>", "\x7f"}
		v.SetString(text[r.Intn(len(text))])
	default:
		if x, ok := quick.Value(v.Type(), r); ok && r.Intn(3) > 0 {
			v.Set(x)
		} else {
			v.SetZero()
		}
	}
}

func same(t *testing.T, a, b []byte) bool {
	t.Helper()
	var x, y any
	if err := json.Unmarshal(a, &x); err != nil {
		t.Errorf("%s: %v", a, err)
	}
	if err := json.Unmarshal(b, &y); err != nil {
		t.Errorf("%s: %v", b, err)
	}
	return reflect.DeepEqual(x, y)
}

// Encode writes what encoding/json writes, field for field.
func TestEncode(t *testing.T) {
	r := rand.New(rand.NewSource(1))
	for _, v := range written {
		for range 300 {
			x := reflect.New(reflect.TypeOf(v)).Elem()
			random(r, x)
			want, err := json.Marshal(x.Interface())
			if err != nil {
				t.Fatal(err)
			}
			got, err := Encode(x.Interface())
			if err != nil || !same(t, got, want) {
				t.Fatalf("%T\n got %s, %v\nwant %s", v, got, err, want)
			}
		}
	}
}

// Decode reads what encoding/json reads, into what was there before.
func TestDecode(t *testing.T) {
	r := rand.New(rand.NewSource(1))
	for _, v := range readable {
		for range 300 {
			x := reflect.New(reflect.TypeOf(v))
			random(r, x)
			data, err := json.Marshal(x.Interface())
			if err != nil {
				t.Fatal(err)
			}
			if r.Intn(2) == 0 { // unknown fields are ignored, the last of two counts
				data = []byte(strings.Replace(string(data), "{", `{ "unknown" : [{"x":null}] , "group":"first","ok":true,`, 1))
			}
			got, want := reflect.New(reflect.TypeOf(v)), reflect.New(reflect.TypeOf(v))
			random(r, got)
			want.Elem().Set(got.Elem())
			errGot, errWant := Decode(data, got.Interface()), json.Unmarshal(data, want.Interface())
			if errGot != nil || errWant != nil {
				t.Fatalf("%T %s: %v, encoding/json: %v", v, data, errGot, errWant)
			}
			a, _ := json.Marshal(got.Interface())
			b, _ := json.Marshal(want.Interface())
			if string(a) != string(b) {
				t.Fatalf("%T %s\n got %s\nwant %s", v, data, a, b)
			}
		}
	}
}

// What has the wrong shape is refused, with the field's name.
func TestDecodeRefuses(t *testing.T) {
	for _, c := range []struct {
		data, field string
		v           any
	}{
		{`[]`, "", new(protocol.Session)},
		{`5`, "", new(protocol.LoadAck)},
		{`{"token":5}`, "token", new(protocol.Session)},
		{`{"restored":"yes"}`, "restored", new(protocol.Session)},
		{`{"epoch":-1}`, "epoch", new(protocol.Session)},
		{`{"epoch":1.5}`, "epoch", new(protocol.Session)},
		{`{"epoch":18446744073709551616}`, "epoch", new(protocol.Session)},
		{`{"partners":[1]}`, "partners", new(protocol.Session)},
		{`{"partners":{}}`, "partners", new(protocol.Session)},
		{`{"policy":{"load_ms":"x"}}`, "policy", new(protocol.Session)},
		{`{"lease_ms":9223372036854775808}`, "lease_ms", new(protocol.LoadAck)},
		{`{"max_latency":"1"}`, "max_latency", new(protocol.Pong)},
		{`{"max_latency":1e400}`, "max_latency", new(protocol.Pong)},
		{`{"max_latency":true}`, "max_latency", new(protocol.Pong)},
		{`{"ok":true`, "", new(protocol.Error)},
		{`{"ok":true} x`, "", new(protocol.Error)},
		{`{"ok":}`, "", new(protocol.Error)},
		{`{ok:true}`, "", new(protocol.Error)},
		{`{"a":1,}`, "", new(protocol.Error)},
		{`"\x"`, "", new(string)},
		{`{`, "", new(protocol.Raw)},
	} {
		err := Decode([]byte(c.data), c.v)
		var at *FieldError
		if err == nil || c.field != "" && (!errors.As(err, &at) || at.Field != c.field) {
			t.Errorf("%T %s: %v", c.v, c.data, err)
		}
		if json.Unmarshal([]byte(c.data), c.v) == nil {
			t.Errorf("encoding/json takes %s", c.data)
		}
	}
	if err := Decode([]byte(`{}`), new(map[string]int)); err != ErrUnknown {
		t.Errorf("an unknown type: %v", err)
	}
}

func TestEncodeRefuses(t *testing.T) {
	bad := protocol.Raw(`{"a":`)
	for v, want := range map[any]error{
		&struct{}{}:         ErrUnknown,
		&bad:                ErrUnknown,
		"a text":            ErrUnknown,
		&protocol.Session{}: ErrUnknown,
	} {
		if b, err := Encode(v); err != want {
			t.Errorf("%T: %s, %v", v, b, err)
		}
	}
	for _, v := range []any{
		bad, protocol.Send{Data: bad}, protocol.State{Globals: bad},
		protocol.StateSave{State: protocol.State{StagerState: bad}}, protocol.Session{State: protocol.State{Globals: bad}},
	} {
		if b, err := Encode(v); err != sio.ErrJSON {
			t.Errorf("%T: %s, %v", v, b, err)
		}
	}
}

// Numbers agree with encoding/json, fractions to the last of the digits that
// are written.
func FuzzNumber(f *testing.F) {
	for _, s := range []string{"0", "-0", "1", "-1.5", "1e3", "0.000001", "123456789.987654", "9223372036854775807", "-9223372036854775808",
		"18446744073709551615", "1e-400", "1e400", "01", "1.", ".5", "+1", "--1", "1e", "", "-", "true", "1e99999999999", "4.9e-324"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if len(s) > 100 || s == "null" || strings.TrimSpace(s) != s {
			return
		}
		var i, j int64
		var u, v uint64
		var x, y float64
		if a, b := Decode([]byte(s), &i) == nil, json.Unmarshal([]byte(s), &j) == nil; a != b || i != j {
			t.Errorf("%q as a whole number: %d %t, encoding/json %d %t", s, i, a, j, b)
		}
		if a, b := Decode([]byte(s), &u) == nil, json.Unmarshal([]byte(s), &v) == nil; a != b || u != v {
			t.Errorf("%q without sign: %d %t, encoding/json %d %t", s, u, a, v, b)
		}
		a, b := Decode([]byte(s), &x) == nil, json.Unmarshal([]byte(s), &y) == nil
		edge := math.Abs(x) > 1e300 || math.Abs(y) > 1e300 || math.Abs(y) < 1e-300
		if !edge && (a != b || math.Abs(x-y) > 1e-12*math.Abs(y)) {
			t.Errorf("%q as a fraction: %v %t, encoding/json %v %t", s, x, a, y, b)
		}
		if !a || math.Abs(x) > 1e15 {
			return
		}
		var back float64
		if text := appendFloat(nil, x); json.Unmarshal(text, &back) != nil || math.Abs(back-x) > 1e-6+1e-12*math.Abs(x) {
			t.Errorf("%v was written as %s", x, text)
		}
	})
}

func TestFloat(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", 1: "1", -1.25: "-1.25", 0.1: "0.1", 12.3456789: "12.345679", 0.9999999: "1", 1e-9: "0", 250: "250",
		math.Inf(1): "null", math.Inf(-1): "null", 1e300: "1000000000000000000",
	} {
		if got := string(appendFloat(nil, v)); got != want && !(v == 1e300 && len(got) >= 18) {
			t.Errorf("%v: %s, want %s", v, got, want)
		}
	}
	if got := string(appendFloat(nil, math.NaN())); got != "null" {
		t.Errorf("NaN: %s", got)
	}
}

// An object is read as encoding/json reads it, whatever it is.
func FuzzFields(f *testing.F) {
	for _, s := range []string{`{}`, ` { "a" : 1 , "b":[{"c":null}] } `, `{"a":1,"a":2}`, `{"é\u00e9\ud83d\ude00":""}`, `{"a"}`, `{"a":1,}`, `{,}`, `[]`, `{"a":01}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var want map[string]json.RawMessage
		wantErr := json.Unmarshal(data, &want)
		got := map[string]json.RawMessage{}
		err := sio.Fields(data, func(name string, value []byte) error {
			got[name] = value
			return nil
		})
		if !utf8.Valid(data) || err == sio.ErrDepth || string(data) == "null" || !strings.HasPrefix(strings.TrimLeft(string(data), " \t\r\n"), "{") {
			return
		}
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("%q: %v, encoding/json %v", data, err, wantErr)
		}
		if err == nil && len(got) != len(want) {
			t.Errorf("%q: %q, encoding/json %q", data, got, want)
		}
		for name, value := range want {
			if err == nil && string(got[name]) != string(value) {
				t.Errorf("%q: %s is %s, encoding/json %s", data, name, got[name], value)
			}
		}
		if sio.Valid(data) != (err == nil) {
			t.Errorf("%q: valid %t, read %v", data, sio.Valid(data), err)
		}
	})
}
