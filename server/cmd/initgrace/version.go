package main

import (
	"fmt"
	"runtime/debug"
)

type version struct{}

func (version) Run(c console) error {
	v, revision := "devel", ""
	if info, ok := debug.ReadBuildInfo(); ok {
		if info.Main.Version != "" && info.Main.Version != "(devel)" {
			v = info.Main.Version
		}
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				revision = " " + s.Value
			}
		}
	}
	_, err := fmt.Fprintf(c.stdout, "initgrace %s%s\n", v, revision)
	return err
}
