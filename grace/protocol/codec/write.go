package codec

import (
	"strconv"

	"initgrace/grace/protocol"
	"initgrace/grace/protocol/sio"
)

// A Writer writes one JSON object, field by field. The zero value begins one;
// JSON ends it.
type Writer struct{ b []byte }

// JSON is the object.
func (w *Writer) JSON() []byte {
	if w.b == nil {
		return []byte("{}")
	}
	return append(w.b, '}')
}

func (w *Writer) name(name string) {
	if w.b == nil {
		w.b = append(w.b, '{')
	} else {
		w.b = append(w.b, ',')
	}
	w.b = append(sio.AppendString(w.b, name), ':')
}

// Text writes a text.
func (w *Writer) Text(name, v string) {
	w.name(name)
	w.b = sio.AppendString(w.b, v)
}

// Bool writes true or false.
func (w *Writer) Bool(name string, v bool) {
	w.name(name)
	w.b = strconv.AppendBool(w.b, v)
}

// Int writes a whole number.
func (w *Writer) Int(name string, v int64) {
	w.name(name)
	w.b = strconv.AppendInt(w.b, v, 10)
}

// Uint writes a whole number.
func (w *Writer) Uint(name string, v uint64) {
	w.name(name)
	w.b = strconv.AppendUint(w.b, v, 10)
}

// Float writes a number to six decimals; one that JSON does not have becomes
// null.
func (w *Writer) Float(name string, v float64) {
	w.name(name)
	w.b = appendFloat(w.b, v)
}

// Raw writes JSON; none becomes null.
func (w *Writer) Raw(name string, v []byte) {
	w.name(name)
	if len(v) == 0 {
		v = []byte("null")
	}
	w.b = append(w.b, v...)
}

// Texts writes an array; none becomes null.
func (w *Writer) Texts(name string, v []string) {
	w.name(name)
	if v == nil {
		w.b = append(w.b, "null"...)
		return
	}
	w.b = append(w.b, '[')
	for i, s := range v {
		if i > 0 {
			w.b = append(w.b, ',')
		}
		w.b = sio.AppendString(w.b, s)
	}
	w.b = append(w.b, ']')
}

// The same for fields that are left out when they are empty.

func (w *Writer) optText(name, v string) {
	if v != "" {
		w.Text(name, v)
	}
}

func (w *Writer) optBool(name string, v bool) {
	if v {
		w.Bool(name, v)
	}
}

func (w *Writer) optInt(name string, v int64) {
	if v != 0 {
		w.Int(name, v)
	}
}

func (w *Writer) optUint(name string, v uint64) {
	if v != 0 {
		w.Uint(name, v)
	}
}

func (w *Writer) optFloat(name string, v float64) {
	if v != 0 {
		w.Float(name, v)
	}
}

func (w *Writer) optRaw(name string, v []byte) {
	if len(v) != 0 {
		w.Raw(name, v)
	}
}

// Encode writes a payload of package protocol that clients send or keep, or a
// protocol.Raw as it is. The error is ErrUnknown for anything else, and
// sio.ErrJSON for a Raw that is not JSON.
func Encode(v any) ([]byte, error) {
	if raw, ok := v.(protocol.Raw); ok {
		switch {
		case len(raw) == 0:
			return []byte("null"), nil
		case !sio.Valid(raw):
			return nil, sio.ErrJSON
		}
		return raw, nil
	}
	var w Writer
	if err := w.Fields(v); err != nil {
		return nil, err
	}
	return w.JSON(), nil
}

// Fields writes the fields of a payload.
func (w *Writer) Fields(v any) error {
	switch v := v.(type) {
	case protocol.Auth:
		w.Text("participant", v.Participant)
		w.optText("subject_id", v.SubjectID)
		w.optText("experiment", v.Experiment)
		w.optText("group", v.Group)
		w.optText("token", v.Token)
		w.optText("page_id", v.PageID)
		w.optText("host", v.Host)
		if v.Seq != nil {
			w.Uint("seq", *v.Seq)
		}
		w.optBool("keep", v.Keep)
		if len(v.Loads) > 0 {
			w.Raw("loads", loads(v.Loads))
		}
	case protocol.OpenLoad:
		w.Text("id", v.ID)
		w.optText("phase", v.Phase)
		w.optInt("expected_ms", v.ExpectedMS)
	case protocol.LoadStart:
		w.optText("id", v.ID)
		w.optText("phase", v.Phase)
		w.optInt("expected_ms", v.ExpectedMS)
	case protocol.LoadProgress:
		w.Text("id", v.ID)
		w.optText("phase", v.Phase)
		w.optFloat("fraction", v.Fraction)
		w.optInt("expected_ms", v.ExpectedMS)
	case protocol.LoadComplete:
		w.optText("id", v.ID)
		w.optBool("error", v.Error)
		w.optText("reason", v.Reason)
		w.optInt("blocked_ms", v.BlockedMS)
		w.optInt("longest_block_ms", v.LongestBlockMS)
	case protocol.State:
		return w.state(v)
	case protocol.StateSave:
		if err := w.state(v.State); err != nil {
			return err
		}
		w.Uint("version", v.Version)
		w.optUint("seq", v.Seq)
	case protocol.Join:
		w.optInt("size", int64(v.Size))
	case protocol.Send:
		if len(v.Data) > 0 && !sio.Valid(v.Data) {
			return sio.ErrJSON
		}
		w.Raw("data", v.Data)
		w.optUint("id", v.ID)
		w.optText("latest", v.Latest)
		w.optBool("volatile", v.Volatile)
		w.optText("group", v.Group)
	case protocol.Sent:
		w.Bool("ok", v.OK)
		w.optUint("seq", v.Seq)
		w.optBool("repeated", v.Repeated)
		if len(v.Dropped) > 0 {
			w.Texts("dropped", v.Dropped)
		}
	case protocol.Ping:
		w.optUint("seq", v.Seq)
		w.optUint("id", v.ID)
		w.optFloat("latency_ms", v.LatencyMS)
	case protocol.PageHide:
		w.optBool("persisted", v.Persisted)
	case protocol.Session:
		return w.session(v)
	case protocol.Policy:
		w.Int("silence_ms", v.SilenceMS)
		w.Int("blocked_ms", v.BlockedMS)
		w.Int("load_ms", v.LoadMS)
		w.Int("load_cap_ms", v.LoadCapMS)
		w.Int("reconnect_ms", v.ReconnectMS)
		w.Int("leave_ms", v.LeaveMS)
	case protocol.PartnerState:
		w.Text("participant", v.Participant)
		w.Text("state", string(v.State))
		w.optText("phase", v.Phase)
		w.Int("since_ms", v.SinceMS)
		w.optInt("expected_ms", v.ExpectedMS)
		w.optInt("deadline_ms", v.DeadlineMS)
		w.optText("reason", string(v.Reason))
		w.Uint("seq", v.Seq)
	case *protocol.Error:
		w.Bool("ok", v.OK)
		w.Text("code", string(v.Code))
		w.Text("message", v.Message)
	default:
		return ErrUnknown
	}
	return nil
}

func loads(v []protocol.OpenLoad) []byte {
	b := []byte{'['}
	for i, l := range v {
		if i > 0 {
			b = append(b, ',')
		}
		one, err := Encode(l)
		if err != nil {
			panic(err) // it is known
		}
		b = append(b, one...)
	}
	return append(b, ']')
}

func (w *Writer) state(v protocol.State) error {
	for _, raw := range []protocol.Raw{v.StagerState, v.Globals} {
		if len(raw) > 0 && !sio.Valid(raw) {
			return sio.ErrJSON
		}
	}
	w.Text("scene_id", v.SceneID)
	w.optRaw("stager_state", v.StagerState)
	w.optRaw("globals", v.Globals)
	return nil
}

func (w *Writer) session(v protocol.Session) error {
	w.Text("participant", v.Participant)
	w.Text("token", v.Token)
	w.Uint("epoch", v.Epoch)
	w.Bool("restored", v.Restored)
	w.optBool("expired", v.Expired)
	if err := w.state(v.State); err != nil {
		return err
	}
	w.Uint("version", v.Version)
	w.optText("group", v.Group)
	if len(v.Partners) > 0 {
		w.Texts("partners", v.Partners)
	}
	w.Uint("seq", v.Seq)
	w.Uint("sent", v.Sent)
	policy, err := Encode(v.Policy)
	if err != nil {
		return err
	}
	w.Raw("policy", policy)
	w.optText("experiment", v.Experiment)
	w.optText("condition", v.Condition)
	if len(v.Scenes) > 0 {
		w.Texts("scenes", v.Scenes)
	}
	if len(v.Packages) > 0 {
		w.Texts("packages", v.Packages)
	}
	if o := v.Outcome; o != nil {
		var e Writer
		e.Bool("ok", o.OK)
		e.Text("outcome", string(o.Outcome))
		e.optText("code", o.Code)
		e.optText("link", o.Link)
		e.optText("partner", o.Partner)
		w.Raw("outcome", e.JSON())
	}
	return nil
}
