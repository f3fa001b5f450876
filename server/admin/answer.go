package admin

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"initgrace/grace/protocol"
)

// Codes of refusals, beside those of package protocol.
const (
	codeToken    = protocol.CodeUnauthorized
	codeOrigin   = protocol.CodeOrigin
	codeTooOften = protocol.CodeRateLimit
	codeBusy     = protocol.CodeOverloaded
)

// maxBody bounds what is posted, in bytes.
const maxBody = 16 << 10

// writeTime is how long a browser may accept no byte.
const writeTime = 20 * time.Second

func answer(w http.ResponseWriter, status int, v any) {
	text, err := json.Marshal(v)
	if err != nil { // our own types
		panic(err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(append(text, '\n'))
}

func refuse(w http.ResponseWriter, status int, code protocol.Code, message string) {
	answer(w, status, protocol.NewError(code, message))
}

// read decodes what is posted, and answers if it cannot.
func read(w http.ResponseWriter, r *http.Request, into any) bool {
	if !isJSON(r) {
		refuse(w, http.StatusUnsupportedMediaType, protocol.CodeInvalidPayload, "the body must be application/json")
		return false
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		refuse(w, http.StatusRequestEntityTooLarge, protocol.CodeTooLarge, "the body is too large")
	case err != nil || json.Unmarshal(body, into) != nil:
		refuse(w, http.StatusBadRequest, protocol.CodeInvalidPayload, "the body is not the JSON that is wanted")
	default:
		return true
	}
	return false
}
