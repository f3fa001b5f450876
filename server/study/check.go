package study

import (
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"initgrace/grace"
)

// study is the file with its defaults in place, or the first thing in it that
// cannot be.
func (d *document) study() (s *Study, err error) {
	defer func() {
		if r := recover(); r != nil {
			e, ok := r.(*Error)
			if !ok {
				panic(r)
			}
			s, err = nil, e
		}
	}()
	f := &d.file
	s = &Study{PageInterval: time.Duration(f.PageInterval), Experiments: make(map[string]*Plan)}
	if f.PageInterval < 0 {
		d.fail("page_interval cannot be switched off: write a time such as 2s", "page_interval")
	}
	s.Policy = d.policy(s, grace.Policy{}, &f.Policy, "policy")
	for _, name := range slices.Sorted(maps.Keys(f.Experiments)) {
		x := f.Experiments[name]
		s.Experiments[name] = d.plan(s, name, &x)
	}
	return s, nil
}

// fail ends the check with an error at a place in the file.
func (d *document) fail(message string, path ...any) {
	line, column := d.at(path...)
	panic(&Error{d.name, line, column, message})
}

func (d *document) failf(path []any, format string, a ...any) {
	d.fail(fmt.Sprintf(format, a...), path...)
}

// camel finds where a Go name has the underscores of the file's.
var camel = regexp.MustCompile(`\b(?:[A-Z][a-z]+){2,}\b`)

// policy is a policy with what the file says differently, checked.
func (d *document) policy(s *Study, base grace.Policy, f *PolicyFile, path ...any) grace.Policy {
	p := f.over(base)
	err := p.Validate()
	p = p.WithDefaults()
	if err == nil && s.PageIntervalOrDefault() >= p.BlockedAfter {
		err = fmt.Errorf("page_interval %v must be shorter than blocked_after %v, or every page would look blocked", s.PageIntervalOrDefault(), p.BlockedAfter)
	}
	if err != nil {
		message := camel.ReplaceAllStringFunc(err.Error(), func(name string) string {
			return strings.ToLower(name[:1] + regexp.MustCompile(`[A-Z]`).ReplaceAllString(name[1:], "_$0"))
		})
		d.fail(strings.ReplaceAll(message, "-1ns", "off"), path...)
	}
	return p
}

func (d *document) plan(s *Study, called string, f *Experiment) *Plan {
	at := func(path ...any) []any { return append([]any{"experiments", called}, path...) }
	if !name.MatchString(called) {
		d.failf(at(), "the name %q must be 1 to 128 characters of A-Z a-z 0-9 . _ : @ -", called)
	}
	p := &Plan{
		Name: called, Size: f.Group.Size, SameCondition: f.Group.SameCondition, Seed: f.Seed,
		Packages: f.Pyodide.Packages, RequireToken: f.RequireToken, Completion: f.Completion, Compensation: f.Compensation,
	}
	if p.Size == 0 && !d.has(at("group", "size")...) {
		p.Size = defaultSize
	}
	if p.Size < 2 || p.Size > maxSize {
		d.failf(at("group", "size"), "size %d must be from 2 to %d", p.Size, maxSize)
	}
	p.WaitTimeout = max(time.Duration(f.Group.WaitTimeout), 0)
	if f.Group.WaitTimeout == 0 {
		p.WaitTimeout = defaultWait
	}
	if p.MaxLatency = time.Duration(f.Group.MaxLatency); p.MaxLatency < 0 {
		p.MaxLatency = 0
	}
	p.Policy = d.policy(s, s.Policy, &f.Policy, at("policy")...)
	for i, scene := range f.Scenes {
		place := at("scenes", i)
		switch {
		case !name.MatchString(scene.ID):
			d.failf(append(place, "id"), "the scene's id %q must be 1 to 128 characters of A-Z a-z 0-9 . _ : @ -", scene.ID)
		case slices.ContainsFunc(p.Scenes, func(s Scene) bool { return s.ID == scene.ID }):
			d.failf(append(place, "id"), "there are two scenes %q: give one of them another id", scene.ID)
		}
		p.Scenes = append(p.Scenes, Scene{
			ID: scene.ID, Shuffled: scene.Shuffled, Policy: d.policy(s, p.Policy, &scene.Policy, append(place, "policy")...),
		})
	}
	d.conditions(p, f, at)
	d.expiry(p, &f.OnExpiry, at("on_expiry"))
	d.payment(p.Completion, at("completion"))
	d.payment(p.Compensation, at("compensation"))
	for i, pkg := range p.Packages {
		if strings.TrimSpace(pkg) == "" {
			d.failf(at("pyodide", "packages", i), "the package has no name: remove it")
		}
	}
	return p
}

func (d *document) conditions(p *Plan, f *Experiment, at func(...any) []any) {
	sum := 0
	for i, c := range f.Conditions {
		place := at("conditions", i)
		if c.Weight == 0 && !d.has(append(place, "weight")...) {
			c.Weight = 1
		}
		switch {
		case !name.MatchString(c.Name):
			d.failf(append(place, "name"), "the condition's name %q must be 1 to 128 characters of A-Z a-z 0-9 . _ : @ -", c.Name)
		case slices.ContainsFunc(p.Conditions, func(o Condition) bool { return o.Name == c.Name }):
			d.failf(append(place, "name"), "there are two conditions %q: give one of them another name", c.Name)
		case c.Weight < 1 || c.Weight > 1000:
			d.failf(append(place, "weight"), "weight %d must be from 1 to 1000; a condition that is not wanted can be removed", c.Weight)
		}
		for j, id := range c.Scenes {
			if !slices.ContainsFunc(p.Scenes, func(s Scene) bool { return s.ID == id }) {
				d.failf(append(place, "scenes", j), "there is no scene %q: add it to the experiment's scenes", id)
			}
			if slices.Contains(c.Scenes[:j], id) {
				d.failf(append(place, "scenes", j), "scene %q is listed twice", id)
			}
		}
		sum += c.Weight
		p.Conditions = append(p.Conditions, Condition(c))
	}
	p.BlockSize = f.BlockSize
	if p.BlockSize == 0 && !d.has(at("block_size")...) { // not even by a merge key or an alias
		p.BlockSize = sum
	} else if sum == 0 {
		d.failf(at("block_size"), "block_size %d is for an experiment with conditions: there are none", p.BlockSize)
	} else if p.BlockSize < 1 || p.BlockSize > 10_000 || p.BlockSize%sum != 0 {
		d.failf(at("block_size"), "block_size %d must be a multiple of %d, the sum of the weights (at most 10000)", p.BlockSize, sum)
	}
	if p.SameCondition && sum == 0 {
		d.failf(at("group", "same_condition"), "same_condition is for an experiment with conditions: there are none")
	}
}

func (d *document) expiry(p *Plan, f *ExpiryFile, at []any) {
	e := Expiry{Do: f.Do, Otherwise: f.Otherwise, Minimum: f.Minimum, Delay: time.Duration(f.Delay), Choices: f.Choices}
	path := func(key string) []any { return append(slices.Clone(at), key) }
	if e.Do == "" {
		e.Do = End
	}
	if e.Otherwise == "" {
		e.Otherwise = End
	}
	if e.Minimum == 0 && !d.has(path("minimum")...) {
		e.Minimum = 2
	}
	if e.Delay == 0 {
		e.Delay = defaultDelay
	}
	if e.Choices == nil {
		e.Choices = []Action{End, Continue, Requeue}
	}
	switch {
	case e.Minimum < 1 || e.Minimum > p.Size:
		d.failf(path("minimum"), "minimum %d must be from 1 to the group's size %d", e.Minimum, p.Size)
	case e.Otherwise == Ask || e.Otherwise == Replace:
		d.failf(path("otherwise"), "otherwise %s would wait again: write end, continue or requeue", e.Otherwise)
	case e.Delay < 0:
		d.failf(path("delay"), "delay cannot be off: the others would wait for ever")
	case len(e.Choices) < 2 || slices.Contains(e.Choices, Ask):
		d.failf(path("choices"), "choices must be two or more of end, continue, requeue and replace")
	}
	p.Expiry = e
}

func (d *document) payment(p Payment, at []any) {
	if p.Link == "" {
		return
	}
	u, err := url.Parse(strings.NewReplacer("{participant}", "p", "{code}", "c").Replace(p.Link))
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		d.failf(append(slices.Clone(at), "link"), "link %q must be an address such as https://app.prolific.com/submissions/complete?cc={code}", p.Link)
	}
	if strings.Contains(p.Link, "{code}") && p.Code == "" {
		d.failf(append(slices.Clone(at), "link"), "link has {code} in it, but there is no code")
	}
}
