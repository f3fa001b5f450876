package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"initgrace/server"
	"initgrace/wasmclient"
)

// watching is what a command has printed so far.
type watching struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{}
}

func (w *watching) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case w.more <- struct{}{}:
	default:
	}
	return w.text.Write(b)
}

func (w *watching) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

func TestStatus(t *testing.T) {
	srv, err := server.New(server.Config{AdminToken: "the token", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(srv)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	defer web.Close()
	defer func() { srv.Close(ctx) }()
	page, err := wasmclient.Dial(ctx, web.URL, &wasmclient.Options{Participant: "somebody", Group: "pair"})
	if err != nil {
		t.Fatal(err)
	}
	defer page.Close(ctx)
	do := func(args ...string) (string, error) {
		var out bytes.Buffer
		err := run(ctx, append([]string{"status", "--url", web.URL}, args...), &out, io.Discard)
		return out.String(), err
	}
	table, err := do("--admin-token", "the token", "--once")
	if err != nil || !strings.Contains(table, "1 active") || !strings.Contains(table, "somebody") || !strings.Contains(table, "pair") {
		t.Errorf("%v\n%s", err, table)
	}
	t.Setenv("INITGRACE_ADMIN_TOKEN", "the token")
	text, err := do("--once", "--json")
	var object struct {
		Counts       map[string]int
		Participants []struct{ Participant, Presence, Group string }
	}
	if e := json.Unmarshal([]byte(text), &object); e != nil || err != nil {
		t.Fatalf("%v, %v: %s", err, e, text)
	}
	if p := object.Participants; len(p) != 1 || p[0].Participant != "somebody" || p[0].Presence != "active" || object.Counts["active"] != 1 {
		t.Errorf("%+v", object)
	}

	// Live: what happens shows.
	watch, stop := context.WithCancel(ctx)
	out, ended := &watching{more: make(chan struct{}, 1)}, make(chan error, 1)
	go func() { ended <- run(watch, []string{"status", "--url", web.URL, "--all"}, out, io.Discard) }()
	for !strings.Contains(out.String(), "1 active") {
		<-out.more
	}
	if err := page.EmitAck(ctx, "pyodide_loading_start", map[string]any{"phase": "py\x1b[31mthon"}, nil); err != nil {
		t.Fatal(err)
	}
	for !strings.Contains(out.String(), "loading (py") {
		select {
		case <-out.more:
		case <-ctx.Done():
			t.Fatal(out.String())
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("stopped by the user: %v", err)
	}
	if strings.Contains(out.String(), "\x1b") {
		t.Error("a page's text steers the terminal")
	}

	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--admin-token", "wrong"}, "unauthorized"},
		{[]string{"--admin-token", ""}, "--admin-token"},
		{[]string{"--url", "http://127.0.0.1:1"}, "--url"},
		{[]string{"--url", "::"}, "--url"},
		{[]string{"--url", web.URL + "/initgrace"}, "no administration pages"},
	} {
		if _, err := do(append(c.args, "--once")...); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v: %v", c.args, err)
		}
	}
}
