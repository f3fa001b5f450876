package main

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestTable(t *testing.T) {
	table := table{
		head: []string{"WHO", "GROUP", "FOR", "WHY"}, names: []int{0, 1}, spare: []int{3, 1},
		rows: [][]string{{"participant-of-a-long-name-1", "group-é-of-long-name-2", "2s", "page silent"}, {"p", "-", "1m0s", ""}},
	}
	for width, want := range map[int]string{
		0: "WHO                           GROUP                   FOR   WHY\n" +
			"participant-of-a-long-name-1  group-é-of-long-name-2  2s    page silent\n" +
			"p                             -                       1m0s  \n",
		60: "WHO                GROUP                   FOR   WHY\n…of-a-long-name-1  group-é-of-long-name-2  2s    page silent\n",
		50: "WHO             GROUP            FOR   WHY\n…a-long-name-1  …of-long-name-2  2s    page silent\n",
		36: "WHO             GROUP           FOR\n…a-long-name-1  …f-long-name-2  2s\n",
		20: "WHO             FOR\n…a-long-name-1  2s\n",
	} {
		var b bytes.Buffer
		table.write(&b, width)
		for line := range strings.Lines(b.String()) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); width > 0 && n > width {
				t.Errorf("%d characters in a terminal of %d: %s", n, width, line)
			}
		}
		if !strings.HasPrefix(b.String(), want) {
			t.Errorf("%d wide:\n%s\nwant\n%s", width, &b, want)
		}
	}
}
