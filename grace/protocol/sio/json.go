package sio

// The validator accepts what encoding/json accepts, up to MaxDepth. It walks
// the bytes once and allocates nothing. UTF-8 is checked by the caller.

// at is b[i], or 0 past the end: no JSON token begins with 0.
func at(b []byte, i int) byte {
	if i < len(b) {
		return b[i]
	}
	return 0
}

// space is the index of the first byte at or after i that is not white space.
func space(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\n' || b[i] == '\r') {
		i++
	}
	return i
}

// value returns the index behind the value that begins at b[i]. Depth is the
// number of arrays and objects around it.
func value(b []byte, i, depth int) (int, error) {
	switch c := at(b, i); c {
	case '{', '[':
		if depth >= MaxDepth {
			return 0, ErrDepth
		}
		return composite(b, i, depth+1, c == '{')
	case '"':
		return text(b, i)
	case 't':
		return literal(b, i, "true")
	case 'f':
		return literal(b, i, "false")
	case 'n':
		return literal(b, i, "null")
	default:
		return number(b, i)
	}
}

// composite walks the object or array that begins at b[i].
func composite(b []byte, i, depth int, object bool) (int, error) {
	closing := byte(']')
	if object {
		closing = '}'
	}
	i = space(b, i+1)
	if at(b, i) == closing {
		return i + 1, nil
	}
	for {
		var err error
		if object {
			if at(b, i) != '"' {
				return 0, ErrJSON
			}
			if i, err = text(b, i); err != nil {
				return 0, err
			}
			if i = space(b, i); at(b, i) != ':' {
				return 0, ErrJSON
			}
			i = space(b, i+1)
		}
		if i, err = value(b, i, depth); err != nil {
			return 0, err
		}
		switch i = space(b, i); at(b, i) {
		case ',':
			i = space(b, i+1)
		case closing:
			return i + 1, nil
		default:
			return 0, ErrJSON
		}
	}
}

// text walks the string that begins with the quote at b[i].
func text(b []byte, i int) (int, error) {
	for i++; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			return i + 1, nil
		case c < ' ':
			return 0, ErrJSON
		case c == '\\':
			i++
			switch at(b, i) {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			case 'u':
				if _, ok := hex4(b, i+1); !ok {
					return 0, ErrJSON
				}
				i += 4
			default:
				return 0, ErrJSON
			}
		}
	}
	return 0, ErrJSON
}

func literal(b []byte, i int, word string) (int, error) {
	if end := i + len(word); end <= len(b) && string(b[i:end]) == word {
		return end, nil
	}
	return 0, ErrJSON
}

func number(b []byte, i int) (int, error) {
	if at(b, i) == '-' {
		i++
	}
	switch start := i; {
	case at(b, i) == '0':
		i++
	default:
		if i = digits(b, i); i == start {
			return 0, ErrJSON
		}
	}
	if at(b, i) == '.' {
		start := i + 1
		if i = digits(b, start); i == start {
			return 0, ErrJSON
		}
	}
	if c := at(b, i); c == 'e' || c == 'E' {
		i++
		if c := at(b, i); c == '+' || c == '-' {
			i++
		}
		start := i
		if i = digits(b, start); i == start {
			return 0, ErrJSON
		}
	}
	return i, nil
}

func digits(b []byte, i int) int {
	for c := at(b, i); '0' <= c && c <= '9'; c = at(b, i) {
		i++
	}
	return i
}

// hex4 reads four hexadecimal digits at b[i].
func hex4(b []byte, i int) (rune, bool) {
	var r rune
	for k := i; k < i+4; k++ {
		c := at(b, k)
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}
