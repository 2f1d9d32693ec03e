package health

import (
	"net/netip"
	"slices"
	"time"
)

// mesh is what is known of the mesh, as the machine takes it.
type mesh struct {
	self    Name
	sources []netip.Addr
	targets []Target
	fresh   map[string]bool
	ids     map[string]uint16
	// remembered says since when the store did not confirm what is known of a cluster,
	// which it has not listed since this process started.
	remembered map[string]time.Time
}

// mesh makes the targets of a survey.
func (s survey) mesh() mesh {
	m := mesh{self: Name{s.Cluster, s.Node}, fresh: map[string]bool{}, ids: map[string]uint16{}, remembered: map[string]time.Time{}}
	if me := s.me(); me != nil {
		m.sources = sources(me.Addresses)
	}
	for i := range s.Clusters {
		c := &s.Clusters[i]
		m.fresh[c.Name], m.ids[c.Name] = c.fresh, c.ID
		if c.remembered {
			m.remembered[c.Name] = c.Seen
		}
		for j := range c.Nodes {
			n := &c.Nodes[j]
			t := Target{Name: Name{c.Name, n.Name}, Deaf: c.Deaf, Draining: n.Draining}
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

// ask chooses the addresses by which to ask for a node: of a family that both
// have, its first address; and of each prefix of its pods the first address, whether
// a pod has it or not.
func ask(sources []netip.Addr, n *surveyedNode) (out [kinds]netip.Addr) {
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
