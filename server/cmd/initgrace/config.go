package main

import (
	"fmt"
	"os"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"

	"initgrace/grace"
	"initgrace/server"
)

// file is the form of the file that --config names. Every key is optional; the
// defaults are those of grace.Policy.
type file struct {
	PageInterval span `yaml:"page_interval"`
	Policy       struct {
		ProbeInterval    span `yaml:"probe_interval"`
		SilenceTimeout   span `yaml:"silence_timeout"`
		BlockedAfter     span `yaml:"blocked_after"`
		BlockedTimeout   span `yaml:"blocked_timeout"`
		LoadTimeout      span `yaml:"load_timeout"`
		LoadCap          span `yaml:"load_cap"`
		LoadBudget       span `yaml:"load_budget"`
		LoadCount        int  `yaml:"load_count"`
		ReconnectTimeout span `yaml:"reconnect_timeout"`
		LeaveTimeout     span `yaml:"leave_timeout"`
		PageTimeout      span `yaml:"page_timeout"`
	} `yaml:"policy"`
}

// span is a duration such as 1.5s, or "off" where the policy allows it.
type span time.Duration

func (s *span) UnmarshalYAML(node ast.Node) error {
	refuse := func(problem string) error {
		at := node.GetToken().Position
		return fmt.Errorf("[%d:%d] %s %s", at.Line, at.Column, node, problem)
	}
	word := node.String()
	if text, ok := node.(*ast.StringNode); ok {
		word = text.Value
	}
	if word == "off" {
		*s = -1
		return nil
	}
	d, err := time.ParseDuration(word)
	switch {
	case err != nil:
		return refuse("is not a duration such as 500ms, 4s or 2m")
	case d <= 0:
		return refuse("must be positive (or off, where the policy allows it)")
	}
	*s = span(d)
	return nil
}

func readConfig(flag, path string, cfg *server.Config) error {
	if path == "" {
		return nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("%s: %w", flag, err)
	}
	var f file
	if err := yaml.UnmarshalWithOptions(text, &f, yaml.Strict()); err != nil {
		return fmt.Errorf("%s: %s: %w", flag, path, err)
	}
	p := f.Policy
	cfg.PageInterval = time.Duration(f.PageInterval)
	cfg.Policy = grace.Policy{
		ProbeInterval: time.Duration(p.ProbeInterval), SilenceTimeout: time.Duration(p.SilenceTimeout),
		BlockedAfter: time.Duration(p.BlockedAfter), BlockedTimeout: time.Duration(p.BlockedTimeout),
		LoadTimeout: time.Duration(p.LoadTimeout), LoadCap: time.Duration(p.LoadCap),
		LoadBudget: time.Duration(p.LoadBudget), LoadCount: p.LoadCount,
		ReconnectTimeout: time.Duration(p.ReconnectTimeout), LeaveTimeout: time.Duration(p.LeaveTimeout),
		PageTimeout: time.Duration(p.PageTimeout),
	}
	return nil
}
