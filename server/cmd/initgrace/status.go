package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"initgrace/grace/protocol"
	"initgrace/server/live"
)

type status struct {
	URL        string `name:"url" default:"http://127.0.0.1:8080" placeholder:"URL" help:"The server (${default})."`
	AdminToken string `placeholder:"TOKEN" help:"Token of its administration pages."`
	Once       bool   `help:"Print the table once, and end."`
	JSON       bool   `name:"json" help:"Print one JSON object a change (with --once: one)."`
	All        bool   `help:"Also who is gone."`
	Rows       int    `default:"40" placeholder:"N" help:"Rows of the live table (${default}; 0: all)."`
}

// statusPace is how often the table is drawn at most.
const statusPace = 500 * time.Millisecond

// silentServer is how long a server may say nothing; it says something each
// second.
const silentServer = 30 * time.Second

func (s status) Run(ctx context.Context, c console) error {
	if s.AdminToken == "" {
		return errors.New("--admin-token: the server wants its token (or set INITGRACE_ADMIN_TOKEN)")
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := time.AfterFunc(silentServer, func() { cancel(fmt.Errorf("the server has said nothing for %v", silentServer)) })
	defer silence.Stop()
	stream, err := s.open(ctx)
	if err != nil {
		return fmt.Errorf("--url: %w", cmp.Or(context.Cause(ctx), err))
	}
	defer stream.Close()
	var (
		view  live.View
		drawn time.Time
		lines = bufio.NewReader(stream)
		clear = isTerminal(c.stdout) && !s.Once && !s.JSON
	)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			if ctx.Err() != nil && errors.Is(context.Cause(ctx), context.Canceled) {
				return nil // the user has seen enough
			}
			return fmt.Errorf("the server has ended the stream: %w", cmp.Or(context.Cause(ctx), err))
		}
		silence.Reset(silentServer)
		text, isData := bytes.CutPrefix(line, []byte("data: "))
		if !isData {
			continue
		}
		if err := view.Apply(text); err != nil {
			return err
		}
		if !view.Complete || !s.Once && time.Since(drawn) < statusPace {
			continue // the server says something each second, so the last change is not left out for long
		}
		drawn = time.Now()
		if err := s.print(c.stdout, &view, clear); err != nil || s.Once {
			return err
		}
	}
}

func (s status) open(ctx context.Context) (io.ReadCloser, error) {
	address, err := url.JoinPath(s.URL, "/admin/events")
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+s.AdminToken)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode == http.StatusOK {
		return res.Body, nil
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(res.Body, 4<<10))
	var refused protocol.Error
	switch {
	case json.Unmarshal(body, &refused) == nil && refused.Code != "":
		return nil, &refused
	case res.StatusCode == http.StatusNotFound:
		return nil, errors.New("the server has no administration pages: it runs without --admin-token, or is none of ours")
	}
	return nil, errors.New(res.Status)
}

// trouble is the order of the table: who needs a look comes first.
var trouble = []protocol.Presence{protocol.Away, protocol.Blocked, protocol.Loading, protocol.Active, protocol.Gone}

func (s status) print(w io.Writer, view *live.View, clear bool) error {
	var lanes []*live.Lane
	counts := map[protocol.Presence]int{}
	for _, name := range slices.Sorted(maps.Keys(view.Lanes)) {
		l := view.Lanes[name]
		counts[l.Presence]++
		if s.All || l.Presence != protocol.Gone {
			lanes = append(lanes, l)
		}
	}
	slices.SortStableFunc(lanes, func(a, b *live.Lane) int {
		return cmp.Compare(slices.Index(trouble, a.Presence), slices.Index(trouble, b.Presence))
	})
	if s.JSON {
		return json.NewEncoder(w).Encode(struct {
			Now    int64                     `json:"now"`
			Run    string                    `json:"run"`
			Counts map[protocol.Presence]int `json:"counts"`
			Totals live.Totals               `json:"totals"`
			Lanes  []*live.Lane              `json:"participants"`
		}{view.Now, view.Run, counts, view.Totals, lanes})
	}
	var b bytes.Buffer
	if clear {
		b.WriteString("\x1b[H\x1b[2J")
	}
	var head []string
	for _, p := range []protocol.Presence{protocol.Active, protocol.Loading, protocol.Blocked, protocol.Away, protocol.Gone} {
		head = append(head, fmt.Sprintf("%d %s", counts[p], p))
	}
	fmt.Fprintf(&b, "%s   run %s\n%s\n\n", time.UnixMilli(view.Now).Format(time.TimeOnly), view.Run, strings.Join(head, ", "))
	left := 0
	if s.Rows > 0 && !s.Once && len(lanes) > s.Rows {
		left, lanes = len(lanes)-s.Rows, lanes[:s.Rows]
	}
	t := table{
		head:  []string{"PARTICIPANT", "GROUP", "PRESENCE", "FOR", "LEFT", "WHY", "AWAY", "LOADS", "ROUND TRIP"},
		names: []int{0, 1}, spare: []int{7, 6, 8, 5, 1},
	}
	for _, l := range lanes {
		presence := cmp.Or(string(l.Presence), "not known")
		if l.Phase != "" && l.Presence == protocol.Loading {
			presence += " (" + l.Phase + ")"
		}
		t.rows = append(t.rows, []string{
			l.Participant, cmp.Or(l.Group, "-"), printable(presence), since(view.Now - l.Since), until(l.Deadline, view.Now),
			strings.ReplaceAll(l.Reason, "_", " "), strconv.FormatInt(l.Drops, 10), strconv.FormatInt(l.LoadCount, 10), roundTrip(l),
		})
	}
	t.write(&b, terminalWidth(w))
	if left > 0 {
		fmt.Fprintf(&b, "… and %d more\n", left)
	}
	_, err := w.Write(b.Bytes())
	return err
}

// printable keeps what a page wrote from steering the terminal. The log's texts
// are on one line already.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return -1
		}
		return r
	}, s)
}

func since(ms int64) string {
	return (time.Duration(max(ms, 0)) * time.Millisecond).Round(time.Second).String()
}

func until(deadline, now int64) string {
	if deadline == 0 {
		return "-"
	}
	return since(deadline - now)
}

func roundTrip(l *live.Lane) string {
	if ms := cmp.Or(l.PingMS, l.PongMS); ms > 0 {
		return fmt.Sprintf("%.0f ms", ms)
	}
	return "-"
}
