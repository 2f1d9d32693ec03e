package health

import (
	"fmt"
	"net/netip"
	"slices"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/view"
)

// wanted are the kinds of the store that the shell looks at.
var wanted = []clustermesh.Kind{
	clustermesh.KindCluster, clustermesh.KindNodes, clustermesh.KindPeers, clustermesh.KindState, clustermesh.KindDrains,
}

// mesh is what the store says, as the machine takes it.
type mesh struct {
	self    Name
	sources []netip.Addr
	targets []Target
	fresh   map[string]bool
	ids     map[string]uint16
}

// survey looks at the mesh for a node; false while the own cluster or node is not
// known.
func survey(v *view.View, node string) (mesh, bool) {
	self, me := v.Self(), v.Node(view.Ours, node)
	if self == nil || me == nil || !v.Synced(view.Ours, clustermesh.KindNodes) {
		return mesh{}, false
	}
	stale, _ := v.Stale()
	m := mesh{
		self:    Name{self.Name, node},
		sources: sources(me),
		fresh:   map[string]bool{self.Name: stale.IsZero()},
		ids:     map[string]uint16{self.Name: self.ID},
	}
	m.add(v, view.Ours, self.Name)
	for name := range v.Mirrors() {
		if c := v.Cluster(name); c != nil {
			state := v.Mirror(name)
			m.fresh[c.Name] = stale.IsZero() && state != nil && state.Phase == clustermesh.MirrorSynced
			m.ids[c.Name] = c.ID
			m.add(v, name, c.Name)
		}
	}
	return m, true
}

// add adds the nodes of a cluster, under the name that it has in the mesh.
func (m *mesh) add(v *view.View, cluster, name string) {
	drains := map[string]string{}
	all := ""
	for d := range v.Drains(cluster) {
		text := fmt.Sprintf("drained since %s", d.Since.UTC().Format("2006-01-02T15:04:05Z"))
		if !d.Returning.IsZero() {
			text = fmt.Sprintf("coming back from a drain: %d.%d %% are moved away", d.Moved/10, d.Moved%10)
		}
		switch {
		case d.What == clustermesh.DrainNode:
			drains[d.Name] = text
		case d.What == clustermesh.DrainCluster && d.Name == name:
			all = "its cluster is " + text
		}
	}
	deaf := m.deaf(v, cluster, name)
	for n := range v.Nodes(cluster) {
		t := Target{Name: Name{name, n.Name}, Deaf: deaf, Draining: all}
		if deaf == "" {
			t.Ask = ask(m.sources, n)
		}
		if text := drains[n.Name]; text != "" {
			t.Draining = text
		} else if n.Draining {
			t.Draining = "cordoned"
		}
		m.targets = append(m.targets, t)
	}
}

// deaf says why the nodes of a cluster answer no probes of ours: they do that for
// nodes of their peers.
func (m *mesh) deaf(v *view.View, cluster, name string) string {
	if c := v.Cluster(cluster); cluster == view.Ours || c == nil || c.PeersWith(m.self.Cluster) {
		return ""
	}
	return fmt.Sprintf("cluster %s has no ClusterPeer %s, so that its nodes do not answer probes from here: add one there", name, m.self.Cluster)
}

// sources are a node's own addresses, one of each family.
func sources(n *clustermesh.Node) []netip.Addr {
	var out []netip.Addr
	for _, a := range n.Addresses {
		if !slices.ContainsFunc(out, func(o netip.Addr) bool { return o.Is4() == a.Is4() }) {
			out = append(out, a)
		}
	}
	return out
}

// ask chooses the addresses by which to ask for a node: of a family that both
// have, its first address; and of each prefix of its pods the first address, whether
// a pod has it or not.
func ask(sources []netip.Addr, n *clustermesh.Node) (out [kinds]netip.Addr) {
	mine := func(a netip.Addr) bool {
		return slices.ContainsFunc(sources, func(s netip.Addr) bool { return s.Is4() == a.Is4() })
	}
	if i := slices.IndexFunc(n.Addresses, mine); i >= 0 {
		out[Address] = n.Addresses[i]
	}
	for _, p := range n.PodCIDRs {
		if a := p.Masked().Addr(); mine(a) {
			if next := a.Next(); p.Contains(next) {
				a = next
			}
			out[Pods] = a
			break
		}
	}
	return out
}
