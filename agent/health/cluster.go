package health

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"tombolo.io/tombolo/clustermesh"
)

// cluster is a cluster of the mesh.
type cluster struct {
	nodes map[string]*node
	// draining says why it is drained as a whole, empty when it is not.
	draining string
	// lost is since when it is down by our own bursts, by family.
	lost [families]time.Time
	said said
}

// judge says what we think of another cluster: it is down, by a family or by both,
// when all that we watch of it, and a sample of what services use besides, failed our
// own bursts, whatever others saw. It is suspect while all that we watch is silent, and
// that is not confirmed of all. Our own is never down as a whole: we live in it.
func (m *Machine) judge(name string, c *cluster) clustermesh.Verdict {
	v := clustermesh.Verdict{Cluster: name, State: clustermesh.VerdictUp}
	if state := m.overrides[Name{Cluster: name}]; state != "" {
		return byHand(v, state)
	}
	if name == m.self.Cluster {
		v.Reason = "this cluster"
		if c.draining != "" {
			v.State, v.Reason = clustermesh.VerdictDraining, c.draining
		}
		return v
	}
	watched, fallen := c.muster()
	in := c.down()
	deaf, muted := c.deaf(), m.muted(c)
	dead := intersect(fallen[0], fallen[1])
	switch {
	case in != 0:
		v.State, v.AddressDown, v.PodsDown = clustermesh.VerdictDown, in, in
		v.Reason = fmt.Sprintf("all %d nodes of it that this node watches are down", len(watched))
		if in != clustermesh.AllFamilies {
			v.Reason += fmt.Sprintf(" by %v; %v answers", in, clustermesh.AllFamilies&^in)
		}
		for _, n := range watched {
			v.Evidence = append(v.Evidence, m.evidence(c.nodes[n])...)
		}
		v.Evidence = v.Evidence[:min(len(v.Evidence), maxEvidence)]
	case c.silent() && muted == "": // else it is not they who are silent
		v.State, v.Reason = clustermesh.VerdictSuspect, fmt.Sprintf("all %d nodes of it that this node watches are silent, not confirmed yet", len(watched))
	case c.draining != "":
		v.State, v.Reason = clustermesh.VerdictDraining, c.draining
	case muted != "":
		v.State, v.Reason = clustermesh.VerdictUnmonitored, "none of its nodes that this node watches can be asked: "+muted
	case deaf != "":
		v.State, v.Reason = clustermesh.VerdictUnmonitored, deaf
	case len(watched) == 0:
		v.State, v.Reason = clustermesh.VerdictUnmonitored, fmt.Sprintf("none of its %d nodes ever answered a probe from here: is UDP to the port of probes let through? tombolo check tells", c.strangers())
	case len(dead) > 0:
		v.Reason = fmt.Sprintf("%d of the %d nodes of it that this node watches are down", len(dead), len(watched))
	}
	return v
}

// muster returns the nodes that this one watches and that ever answered, by name, and
// which of them are down by each family.
func (c *cluster) muster() (watched []string, fallen [families][]string) {
	for _, n := range c.nodes {
		if n.watched && n.everAnswered() {
			watched = append(watched, n.Node)
		}
	}
	slices.Sort(watched)
	for f := range families {
		for _, name := range watched {
			if c.nodes[name].fallen(f) {
				fallen[f] = append(fallen[f], name)
			}
		}
	}
	return watched, fallen
}

// down returns the families in which none of the nodes that this one watches or samples
// is up, and some was. One that never answered may serve, for all we know, and speaks
// against it. Once that is so, one that is watched since has to be heard before it is
// up: of whom others watched, nobody has looked whether it is down.
func (c *cluster) down() (in clustermesh.Families) {
	for f := range families {
		monitored, up := false, false
		for _, n := range c.nodes {
			switch {
			case !n.watched && !n.sampled:
			case !n.everAnswered():
				up = up || c.lost[f].IsZero() && len(kindsOf(n)) > 0
			default:
				monitored = monitored || n.watched
				up = up || !n.fallen(f) && (c.lost[f].IsZero() || n.last(n.teller(f)).After(c.lost[f]))
			}
		}
		if monitored && !up {
			in |= f.set()
		}
	}
	return in
}

// silent says whether all that this node watches and that ever answered is down or
// suspect, and something is suspect.
func (c *cluster) silent() bool {
	suspect := false
	for _, n := range c.nodes {
		if !n.watched || !n.everAnswered() {
			continue
		}
		if n.suspect.IsZero() && !n.anyDown() {
			return false
		}
		suspect = suspect || !n.suspect.IsZero()
	}
	return suspect
}

// sound has the nodes of a cluster that are sampled confirm that it is down, once all that
// are watched fell by a family: nobody else may speak of them.
func (m *Machine) sound(n *node) {
	c := m.clusters[n.Cluster]
	if !n.watched || n.Cluster == m.self.Cluster {
		return
	}
	for f := range families {
		if !n.fallen(f) || !c.lost[f].IsZero() || c.watches(func(o *node) bool { return o.everAnswered() && !o.fallen(f) }) {
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(c.nodes)) {
			if o := c.nodes[name]; o.sampled && !o.watched && o.everAnswered() && !o.fallen(f) {
				m.suspect(o, false)
			}
		}
	}
}

// watches reports whether something is true of a node that is watched.
func (c *cluster) watches(is func(*node) bool) bool {
	for _, n := range c.nodes {
		if n.watched && is(n) {
			return true
		}
	}
	return false
}

// note notes since when it is down.
func (c *cluster) note(now time.Time) {
	in := c.down()
	for f := range families {
		switch {
		case !in.Has(f.set()):
			c.lost[f] = time.Time{}
		case c.lost[f].IsZero():
			c.lost[f] = now
		}
	}
}

// deaf says why some node does not answer us, if one does not.
func (c *cluster) deaf() (why string) {
	for _, n := range c.nodes {
		why = cmp.Or(why, n.Deaf)
	}
	return why
}

// strangers counts the nodes that never answered.
func (c *cluster) strangers() (out int) {
	for _, n := range c.nodes {
		if !n.everAnswered() {
			out++
		}
	}
	return out
}

func intersect(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(name string) bool { return !slices.Contains(b, name) })
}

// clusterDown reports whether a cluster was said to be down by a family.
func (m *Machine) clusterDown(name string, f family) bool {
	v := &m.clusters[name].said.verdict
	return v.State == clustermesh.VerdictDown && v.AddressDown.Has(f.set())
}
