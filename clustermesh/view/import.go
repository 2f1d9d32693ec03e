package view

import (
	"iter"
	"net/netip"
	"slices"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/global"
)

// imports are the services that all clusters offer, as our own reaches them. An address
// that a Service of ours has is never an import's, whatever the import's key says: it
// may be of before, while nobody vouches for the table, and the address another's since.
type imports struct {
	// all are they, by the name of the service.
	all map[clustermesh.ServiceName]*clustermesh.ServiceImport
	// at are those that claim an address.
	at map[netip.Addr]Set[clustermesh.ServiceName]
	// owned counts in how many places a Service of ours has an address: in two while
	// it moves.
	owned map[netip.Addr]int
}

func newImports() imports {
	return imports{map[clustermesh.ServiceName]*clustermesh.ServiceImport{}, map[netip.Addr]Set[clustermesh.ServiceName]{}, map[netip.Addr]int{}}
}

// set keeps the import of a service, or forgets it.
func (m *imports) set(name clustermesh.ServiceName, i *clustermesh.ServiceImport) {
	if old := m.all[name]; old != nil {
		for _, a := range old.Service.ClusterIPs {
			if delete(m.at[a], name); len(m.at[a]) == 0 {
				delete(m.at, a)
			}
		}
	}
	if i == nil {
		delete(m.all, name)
		return
	}
	m.all[name] = i
	for _, a := range i.Service.ClusterIPs {
		claim := m.at[a]
		claim.add(name)
		m.at[a] = claim
	}
}

// own takes in that a Service of ours is another than before, nil for none.
func (m *imports) own(before, now *clustermesh.Service, c *Changes) {
	for a := range addressesOf(before) {
		if m.owned[a]--; m.owned[a] == 0 {
			delete(m.owned, a)
		}
		m.contest(a, c)
	}
	for a := range addressesOf(now) {
		m.owned[a]++
		m.contest(a, c)
	}
}

// contest marks the imports that claim an address.
func (m *imports) contest(a netip.Addr, c *Changes) {
	for name := range m.at[a] {
		c.Services.add(name.ClusterSet())
	}
}

func addressesOf(s *clustermesh.Service) iter.Seq[netip.Addr] {
	return func(yield func(netip.Addr) bool) {
		if s == nil {
			return
		}
		for _, ips := range [][]netip.Addr{s.ClusterIPs, s.LoadBalancerIPs, s.ExternalIPs} {
			for _, a := range ips {
				if !yield(a) {
					return
				}
			}
		}
	}
}

// reached returns the import of a service as a service of ours, under the addresses
// that are its own, or nil.
func (v *View) reached(base clustermesh.ServiceName) *clustermesh.Service {
	i := v.imports.all[base]
	if i == nil {
		return nil
	}
	owned := func(a netip.Addr) bool { return v.imports.owned[a] > 0 }
	if !slices.ContainsFunc(i.Service.ClusterIPs, owned) {
		return &i.Service
	}
	s := i.Service
	s.ClusterIPs = slices.DeleteFunc(slices.Clone(s.ClusterIPs), owned)
	return &s
}

// imported returns the import of a service: defined by our own cluster, with the
// endpoints of those that offer it, ours too if it does.
func (v *View) imported(name, base clustermesh.ServiceName) global.Input {
	in := global.Input{Name: name, Node: v.node, Zone: v.zone(), Drains: v.drainsOf(base)}
	var own []*part
	offers := false
	for _, p := range v.services[base] {
		switch c := p.place.cluster; {
		case p.place.origin.cluster == Ours:
			own = append(own, p)
			offers = offers || p.offered.value != nil
		case c != nil && !v.removed(p.place.origin.cluster) && p.offered.value != nil:
			e := export(c, p)
			e.Service = p.offered.value
			in.Exports = append(in.Exports, e)
		}
	}
	self := v.Self()
	if self == nil {
		return in
	}
	in.Self = self.Name
	s := v.reached(base)
	if s == nil {
		return in
	}
	e := export(self)
	if offers {
		e = export(self, own...)
	}
	e.Service = s
	in.Exports = append(in.Exports, e)
	return in
}

// touch marks a service, and its import if it has one.
func (v *View) touch(name clustermesh.ServiceName, c *Changes) {
	c.Services.add(name)
	if v.imports.all[name] != nil {
		c.Services.add(name.ClusterSet())
	}
}
