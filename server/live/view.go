package live

import (
	"encoding/json"
	"fmt"
)

// A View is what a viewer knows: messages, applied. The zero value is empty.
type View struct {
	Now      int64 // the server's clock at the last message
	Run      string
	Policy   json.RawMessage
	Complete bool // everything that a snapshot had is here
	Lanes    map[string]*Lane
	Totals   Totals
	Points   []Point
}

// Apply takes the next message, as Next gave it.
func (v *View) Apply(text []byte) error {
	var m Message
	if err := json.Unmarshal(text, &m); err != nil {
		return fmt.Errorf("a live message: %w", err)
	}
	if m.Reset {
		*v = View{Run: m.Run, Policy: m.Policy, Lanes: make(map[string]*Lane)}
	}
	if v.Lanes == nil {
		return fmt.Errorf("a live message before the first snapshot")
	}
	v.Now, v.Complete = m.Now, v.Complete || m.Complete
	if m.Totals != nil {
		v.Totals = *m.Totals
	}
	for _, l := range m.Lanes {
		v.lane(l)
	}
	for _, name := range m.Forgotten {
		delete(v.Lanes, name)
	}
	for name, ms := range m.Latency {
		if l := v.Lanes[name]; l != nil {
			l.PongMS, l.PingMS = ms[0], ms[1]
		}
	}
	v.Points = append(v.Points, m.Points...)
	v.Points = v.Points[max(len(v.Points)-keepPoints, 0):]
	return nil
}

func (v *View) lane(l Lane) {
	if was := v.Lanes[l.Participant]; was != nil {
		sections, loads := append(was.Sections, l.Sections...), was.Loads
		for _, load := range l.Loads {
			known := false
			for i := range loads {
				if loads[i].ID == load.ID && loads[i].Start == load.Start {
					loads[i], known = load, true
				}
			}
			if !known {
				loads = append(loads, load)
			}
		}
		gaps := append(was.Gaps, l.Gaps...)
		l.Gaps = gaps[max(len(gaps)-KeepGaps, 0):]
		l.Sections, l.Loads = sections[max(len(sections)-KeepSections, 0):], loads[max(len(loads)-KeepLoads, 0):]
	}
	v.Lanes[l.Participant] = &l
}
