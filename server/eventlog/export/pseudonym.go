package export

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"initgrace/server/eventlog"
)

// Pseudonyms replace who took part: participants, groups and the ids of loads,
// wherever they stand, each by a keyed hash (HMAC-SHA256). The same key gives
// the same pseudonyms in every export, so that tables can still be joined, and
// without it nobody can find out by trying who is who. Texts in which a page
// may have written who somebody is are left out. What the study itself chose
// stays: experiment, phase, scene.
//
// The data stays personal as long as the key exists.
type Pseudonyms struct {
	key   []byte
	known map[name]string
}

type name struct {
	kind eventlog.Named
	name string
}

const (
	minKey = 32 // bytes of a key file
	// maxKnown bounds the pseudonyms that are remembered to save time.
	maxKnown = 20_000
)

// NewPseudonyms uses a key of at least 32 bytes.
func NewPseudonyms(key []byte) (*Pseudonyms, error) {
	if len(key) < minKey {
		return nil, fmt.Errorf("a key of %d bytes is too short; %d are needed", len(key), minKey)
	}
	return &Pseudonyms{key: bytes.Clone(key), known: make(map[name]string)}, nil
}

// PseudonymsFrom uses the key in a file, which it makes if there is none, for
// its owner to read only. Open says that others may read it.
func PseudonymsFrom(path string) (p *Pseudonyms, made, open bool, err error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		made = true
		text, err = makeKey(path)
	}
	if err != nil {
		return nil, false, false, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, false, false, err
	}
	p, err = NewPseudonyms(bytes.TrimSpace(text))
	if err != nil {
		err = fmt.Errorf("%s: %w", path, err)
	}
	return p, made, info.Mode().Perm()&0o077 != 0, err
}

func makeKey(path string) ([]byte, error) {
	key := make([]byte, 32)
	rand.Read(key)
	text := []byte(hex.EncodeToString(key) + "\n")
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	_, err = f.Write(text)
	return text, errors.Join(err, f.Sync(), f.Close())
}

// prefixes begin a pseudonym, so that no reader takes one for a number.
var prefixes = map[eventlog.Named]string{eventlog.Participant: "p", eventlog.Group: "g", eventlog.LoadID: "l"}

// Of is the pseudonym of a participant, group or load: a letter and 96 bits in
// hexadecimal. Nobody's is empty.
func (p *Pseudonyms) Of(kind eventlog.Named, s string) string {
	if s == "" {
		return ""
	}
	if kind == eventlog.Participants {
		ids := strings.Fields(s)
		for i := range ids {
			ids[i] = p.Of(eventlog.Participant, ids[i])
		}
		slices.Sort(ids) // their order would tell something of the names
		return strings.Join(ids, " ")
	}
	n := name{kind, s}
	if known, ok := p.known[n]; ok {
		return known
	}
	h := hmac.New(sha256.New, p.key)
	h.Write([]byte(prefixes[kind] + "\x00" + s))
	if len(p.known) >= maxKnown {
		clear(p.known)
	}
	p.known[n] = prefixes[kind] + hex.EncodeToString(h.Sum(nil)[:12])
	return p.known[n]
}

// hide replaces whoever is named in a row.
func hide[T any](p *Pseudonyms, table *eventlog.Table[T], row *T) {
	for i := range table.Columns {
		c := &table.Columns[i]
		text, ok := c.Field(row).(*string)
		switch {
		case !ok:
		case c.Private != nil && c.Private(row):
			*text = ""
		case c.Names != eventlog.Nobody:
			*text = p.Of(c.Names, *text)
		}
	}
}
