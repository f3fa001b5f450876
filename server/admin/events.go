package admin

import (
	"context"
	"errors"
	"net/http"
	"time"

	"initgrace/grace/protocol"
	"initgrace/server/live"
)

// heartbeat is how often something is written, so that a proxy sees life and a
// dead viewer is noticed.
const heartbeat = 15 * time.Second

// events streams the live view as server-sent events. A login that ends, ends
// the stream.
func (a *Admin) events(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	if until, ok := a.guard.expiry(r, time.Now()); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, until)
		defer cancel()
	}
	v, err := a.Feed.Watch()
	if err != nil {
		w.Header().Set("Retry-After", "10")
		refuse(w, http.StatusServiceUnavailable, protocol.CodeOverloaded, err.Error())
		return
	}
	defer v.Close()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // nginx would keep it back
	to := http.NewResponseController(w)
	for {
		text, err := next(ctx, v)
		line := []byte(": still here\n\n")
		switch {
		case err == nil:
			line = append(append([]byte("data: "), text...), "\n\n"...)
		case !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil:
			return
		}
		if to.SetWriteDeadline(time.Now().Add(writeTime)) != nil {
			return
		}
		if _, err := w.Write(line); err != nil || to.Flush() != nil {
			return
		}
	}
}

func next(ctx context.Context, v *live.Viewer) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, heartbeat)
	defer cancel()
	return v.Next(ctx)
}
