package jsx

import (
	"syscall/js"
	"time"
)

// Func is a Go function that JS can call, until Release.
type Func = js.Func

// Sync is a JS function that calls f. F must not block: nothing in the page
// would run any more. An error, or a panic, goes to failed and JS receives
// undefined, since a Go function cannot throw.
func Sync(failed func(error), f func(args []Value) (any, error)) Func {
	return js.FuncOf(func(_ Value, args []Value) (res any) {
		defer Recover(func(err error) { failed(err); res = nil })
		res, err := f(args)
		if err != nil {
			failed(err)
			return nil
		}
		return res
	})
}

// Async is a JS function that returns a promise of what f, on a goroutine of
// its own, returns. Reject makes the thing that the promise is rejected with,
// also for a panic in f.
func Async(reject func(error) Value, f func(args []Value) (any, error)) Func {
	return js.FuncOf(func(_ Value, args []Value) any {
		return Promise(reject, func() (any, error) { return f(args) })
	})
}

// Promise is a promise of what f, on a goroutine of its own, returns.
func Promise(reject func(error) Value, f func() (any, error)) Value {
	executor := js.FuncOf(func(_ Value, settle []Value) any {
		resolve, refuse := settle[0], settle[1]
		go func() {
			defer Recover(func(err error) { refuse.Invoke(reject(err)) })
			v, err := f()
			if err != nil {
				refuse.Invoke(reject(err))
				return
			}
			resolve.Invoke(v)
		}()
		return nil
	})
	defer executor.Release() // it has been called by then
	return Global().Get("Promise").New(executor)
}

// After is closed when d has passed, by a task of the browser's own, that has
// its turn behind all that the browser had to hand over before.
func After(d time.Duration) <-chan struct{} {
	passed := make(chan struct{})
	var f js.Func
	f = js.FuncOf(func(Value, []Value) any {
		f.Release()
		close(passed)
		return nil
	})
	if _, err := Call(Global(), "setTimeout", f, d.Milliseconds()); err != nil {
		time.AfterFunc(d, func() { f.Release(); close(passed) })
	}
	return passed
}

// tracker is called before a WebSocket is opened.
var tracker Value

// Track sets a JS function that is called immediately before a WebSocket is
// opened, so that the page can get hold of it: it must be able to close it
// when this program has died.
func Track(f Value) { tracker = f }

// AboutToOpen calls the function that Track set.
func AboutToOpen() {
	if tracker.Type() == js.TypeFunction {
		_, _ = Invoke(tracker) // without it the page works, only less safely
	}
}
