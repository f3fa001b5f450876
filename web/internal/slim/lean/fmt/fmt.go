// Package fmt stands in for the standard library's in the browser's build of
// github.com/coder/websocket, which formats a few error messages with it.
package fmt

import "strconv"

// Sprintf knows the verbs %v, %w, %d and %q without flags, for errors, texts,
// whole numbers and what has a String method. It does not escape what it quotes.
func Sprintf(format string, args ...any) string {
	var out []byte
	for i := 0; i < len(format); i++ {
		if format[i] != '%' || i+1 == len(format) {
			out = append(out, format[i])
			continue
		}
		i++
		if format[i] == '%' {
			out = append(out, '%')
			continue
		}
		if len(args) == 0 {
			out = append(out, "%!"+format[i:i+1]+"(MISSING)"...)
			continue
		}
		s := text(args[0])
		if args = args[1:]; format[i] == 'q' {
			s = `"` + s + `"`
		}
		out = append(out, s...)
	}
	return string(out)
}

func text(arg any) string {
	switch v := arg.(type) {
	case nil:
		return "<nil>"
	case error:
		return v.Error()
	case interface{ String() string }:
		return v.String()
	case string:
		return v
	case int:
		return strconv.Itoa(v)
	case int64:
		return strconv.FormatInt(v, 10)
	}
	return "?"
}

// Errorf is an error that wraps every argument that is one.
func Errorf(format string, args ...any) error {
	e := &wrapped{message: Sprintf(format, args...)}
	for _, a := range args {
		if err, ok := a.(error); ok {
			e.causes = append(e.causes, err)
		}
	}
	return e
}

type wrapped struct {
	message string
	causes  []error
}

func (e *wrapped) Error() string   { return e.message }
func (e *wrapped) Unwrap() []error { return e.causes }
