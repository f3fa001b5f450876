package jsx

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"syscall/js"
	"testing"
	"time"
)

func eval(code string) Value {
	return js.Global().Get("Function").New("return (" + code + ")").Invoke()
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestAwait(t *testing.T) {
	for code, want := range map[string]string{
		`Promise.resolve("a")`: "a",
		`"not a promise"`:      "not a promise",
		`new Promise(r => setTimeout(() => r("later"), 10))`: "later",
		`{then(f) { f("thenable") }}`:                        "thenable",
	} {
		if v, err := Await(within(t), eval(code)); err != nil || String(v) != want {
			t.Errorf("%s: %v, %v", code, v, err)
		}
	}
	for code, want := range map[string]string{
		`Promise.reject(new TypeError("no"))`:                         "TypeError: no",
		`Promise.reject(Object.assign(new Error("no"), {code: "c"}))`: "no",
		`Promise.reject("a string")`:                                  "a string",
		`Promise.reject(undefined)`:                                   "undefined",
		`Promise.reject(null)`:                                        "null",
		`Promise.reject({})`:                                          "[object Object]",
		`Promise.reject(5)`:                                           "5",
		`{then() { throw new RangeError("in then") }}`:                "RangeError: in then",
		`Promise.reject(Object.create(null))`:                         "something that cannot be shown",
		`Promise.reject({get message() { throw 1 }, name: "Odd"})`:    "Odd",
		`(() => { const {proxy, revoke} = Proxy.revocable({}, {}); revoke(); return {then(_, no) { no(proxy) }} })()`: "something that cannot be shown",
	} {
		_, err := Await(within(t), eval(code))
		var e *Error
		if !errors.As(err, &e) || err.Error() != want || strings.Contains(code, "code:") && e.Code != "c" {
			t.Errorf("%s: %v", code, err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := Await(ctx, eval(`new Promise(() => {})`)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a promise that never settles: %v", err)
	}
}

func TestThrows(t *testing.T) {
	thrower := eval(`() => { throw new SyntaxError("oh") }`)
	if _, err := Invoke(thrower); err == nil || err.Error() != "SyntaxError: oh" {
		t.Errorf("Invoke: %v", err)
	}
	object := eval(`{f() { throw 1 }, g(a, b) { return a + b }}`)
	if _, err := Call(object, "f"); err == nil || err.Error() != "1" {
		t.Errorf("Call: %v", err)
	}
	if v, err := Call(object, "g", "a", "b"); err != nil || String(v) != "ab" {
		t.Errorf("Call: %v, %v", v, err)
	}
	var p *Panic
	if _, err := Call(object, "missing"); err == nil {
		t.Error("a method that is not there")
	}
	if _, err := Invoke(js.ValueOf(5)); !errors.As(err, &p) {
		t.Errorf("a number is called: %v", err)
	}
}

func rejectWith(err error) Value { return NewError("code", err.Error()) }

func TestAsync(t *testing.T) {
	f := Async(rejectWith, func(args []Value) (any, error) {
		switch String(args[0]) {
		case "wait":
			time.Sleep(10 * time.Millisecond) // would be a deadlock in a callback
			return "waited", nil
		case "fail":
			return nil, errors.New("failed")
		case "panic":
			panic("oh")
		case "not for JS":
			return make(chan int), nil
		}
		return nil, nil
	})
	defer f.Release()
	if v, err := Await(within(t), f.Invoke("wait")); err != nil || String(v) != "waited" {
		t.Errorf("%v, %v", v, err)
	}
	for arg, want := range map[string]string{
		"fail": "failed", "panic": "panic: oh", "not for JS": "panic: ValueOf: invalid value",
	} {
		_, err := Await(within(t), f.Invoke(arg))
		var e *Error
		if !errors.As(err, &e) || e.Code != "code" || e.Message != want || !e.Value.InstanceOf(Global().Get("Error")) {
			t.Errorf("%s: %v", arg, err)
		}
	}
}

func TestSync(t *testing.T) {
	var failed error
	f := Sync(func(err error) { failed = err }, func(args []Value) (any, error) {
		switch String(args[0]) {
		case "fail":
			return "unseen", errors.New("failed")
		case "panic":
			panic("oh")
		case "throw":
			return eval("(() => { throw new Error('js') })()"), nil
		}
		return args[0], nil
	})
	defer f.Release()
	if v := f.Invoke("x"); String(v) != "x" || failed != nil {
		t.Errorf("%v, %v", v, failed)
	}
	for arg, want := range map[string]string{"fail": "failed", "panic": "panic: oh", "throw": "js"} {
		if v := f.Invoke(arg); !v.IsNull() || failed == nil || failed.Error() != want {
			t.Errorf("%s: %v, %v", arg, v, failed)
		}
	}
}

// A callback of Go's may be called while Go is inside a call to JS.
func TestNested(t *testing.T) {
	inner := Sync(func(err error) { t.Error(err) }, func(args []Value) (any, error) { return String(args[0]) + "!", nil })
	defer inner.Release()
	v, err := Invoke(eval(`(f) => f("nested")`), inner)
	if err != nil || String(v) != "nested!" {
		t.Errorf("%v, %v", v, err)
	}
}

func TestAboutToOpen(t *testing.T) {
	defer Track(Value{})
	AboutToOpen() // nobody wants to know
	calls := 0
	f := Sync(func(error) {}, func([]Value) (any, error) { calls++; return nil, nil })
	defer f.Release()
	Track(f.Value)
	AboutToOpen()
	if calls != 1 {
		t.Errorf("%d calls", calls)
	}
	Track(eval(`() => { throw new Error("no") }`))
	AboutToOpen()
}

func TestHidden(t *testing.T) {
	if Hidden() {
		t.Error("hidden without a document")
	}
	defer Global().Delete("document")
	for state, want := range map[string]bool{"visible": false, "hidden": true} {
		Global().Set("document", map[string]any{"visibilityState": state})
		if Hidden() != want {
			t.Errorf("%s: %t", state, Hidden())
		}
	}
}

// Whatever is due, it does not pass before the browser has had its turn.
func TestAfter(t *testing.T) {
	passed := After(time.Millisecond)
	due := time.After(time.Millisecond) // Go's own, to compare
	eval(`() => { for (const end = Date.now() + 20; Date.now() < end; ); }`).Invoke()
	runtime.Gosched()
	select {
	case <-passed:
		t.Error("within the task that it was called in")
	case <-due:
	}
	select {
	case <-passed:
	case <-within(t).Done():
		t.Error("never")
	}
}
