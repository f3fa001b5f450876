package jsx

import (
	"context"
	"syscall/js"
)

// Value is a JS value.
type Value = js.Value

// Global is globalThis.
func Global() Value { return js.Global() }

// Undefined is undefined.
func Undefined() Value { return js.Undefined() }

// Call calls a method.
func Call(v Value, method string, args ...any) (res Value, err error) {
	defer Recover(func(e error) { err = e })
	return v.Call(method, args...), nil
}

// Invoke calls a function.
func Invoke(f Value, args ...any) (res Value, err error) {
	defer Recover(func(e error) { err = e })
	return f.Invoke(args...), nil
}

// Await waits, on the caller's goroutine, for a promise; any other value is its
// own result. If ctx ends first the promise goes on, unheard.
func Await(ctx context.Context, promise Value) (Value, error) {
	type result struct {
		value Value
		err   error
	}
	done := make(chan result, 1)
	var fulfilled, rejected js.Func
	settle := func(r result) any {
		fulfilled.Release()
		rejected.Release()
		done <- r
		return nil
	}
	fulfilled = js.FuncOf(func(_ Value, args []Value) any { return settle(result{value: arg(args, 0)}) })
	rejected = js.FuncOf(func(_ Value, args []Value) any { return settle(result{err: FromJS(arg(args, 0))}) })
	resolved, err := Call(Global().Get("Promise"), "resolve", promise)
	if err == nil {
		_, err = Call(resolved, "then", fulfilled, rejected)
	}
	if err != nil {
		settle(result{err: err})
	}
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		return js.Undefined(), ctx.Err()
	}
}

func arg(args []Value, i int) Value {
	if i < len(args) {
		return args[i]
	}
	return js.Undefined()
}

// String is v if it is a string, else "".
func String(v Value) string {
	if v.Type() == js.TypeString {
		return v.String()
	}
	return ""
}

// Hidden says whether the document is in the background, where timers are slow.
func Hidden() bool {
	d := Global().Get("document")
	return d.Type() == js.TypeObject && String(d.Get("visibilityState")) == "hidden"
}

// Number is a property of an object, if it is a number.
func Number(v Value, property string) (float64, bool) {
	if v.Type() != js.TypeObject {
		return 0, false
	}
	n := get(v, property)
	if n.Type() != js.TypeNumber {
		return 0, false
	}
	return n.Float(), true
}
