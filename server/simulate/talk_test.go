package simulate

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"initgrace/grace"
	"initgrace/grace/protocol"
)

// A page that blocks without a word is sent messages until the server knows of
// it. They must not fill its browser's pipe, or nobody would answer any more,
// and who is blocked would be taken for dead.
func TestTalkIntoABlock(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes a while")
	}
	t.Parallel()
	const scale = 1
	s := &stage{scale: scale, url: listen(t, grace.Policy{})}
	s.target = strings.TrimPrefix(s.url, "http://")
	var both [2]*person
	for i := range both {
		var err error
		if both[i], err = newPerson(s, fmt.Sprint("p", i), "g"); err != nil {
			t.Fatal(err)
		}
		defer both[i].leave()
		if err := both[i].open(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	talks, blocks := both[0], both[1]
	if !talks.ear.await(t.Context(), patience, protocol.Active) {
		t.Fatal("the partner was never told to play")
	}
	data := protocol.Raw(`"` + strings.Repeat("x", 16_000) + `"`) // 100 KB a second
	say := func(d time.Duration) {
		for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(160 * time.Millisecond) {
			if err := talks.page.Emit(t.Context(), protocol.EventSend, protocol.Send{Data: data}); err != nil {
				t.Fatal(err)
			}
		}
	}
	say(3 * time.Second)
	began := time.Now()
	thaw := blocks.page.Freeze()
	say(10 * time.Second)
	thaw()
	if !talks.ear.await(t.Context(), patience, protocol.Active) {
		t.Error("the partner was never told that it is over")
	}
	var told []protocol.Presence
	for _, n := range talks.ear.since(began) {
		told = append(told, n.State)
		if n.lost() {
			t.Errorf("told %s (%s) %v after the block began", n.State, n.Reason, round(n.at.Sub(began)))
		}
	}
	t.Log(told)
}
