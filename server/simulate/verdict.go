package simulate

import (
	"fmt"
	"time"

	"initgrace/grace"
	"initgrace/grace/protocol"
)

// A record is what really happened in one episode. Its instants are real.
type record struct {
	Episode
	subject string
	began   time.Time
	fault   time.Time // when it was injected
	back    time.Time // cut off: when the participant could be reached again
	end     time.Time

	// The lease runs out in between: it was asked for so long before the first
	// and granted so long before the second.
	leaseFrom, leaseTo time.Time

	before, beforeToo uint64   // Seq of the last notice before, about the subject and about the partner
	told              []notice // to the partner, from began to end
	trouble           []string // what kept the script from being played
	repeated          bool     // for the partner, to whom the same happened
}

// A verdict is what the partner was told, compared with the record.
type verdict struct {
	falseDrops []string // one sentence each
	missed     []string
	detection  time.Duration // from the fault to the first word of it; negative: none
	gone       time.Duration // from the fault to the end of the seat
	returned   time.Duration // from being reachable to being told so
	reasons    []protocol.Reason

	policy *grace.Policy
	stood  func(from, to time.Time) time.Duration
}

// tolerance is what everything may take beyond what the policy promises: an
// answer that was just missed, and half of that for the machine.
func tolerance(p *grace.Policy) time.Duration { return p.ProbeInterval * 3 / 2 }

// due is when a verdict is promised, on the policy's word.
func (r *record) due(p *grace.Policy) time.Time {
	switch r.Kind {
	case Cut, CutUp, CutDown, Change, Silent, DeadUp, DeadDown:
		return r.fault.Add(p.SilenceTimeout)
	case Frozen: // asked when the page has been silent for BlockedAfter, or at the next probe
		return r.fault.Add(p.BlockedAfter + p.ProbeInterval)
	case Overlong:
		return r.leaseTo
	}
	return r.fault // the connection was closed, which can be seen
}

// Bound is the longest that detection may take in a row of the table.
func bound(p *grace.Policy, k Kind) time.Duration {
	r := record{Episode: Episode{Kind: k}}
	return r.due(p).Sub(r.fault) + tolerance(p)
}

// seat is the time in which the seat of who died must be given up, if away was
// told at that instant.
func (r *record) seat(p *grace.Policy, away time.Time) (from, to time.Time) {
	switch r.Kind {
	case Closed, Left:
		return r.fault.Add(p.LeaveTimeout), away.Add(p.LeaveTimeout)
	case Frozen: // counted from the page's last sign of life, not later than the fault
		return r.fault.Add(p.BlockedTimeout - 2*p.BlockedAfter), r.fault.Add(p.BlockedTimeout)
	case Overlong: // from where the lease ran out
		return r.leaseFrom.Add(p.BlockedTimeout), r.leaseTo.Add(p.BlockedTimeout)
	}
	from, to = r.fault.Add(p.ReconnectTimeout), away.Add(p.ReconnectTimeout)
	if r.While == Loading {
		from, to = latest(from, r.leaseFrom), latest(to, r.leaseTo)
	}
	return from, to
}

// judge compares what happened with what the partner was told. The policy is the
// one that was in force, scaled; stood says for how long the machine stood still
// between two instants.
func judge(p *grace.Policy, r *record, stood func(from, to time.Time) time.Duration) *verdict {
	v := &verdict{policy: p, stood: stood, detection: -1, gone: -1, returned: -1}
	for _, n := range r.told {
		if n.lost() {
			v.reasons = append(v.reasons, n.Reason)
		}
	}
	switch r.Class {
	case Alive:
		v.alive(r)
	case CutOff:
		v.cutOff(r)
	case Dies:
		v.dies(r)
	}
	return v
}

// late says whether something came later than was promised at an instant.
func (v *verdict) late(at, promised, came time.Time) bool {
	return came.After(promised.Add(tolerance(v.policy) + v.stood(at, came)))
}

func (v *verdict) wrong(r *record, n notice, why string) {
	v.falseDrops = append(v.falseDrops, r.says(n)+": "+why)
}

func (r *record) says(n notice) string {
	return fmt.Sprintf("%s: told %s (%s) %v after the fault", r, n.State, n.Reason, round(n.at.Sub(r.fault)))
}

func (r *record) String() string {
	return fmt.Sprintf("%s, %s while %s", r.subject, r.Kind, r.While)
}

func (v *verdict) alive(r *record) {
	for _, n := range r.told {
		if n.lost() {
			v.wrong(r, n, "alive and reachable")
		}
	}
	// Who is frozen too is told the latest state only; a change in between
	// shows in the count.
	if k := len(r.told); r.Kind == BothLoad && k > 0 && r.told[k-1].Seq != r.before+2 {
		v.wrong(r, r.told[k-1], fmt.Sprintf("%d changes in place of 2", r.told[k-1].Seq-r.before))
	}
}

func (v *verdict) cutOff(r *record) {
	away := false
	for _, n := range r.told {
		switch {
		case n.State == protocol.Gone:
			v.wrong(r, n, "the participant came back in time")
		case n.lost() && n.at.Before(r.fault):
			v.wrong(r, n, "nothing had happened yet")
		case n.lost() && !r.back.IsZero() && v.late(r.back, r.back, n.at):
			v.wrong(r, n, "the participant was back already")
		case n.lost():
			v.detected(r, n)
			away = true
		case away:
			away = false
			v.returned = max(n.at.Sub(r.back), 0)
			if v.late(r.back, r.back.Add(v.policy.SilenceTimeout), n.at) {
				v.wrong(r, n, "away until now, and reachable since long")
			}
		}
	}
	v.inTime(r)
	if k := len(r.told); away {
		v.wrong(r, r.told[k-1], "for ever, and reachable")
	}
}

func (v *verdict) dies(r *record) {
	var away, gone notice
	frozen := r.Kind == Frozen || r.Kind == Overlong // of which the first word is another one
	for _, n := range r.told {
		blocked := n.State == protocol.Blocked
		switch {
		case (n.lost() || blocked && r.Kind == Overlong) && n.at.Before(r.fault):
			v.wrong(r, n, "nothing had happened yet")
			continue
		case n.State == protocol.Away && frozen:
			v.wrong(r, n, "the browser answers")
		}
		if n.lost() || blocked && frozen && !n.at.Before(r.fault) {
			v.detected(r, n)
		}
		if n.State == protocol.Away {
			away = n
		}
		if n.State == protocol.Gone {
			if gone.Seq > 0 {
				v.wrong(r, n, "a second time")
			}
			gone = n
			v.gone = max(n.at.Sub(r.fault), 0)
		}
	}
	v.inTime(r)
	if v.detection < 0 {
		return
	}
	if away.at.IsZero() {
		away = gone
	}
	from, to := r.seat(v.policy, away.at)
	switch {
	case gone.Seq == 0:
		v.missed = append(v.missed, r.String()+": the seat was never given up")
	case gone.at.Before(from.Add(-grain)):
		v.wrong(r, gone, fmt.Sprintf("the seat was to be held %v longer", round(from.Sub(gone.at))))
	case v.late(r.fault, to, gone.at):
		v.missed = append(v.missed, fmt.Sprintf("%s: the seat was held %v too long", r.says(gone), round(gone.at.Sub(to))))
	}
}

// grain is what rounding to milliseconds on the wire may cost.
const grain = 5 * time.Millisecond

// detected notes the first verdict after the fault.
func (v *verdict) detected(r *record, n notice) {
	if v.detection >= 0 {
		return
	}
	v.detection = max(n.at.Sub(r.fault), 0)
}

// inTime checks the first verdict against the bound.
func (v *verdict) inTime(r *record) {
	promised := r.due(v.policy)
	switch {
	case v.detection < 0:
		v.missed = append(v.missed, r.String()+": the partner was never told")
	case v.late(r.fault, promised, r.fault.Add(v.detection)):
		v.missed = append(v.missed, fmt.Sprintf("%s: told after %v, promised after %v", r, round(v.detection), round(promised.Sub(r.fault))))
	}
}

func round(d time.Duration) time.Duration { return d.Round(time.Millisecond) }

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
