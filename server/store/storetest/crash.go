package storetest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"initgrace/grace/protocol"
	"initgrace/server/eventlog"
	"initgrace/server/store"
)

const (
	crashEnv     = "INITGRACE_STORETEST_PLACE"
	crashWriters = 3
	crashBatch   = 4
)

func crashPlace() string { return os.Getenv(crashEnv) }

// crashWriter is the process that will be killed: each writer counts up the
// epoch of its own batch of participants for ever, and says on stdout when Put
// has returned.
func crashWriter(s store.Store) {
	fmt.Println("open")
	var acks sync.Mutex
	var writers sync.WaitGroup
	for w := range crashWriters {
		writers.Go(func() {
			epoch, err := crashEpoch(s, w)
			for err == nil {
				epoch++
				if err = s.Put(context.Background(), crashEpochBatch(w, epoch)); err == nil {
					acks.Lock()
					fmt.Printf("ack %d %d\n", w, epoch)
					acks.Unlock()
				}
			}
			fmt.Println("error", err)
		})
	}
	writers.Wait()
}

// crashEpochBatch is all of a writer's epoch: one message more, too.
func crashEpochBatch(writer int, epoch uint64) store.Batch {
	to := fmt.Sprint("w", writer)
	return store.Batch{
		Sessions: crashSessions(writer, epoch), Records: crashRecords(writer, epoch),
		Messages:  []store.Message{{To: to, Seq: epoch, From: "x", Data: protocol.Raw("1")}},
		Mailboxes: []store.Mailbox{crashMailbox(to, epoch)},
	}
}

// crashEpoch is how far a writer came. Its batch must be whole.
func crashEpoch(s store.Store, writer int) (uint64, error) {
	var epochs [crashBatch]uint64
	for i, p := range crashSessions(writer, 0) {
		got, _, err := s.Session(context.Background(), p.Participant)
		if err != nil {
			return 0, err
		}
		epochs[i] = got.Epoch
	}
	for _, e := range epochs {
		if e != epochs[0] {
			return 0, fmt.Errorf("writer %d: half a batch is there: epochs %d", writer, epochs)
		}
	}
	return epochs[0], nil
}

func crashSessions(writer int, epoch uint64) []store.Session {
	batch := make([]store.Session, crashBatch)
	for i := range batch {
		batch[i] = full(fmt.Sprintf("w%d-%d", writer, i))
		batch[i].Epoch = epoch
	}
	return batch
}

// crashRecords are a batch's records: as many as its epoch is odd or even.
func crashRecords(writer int, epoch uint64) []eventlog.Record {
	batch := make([]eventlog.Record, 2+epoch%2)
	for i := range batch {
		batch[i] = fullRecord()
		batch[i].Participant, batch[i].Seq, batch[i].Epoch = fmt.Sprint("w", writer), int64(i), eventlog.Of(epoch)
	}
	return batch
}

// checkLog checks that the log has the records of every batch up to the epoch
// that each writer reached, once and in order, and no others.
func checkLog(log []eventlog.Record, reached [crashWriters]uint64) error {
	for w, last := range reached {
		var want []eventlog.Record
		for epoch := range last {
			want = append(want, crashRecords(w, epoch+1)...)
		}
		got := slices.DeleteFunc(slices.Clone(log), func(r eventlog.Record) bool { return r.Participant != fmt.Sprint("w", w) })
		for i := range got {
			got[i].ID = 0
		}
		if !slices.Equal(got, want) {
			return fmt.Errorf("writer %d: the log has %d records, or others, where %d were put in %d batches", w, len(got), len(want), last)
		}
	}
	return nil
}

// testCrash kills a writing process at random instants: while it opens the
// store for the first time, and after random numbers of acks. Every fact that
// was acked must be there, no batch in part, and none that was never put.
func testCrash(t *testing.T, open Open) {
	var acked, kills int
	t.Run("while opening", func(t *testing.T) {
		for range 8 {
			c := startCrash(t, t.TempDir())
			c.killAfter(0, time.Duration(rand.Int64N(int64(60*time.Millisecond))))
			c.check(t, open)
			kills++
		}
	})
	t.Run("while writing", func(t *testing.T) {
		place := t.TempDir()
		for range 12 {
			c := startCrash(t, place)
			c.killAfter(rand.IntN(300), time.Duration(rand.Int64N(int64(3*time.Millisecond))))
			acked += c.check(t, open)
			kills++
		}
	})
	t.Logf("%d kills, %d acked batches, all there", kills, acked)
}

// crash is one run of crashWriter.
type crash struct {
	t     *testing.T
	place string
	cmd   *exec.Cmd
	out   io.Reader
	err   strings.Builder
	last  [crashWriters]uint64 // acked epoch
	acked int
}

func startCrash(t *testing.T, place string) *crash {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// The test that called Run, and in it only "crash".
	root, _, _ := strings.Cut(t.Name(), "/")
	c := &crash{t: t, place: place, cmd: exec.Command(exe, "-test.run=^"+root+"$/^crash$")}
	c.cmd.Env = append(os.Environ(), crashEnv+"="+place)
	c.cmd.Stderr = &c.err
	if c.out, err = c.cmd.StdoutPipe(); err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return c
}

// killAfter kills the process some time after a number of acks, and reads what
// it had said by then.
func (c *crash) killAfter(acks int, then time.Duration) {
	kill := func() { time.AfterFunc(then, func() { c.cmd.Process.Kill() }) }
	if acks == 0 {
		kill()
	}
	lines := bufio.NewScanner(c.out)
	for lines.Scan() {
		var w int
		var epoch uint64
		line := lines.Text()
		switch n, _ := fmt.Sscanf(line, "ack %d %d", &w, &epoch); {
		case n == 2 && w < crashWriters && strings.HasSuffix(line, fmt.Sprint(" ", epoch)):
			c.last[w] = epoch
			if c.acked++; c.acked == acks {
				kill()
			}
		case strings.HasPrefix(line, "error"):
			c.t.Errorf("the writer failed: %s", line)
			c.cmd.Process.Kill()
		}
	}
	c.cmd.Wait()
	if status := c.cmd.ProcessState.String(); status != "signal: killed" {
		c.t.Errorf("the writer was not killed: %s\n%s", status, &c.err)
	}
}

// check opens the store and returns the number of acks that it kept.
func (c *crash) check(t *testing.T, open Open) int {
	t.Helper()
	s := open(t, c.place)
	defer s.Close()
	var reached [crashWriters]uint64
	for w, last := range c.last {
		epoch, err := crashEpoch(s, w)
		if err != nil {
			t.Error(err)
		}
		// One Put may have been stored without being able to say so.
		if last > 0 && (epoch < last || epoch > last+1) {
			t.Errorf("writer %d was told that epoch %d is stored; the store has %d", w, last, epoch)
		}
		reached[w] = epoch
		if epoch > 0 {
			if err := checkMail(s, fmt.Sprint("w", w), epoch); err != nil {
				t.Error(err)
			}
			same(t, get(t, s, fmt.Sprintf("w%d-0", w)), stored(crashSessions(w, epoch)[0]))
		}
	}
	if err := checkLog(records(t, s), reached); err != nil {
		t.Error(err)
	}
	return c.acked
}
