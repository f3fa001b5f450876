package server

import (
	"encoding/json"
	"io"
	"net/http"
	"time"

	"initgrace/grace/protocol"
	"initgrace/server/socketio"
)

// beat is the body of a POST to /initgrace/beat and /initgrace/pagehide, as
// text/plain or application/json: sendBeacon and a worker's fetch can do both.
type beat struct {
	Participant  string `json:"participant"`
	Token        string `json:"token"`
	PageSilentMS int64  `json:"page_silent_ms"`
}

// maxBeat bounds the body, in bytes.
const maxBeat = 1 << 10

// beats answers the worker that beats while the page is frozen (pageHide
// false), and the page that says goodbye as it is left (pageHide true). Both
// are authenticated by the token of the current connection, which a goodbye ends.
// The answer is empty: 204, 400 for a body that cannot be read, 401 for a wrong token.
func (s *Server) beats(pageHide bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBeat))
		var b beat
		if err != nil || json.Unmarshal(body, &b) != nil || !name.MatchString(b.Participant) {
			http.Error(w, string(protocol.CodeInvalidPayload), http.StatusBadRequest)
			return
		}
		silent, refused := milliseconds("page_silent_ms", b.PageSilentMS)
		if refused != nil {
			http.Error(w, refused.Message, http.StatusBadRequest)
			return
		}
		epoch, ok := tokenEpoch(s.loop.secret, b.Participant, b.Token)
		if !ok {
			http.Error(w, string(protocol.CodeBadToken), http.StatusUnauthorized)
			return
		}
		s.loop.post(func(l *loop, now time.Time) {
			m := l.members[b.Participant]
			current := m != nil && m.peer != nil && m.peer.epoch == epoch
			if current {
				m.peer.heard = now
			}
			if !pageHide {
				l.tracker.Beat(now, b.Participant, epoch, silent)
				return
			}
			l.tracker.PageHide(now, b.Participant, epoch)
			if current {
				// The socket may be a worker's, which a browser keeps open with the
				// page in its back/forward cache, and answers for.
				m.peer.conn.Close("the page was left", socketio.ComeBack)
			}
		})
		w.WriteHeader(http.StatusNoContent)
	}
}
