// Package study reads the study file, initgrace.yaml: which experiments there
// are, who plays together, which condition somebody is in, how long silence is
// tolerated, and what becomes of those whose partner has left.
package study

import (
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"initgrace/grace"
)

// FileName is the study file's name in the folder of a study's pages.
const FileName = "initgrace.yaml"

// Study is a study file that has been found to be right, with every default
// and every override in place.
type Study struct {
	PageInterval time.Duration // 0: the default
	Policy       grace.Policy  // of whoever is in no experiment
	Experiments  map[string]*Plan
}

// Plan is one experiment.
type Plan struct {
	Name          string
	Size          int
	WaitTimeout   time.Duration // 0: none
	SameCondition bool
	MaxLatency    time.Duration // 0: anybody
	Policy        grace.Policy
	Scenes        []Scene
	Conditions    []Condition
	BlockSize     int
	Seed          *uint64 // nil: the store's secret
	Packages      []string
	RequireToken  bool // to come back; else the participant's id is enough
	Expiry        Expiry
	Completion    Payment
	Compensation  Payment
}

// Scene is one scene of a Plan.
type Scene struct {
	ID       string
	Policy   grace.Policy
	Shuffled bool
}

// Condition is one condition of a Plan.
type Condition struct {
	Name   string
	Weight int
	Scenes []string // nil: all
}

// Expiry is what becomes of a group that lost a member.
type Expiry struct {
	Do, Otherwise Action
	Minimum       int
	Delay         time.Duration
	Choices       []Action
}

// Defaults of a plan.
const (
	defaultSize  = 2
	maxSize      = 100
	defaultWait  = 10 * time.Minute
	defaultDelay = 30 * time.Second
)

// PageIntervalOrDefault is how often pages are asked.
func (s *Study) PageIntervalOrDefault() time.Duration {
	if s.PageInterval == 0 {
		return 2 * time.Second
	}
	return s.PageInterval
}

// Policies lists every policy that somebody may be under.
func (s *Study) Policies() []grace.Policy {
	all := []grace.Policy{s.Policy}
	for _, p := range s.Experiments {
		all = append(all, p.Policy)
		for _, scene := range p.Scenes {
			all = append(all, scene.Policy)
		}
	}
	return all
}

// Only is the experiment if there is one and no other.
func (s *Study) Only() *Plan {
	if len(s.Experiments) == 1 {
		for _, p := range s.Experiments {
			return p
		}
	}
	return nil
}

// Named is the experiment of a name, or nil.
func (s *Study) Named(experiment string) *Plan {
	if s == nil {
		return nil
	}
	return s.Experiments[experiment]
}

// PolicyIn is the policy in a scene. A scene that the plan does not list is
// under the plan's.
func (p *Plan) PolicyIn(scene string) grace.Policy {
	if i := slices.IndexFunc(p.Scenes, func(s Scene) bool { return s.ID == scene }); i >= 0 {
		return p.Scenes[i].Policy
	}
	return p.Policy
}

// SceneIDs are the scenes of a condition in the order of the file, and which of
// them change places.
func (p *Plan) SceneIDs(condition string) (ids []string, shuffled func(id string) bool) {
	for _, s := range p.Scenes {
		ids = append(ids, s.ID)
	}
	if i := slices.IndexFunc(p.Conditions, func(c Condition) bool { return c.Name == condition }); i >= 0 && p.Conditions[i].Scenes != nil {
		ids = slices.Clone(p.Conditions[i].Scenes)
	}
	return ids, func(id string) bool {
		return slices.ContainsFunc(p.Scenes, func(s Scene) bool { return s.ID == id && s.Shuffled })
	}
}

// For is the link with the participant and the code filled in.
func (p Payment) For(participant string) string {
	return strings.NewReplacer(
		"{participant}", url.QueryEscape(participant), "{code}", url.QueryEscape(p.Code),
	).Replace(p.Link)
}

// Read reads a study file.
func Read(path string) (*Study, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return Parse(path, text)
}

// Parse reads a study file's text; file is its name in errors. Those about the
// text are of type *Error.
func Parse(file string, text []byte) (*Study, error) {
	d, err := parse(file, text)
	if err != nil {
		return nil, err
	}
	return d.study()
}

// name is the form of an experiment's name on the wire, and good enough for
// everything else that gets one.
var name = regexp.MustCompile(namePattern)

// over is the policy with what the file says differently.
func (f *PolicyFile) over(p grace.Policy) grace.Policy {
	for _, o := range []struct {
		to *time.Duration
		is Span
	}{
		{&p.ProbeInterval, f.ProbeInterval}, {&p.SilenceTimeout, f.SilenceTimeout}, {&p.BlockedAfter, f.BlockedAfter},
		{&p.BlockedTimeout, f.BlockedTimeout}, {&p.LoadTimeout, f.LoadTimeout}, {&p.LoadCap, f.LoadCap},
		{&p.LoadBudget, f.LoadBudget}, {&p.ReconnectTimeout, f.ReconnectTimeout}, {&p.LeaveTimeout, f.LeaveTimeout},
		{&p.PageTimeout, f.PageTimeout},
	} {
		if o.is != 0 {
			*o.to = time.Duration(o.is)
		}
	}
	if f.LoadCount != 0 {
		p.LoadCount = int(f.LoadCount)
	}
	return p
}
