package storetest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"initgrace/grace/protocol"
	"initgrace/server/eventlog"
	"initgrace/server/store"
)

func fullMailbox(participant string) store.Mailbox {
	return store.Mailbox{
		Participant: participant, Posted: 12, Received: 2, Sent: 7,
		Pages:    []store.Page{{ID: "page-1", Sent: 3, Over: true}, {ID: "page-2", Sent: math.MaxInt64}},
		Barriers: []store.Barrier{{Group: "g", Name: "ready", Open: true}, {Group: "g", Name: "<&>"}},
	}
}

func fullMessage(to string, seq uint64) store.Message {
	return store.Message{To: to, Seq: seq, From: "p2", Key: fmt.Sprint("key ", seq), Data: protocol.Raw(`{"b":1, "a":[1e400,"<&>\u0000"]}`)}
}

func testMailFields(t *testing.T, s store.Store) {
	box, message := fullMailbox("p1"), fullMessage("p1", 3)
	for name, v := range map[string]any{"Mailbox": box, "Message": message} {
		if path := zeroField(reflect.ValueOf(v), name); path != "" {
			t.Fatalf("the suite's example leaves %s zero", path)
		}
	}
	plain := store.Message{To: "p1", Seq: math.MaxInt64, From: "p2"}
	putMail(t, s, []store.Message{plain, message}, box)
	plain.Data = protocol.Raw("null")
	sameMail(t, s, box, message, plain)
	// Nothing of the earlier version may shine through.
	bare := store.Mailbox{Participant: "p1", Pages: []store.Page{}, Barriers: []store.Barrier{}}
	other := message
	other.Data, other.From, other.Key = protocol.Raw(`"`+strings.Repeat("ä", 9000)+`"`), "p3", ""
	putMail(t, s, []store.Message{other}, bare)
	bare.Pages, bare.Barriers = nil, nil
	sameMail(t, s, bare, other, plain)
	sameMail(t, s, store.Mailbox{Participant: "nobody"})
	// Text that is not UTF-8.
	putMail(t, s, []store.Message{{To: "n\xff", Seq: 1, From: "f\xff", Key: "k\xff", Data: protocol.Raw("1")}}, store.Mailbox{Participant: "n\xff"})
	_, messages, err := s.Mailbox(t.Context(), "n\xff")
	if err != nil || len(messages) != 1 || messages[0].From != "f\ufffd" || messages[0].Key != "k\ufffd" {
		t.Errorf("%+v, %v", messages, err)
	}
}

// testMailTrim checks that what was received is no longer there, in whatever
// order the batch has it, and that other mailboxes are left alone.
func testMailTrim(t *testing.T, s store.Store) {
	var all []store.Message
	for seq := range uint64(6) {
		for _, p := range []string{"a", "aa", "b"} {
			all = append(all, store.Message{To: p, Seq: seq + 1, From: "x", Data: protocol.Raw("1")})
		}
	}
	of := func(p string, after uint64) (out []store.Message) {
		for _, m := range all {
			if m.To == p && m.Seq > after {
				out = append(out, m)
			}
		}
		return out
	}
	box := func(p string, received uint64) store.Mailbox {
		return store.Mailbox{Participant: p, Posted: 6, Received: received}
	}
	putMail(t, s, all, box("a", 0), box("aa", 2), box("b", 0))
	putMail(t, s, nil, box("a", 5), box("a", 4)) // the later one wins
	sameMail(t, s, box("aa", 2), of("aa", 2)...)
	sameMail(t, s, box("b", 0), of("b", 0)...)
	_, left, err := s.Mailbox(t.Context(), "a")
	if err != nil || len(left) > 2 || len(left) == 0 || left[len(left)-1].Seq != 6 {
		t.Errorf("%+v, %v", left, err)
	}
	// Added and received in one batch.
	putMail(t, s, of("b", 0), box("b", 6))
	sameMail(t, s, box("b", 6))
}

// testMailLatest checks that a message replaces the one of the same sender and
// key to the same receiver, and no other.
func testMailLatest(t *testing.T, s store.Store) {
	at := func(to string, seq uint64, from, key string) store.Message {
		return store.Message{To: to, Seq: seq, From: from, Key: key, Data: protocol.Raw("1")}
	}
	box := store.Mailbox{Participant: "p", Posted: 9}
	keep := []store.Message{at("p", 2, "y", "k"), at("p", 3, "x", "K"), at("p", 4, "x", ""), at("p", 5, "x", ""), at("p", 8, "x", "k")}
	putMail(t, s, append([]store.Message{at("p", 1, "x", "k"), at("q", 1, "x", "k")}, keep[:4]...), box, store.Mailbox{Participant: "q"})
	putMail(t, s, []store.Message{at("p", 6, "x", "k"), at("p", 7, "x", "k"), keep[4]})
	sameMail(t, s, box, keep...)
	sameMail(t, s, store.Mailbox{Participant: "q"}, at("q", 1, "x", "k"))
}

// testMailAtomic checks that messages and mailboxes are stored with the rest of
// the batch, or nothing is.
func testMailAtomic(t *testing.T, s store.Store) {
	box, message := fullMailbox("p"), fullMessage("p", 3)
	putMail(t, s, []store.Message{message}, box)
	good := store.Batch{
		Sessions: []store.Session{full("p")}, Messages: []store.Message{fullMessage("p", 4)},
		Mailboxes: []store.Mailbox{{Participant: "p", Received: 3, Posted: 4}}, Records: []eventlog.Record{fullRecord()},
	}
	for name, spoil := range map[string]func(*store.Batch){
		"no name":        func(b *store.Batch) { b.Mailboxes = append(b.Mailboxes, store.Mailbox{}) },
		"posted":         func(b *store.Batch) { b.Mailboxes[0].Posted = math.MaxUint64 },
		"received":       func(b *store.Batch) { b.Mailboxes[0].Received = math.MaxUint64 },
		"sent":           func(b *store.Batch) { b.Mailboxes[0].Sent = math.MaxUint64 },
		"page":           func(b *store.Batch) { b.Mailboxes[0].Pages = []store.Page{{ID: "x", Sent: math.MaxUint64}} },
		"no receiver":    func(b *store.Batch) { b.Messages[0].To = "" },
		"no sender":      func(b *store.Batch) { b.Messages[0].From = "" },
		"not JSON":       func(b *store.Batch) { b.Messages[0].Data = protocol.Raw("{") },
		"seq":            func(b *store.Batch) { b.Messages[0].Seq = math.MaxUint64 },
		"broken session": func(b *store.Batch) { b.Sessions[0].Participant = "" },
	} {
		bad := store.Batch{
			Sessions: append([]store.Session{}, good.Sessions...), Messages: append([]store.Message{}, good.Messages...),
			Mailboxes: append([]store.Mailbox{}, good.Mailboxes...), Records: good.Records,
		}
		spoil(&bad)
		if err := s.Put(t.Context(), bad); err == nil {
			t.Errorf("%s: stored", name)
		}
		sameMail(t, s, box, message)
		if _, ok, _ := s.Session(t.Context(), "p"); ok || len(records(t, s)) > 0 {
			t.Errorf("%s: half of the batch is there", name)
		}
	}
	if err := s.Put(t.Context(), good); err != nil {
		t.Error(err)
	}
	sameMail(t, s, good.Mailboxes[0], good.Messages[0])
	same(t, get(t, s, "p"), stored(full("p")))
}

// testMailSnapshots reads a mailbox while it moves on: what is in it belongs to
// its counters.
func testMailSnapshots(t *testing.T, s store.Store) {
	var writing sync.WaitGroup
	var done atomic.Bool
	writing.Go(func() {
		defer done.Store(true)
		for i := range uint64(300) {
			putMail(t, s, []store.Message{{To: "p", Seq: i + 1, From: "x", Data: protocol.Raw("1")}}, crashMailbox("p", i+1))
		}
	})
	for !done.Load() {
		if err := checkMail(s, "p", 0); err != nil {
			t.Fatal(err)
		}
	}
	writing.Wait()
}

// crashKept is how many messages a mailbox of the crash test keeps.
const crashKept = 3

func crashMailbox(p string, posted uint64) store.Mailbox {
	box := store.Mailbox{Participant: p, Posted: posted}
	if posted > crashKept {
		box.Received = posted - crashKept
	}
	return box
}

// checkMail checks that a mailbox holds exactly what is posted and not
// received; posted is how far it must be, 0: wherever it is.
func checkMail(s store.Store, p string, posted uint64) error {
	box, messages, err := s.Mailbox(context.Background(), p)
	switch {
	case err != nil:
		return err
	case posted > 0 && box.Posted != posted:
		return fmt.Errorf("mailbox %s: %d are posted, want %d", p, box.Posted, posted)
	case !reflect.DeepEqual(box, crashMailbox(p, box.Posted)):
		return fmt.Errorf("mailbox %+v", box)
	case uint64(len(messages)) != box.Posted-box.Received:
		return fmt.Errorf("mailbox %+v has %d messages", box, len(messages))
	}
	for i, m := range messages {
		if m.Seq != box.Received+uint64(i)+1 {
			return fmt.Errorf("mailbox %+v has %+v in place %d", box, m, i)
		}
	}
	return nil
}

func testMailCancelled(t *testing.T, s store.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := s.Mailbox(ctx, "p"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	s.Close()
	if _, _, err := s.Mailbox(t.Context(), "p"); err == nil {
		t.Error("a mailbox of a closed store")
	}
}

func putMail(t testing.TB, s store.Store, messages []store.Message, boxes ...store.Mailbox) {
	t.Helper()
	if err := s.Put(t.Context(), store.Batch{Messages: messages, Mailboxes: boxes}); err != nil {
		t.Errorf("put: %v", err)
	}
}

func sameMail(t testing.TB, s store.Store, want store.Mailbox, messages ...store.Message) {
	t.Helper()
	box, got, err := s.Mailbox(t.Context(), want.Participant)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(box, want) {
		t.Errorf("mailbox %+v, want %+v", box, want)
	}
	if !reflect.DeepEqual(got, messages) {
		t.Errorf("messages\n%.1000s\nwant\n%.1000s", fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", messages))
	}
}
