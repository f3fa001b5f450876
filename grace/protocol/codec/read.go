package codec

import (
	"errors"

	"initgrace/grace/protocol"
	"initgrace/grace/protocol/sio"
)

// ErrUnknown is for values of types that this package does not know.
var ErrUnknown = errors.New("a payload of a type that is not the protocol's: pass JSON as a protocol.Raw")

// Object says where each field of an object goes: a pointer to a value that
// Decode can read, or nil to ignore the field.
type Object func(name string) any

// Decode reads JSON into what v points to: a payload of package protocol, a
// string, bool, number, []string or protocol.Raw, or an Object. Fields that are
// not in the JSON keep their values; null changes nothing
// but an array.
func Decode(data []byte, v any) error {
	if v, ok := v.(*protocol.Raw); ok {
		if !sio.Valid(data) {
			return sio.ErrJSON
		}
		*v = append((*v)[:0], data...)
		return nil
	}
	if string(data) == "null" {
		if list, ok := v.(*[]string); ok {
			*list = nil
		}
		return nil
	}
	if o := fields(v); o != nil {
		return sio.Fields(data, func(name string, value []byte) error {
			target := o(name)
			if target == nil {
				return nil
			}
			if err := Decode(value, target); err != nil {
				return &FieldError{name, err}
			}
			return nil
		})
	}
	return scalar(data, v)
}

// A FieldError says which field could not be read.
type FieldError struct {
	Field string
	Err   error
}

func (e *FieldError) Error() string { return e.Field + ": " + e.Err.Error() }
func (e *FieldError) Unwrap() error { return e.Err }

func scalar(data []byte, v any) error {
	switch v := v.(type) {
	case *string:
		return text(data, v)
	case *protocol.Presence:
		return text(data, v)
	case *protocol.Reason:
		return text(data, v)
	case *protocol.Outcome:
		return text(data, v)
	case *protocol.Code:
		return text(data, v)
	case *bool:
		switch string(data) {
		case "true":
			*v = true
		case "false":
			*v = false
		default:
			return errKind("true or false")
		}
	case *int:
		n, ok := parseInt(data)
		if !ok || int64(int(n)) != n {
			return errKind("a whole number")
		}
		*v = int(n)
	case *int64:
		n, ok := parseInt(data)
		if !ok {
			return errKind("a whole number")
		}
		*v = n
	case *uint64:
		n, ok := parseUint(data)
		if !ok {
			return errKind("a whole number that is not negative")
		}
		*v = n
	case *float64:
		n, ok := parseFloat(data)
		if !ok {
			return errKind("a number")
		}
		*v = n
	case *[]string:
		items, err := sio.SplitArgs(data)
		if err != nil {
			return errKind("an array")
		}
		*v = make([]string, len(items))
		for i, item := range items {
			if err := Decode(item, &(*v)[i]); err != nil {
				return err
			}
		}
	default:
		return ErrUnknown
	}
	return nil
}

type errKind string

func (e errKind) Error() string { return "not " + string(e) }

func text[T ~string](data []byte, v *T) error {
	s, err := sio.String(data)
	if err != nil {
		return errKind("a text")
	}
	*v = T(s)
	return nil
}

// fields are those of a payload that clients read; nil if v is none.
func fields(v any) Object {
	switch v := v.(type) {
	case Object:
		return v
	case *protocol.Session:
		return sessionFields(v)
	case *protocol.State:
		return func(name string) any { return stateField(v, name) }
	case *protocol.Policy:
		return policyFields(v)
	case *protocol.PartnerState:
		return partnerFields(v)
	case *protocol.LoadAck:
		return func(name string) any {
			switch name {
			case "ok":
				return &v.OK
			case "id":
				return &v.ID
			case "lease_ms":
				return &v.LeaseMS
			case "cap_ms":
				return &v.CapMS
			case "server_ms":
				return &v.ServerMS
			}
			return nil
		}
	case *protocol.CompleteAck:
		return func(name string) any {
			switch name {
			case "ok":
				return &v.OK
			case "duration_ms":
				return &v.DurationMS
			}
			return nil
		}
	case *protocol.StateSaved:
		return func(name string) any {
			switch name {
			case "ok":
				return &v.OK
			case "version":
				return &v.Version
			}
			return nil
		}
	case *protocol.Sent:
		return func(name string) any {
			switch name {
			case "ok":
				return &v.OK
			case "seq":
				return &v.Seq
			case "repeated":
				return &v.Repeated
			case "dropped":
				return &v.Dropped
			}
			return nil
		}
	case *protocol.Waiting:
		return func(name string) any {
			switch name {
			case "ok":
				return &v.OK
			case "present":
				return &v.Present
			case "size":
				return &v.Size
			case "position":
				return &v.Position
			case "expected_ms":
				return &v.ExpectedMS
			case "timeout_ms":
				return &v.TimeoutMS
			}
			return nil
		}
	case *protocol.GroupChanged:
		return func(name string) any {
			switch name {
			case "group":
				return &v.Group
			case "members":
				return &v.Members
			case "left":
				return &v.Left
			case "joined":
				return &v.Joined
			case "missing":
				return &v.Missing
			case "deadline_ms":
				return &v.DeadlineMS
			}
			return nil
		}
	case *protocol.Ended:
		return endedFields(v)
	case *protocol.GroupReady:
		return func(name string) any {
			switch name {
			case "group":
				return &v.Group
			case "members":
				return &v.Members
			}
			return nil
		}
	case *protocol.GroupEnd:
		return func(name string) any {
			switch name {
			case "group":
				return &v.Group
			case "participant":
				return &v.Participant
			case "reason":
				return &v.Reason
			case "requeued":
				return &v.Requeued
			}
			return nil
		}
	case *protocol.Message:
		return func(name string) any {
			switch name {
			case "from":
				return &v.From
			case "seq":
				return &v.Seq
			case "data":
				return &v.Data
			}
			return nil
		}
	case *protocol.Pong:
		return func(name string) any {
			switch name {
			case "id":
				return &v.ID
			case "max_latency":
				return &v.MaxLatency
			case "median_ms":
				return &v.MedianMS
			case "jitter_ms":
				return &v.JitterMS
			}
			return nil
		}
	case *protocol.Restarting:
		return func(name string) any {
			if name == "delay_ms" {
				return &v.DelayMS
			}
			return nil
		}
	case *protocol.Error:
		return func(name string) any {
			switch name {
			case "ok":
				return &v.OK
			case "code":
				return &v.Code
			case "message":
				return &v.Message
			}
			return nil
		}
	}
	return nil
}

func sessionFields(v *protocol.Session) Object {
	return func(name string) any {
		switch name {
		case "participant":
			return &v.Participant
		case "token":
			return &v.Token
		case "epoch":
			return &v.Epoch
		case "restored":
			return &v.Restored
		case "expired":
			return &v.Expired
		case "version":
			return &v.Version
		case "group":
			return &v.Group
		case "partners":
			return &v.Partners
		case "seq":
			return &v.Seq
		case "sent":
			return &v.Sent
		case "policy":
			return policyFields(&v.Policy)
		case "experiment":
			return &v.Experiment
		case "condition":
			return &v.Condition
		case "scenes":
			return &v.Scenes
		case "packages":
			return &v.Packages
		case "outcome":
			if v.Outcome == nil {
				v.Outcome = new(protocol.Ended)
			}
			return endedFields(v.Outcome)
		}
		return stateField(&v.State, name)
	}
}

func endedFields(v *protocol.Ended) Object {
	return func(name string) any {
		switch name {
		case "ok":
			return &v.OK
		case "outcome":
			return &v.Outcome
		case "code":
			return &v.Code
		case "link":
			return &v.Link
		case "partner":
			return &v.Partner
		}
		return nil
	}
}

func stateField(v *protocol.State, name string) any {
	switch name {
	case "scene_id":
		return &v.SceneID
	case "stager_state":
		return &v.StagerState
	case "globals":
		return &v.Globals
	}
	return nil
}

func policyFields(v *protocol.Policy) Object {
	return func(name string) any {
		switch name {
		case "silence_ms":
			return &v.SilenceMS
		case "blocked_ms":
			return &v.BlockedMS
		case "load_ms":
			return &v.LoadMS
		case "load_cap_ms":
			return &v.LoadCapMS
		case "reconnect_ms":
			return &v.ReconnectMS
		case "leave_ms":
			return &v.LeaveMS
		}
		return nil
	}
}

func partnerFields(v *protocol.PartnerState) Object {
	return func(name string) any {
		switch name {
		case "participant":
			return &v.Participant
		case "state":
			return &v.State
		case "phase":
			return &v.Phase
		case "since_ms":
			return &v.SinceMS
		case "expected_ms":
			return &v.ExpectedMS
		case "deadline_ms":
			return &v.DeadlineMS
		case "reason":
			return &v.Reason
		case "seq":
			return &v.Seq
		}
		return nil
	}
}
