package health

import (
	"cmp"
	"fmt"
	"slices"

	"tombolo.io/tombolo/clustermesh"
)

// cluster is a cluster of the mesh.
type cluster struct {
	nodes map[string]*node
	said  said
}

// judge says what we think of another cluster: it is down when all that we watch
// of it failed our own bursts, whatever others saw. Our own is never down as a
// whole: we live in it.
func (m *Machine) judge(name string, c *cluster) clustermesh.Verdict {
	v := clustermesh.Verdict{Cluster: name, State: clustermesh.VerdictUp}
	if state := m.overrides[Name{Cluster: name}]; state != "" {
		return byHand(v, state)
	}
	if name == m.self.Cluster {
		v.Reason = "this cluster"
		return v
	}
	var up, unmonitored int
	var down []string
	deaf := ""
	for _, n := range c.nodes {
		deaf = cmp.Or(deaf, n.Deaf)
		switch {
		case n.everAnswered() && n.allDown():
			if n.watched {
				down = append(down, n.Node)
			}
		case n.everAnswered():
			if n.watched {
				up++
			}
		default:
			unmonitored++
		}
	}
	slices.Sort(down)
	switch {
	case up == 0 && len(down) > 0:
		v.State, v.AddressDown, v.PodsDown = clustermesh.VerdictDown, clustermesh.AllFamilies, clustermesh.AllFamilies
		v.Reason = fmt.Sprintf("all %d nodes of it that this node watches are down", len(down))
		for _, n := range down {
			v.Evidence = append(v.Evidence, m.evidence(c.nodes[n])...)
		}
		v.Evidence = v.Evidence[:min(len(v.Evidence), maxEvidence)]
	case deaf != "":
		v.State, v.Reason = clustermesh.VerdictUnmonitored, deaf
	case up == 0:
		v.State, v.Reason = clustermesh.VerdictUnmonitored, fmt.Sprintf("none of its %d nodes ever answered a probe from here: is UDP to the port of probes let through? tombolo check tells", unmonitored)
	case len(down) > 0:
		v.Reason = fmt.Sprintf("%d of the %d nodes of it that this node watches are down", len(down), up+len(down))
	}
	return v
}

// clusterDown reports whether a cluster was said to be down.
func (m *Machine) clusterDown(name string) bool {
	return m.clusters[name].said.verdict.State == clustermesh.VerdictDown
}
