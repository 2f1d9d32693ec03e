package health

import (
	"time"

	"tombolo.io/tombolo/clustermesh"
)

// Unsent is a probe that our own kernel did not send, and why. That says nothing of the
// node that was to be asked: it is we who cannot judge it, and have to say so.
type Unsent struct {
	ID  uint64
	Why string
}

// unheard is for how long, and silences how often in a row, a probe is not sent before
// that is told: a queue may be full for a moment.
const unheard = time.Second

// gag is what keeps probes of a kind from being sent, since when, and how often in a row;
// zero while they are sent.
type gag struct {
	why   string
	since time.Time
	times int
}

// holds reports whether that is no matter of a moment.
func (g *gag) holds(now time.Time) bool {
	return g.times >= silences && now.Sub(g.since) >= unheard
}

// unsent takes a probe back.
func (m *Machine) unsent(u Unsent) {
	f := m.flights[u.ID]
	if f == nil {
		return
	}
	m.land(f)
	if f.burst != nil {
		f.burst.void[f.kind.family()] = true
	}
	g := &f.node.track[f.kind].gag
	if g.times == 0 {
		g.since = m.now
	}
	g.times++
	g.why = u.Why
	m.touch(f.node.Name)
}

// leaves notes that a probe was sent.
func (m *Machine) leaves(f *flight) {
	if t := &f.node.track[f.kind]; t.gag.times > 0 && f.sent.After(t.gag.since) {
		t.gag = gag{}
		m.touch(f.node.Name)
	}
}

// mute says what of a node cannot be asked from here, and why; empty when all can.
// Wholly: of what tells of it, nothing can.
func (m *Machine) mute(n *node) (why string, wholly bool) {
	wholly = true
	what := ""
	for k := range kinds {
		switch t := &n.track[k]; {
		case !n.Ask[k].IsValid():
		case t.gag.holds(m.now):
			if what != "" {
				what += " and its "
			}
			what += n.call(k)
			why = t.gag.why
		case t.monitored || !n.everAnswered():
			wholly = false
		}
	}
	if what == "" {
		return "", false
	}
	return "this node cannot send probes to its " + what + ": " + why, wholly
}

// muted says why no node of a cluster that this one watches can be asked; empty when
// one can.
func (m *Machine) muted(c *cluster) (why string) {
	for _, n := range c.nodes {
		if !n.watched {
			continue
		}
		w, wholly := m.mute(n)
		if !wholly {
			return ""
		}
		why = w
	}
	return why
}

// confess adds to a verdict about a node what of it cannot be asked, without which it
// would read as health.
func (m *Machine) confess(n *node, v *clustermesh.Verdict) {
	why, wholly := m.mute(n)
	if why == "" || n.Name == m.self {
		return
	}
	if wholly && (v.State == clustermesh.VerdictUp || v.State == clustermesh.VerdictSuspect || v.State == clustermesh.VerdictUnmonitored) {
		v.State, v.Reason, v.Evidence = clustermesh.VerdictUnmonitored, why, nil
		return
	}
	if v.Reason != "" {
		why = v.Reason + "; " + why
	}
	v.Reason = why
}
