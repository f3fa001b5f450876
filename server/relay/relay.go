// Package relay lets several servers hold the connections of one study. One of
// them decides: it leads. Each of the others, a Follower, admits clients, guards
// their connections and passes what the guard lets through to the Leader, over
// one TCP connection, and to the clients what the Leader has for them. So a
// client may be connected to any server, whoever else is where, and everything
// is still decided once, in one order.
//
// The link is as sure as TCP: what is sent arrives once and in order, or the link
// ends. Then the Leader takes its clients for cut off, and the Follower has them
// come back.
//
// Both know the secret that is in their store, and nothing else admits one to the
// other. What passes between them is not encrypted, as it is not between them and
// their store.
package relay

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"time"
)

// Path is where a Leader expects Followers.
const Path = "/initgrace/relay"

// What a Follower's requests carry.
const (
	keyHeader    = "Initgrace-Relay"
	clientHeader = "Initgrace-Relay-Client" // from whom the request comes
)

const (
	// beatEvery is how often each side says that it lives.
	beatEvery = 500 * time.Millisecond
	// silence ends a link: of nothing received, or of a write that is not taken.
	silence = 3 * time.Second
	// admitTimeout is how long the other side may think about a client.
	admitTimeout = 10 * time.Second
)

// keyOf is what a Follower shows to be one.
func keyOf(secret []byte) string {
	h := hmac.New(sha256.New, secret)
	h.Write([]byte("relay"))
	return hex.EncodeToString(h.Sum(nil))
}

// authentic says whether a request comes from a Follower.
func authentic(r *http.Request, key string) bool {
	return hmac.Equal([]byte(r.Header.Get(keyHeader)), []byte(key))
}
