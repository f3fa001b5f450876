package grace_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"initgrace/grace"
)

var rewrite = flag.Bool("rewrite", false, "write what really happens into testdata/*.txt")

// TestTranscripts plays the dialogues in testdata. A file consists of blocks
// separated by blank lines: comments and commands (see world), a line "----",
// and what must come out of them. After an intended change of the policy run
//
//	go test ./grace -run TestTranscripts -rewrite
//
// and read the difference.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts in testdata (%v)", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) { playTranscript(t, file) })
	}
}

const divider = "----"

func playTranscript(t *testing.T, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(grace.Policy{})
	var got strings.Builder
	for block := range strings.SplitSeq(strings.Trim(string(text), "\n"), "\n\n") {
		commands, _, _ := strings.Cut(strings.Trim(block, "\n"), "\n"+divider)
		runs := false
		for line := range strings.Lines(commands) {
			if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
				continue
			}
			runs = true
			if err := w.run(line); err != nil {
				t.Fatalf("%s: %s: %v", file, line, err)
			}
		}
		if got.Len() > 0 {
			got.WriteByte('\n')
		}
		got.WriteString(commands + "\n")
		if runs {
			said := w.said()
			if said == "" {
				said = "(nothing)\n"
			}
			got.WriteString(divider + "\n" + said)
		}
	}
	switch {
	case strings.Contains(got.String(), "!!!"):
		t.Errorf("%s: the sequence of changes is broken:\n%s", file, got.String())
	case got.String() == string(text):
	case *rewrite:
		if err := os.WriteFile(file, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s: %s", file, firstDifference(string(text), got.String()))
	}
}

// firstDifference shows where two texts part, with the lines before it.
func firstDifference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	i := 0
	for i < len(w) && i < len(g) && w[i] == g[i] {
		i++
	}
	from := max(0, i-6)
	line := func(s []string) string {
		if i < len(s) {
			return s[i]
		}
		return "(the end)"
	}
	return "they part here:\n\t" + strings.Join(w[from:i], "\n\t") + "\nwant\t" + line(w) + "\ngot\t" + line(g)
}
