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
	if thrown, ok := errors.AsType[*jsx.Error](err); ok {
		return thrown.Value
	}
	if told, ok := errors.AsType[*protocol.Error](err); ok {
		return jsx.NewError(string(told.Code), told.Message)
	}
	if _, ok := errors.AsType[*jsx.Panic](err); ok {
		return jsx.NewError(string(wasmclient.CodePanic), err.Error())
	}
	if errors.Is(err, context.Canceled) {
		return jsx.NewError("aborted", "aborted by the page")
	}
	return jsx.NewError(string(protocol.CodeInternal), err.Error())
}

// dialOptions are wasmclient.Options in JSON.
type dialOptions struct {
	URL, Participant, Experiment, Group, Token, PageID, Host string

	TimeoutMS, ConnectTimeoutMS, SilenceMS, LatencyMS, BackoffMinMS, BackoffMaxMS float64

	QueueSize int
	Keep      bool
}

func (o *dialOptions) field(name string) any {
	switch name {
	case "url":
		return &o.URL
	case "participant":
		return &o.Participant
	case "experiment":
		return &o.Experiment
	case "group":
		return &o.Group
	case "token":
		return &o.Token
	case "pageId":
		return &o.PageID
	case "host":
		return &o.Host
	case "timeoutMs":
		return &o.TimeoutMS
	case "connectTimeoutMs":
		return &o.ConnectTimeoutMS
	case "silenceMs":
		return &o.SilenceMS
	case "latencyMs":
		return &o.LatencyMS
	case "backoffMinMs":
		return &o.BackoffMinMS
	case "backoffMaxMs":
		return &o.BackoffMaxMS
	case "queueSize":
		return &o.QueueSize
	case "keep":
		return &o.Keep
	}
	return nil
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
	if err := codec.Decode([]byte(options), codec.Object(o.field)); err != nil {
		return nil, protocol.NewError(protocol.CodeInvalidPayload, "options: "+err.Error())
	}
	if o.TimeoutMS > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, ms(o.TimeoutMS))
		defer stop()
	}
	return wasmclient.Dial(ctx, o.URL, &wasmclient.Options{
		Participant: o.Participant, Experiment: o.Experiment, Group: o.Group, Token: o.Token, PageID: o.PageID, Host: o.Host,
		ConnectTimeout: ms(o.ConnectTimeoutMS), Silence: ms(o.SilenceMS), Latency: ms(o.LatencyMS),
		Backoff:   wasmclient.Backoff{Min: ms(o.BackoffMinMS), Max: ms(o.BackoffMaxMS)},
		QueueSize: o.QueueSize, Keep: o.Keep,
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
