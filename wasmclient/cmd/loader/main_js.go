package main

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"initgrace/grace/protocol"
	"initgrace/wasmclient"
	"initgrace/wasmclient/internal/jsx"
)

func main() {
	jsx.Global().Set("__initgrace", map[string]any{
		"version": wasmclient.Version,
		"track": jsx.Sync(ignore, func(args []jsx.Value) (any, error) {
			jsx.Track(args[0])
			return nil, nil
		}),
		"dial": jsx.Sync(ignore, dial),
	})
	select {}
}

// ignore is for faults that only a fault of loader.js can cause.
func ignore(error) {}

// reject makes the Error object for an error. What the page itself threw comes
// back to it as it was.
func reject(err error) jsx.Value {
	var thrown *jsx.Error
	if errors.As(err, &thrown) {
		return thrown.Value
	}
	var told *protocol.Error
	if errors.As(err, &told) {
		return jsx.NewError(string(told.Code), told.Message)
	}
	var panicked *jsx.Panic
	switch {
	case errors.As(err, &panicked):
		return jsx.NewError(string(wasmclient.CodePanic), err.Error())
	case errors.Is(err, context.Canceled):
		return jsx.NewError("aborted", "aborted by the page")
	}
	return jsx.NewError(string(protocol.CodeInternal), err.Error())
}

// dialOptions are wasmclient.Options in JSON.
type dialOptions struct {
	URL              string  `json:"url"`
	Participant      string  `json:"participant"`
	Experiment       string  `json:"experiment"`
	Group            string  `json:"group"`
	Token            string  `json:"token"`
	PageID           string  `json:"pageId"`
	TimeoutMS        float64 `json:"timeoutMs"`
	ConnectTimeoutMS float64 `json:"connectTimeoutMs"`
	SilenceMS        float64 `json:"silenceMs"`
	LatencyMS        float64 `json:"latencyMs"`
	BackoffMinMS     float64 `json:"backoffMinMs"`
	BackoffMaxMS     float64 `json:"backoffMaxMs"`
	QueueSize        int     `json:"queueSize"`
}

func ms(f float64) time.Duration { return time.Duration(f * float64(time.Millisecond)) }

// dial begins a session. Cancel is of no use once the session is settled.
func dial(args []jsx.Value) (any, error) {
	options, listener := args[0], args[1]
	ctx, abort := context.WithCancel(context.Background())
	cancel := jsx.Sync(ignore, func([]jsx.Value) (any, error) { abort(); return nil, nil })
	session := jsx.Promise(reject, func() (any, error) {
		defer cancel.Release()
		defer abort()
		c, err := connect(ctx, options.String(), listener)
		if err != nil {
			return nil, err
		}
		return newHandle(c), nil
	})
	return map[string]any{"session": session, "cancel": cancel}, nil
}

func connect(ctx context.Context, options string, listener jsx.Value) (*wasmclient.Client, error) {
	var o dialOptions
	if err := json.Unmarshal([]byte(options), &o); err != nil {
		return nil, protocol.NewError(protocol.CodeInvalidPayload, "options: "+err.Error())
	}
	if o.TimeoutMS > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, ms(o.TimeoutMS))
		defer stop()
	}
	return wasmclient.Dial(ctx, o.URL, &wasmclient.Options{
		Participant: o.Participant, Experiment: o.Experiment, Group: o.Group, Token: o.Token, PageID: o.PageID,
		ConnectTimeout: ms(o.ConnectTimeoutMS), Silence: ms(o.SilenceMS), Latency: ms(o.LatencyMS),
		Backoff:   wasmclient.Backoff{Min: ms(o.BackoffMinMS), Max: ms(o.BackoffMaxMS)},
		QueueSize: o.QueueSize,
		Listener: func(event string, data []byte) {
			if _, err := jsx.Invoke(listener, event, text(data)); err != nil {
				panic(err) // loader.js catches what the page's listeners throw
			}
		},
	})
}

// text is JSON on its way to JS; none is undefined.
func text(data []byte) any {
	if data == nil {
		return jsx.Undefined()
	}
	return string(data)
}

// payload is JSON that came from JS; undefined is none.
func payload(v jsx.Value) any {
	if v.IsUndefined() {
		return nil
	}
	return protocol.Raw(v.String())
}
