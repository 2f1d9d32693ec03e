package health

import (
	"slices"
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
	out := m.count(own, f, since, but).own()
	for name, c := range m.clusters {
		if name != m.self.Cluster {
			out = min(out, m.count(c, f, since, but).other())
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
// hear others.
func (m *Machine) hold(n *node, b *burst) bool {
	if b.held >= patienceWithOthers || !m.askOthers(n, b) {
		return false
	}
	b.held++
	b.next = m.now.Add(again)
	return true
}

// askOthers reports whether it is unclear if it is we who hear nobody since a burst that
// had silence began, and asks those of whom that is open: where the interval is long, or
// others watch them, they had no turn since.
func (m *Machine) askOthers(n *node, b *burst) bool {
	unsure := false
	for f := range families {
		silent := func(k Kind) bool { return b.asks[k] && n.counts(k) && !b.answered[k] }
		if b.void[f] || !m.blind[f].IsZero() || !silent(f.own()) && !silent(f.pods()) || m.outlook(f, b.began, n) != unclear {
			continue
		}
		unsure = true
		m.glance(again/2, b.began, func(o *node) bool {
			return o != n && m.compared(o, f, b.began) && m.hearing(o, f, b.began) == unclear
		})
	}
	return unsure
}

// glance asks nodes beside their turns, each once in a while at most and by name, as far
// as the budget of bursts goes.
func (m *Machine) glance(every time.Duration, since time.Time, at func(*node) bool) {
	var all []*node
	for _, o := range m.nodes {
		if m.now.Sub(o.glanced) >= every && at(o) {
			all = append(all, o)
		}
	}
	slices.SortFunc(all, func(a, b *node) int { return compareNames(a.Name, b.Name) })
	for _, o := range all {
		asked, _ := o.counting()
		if m.tokens < float64(len(asked)) {
			return
		}
		m.tokens -= float64(len(asked))
		if !o.watched && o.glanced.Before(since) {
			o.streak = [families]int{} // of another time
		}
		o.glanced = m.now
		for _, k := range asked {
			m.send(o, k, nil)
		}
		m.hasten(o, m.knobs.Sweep)
	}
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

// tally is how many nodes of a cluster we hear, how many we did once and do not, of how
// many that is open, and how many fell before and say nothing of now.
type tally struct{ heard, silent, open, fell int }

// own is what a tally of the own cluster tells. Nobody who ever answered is nobody to
// compare with; where all fell before, nobody speaks for us.
func (t tally) own() outlook {
	switch all := t.heard + t.silent + t.open; {
	case all == 0 && t.fell > 0:
		return isolated
	case 2*(t.silent+t.open) <= all:
		return sees
	case 2*t.silent <= all:
		return unclear
	}
	return isolated
}

// other is what one of another cluster tells.
func (t tally) other() outlook {
	switch {
	case t.heard > 0:
		return sees
	case t.open > 0:
		return unclear
	}
	return isolated
}

// count looks at a cluster in a family, as of a moment.
func (m *Machine) count(c *cluster, f family, since time.Time, but *node) (out tally) {
	for _, n := range c.nodes {
		switch is := m.hearing(n, f, since); {
		case !m.compared(n, f, since):
			if n.monitors(f) && n.fallen(f) {
				out.fell++
			}
		case n == but || is == isolated:
			out.silent++
		case is == sees:
			out.heard++
		default:
			out.open++
		}
	}
	return out
}

// compared reports whether it means something that a node is heard in a family since a
// moment, or not. Of the own cluster those are compared that are watched and a sample of
// the others, whether suspect or not, so that the dead count for no more than the living;
// who fell before says nothing of now. Who falls silent together is down within the time
// in which a death is found.
func (m *Machine) compared(n *node, f family, since time.Time) bool {
	switch {
	case !n.monitors(f):
		return false
	case n.Cluster != m.self.Cluster:
		return n.watched || !n.suspect.IsZero() || n.fallen(f)
	}
	return (n.watched || n.sampled) && !(n.fallen(f) && n.fellIn(f).Before(since.Add(-m.Expected())))
}

// fellIn is when the last of what makes it fallen in a family went down.
func (n *node) fellIn(f family) time.Time {
	f = n.teller(f)
	own, pods := n.track[f.own()].down, n.track[f.pods()].down
	if pods.After(own) {
		return pods
	}
	return own
}

// hearing says whether a node was heard in a family since a moment, and of late, or is
// silent: it fell, or did not answer as often as makes a suspicion. Who is not watched had
// no turn lately, and is silent only if asked since.
func (m *Machine) hearing(n *node, f family, since time.Time) outlook {
	wait := time.Duration(silences+1)*m.interval + m.patience(n, f)
	last := n.last(f)
	switch {
	case n.fallen(f) || n.watched && m.now.Sub(last) > wait || !n.counts(f.own()) && !n.counts(f.pods()):
		return isolated
	case last.After(since):
		return sees
	case n.streak[f] >= silences && (n.watched || !n.glanced.Before(since)):
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

// While we are blind nodes that others watch are asked every lookEvery, and whom we heard
// counts for lookBack.
const (
	lookEvery = 500 * time.Millisecond
	lookBack  = 2 * time.Second
)

// lookAround ends blindness as soon as others are heard again.
func (m *Machine) lookAround() {
	if _, in := m.Blind(); in == 0 || m.now.Sub(m.looked) < m.interval {
		return
	}
	m.looked = m.now
	for f := range families {
		since := m.blind[f]
		if since.IsZero() {
			continue
		}
		if old := m.now.Add(-lookBack - time.Duration(silences)*m.interval); old.After(since) {
			since = old
		}
		if m.outlook(f, since, nil) == sees {
			m.blind[f] = time.Time{}
			continue
		}
		m.glance(lookEvery, since, func(o *node) bool {
			return !o.watched && o.Cluster == m.self.Cluster && m.compared(o, f, since) && !o.fallen(f)
		})
	}
}
