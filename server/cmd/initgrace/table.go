package main

import (
	"bytes"
	"io"
	"os"
	"unicode/utf8"

	"golang.org/x/term"
)

// table is text in columns, made to fit a terminal.
type table struct {
	head []string
	rows [][]string
	// names are the columns of names, which may lose their beginnings: names
	// differ at the end.
	names []int
	// spare are columns that may be left out, the one that is missed least first.
	spare []int
}

// shortName is what a name keeps at least, in characters.
const shortName = 14

// gap is between columns.
const gap = "  "

// write writes the table at most so wide; 0: as wide as it is.
func (t *table) write(b *bytes.Buffer, width int) {
	widths := make([]int, len(t.head))
	for _, row := range append([][]string{t.head}, t.rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	over := func() (n int) {
		if width == 0 {
			return 0
		}
		for _, w := range widths {
			if w > 0 {
				n += w + len(gap)
			}
		}
		return n - len(gap) - width
	}
	for _, i := range t.names {
		if n := over(); n > 0 {
			widths[i] = min(widths[i], max(widths[i]-n, shortName))
		}
	}
	for _, i := range t.spare {
		if over() > 0 {
			widths[i] = 0
		}
	}
	last := 0
	for i, w := range widths {
		if w > 0 {
			last = i
		}
	}
	for _, row := range append([][]string{t.head}, t.rows...) {
		for i, cell := range row {
			if widths[i] == 0 {
				continue
			}
			letters := []rune(cell)
			if cut := len(letters) - widths[i]; cut > 0 {
				letters = append([]rune{'…'}, letters[cut+1:]...)
			}
			b.WriteString(string(letters))
			if i == last {
				break
			}
			for range widths[i] - len(letters) {
				b.WriteByte(' ')
			}
			b.WriteString(gap)
		}
		b.WriteByte('\n')
	}
}

// terminalWidth is how many characters fit on a line, 0 if that is nobody's
// concern.
func terminalWidth(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok {
		return 0
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return width
}
