package health

import (
	"net/netip"
	"slices"
	"time"

	"tombolo.io/tombolo/clustermesh"
)

// Record is what is kept of a node while no agent runs: one that dies then is
// missed, and one that was down stays so until it has proved itself. Of a cluster, which
// has no node, it is kept that it is down, and by which family.
type Record struct {
	Name Name
	// Kinds is of how many kinds it says something: none where a version wrote it
	// that asked by one family, whose kinds stand first.
	Kinds     int
	Monitored [kinds]bool
	Down      [kinds]time.Time
	Falls     [kinds]int
	Life      [kinds]Life
	// Fell is when it fell last, Ask the address at which it was asked; zero where an
	// older version wrote it.
	Fell [kinds]time.Time
	Ask  [kinds]netip.Addr

	// left is when the node was one no more, zero unless this process saw that.
	left time.Time
}

// Records returns what is worth to be kept, by name: also what was remembered of
// clusters of which no node was met yet.
func (m *Machine) Records() []Record {
	out := []Record{}
	for name, r := range m.memory {
		if m.clusters[name.Cluster] == nil && r.left.IsZero() {
			out = append(out, r)
		}
	}
	for _, n := range m.nodes {
		if !n.everAnswered() {
			continue
		}
		out = append(out, n.record())
	}
	for name, c := range m.clusters {
		r := Record{Name: Name{Cluster: name}, Kinds: int(kinds)}
		for f := range families {
			r.Down[f.own()] = c.lost[f]
		}
		if c.lost != [families]time.Time{} && name != m.self.Cluster {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b Record) int { return compareNames(a.Name, b.Name) })
	return out
}

// lapsed reports whether the node is one no more for so long that it does not count.
func (r Record) lapsed(now time.Time) bool { return !r.left.IsZero() && now.Sub(r.left) >= lapses }

func (n *node) record() Record {
	r := Record{Name: n.Name, Kinds: int(kinds), Ask: n.Ask}
	for k := range kinds {
		t := &n.track[k]
		r.Monitored[k], r.Down[k], r.Falls[k], r.Life[k], r.Fell[k] = t.monitored, t.down, t.falls, t.before, t.fell
	}
	return r
}

// moved returns what was kept by a version that asked by one family, as if that was
// IPv6.
func (r Record) moved() Record {
	out := Record{Name: r.Name}
	for k := range Address6 {
		to := k + Address6
		out.Monitored[to], out.Down[to], out.Falls[to], out.Life[to] = r.Monitored[k], r.Down[k], r.Falls[k], r.Life[k]
	}
	return out
}

// Remember gives the machine what was kept, before it knows any node.
func (m *Machine) Remember(all []Record) {
	for _, r := range all {
		m.memory[r.Name] = r
	}
}

// recallCluster gives a cluster that is met what was kept of it: it is down until
// somebody of it is heard, for not all of its nodes may be known to be.
func (m *Machine) recallCluster(name string, c *cluster, now time.Time) {
	r := m.memory[Name{Cluster: name}]
	delete(m.memory, r.Name)
	for f := range families {
		if !r.Down[f.own()].IsZero() {
			c.lost[f] = now
		}
	}
}

// recall gives a node that is met what was kept of it.
func (m *Machine) recall(n *node) {
	r, ok := m.memory[n.Name]
	if !ok {
		return
	}
	delete(m.memory, n.Name)
	if r.lapsed(n.met) {
		return
	}
	for k := range kinds {
		t := &n.track[k]
		t.monitored, t.down, t.falls, t.before, t.fell = r.Monitored[k], r.Down[k], r.Falls[k], r.Life[k], r.Fell[k]
		if t.falls > 0 && (t.fell.IsZero() || t.fell.After(m.now)) {
			t.fell = m.now // as if, also where the clock was set back
		}
		if r.Ask[k].IsValid() && r.Ask[k] != n.Ask[k] {
			*t = t.elsewhere(n.Ask[k])
		}
		if t.monitored && t.down.IsZero() {
			t.last = m.now // as if: silence counts from now
		}
	}
}

// Proven returns the families in which a node's own addresses, and those of its pods,
// answered since the machine began, so that nothing that was known before speaks
// against them; of a cluster both are the families in which something of it did. What is not
// asked follows the same of the other family, and else has nothing to prove.
func (m *Machine) Proven(who Name) (own, pods clustermesh.Families) {
	if who.Node == "" {
		in := m.provenOf(who.Cluster)
		return in, in
	}
	n := m.nodes[who]
	if n == nil || who == m.self {
		return clustermesh.AllFamilies, clustermesh.AllFamilies
	}
	for f := range families {
		if n.proven(f.own()) {
			own |= f.set()
		}
		if n.proven(f.pods()) {
			pods |= f.set()
		}
	}
	return own, pods
}

func (n *node) proven(k Kind) bool {
	if other := k.other(); !n.Ask[k].IsValid() && n.Ask[other].IsValid() {
		k = other
	}
	return !n.Ask[k].IsValid() || n.track[k].heard
}

// provenOf is Proven of a cluster.
func (m *Machine) provenOf(cluster string) (in clustermesh.Families) {
	var asked, heard [families]bool
	if c := m.clusters[cluster]; c != nil && cluster != m.self.Cluster {
		for _, n := range c.nodes {
			for _, k := range kindsOf(n) {
				asked[k.family()] = true
				heard[k.family()] = heard[k.family()] || n.track[k].heard
			}
		}
	}
	for f := range families {
		by := f
		if !asked[by] {
			by = 1 - by
		}
		if asked[by] == heard[by] {
			in |= f.set()
		}
	}
	return in
}

// kindsOf returns the kinds that are asked of a node.
func kindsOf(n *node) []Kind {
	asked, _ := n.asked()
	return asked
}
