package admin

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"initgrace/grace/protocol"
)

// actTime is how long an action may take.
const actTime = 15 * time.Second

// What an action may ask for.
const (
	maxExtension = 15 * time.Minute
	maxNotice    = 500 // bytes
)

// act does something to a participant. The body is
// {participant, action: "extend" | "end" | "notify", by_ms?, text?}.
func (a *Admin) act(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Participant string `json:"participant"`
		Action      string `json:"action"`
		ByMS        int64  `json:"by_ms"`
		Text        string `json:"text"`
	}
	if !read(w, r, &body) {
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), actTime)
	defer cancel()
	var (
		left  time.Duration
		err   error
		wrong = func(message string) { refuse(w, http.StatusBadRequest, protocol.CodeInvalidPayload, message) }
	)
	switch body.Action {
	case "extend":
		if body.ByMS < 1000 || body.ByMS > maxExtension.Milliseconds() {
			wrong("by_ms must be from 1000 to 900000")
			return
		}
		left, err = a.Seats.Extend(ctx, body.Participant, time.Duration(body.ByMS)*time.Millisecond)
	case "end":
		err = a.Seats.End(ctx, body.Participant)
	case "notify":
		text := strings.TrimSpace(body.Text)
		if text == "" || len(text) > maxNotice {
			wrong("text must be 1 to 500 bytes")
			return
		}
		err = a.Seats.Notify(ctx, body.Participant, text)
	default:
		wrong("action must be extend, end or notify")
		return
	}
	if err != nil {
		refused := new(protocol.Error)
		if !errors.As(err, &refused) {
			refused = protocol.NewError(protocol.CodeInternal, err.Error())
		}
		answer(w, http.StatusConflict, refused)
		return
	}
	a.Logger.Info("the experimenter acted", "action", body.Action, "participant", body.Participant)
	answer(w, http.StatusOK, struct {
		OK     bool  `json:"ok"`
		LeftMS int64 `json:"left_ms,omitempty"`
	}{true, left.Milliseconds()})
}
