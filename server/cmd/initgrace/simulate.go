package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	sim "initgrace/server/simulate"
)

type simulate struct {
	URL          string        `name:"url" placeholder:"URL" help:"Server to judge (default: one that is started in this process)."`
	Participants int           `default:"100" placeholder:"N" help:"How many; they play in pairs (100)."`
	Seed         uint64        `default:"1" placeholder:"N" help:"What happens to whom; the same seed gives the same script (1)."`
	Duration     time.Duration `default:"4m" placeholder:"TIME" help:"Length of the experiment, in its own time; the deaths come after it (4m)."`
	Scale        float64       `placeholder:"F" help:"How many times faster than real; the policy is divided by it. A server at --url must run with the policy that results (2, with --url 1)."`
	Policy       string        `placeholder:"FILE" help:"YAML file with the policy, as for serve --study."`
	JSON         bool          `name:"json" help:"Print the table as JSON."`
}

func (s simulate) Run(ctx context.Context, c console) error {
	o := sim.Options{
		URL: s.URL, Participants: s.Participants, Seed: s.Seed, Duration: s.Duration, Scale: s.Scale,
	}
	file, err := readStudy("--policy", s.Policy, "")
	if err != nil {
		return err
	}
	if file != nil {
		o.Policy, o.PageInterval = file.Policy, file.PageInterval
	}
	if isTerminal(c.stderr) {
		bar := &bar{w: c.stderr}
		o.Progress = bar.draw
		defer bar.wipe()
	}
	report, err := sim.Run(ctx, &o)
	if err != nil {
		return err
	}
	if s.JSON {
		err = report.WriteJSON(c.stdout)
	} else {
		err = report.WriteTable(c.stdout)
	}
	if err != nil {
		return err
	}
	return report.Err()
}

// A bar is one line that is drawn over itself: a carriage return does it, and
// no library does more for a line that tells numbers.
type bar struct {
	w     io.Writer
	width int // of what was drawn last
}

func (b *bar) draw(p sim.Progress) {
	const cells = 24
	full := 0
	if p.Episodes > 0 {
		full = cells * p.Played / p.Episodes
	}
	full = min(full, cells)
	line := fmt.Sprintf("[%s%s] %d of %d episodes, %d of %d deaths, %d connected, %v",
		strings.Repeat("#", full), strings.Repeat(" ", cells-full), p.Played, p.Episodes, p.Died, p.Deaths,
		p.Connected, p.Took.Round(time.Second))
	fmt.Fprintf(b.w, "\r%-*s", b.width, line)
	b.width = len(line)
}

func (b *bar) wipe() { fmt.Fprintf(b.w, "\r%*s\r", b.width, "") }

// isTerminal says whether somebody may be looking.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
