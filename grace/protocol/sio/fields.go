package sio

// Fields calls f with each field of a JSON object, in order: its name,
// unescaped, and its value, which points into object. It stops at the first
// error of f's, and returns it.
func Fields(object []byte, f func(name string, value []byte) error) error {
	i := space(object, 0)
	if at(object, i) != '{' {
		return ErrShape
	}
	if i = space(object, i+1); at(object, i) == '}' {
		return end(object, i+1)
	}
	for {
		if at(object, i) != '"' {
			return ErrJSON
		}
		after, err := text(object, i)
		if err != nil {
			return err
		}
		name := unquote(object[i+1 : after-1])
		if i = space(object, after); at(object, i) != ':' {
			return ErrJSON
		}
		i = space(object, i+1)
		if after, err = value(object, i, 1); err != nil {
			return err
		}
		if err = f(name, object[i:after:after]); err != nil {
			return err
		}
		switch i = space(object, after); at(object, i) {
		case ',':
			i = space(object, i+1)
		case '}':
			return end(object, i+1)
		default:
			return ErrJSON
		}
	}
}

// end says whether nothing but white space is left.
func end(b []byte, i int) error {
	if space(b, i) != len(b) {
		return ErrJSON
	}
	return nil
}

// Valid says whether b is one JSON value, nested no deeper than MaxDepth.
func Valid(b []byte) bool {
	i, err := value(b, space(b, 0), 0)
	return err == nil && end(b, i) == nil
}

// String is the content of a JSON string.
func String(b []byte) (string, error) {
	if at(b, 0) != '"' {
		return "", ErrShape
	}
	i, err := text(b, 0)
	if err == nil {
		err = end(b, i)
	}
	if err != nil {
		return "", err
	}
	return unquote(b[1 : i-1]), nil
}
