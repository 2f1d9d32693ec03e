package health

import (
	"net/netip"
	"slices"
	"time"

	"tombolo.io/tombolo/clustermesh"
)

// mesh is what is known of the mesh, as the machine takes it.
type mesh struct {
	self    Name
	sources []netip.Addr
	targets []Target
	mirrors map[string]Mirror
	ids     map[string]uint16
	// remembered says since when the store did not confirm what is known of a cluster,
	// which it has not listed since this process started.
	remembered map[string]time.Time
}

// mesh makes the targets of a survey.
func (s survey) mesh() mesh {
	m := mesh{self: Name{s.Cluster, s.Node}, mirrors: map[string]Mirror{}, ids: map[string]uint16{}, remembered: map[string]time.Time{}}
	if me := s.me(); me != nil {
		m.sources = sources(me.Addresses)
	}
	for i := range s.Clusters {
		c := &s.Clusters[i]
		m.mirrors[c.Name], m.ids[c.Name] = c.mirror, c.ID
		if c.remembered {
			m.remembered[c.Name] = c.Seen
		}
		for j := range c.Nodes {
			n := &c.Nodes[j]
			t := Target{Name: Name{c.Name, n.Name}, Deaf: c.Deaf, Draining: n.Draining, ClusterDraining: c.Draining}
			if c.Deaf == "" {
				t.Ask = ask(m.sources, n)
			}
			m.targets = append(m.targets, t)
		}
	}
	return m
}

// sources are a node's own addresses, one of each family.
func sources(addresses []netip.Addr) []netip.Addr {
	var out []netip.Addr
	for _, a := range addresses {
		if !slices.ContainsFunc(out, func(o netip.Addr) bool { return o.Is4() == a.Is4() }) {
			out = append(out, a)
		}
	}
	return out
}

// firsts are the families by which a version asked that asked by one: that of a
// node's first address which this node has too.
func (s survey) firsts() map[Name]clustermesh.Families {
	out, mine := map[Name]clustermesh.Families{}, clustermesh.Families(0)
	for _, a := range s.mesh().sources {
		mine |= clustermesh.FamilyOf(a)
	}
	for _, c := range s.Clusters {
		for _, n := range c.Nodes {
			if i := slices.IndexFunc(n.Addresses, func(a netip.Addr) bool { return mine.Has(clustermesh.FamilyOf(a)) }); i >= 0 {
				out[Name{c.Name, n.Name}] = clustermesh.FamilyOf(n.Addresses[i])
			}
		}
	}
	return out
}

// ask chooses the addresses by which to ask for a node: of each family that both
// have, its first address, and the first of the first prefix of its pods, whether a
// pod has it or not.
func ask(sources []netip.Addr, n *surveyedNode) (out [kinds]netip.Addr) {
	for f := range families {
		of := func(a netip.Addr) bool { return clustermesh.FamilyOf(a) == f.set() }
		if !slices.ContainsFunc(sources, of) {
			continue
		}
		if i := slices.IndexFunc(n.Addresses, of); i >= 0 {
			out[f.own()] = n.Addresses[i]
		}
		if i := slices.IndexFunc(n.PodCIDRs, func(p netip.Prefix) bool { return of(p.Addr()) }); i >= 0 {
			p := n.PodCIDRs[i].Masked()
			out[f.pods()] = p.Addr()
			if next := p.Addr().Next(); p.Contains(next) {
				out[f.pods()] = next
			}
		}
	}
	return out
}
