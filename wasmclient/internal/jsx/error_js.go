package jsx

import (
	"runtime"
	"syscall/js"
)

// An Error is something that JS threw, or rejected a promise with.
type Error struct {
	Value   Value // the thing itself
	Name    string
	Message string
	Code    string // its code property, if that is a string
}

func (e *Error) Error() string {
	switch {
	case e.Message == "":
		return e.Name
	case e.Name == "" || e.Name == "Error" || e.Name == ownName:
		return e.Message
	}
	return e.Name + ": " + e.Message
}

// FromJS makes an error of whatever was thrown.
func FromJS(v Value) *Error {
	e := &Error{Value: v}
	if v.Type() == js.TypeObject {
		e.Name, e.Message, e.Code = String(get(v, "name")), String(get(v, "message")), String(get(v, "code"))
	}
	if e.Name == "" && e.Message == "" {
		e.Message = shown(v)
	}
	return e
}

// get is a property of an object; undefined if reading it throws.
func get(v Value, property string) (p Value) {
	defer func() { _ = recover() }()
	return Global().Get("Reflect").Call("get", v, property) // a getter's throw is not to be recovered from
}

// shown is a value as a text.
func shown(v Value) (text string) {
	defer func() {
		if recover() != nil {
			text = "something that cannot be shown"
		}
	}()
	return Global().Get("String").Invoke(v).String()
}

// ownName is the name of the errors that this project makes for pages.
const ownName = "InitgraceError"

// NewError makes a JS Error with a code, of the name that web/loader.js gives
// to its own.
func NewError(code, message string) Value {
	e := Global().Get("Error").New(message)
	e.Set("name", ownName)
	e.Set("code", code)
	return e
}

// A Panic is a Go panic that was caught before it could end the program.
type Panic struct {
	Value any
	Stack string
}

func (p *Panic) Error() string {
	switch v := p.Value.(type) {
	case error:
		return "panic: " + v.Error()
	case string:
		return "panic: " + v
	}
	return "panic: a value that is neither a text nor an error"
}

// Recover, deferred, hands f what was thrown by JS (an *Error) or panicked (a
// *Panic).
func Recover(f func(error)) {
	switch r := recover().(type) {
	case nil:
	case js.Error:
		f(FromJS(r.Value))
	default:
		stack := make([]byte, 64<<10) // runtime/debug would bring fmt and os
		f(&Panic{r, string(stack[:runtime.Stack(stack, false)])})
	}
}
