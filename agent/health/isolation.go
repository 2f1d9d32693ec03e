package health

import "time"

// enough is how many nodes a cluster must have for one of them to compare itself
// with the others.
const enough = 3

// isolated reports whether it is we who hear nobody: every other cluster and most
// nodes of the own one are silent at this moment.
func (m *Machine) isolated() bool {
	own := m.clusters[m.self.Cluster]
	if own == nil || len(own.nodes) < enough {
		return false
	}
	for name, c := range m.clusters {
		heard, silent := m.survey(c)
		if name == m.self.Cluster && 2*silent <= heard+silent {
			return false
		}
		if name != m.self.Cluster && heard > 0 {
			return false
		}
	}
	return true
}

// survey counts whom of the watched nodes of a cluster we hear and whom we did
// once but not now.
func (m *Machine) survey(c *cluster) (heard, silent int) {
	for _, n := range c.nodes {
		if !n.everAnswered() || !n.watched && n.suspect.IsZero() && !n.anyDown() {
			continue
		}
		last := n.track[Address].last
		if n.track[Pods].last.After(last) {
			last = n.track[Pods].last
		}
		wait := time.Duration(silences+1)*m.interval + max(m.timeout(n, Address), m.timeout(n, Pods))
		if n.allDown() || m.now.Sub(last) > wait {
			silent++
		} else {
			heard++
		}
	}
	return heard, silent
}

// Blind returns since when this node hears nobody and judges nobody; zero when
// it does.
func (m *Machine) Blind() time.Time { return m.blind }

// lookAround ends blindness as soon as somebody is heard again.
func (m *Machine) lookAround() {
	if !m.blind.IsZero() && m.now.Sub(m.looked) >= m.interval {
		if m.looked = m.now; !m.isolated() {
			m.blind = time.Time{}
		}
	}
}
