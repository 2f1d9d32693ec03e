package health

import (
	"time"

	"tombolo.io/tombolo/clustermesh"
)

// enough is how many nodes a cluster must have for one of them to compare itself
// with the others.
const enough = 3

// outlook is whether we hear others in a family, so far as is known.
type outlook uint8

const (
	sees outlook = iota
	// unclear: some were not asked often enough since.
	unclear
	// isolated: it is we who hear nobody.
	isolated
)

// outlook says whether it is we who hear nobody in a family since a moment: every other
// cluster and most nodes of the own one are silent. Who is heard, or is not, counts from
// that moment only, for a reply of before it says nothing of what was cut then. But is
// known to be silent.
func (m *Machine) outlook(f family, since time.Time, but *node) outlook {
	own := m.clusters[m.self.Cluster]
	if own == nil || own.having(f) < enough {
		return sees
	}
	out := isolated
	for name, c := range m.clusters {
		heard, silent, open := m.survey(c, f, since, but)
		switch all := heard + silent + open; {
		case name == m.self.Cluster && 2*(silent+open) <= all || name != m.self.Cluster && heard > 0:
			return sees
		case name == m.self.Cluster && 2*silent <= all || name != m.self.Cluster && open > 0:
			out = unclear
		}
	}
	return out
}

// having counts the nodes that have an address of a family, this one among them.
func (c *cluster) having(f family) (out int) {
	for _, n := range c.nodes {
		if n.Ask[f.own()].IsValid() || n.Ask[f.pods()].IsValid() {
			out++
		}
	}
	return out
}

// patienceWithOthers is how often at most a burst that had silence is held because it is
// unclear whether we are isolated, each time for a moment in which the others are asked.
const patienceWithOthers = 10

// hold reports whether a burst has to wait with its verdict until it is clear whether we
// hear others, and has these asked: where the interval is long they had no turn since.
func (m *Machine) hold(n *node, b *burst) bool {
	held := false
	for f := range families {
		silent := func(k Kind) bool { return b.asks[k] && n.counts(k) && !b.answered[k] }
		if b.held >= patienceWithOthers || b.void[f] || !m.blind[f].IsZero() || !silent(f.own()) && !silent(f.pods()) ||
			m.outlook(f, b.began, n) != unclear {
			continue
		}
		held = true
		for _, o := range m.nodes {
			if o != n && o.compared(f) && m.hearing(o, f, b.began) == unclear {
				m.hasten(o, 0)
			}
		}
	}
	if held {
		b.held++
		b.next = m.now.Add(again)
	}
	return held
}

// goBlind looks whether we are isolated since a burst began, by family, and notes where
// we are. Where that stays unclear we are.
func (m *Machine) goBlind(n *node, b *burst) (out [families]bool) {
	for f := range families {
		if out[f] = m.outlook(f, b.began, n) != sees; out[f] && m.blind[f].IsZero() {
			m.blind[f] = m.now
		}
	}
	return out
}

// survey counts whom of the watched nodes of a cluster we hear in a family since a
// moment, whom we did once and do not, and of whom that is open.
func (m *Machine) survey(c *cluster, f family, since time.Time, but *node) (heard, silent, open int) {
	for _, n := range c.nodes {
		if !n.compared(f) {
			continue
		}
		switch is := m.hearing(n, f, since); {
		case n == but || is == isolated:
			silent++
		case is == sees:
			heard++
		default:
			open++
		}
	}
	return heard, silent, open
}

// compared reports whether it means something that a node is heard in a family, or not.
func (n *node) compared(f family) bool {
	return n.monitors(f) && (n.watched || !n.suspect.IsZero() || n.fallen(f))
}

// hearing says whether a node was heard in a family since a moment, and of late, or is
// silent: it fell, or did not answer as often as makes a suspicion.
func (m *Machine) hearing(n *node, f family, since time.Time) outlook {
	wait := time.Duration(silences+1)*m.interval + m.patience(n, f)
	last := n.last(f)
	switch {
	case n.fallen(f) || m.now.Sub(last) > wait || !n.counts(f.own()) && !n.counts(f.pods()):
		return isolated
	case last.After(since):
		return sees
	case n.streak[f] >= silences:
		return isolated
	}
	return unclear
}

// Blind returns since when this node hears nobody and judges nobody, and in which
// families; zero when it does.
func (m *Machine) Blind() (since time.Time, in clustermesh.Families) {
	for f := range families {
		if at := m.blind[f]; !at.IsZero() {
			in |= f.set()
			if since.IsZero() || at.Before(since) {
				since = at
			}
		}
	}
	return since, in
}

// Sees returns the families in which this node hears and judges others, or would.
func (m *Machine) Sees() (in clustermesh.Families) {
	own := m.clusters[m.self.Cluster]
	for f := range families {
		if m.blind[f].IsZero() && own != nil && own.having(f) > 0 {
			in |= f.set()
		}
	}
	return in
}

// lookAround ends blindness as soon as somebody is heard again.
func (m *Machine) lookAround() {
	if _, in := m.Blind(); in == 0 || m.now.Sub(m.looked) < m.interval {
		return
	}
	m.looked = m.now
	for f := range families {
		if !m.blind[f].IsZero() && m.outlook(f, m.blind[f], nil) == sees {
			m.blind[f] = time.Time{}
		}
	}
}
