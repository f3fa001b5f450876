package main

import (
	"context"
	"errors"
	"time"

	"initgrace/grace/protocol"
	"initgrace/grace/protocol/codec"
	"initgrace/wasmclient"
	"initgrace/wasmclient/internal/jsx"
)

// handle is a session as loader.js holds it.
type handle struct {
	c      *wasmclient.Client
	loader *wasmclient.Loader
}

// newHandle makes the JS object. Its functions are released when the session
// has ended.
func newHandle(c *wasmclient.Client) map[string]any {
	h := &handle{c, wasmclient.NewLoader(c)}
	var funcs []jsx.Func
	object := make(map[string]any)
	async := func(name string, f func(args []jsx.Value) (any, error)) {
		fn := jsx.Async(reject, f)
		funcs, object[name] = append(funcs, fn), fn
	}
	sync := func(name string, f func(args []jsx.Value) (any, error)) {
		fn := jsx.Sync(ignore, f)
		funcs, object[name] = append(funcs, fn), fn
	}
	sync("session", h.session)
	sync("status", h.status)
	sync("alive", func([]jsx.Value) (any, error) { c.PageAlive(); return nil, nil })
	async("emit", h.emit)
	async("post", h.post)
	async("send", h.send)
	async("save", h.save)
	async("load", h.load)
	async("close", h.close)
	sync("retry", func([]jsx.Value) (any, error) { c.Retry(); return nil, nil })
	sync("hide", h.hide)
	sync("show", func([]jsx.Value) (any, error) { c.Show(); return nil, nil })
	go func() {
		<-c.Done() // loader.js has been told, and calls none of them any more
		for _, f := range funcs {
			f.Release()
		}
	}()
	return object
}

// session and status are what loader.js shows as a session's properties: what
// the study keeps, which may be large, and what changes by the second.
func (h *handle) session([]jsx.Value) (any, error) {
	b, err := codec.Encode(h.c.State().Session)
	return string(b), err
}

func (h *handle) status([]jsx.Value) (any, error) {
	s := h.c.State()
	var w codec.Writer
	presence, err := codec.Encode(s.Presence)
	if err != nil {
		return nil, err
	}
	w.Raw("presence", presence)
	w.Bool("connected", s.Connected)
	w.Float("latency_ms", toMS(s.Latency))
	w.Float("max_latency_ms", toMS(s.MaxLatency))
	return string(w.JSON()), nil
}

func toMS(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// emit(event, json, ms) resolves with the ack.
func (h *handle) emit(args []jsx.Value) (any, error) {
	ctx, cancel := context.WithTimeout(context.Background(), ms(args[2].Float()))
	defer cancel()
	var reply protocol.Raw
	if err := h.c.EmitAck(ctx, args[0].String(), payload(args[1]), &reply); err != nil {
		return nil, err
	}
	return text(reply), nil
}

// post(event, json) asks for no ack.
func (h *handle) post(args []jsx.Value) (any, error) {
	return jsx.Undefined(), h.c.Emit(context.Background(), args[0].String(), payload(args[1]))
}

// send(json, options, ms) resolves with the ack. Messages keep the order of the
// calls: Go runs until this one waits before the page can make another.
func (h *handle) send(args []jsx.Value) (any, error) {
	var o wasmclient.SendOptions
	err := codec.Decode([]byte(args[1].String()), codec.Object(func(name string) any {
		switch name {
		case "latest":
			return &o.Latest
		case "volatile":
			return &o.Volatile
		case "group":
			return &o.Group
		}
		return nil
	}))
	if err != nil {
		return nil, protocol.NewError(protocol.CodeInvalidPayload, "options: "+err.Error())
	}
	ctx, cancel := context.WithTimeout(context.Background(), ms(args[2].Float()))
	defer cancel()
	sent, err := h.c.Send(ctx, payload(args[0]), &o)
	if err != nil {
		return nil, err
	}
	b, err := codec.Encode(sent)
	return string(b), err
}

// save(json, ms, seq) resolves with the version.
func (h *handle) save(args []jsx.Value) (any, error) {
	var s protocol.State
	if err := codec.Decode([]byte(args[0].String()), &s); err != nil {
		return nil, protocol.NewError(protocol.CodeInvalidPayload, "state: "+err.Error())
	}
	ctx, cancel := context.WithTimeout(context.Background(), ms(args[1].Float()))
	defer cancel()
	version, err := h.c.SaveStateAt(ctx, s, uint64(args[2].Float()))
	return float64(version), err
}

// close waits for the goodbye.
func (h *handle) close([]jsx.Value) (any, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = h.c.Close(ctx) // the page is done with it, however it went
	return jsx.Undefined(), nil
}

// hide(persisted) is called as the page is left: the goodbye is on its way when
// it returns, since Go's goroutines run until all of them wait.
func (h *handle) hide(args []jsx.Value) (any, error) {
	h.c.Hide(args[0].Truthy())
	return nil, nil
}

// loadOptions are wasmclient.LoadOptions in JSON.
type loadOptions struct {
	ID, Phase                string
	ExpectedMS, AckTimeoutMS float64
	RequireLease             bool
}

func (o *loadOptions) field(name string) any {
	switch name {
	case "id":
		return &o.ID
	case "phase":
		return &o.Phase
	case "expectedMs":
		return &o.ExpectedMS
	case "ackTimeoutMs":
		return &o.AckTimeoutMS
	case "requireLease":
		return &o.RequireLease
	}
	return nil
}

// load(options, run) calls run(progress, protected) under a lease and resolves
// when the promise that run returned has. Progress(phase, fraction, expectedMs)
// returns a promise.
func (h *handle) load(args []jsx.Value) (any, error) {
	var o loadOptions
	if err := codec.Decode([]byte(args[0].String()), codec.Object(o.field)); err != nil {
		return nil, protocol.NewError(protocol.CodeInvalidPayload, "options: "+err.Error())
	}
	r, err := h.loader.Load(context.Background(), wasmclient.LoadOptions{
		ID: o.ID, Phase: o.Phase, Expected: ms(o.ExpectedMS), AckTimeout: ms(o.AckTimeoutMS), RequireLease: o.RequireLease,
		Run: func(ctx context.Context, l *wasmclient.Load) error {
			progress := jsx.Async(reject, func(args []jsx.Value) (any, error) {
				return jsx.Undefined(), l.Progress(ctx, args[0].String(), args[1].Float(), ms(args[2].Float()))
			})
			defer progress.Release()
			promise, err := jsx.Invoke(args[1], progress, l.Protected)
			if err != nil {
				return err
			}
			done, err := jsx.Await(ctx, promise)
			if thrown, ok := errors.AsType[*jsx.Error](err); ok {
				done = thrown.Value
			}
			if total, ok := jsx.Number(done, "blockedMs"); ok { // a worker has measured the page
				longest, _ := jsx.Number(done, "longestBlockMs")
				l.Measured(ms(total), ms(longest))
			}
			return err
		},
	})
	if err != nil {
		return nil, err
	}
	out := loadResult{
		ID: r.ID, Protected: r.Protected, LeaseMS: toMS(r.Lease), CapMS: toMS(r.Cap),
		WaitMS: toMS(r.Wait), TookMS: toMS(r.Took), BlockedMS: toMS(r.Blocked), LongestMS: toMS(r.Longest),
	}
	if r.Unprotected != nil {
		out.Unprotected = wasmclient.AsError(r.Unprotected)
	}
	return string(out.encode()), nil
}
