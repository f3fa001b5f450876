package sio

import "unicode/utf8"

// SplitEvent splits the data of an Event into the event's name and its
// arguments, each a JSON value. They point into data; the name is unescaped
// and is the caller's.
func SplitEvent(data []byte) (name string, args [][]byte, err error) {
	return AppendSplitEvent(nil, data)
}

// AppendSplitEvent is SplitEvent that appends the arguments to dst, for a
// caller who reuses it.
func AppendSplitEvent(dst [][]byte, data []byte) (name string, args [][]byte, err error) {
	i := space(data, 0)
	if at(data, i) != '[' {
		return "", nil, ErrShape
	}
	i = space(data, i+1)
	if at(data, i) != '"' {
		return "", nil, ErrShape
	}
	end, err := text(data, i)
	if err != nil {
		return "", nil, err
	}
	name = unquote(data[i+1 : end-1])
	switch i = space(data, end); at(data, i) {
	case ']':
		if space(data, i+1) != len(data) {
			return "", nil, ErrJSON
		}
		return name, dst, nil
	case ',':
		args, err = elements(dst, data, i+1)
		if err != nil {
			return "", nil, err
		}
		return name, args, nil
	}
	return "", nil, ErrJSON
}

// SplitArgs splits the data of an Ack, a JSON array, into its elements. They
// point into data.
func SplitArgs(data []byte) ([][]byte, error) {
	i := space(data, 0)
	if at(data, i) != '[' {
		return nil, ErrShape
	}
	if end := space(data, i+1); at(data, end) == ']' {
		if space(data, end+1) != len(data) {
			return nil, ErrJSON
		}
		return nil, nil
	}
	return elements(nil, data, i+1)
}

// elements appends the values of an array to dst, from the one that begins at
// or after i up to the end of b, which the array must reach.
func elements(dst [][]byte, b []byte, i int) ([][]byte, error) {
	for {
		i = space(b, i)
		end, err := value(b, i, 1)
		if err != nil {
			return nil, err
		}
		dst = append(dst, b[i:end:end])
		switch i = space(b, end); at(b, i) {
		case ',':
			i++
		case ']':
			if space(b, i+1) != len(b) {
				return nil, ErrJSON
			}
			return dst, nil
		default:
			return nil, ErrJSON
		}
	}
}

// AppendEvent appends the data of an Event, a JSON array of the name and the
// arguments. The arguments must be JSON; an empty one becomes null.
func AppendEvent(dst []byte, name string, args ...[]byte) []byte {
	dst = AppendString(append(dst, '['), name)
	for _, a := range args {
		dst = appendValue(append(dst, ','), a)
	}
	return append(dst, ']')
}

// AppendArgs appends the data of an Ack, a JSON array of the arguments. They
// must be JSON; an empty one becomes null.
func AppendArgs(dst []byte, args ...[]byte) []byte {
	dst = append(dst, '[')
	for i, a := range args {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendValue(dst, a)
	}
	return append(dst, ']')
}

func appendValue(dst, json []byte) []byte {
	if len(json) == 0 {
		return append(dst, "null"...)
	}
	return append(dst, json...)
}

// AppendString appends s as a JSON string. Bytes that are not valid UTF-8
// become U+FFFD.
func AppendString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for _, r := range s { // yields U+FFFD for invalid bytes
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r == '\n':
			dst = append(dst, `\n`...)
		case r < ' ':
			dst = append(dst, '\\', 'u', '0', '0', hex[r>>4], hex[r&0xf])
		default:
			dst = utf8.AppendRune(dst, r)
		}
	}
	return append(dst, '"')
}

// unquote resolves the escapes in the inside of a valid JSON string. Half a
// surrogate pair becomes U+FFFD.
func unquote(b []byte) string {
	i := 0
	for i < len(b) && b[i] != '\\' {
		i++
	}
	if i == len(b) {
		return string(b)
	}
	out := append(make([]byte, 0, len(b)), b[:i]...)
	for i < len(b) {
		if b[i] != '\\' {
			out = append(out, b[i])
			i++
			continue
		}
		switch c := b[i+1]; c {
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'u':
			r, size := escapedRune(b, i)
			out = utf8.AppendRune(out, r)
			i += size
			continue
		default:
			out = append(out, c)
		}
		i += 2
	}
	return string(out)
}

// escapedRune reads the \uXXXX at b[i], with the second half of a surrogate
// pair if there is one, and returns its length.
func escapedRune(b []byte, i int) (rune, int) {
	r, _ := hex4(b, i+2)
	if r < 0xd800 || r > 0xdfff {
		return r, 6
	}
	if r < 0xdc00 && at(b, i+6) == '\\' && at(b, i+7) == 'u' {
		if low, _ := hex4(b, i+8); 0xdc00 <= low && low <= 0xdfff {
			return (r-0xd800)<<10 + (low - 0xdc00) + 0x10000, 12
		}
	}
	return utf8.RuneError, 6
}
