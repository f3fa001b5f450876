package server

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
	"time"

	"initgrace/grace"
	"initgrace/grace/protocol"
	"initgrace/server/study"
)

// name is the form of every identifier that a client chooses.
var name = regexp.MustCompile(`^[A-Za-z0-9._:@-]{1,128}$`)

// identity is what a client's handshake says, validated.
type identity struct {
	participant, experiment, group, pageID string
	worker                                 bool // the client's code does not run on the page's main thread
	loads                                  []grace.LoadRequest
	skipped                                int     // entries of its loads that were not taken
	seq                                    *uint64 // last message read; nil: the client does not count
	keep                                   bool    // messages are received when a state_save says so
	token                                  bool    // it has the participant's
}

// identify validates a handshake's auth object.
func identify(auth json.RawMessage, secret []byte) (identity, *protocol.Error) {
	refuse := func(code protocol.Code, message string) (identity, *protocol.Error) {
		return identity{}, protocol.NewError(code, message)
	}
	var a struct {
		protocol.Auth
		Loads []json.RawMessage `json:"loads"` // each is taken or not
	}
	if len(auth) > 0 {
		if err := json.Unmarshal(auth, &a); err != nil {
			return refuse(protocol.CodeUnauthorized, "auth must be an object with a participant: "+jsonProblem(err))
		}
	}
	if a.Participant == "" {
		a.Participant = a.SubjectID
	}
	if a.Participant == "" {
		return refuse(protocol.CodeUnauthorized, "auth.participant (or subject_id) is missing")
	}
	for _, f := range []struct{ field, value string }{
		{"participant", a.Participant}, {"experiment", a.Experiment}, {"group", a.Group}, {"page_id", a.PageID},
	} {
		if f.value != "" && !name.MatchString(f.value) {
			return refuse(protocol.CodeUnauthorized, "auth."+f.field+" must be 1 to 128 characters of A-Z a-z 0-9 . _ : @ -")
		}
	}
	if a.Host != "" && a.Host != protocol.HostPage && a.Host != protocol.HostWorker {
		return refuse(protocol.CodeUnauthorized, "auth.host must be page or worker")
	}
	if _, ok := tokenEpoch(secret, a.Participant, a.Token); a.Token != "" && !ok {
		return refuse(protocol.CodeBadToken, "the token is not this participant's")
	}
	id := identity{
		participant: a.Participant, experiment: a.Experiment, group: a.Group,
		pageID: a.PageID, worker: a.Host == protocol.HostWorker,
		seq: a.Seq, keep: a.Keep && a.Seq != nil, token: a.Token != "",
	}
	if a.Loads != nil {
		id.loads = []grace.LoadRequest{} // the client does say, even if there is none
	}
	// What would be refused of a load_start costs the load its lease, and not the
	// participant the session.
	for _, entry := range a.Loads {
		var open protocol.OpenLoad
		if json.Unmarshal(entry, &open) != nil || open.ID == "" || len(id.loads) == protocol.MaxOpenLoads {
			id.skipped++
		} else if r, err := loadRequest(open.ID, open.Phase, open.ExpectedMS); err != nil {
			id.skipped++
		} else {
			id.loads = append(id.loads, r)
		}
	}
	return id, nil
}

// token signs a participant's right to the session. It is bound to an epoch,
// so that each connection gets another one.
func token(secret []byte, participant string, epoch uint64) string {
	e := strconv.FormatUint(epoch, 10)
	return e + "." + base64.RawURLEncoding.EncodeToString(tokenMAC(secret, participant, e))
}

// tokenEpoch is the epoch of a participant's token, or false if the token is
// not one.
func tokenEpoch(secret []byte, participant, token string) (uint64, bool) {
	epoch, mac, _ := strings.Cut(token, ".")
	got, err := base64.RawURLEncoding.DecodeString(mac)
	if err != nil || !hmac.Equal(got, tokenMAC(secret, participant, epoch)) {
		return 0, false
	}
	n, err := strconv.ParseUint(epoch, 10, 64)
	return n, err == nil
}

func tokenMAC(secret []byte, participant, epoch string) []byte {
	h := hmac.New(sha256.New, secret)
	h.Write([]byte("session\x00" + participant + "\x00" + epoch))
	return h.Sum(nil)
}

func loadRequest(id, phase string, expectedMS int64) (grace.LoadRequest, *protocol.Error) {
	expected, err := milliseconds("expected_ms", expectedMS)
	switch {
	case err != nil:
		return grace.LoadRequest{}, err
	case len(id) > protocol.MaxLoadID:
		return grace.LoadRequest{}, invalid("id is longer than " + strconv.Itoa(protocol.MaxLoadID) + " bytes")
	case len(phase) > protocol.MaxPhase:
		return grace.LoadRequest{}, invalid("phase is longer than " + strconv.Itoa(protocol.MaxPhase) + " bytes")
	}
	return grace.LoadRequest{ID: id, Phase: phase, Expected: expected}, nil
}

// milliseconds validates a duration on the wire.
func milliseconds(field string, ms int64) (time.Duration, *protocol.Error) {
	if ms < 0 || ms > protocol.MaxExpectedMS {
		return 0, invalid(field + " must be from 0 to " + strconv.Itoa(protocol.MaxExpectedMS))
	}
	return time.Duration(ms) * time.Millisecond, nil
}

func invalid(message string) *protocol.Error {
	return protocol.NewError(protocol.CodeInvalidPayload, message)
}

// mayBeStrict says whether there is anybody who must have a token to come
// back. It may be called from anywhere.
func (l *loop) mayBeStrict() bool {
	if l.strict || l.lobby.study == nil {
		return l.strict
	}
	for _, plan := range l.lobby.study.Experiments {
		if plan.RequireToken {
			return true
		}
	}
	return false
}

// claimable says whether a client may be the participant. Where the token is
// required it may without one if the session is new, or if it is the page that
// has the session: the first connection may have ended before the token was
// there. The experiment is the one that the participant is in, or that the
// client names: neither is a way around the other.
func (l *loop) claimable(id identity) *protocol.Error {
	if id.token || !l.mayBeStrict() {
		return nil
	}
	_, known := l.members[id.participant]
	m, err := l.member(id.participant)
	if !known { // or anybody could fill the memory by asking
		delete(l.members, id.participant)
	}
	if err != nil {
		l.log.Error("a session could not be read", "participant", id.participant, "err", err)
		return protocol.NewError(protocol.CodeStore, "the session could not be read")
	}
	s := &m.session
	if s.Created.IsZero() || id.pageID != "" && id.pageID == s.PageID {
		return nil
	}
	strict := l.strict
	for _, plan := range []*study.Plan{l.plan(m), l.lobby.study.Named(id.experiment)} {
		strict = strict || plan != nil && plan.RequireToken
	}
	if !strict {
		return nil
	}
	return protocol.NewError(protocol.CodeTokenRequired, "the participant has a session already, and only the browser in which it began has the token for it")
}
