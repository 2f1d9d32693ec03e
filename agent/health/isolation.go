package health

import (
	"time"

	"tombolo.io/tombolo/clustermesh"
)

// enough is how many nodes a cluster must have for one of them to compare itself
// with the others.
const enough = 3

// isolated reports whether it is we who hear nobody in a family: every other cluster
// and most nodes of the own one are silent at this moment.
func (m *Machine) isolated(f family) bool {
	own := m.clusters[m.self.Cluster]
	if own == nil || own.having(f) < enough {
		return false
	}
	for name, c := range m.clusters {
		heard, silent := m.survey(c, f)
		if name == m.self.Cluster && 2*silent <= heard+silent {
			return false
		}
		if name != m.self.Cluster && heard > 0 {
			return false
		}
	}
	return true
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

// goBlind looks whether we are isolated, by family, and notes where we are.
func (m *Machine) goBlind() (isolated [families]bool) {
	for f := range families {
		if isolated[f] = m.isolated(f); isolated[f] && m.blind[f].IsZero() {
			m.blind[f] = m.now
		}
	}
	return isolated
}

// survey counts whom of the watched nodes of a cluster we hear in a family and whom we
// did once but not now.
func (m *Machine) survey(c *cluster, f family) (heard, silent int) {
	for _, n := range c.nodes {
		if !n.monitors(f) || !n.watched && n.suspect.IsZero() && !n.fallen(f) {
			continue
		}
		wait := time.Duration(silences+1)*m.interval + m.patience(n, f)
		if n.fallen(f) || m.now.Sub(n.last(f)) > wait {
			silent++
		} else {
			heard++
		}
	}
	return heard, silent
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
		if !m.blind[f].IsZero() && !m.isolated(f) {
			m.blind[f] = time.Time{}
		}
	}
}
