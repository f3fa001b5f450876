package server

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"initgrace/grace"
	"initgrace/grace/protocol"
	"initgrace/server/conditions"
	"initgrace/server/eventlog"
	"initgrace/server/study"
)

// enrol finds the experiment that a handshake means. It may be called from
// anywhere: the study does not change.
func (l *loop) enrol(id *identity) *protocol.Error {
	s := l.lobby.study
	if s == nil || len(s.Experiments) == 0 {
		return nil
	}
	if only := s.Only(); id.experiment == "" && only != nil {
		id.experiment = only.Name
	}
	if s.Experiments[id.experiment] != nil {
		return nil
	}
	known := strings.Join(slices.Sorted(maps.Keys(s.Experiments)), ", ")
	if id.experiment == "" {
		return protocol.NewError(protocol.CodeUnknownExperiment, "auth.experiment is missing: it must be one of "+known)
	}
	return protocol.NewError(protocol.CodeUnknownExperiment, fmt.Sprintf("there is no experiment %q: it must be one of %s", id.experiment, known))
}

// plan is the plan of the participant's experiment, nil if there is none.
func (l *loop) plan(m *member) *study.Plan {
	return l.lobby.study.Named(m.session.Experiment)
}

// enter notes which experiment a participant is in: that of the first connection,
// whatever a later page says, unless the study file has it no longer.
func (l *loop) enter(now time.Time, m *member, p *peer) {
	s := &m.session
	if p.experiment != "" && (s.Experiment == "" || l.lobby.study != nil && l.plan(m) == nil) {
		s.Experiment = p.experiment
	} else if p.experiment != "" && p.experiment != s.Experiment {
		l.log.Warn("a page names another experiment than the participant is in", "participant", s.Participant, "in", s.Experiment, "named", p.experiment)
	}
}

// draw draws the participant's condition and order of scenes, once.
func (l *loop) draw(now time.Time, m *member) {
	plan, s := l.plan(m), &m.session
	if plan == nil || s.Part.Condition != "" || len(s.Part.Scenes) > 0 {
		return
	}
	seed := l.secret
	if plan.Seed != nil {
		seed = binary.BigEndian.AppendUint64(nil, *plan.Seed)
	}
	seed = append(slices.Clone(seed), plan.Name...)
	design := conditions.Design{Seed: seed, Block: plan.BlockSize}
	for _, c := range plan.Conditions {
		design.Conditions = append(design.Conditions, conditions.Condition{Name: c.Name, Weight: c.Weight})
	}
	drawn := l.lobby.drawn[plan.Name]
	if s.Part.Condition = design.Draw(drawn); s.Part.Condition != "" {
		if drawn == nil {
			drawn = make(map[string]int)
			l.lobby.drawn[plan.Name] = drawn
		}
		drawn[s.Part.Condition]++
	}
	ids, shuffled := plan.SceneIDs(s.Part.Condition)
	s.Part.Scenes = conditions.Order(seed, s.Participant, ids, shuffled)
	if s.Part.Condition == "" && len(s.Part.Scenes) == 0 {
		return
	}
	l.mark(m)
	l.recordOf(now, m, eventlog.Record{Kind: eventlog.Assigned, Detail: s.Part.Condition, Scene: strings.Join(s.Part.Scenes, " ")})
}

// policyOf is the policy that a participant is under, nil: the server's.
func (l *loop) policyOf(m *member) *grace.Policy {
	plan := l.plan(m)
	if plan == nil {
		return nil
	}
	p := plan.PolicyIn(m.session.State.SceneID)
	return &p
}

// sceneChanged puts a participant under the policy of the scene.
func (l *loop) sceneChanged(now time.Time, m *member) {
	p := l.policyOf(m)
	if p == nil || *p == l.tracker.PolicyOf(m.session.Participant) {
		return
	}
	l.tracker.SetPolicy(now, m.session.Participant, *p)
	l.send(m, protocol.EventPolicy, protocol.EventPolicy, wirePolicy(*p))
}

// extremes returns the policy with the shortest silence of all, by which the clock
// must keep time, and the longest time of each kind, which the module must
// not cut short.
func extremes(base grace.Policy, s *study.Study) (tightest, longest grace.Policy) {
	tightest, longest = base, base
	if s == nil {
		return
	}
	for _, p := range s.Policies() {
		if p.SilenceTimeout < tightest.SilenceTimeout {
			tightest = p
		}
		longest.LoadCap = max(longest.LoadCap, p.LoadCap)
		longest.ReconnectTimeout = max(longest.ReconnectTimeout, p.ReconnectTimeout)
		longest.BlockedTimeout = max(longest.BlockedTimeout, p.BlockedTimeout)
		longest.PageTimeout = max(longest.PageTimeout, p.PageTimeout)
	}
	return
}
