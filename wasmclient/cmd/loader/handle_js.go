package main

import (
	"context"
	"encoding/json"
	"time"

	"initgrace/grace/protocol"
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
	sync("state", h.state)
	async("emit", h.emit)
	async("post", h.post)
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

// state is what loader.js shows as a session's properties.
func (h *handle) state([]jsx.Value) (any, error) {
	s := h.c.State()
	b, err := json.Marshal(struct {
		protocol.Session
		Presence  protocol.PartnerState `json:"presence"`
		Connected bool                  `json:"connected"`
		Latency   float64               `json:"latency_ms"`
		Max       float64               `json:"max_latency_ms"`
	}{s.Session, s.Presence, s.Connected, toMS(s.Latency), toMS(s.MaxLatency)})
	return string(b), err
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

// save(json, ms) resolves with the version.
func (h *handle) save(args []jsx.Value) (any, error) {
	var s protocol.State
	if err := json.Unmarshal([]byte(args[0].String()), &s); err != nil {
		return nil, protocol.NewError(protocol.CodeInvalidPayload, "state: "+err.Error())
	}
	ctx, cancel := context.WithTimeout(context.Background(), ms(args[1].Float()))
	defer cancel()
	version, err := h.c.SaveState(ctx, s)
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
	ID           string  `json:"id"`
	Phase        string  `json:"phase"`
	ExpectedMS   float64 `json:"expectedMs"`
	AckTimeoutMS float64 `json:"ackTimeoutMs"`
	RequireLease bool    `json:"requireLease"`
}

// load(options, run) calls run(progress, protected) under a lease and resolves
// when the promise that run returned has. Progress(phase, fraction, expectedMs)
// returns a promise.
func (h *handle) load(args []jsx.Value) (any, error) {
	var o loadOptions
	if err := json.Unmarshal([]byte(args[0].String()), &o); err != nil {
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
			_, err = jsx.Await(ctx, promise)
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
	b, err := json.Marshal(out)
	return string(b), err
}
