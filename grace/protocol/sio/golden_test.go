package sio

import (
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the golden files")

// TestGolden reads testdata/packets.txt: packets, each followed by what Decode
// makes of it, indented.
func TestGolden(t *testing.T) {
	const file = "testdata/packets.txt"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "\t") {
			continue
		}
		got.WriteString(line)
		if packet := strings.TrimSuffix(line, "\n"); packet != "" && packet[0] != '#' {
			fmt.Fprintf(&got, "\t%s\n", describe([]byte(packet)))
		}
	}
	if *rewrite {
		if err := os.WriteFile(file, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want := strings.Split(string(text), "\n")
	for i, line := range strings.Split(got.String(), "\n") {
		if i >= len(want) || line != want[i] {
			t.Fatalf("%s:%d: got %s\n(rewrite with -rewrite)", file, i+1, line)
		}
	}
}

func describe(packet []byte) string {
	p, err := Decode(packet)
	if err != nil {
		return err.Error()
	}
	var b strings.Builder
	b.WriteString(typeNames[p.Type])
	b.WriteString(" " + p.Namespace)
	if p.HasID {
		b.WriteString(" #" + strconv.FormatUint(p.ID, 10))
	}
	switch p.Type {
	case Event:
		name, args, err := SplitEvent(p.Data)
		fmt.Fprintf(&b, " %q %q %v", name, args, err)
	case Ack:
		args, err := SplitArgs(p.Data)
		fmt.Fprintf(&b, " %q %v", args, err)
	default:
		fmt.Fprintf(&b, " %q", p.Data)
	}
	return b.String()
}

var typeNames = map[Type]string{
	Connect: "CONNECT", Disconnect: "DISCONNECT", Event: "EVENT", Ack: "ACK", ConnectError: "CONNECT_ERROR",
}
