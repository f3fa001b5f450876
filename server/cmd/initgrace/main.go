// Command initgrace serves live browser experiments whose pages freeze while
// Pyodide starts.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

type commands struct {
	Serve    serve    `cmd:"" help:"Serve a study. Without options: the demo study on 127.0.0.1:8080, sessions kept in memory."`
	Simulate simulate `cmd:"" help:"Let native participants freeze, lose the network and die, and compare what their partners are told with the truth."`
	Init     initiate `cmd:"" help:"Write a small study to start from: a commented study file and a page."`
	Schema   schema   `cmd:"" help:"Print the JSON Schema of a study file, for editors."`
	Status   status   `cmd:"" help:"Show who is there, live: the dashboard as a table."`
	Export   exporter `cmd:"" help:"Write what happened to the participants, for the analysis."`
	Pyodide  pyodide  `cmd:"" help:"Packages for Pyodide."`
	Version  version  `cmd:"" help:"Print the version."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "initgrace:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var cmd commands
	parser, err := kong.New(&cmd,
		kong.Name("initgrace"),
		kong.Description("Holds a participant's seat while the page is frozen by Pyodide start-up."),
		kong.UsageOnError(),
		kong.Writers(stdout, stderr),
		kong.DefaultEnvars("INITGRACE"),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(console{stdout, stderr}),
	)
	if err != nil {
		return err
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		return err
	}
	return parsed.Run()
}

// console is where a command writes.
type console struct{ stdout, stderr io.Writer }
