package global

import (
	"cmp"
	"net/netip"
	"slices"

	"tombolo.io/tombolo/clustermesh"
)

// candidate is an endpoint behind a port, whatever its state.
type candidate struct {
	Backend
	m         *member
	condition condition
	// down is what our verdicts say, ejected why it is, and empty if it is not;
	// kept is the share that is not drained.
	down    bool
	ejected string
	kept    Share
	// rank is the place of the cluster: those of the lowest rank come first.
	rank int
	in   table
}

// table is one of the two of a port.
type table uint8

const (
	inNone table = iota
	inPrimary
	inBackup
)

// The resorts, best first. Of those who are ejected there are as many again, of
// those who are down, and of those who are both: they come up only when all that
// would come before are so too.
const (
	serving = iota // ready, and not wholly drained
	drained
	ends
	resorts // how many these are

	ejected = resorts     // added for who is ejected
	down    = 2 * resorts // added for who is down by our verdict
	nobody  = 4 * resorts // who must not be used, whatever there is besides
)

// resort returns the place of a candidate among the resorts.
func (c *candidate) resort() int {
	r := serving
	switch {
	case c.condition <= notReady:
		return nobody
	case c.condition == ending:
		r = ends
	case c.kept == 0:
		r = drained
	}
	if c.ejected != "" {
		r += ejected
	}
	if c.down {
		r += down
	}
	return r
}

// serves reports whether a resort is of those who are ready and not drained.
func serves(resort int) bool { return resort < nobody && resort%resorts == serving }

// usable reports whether a candidate is of a resort and in no table yet.
func (c *candidate) usable(resort int) bool { return c.in == inNone && c.resort() == resort }

// aside reports whether a candidate is in no table, though it is there.
func (c *candidate) aside() bool { return c.in == inNone && c.condition != withdrawn }

// bestResort returns the best that some candidate has.
func bestResort(cs []candidate) int {
	best := nobody
	for i := range cs {
		best = min(best, cs[i].resort())
	}
	return best
}

// candidates appends to out the endpoints of one family behind a service port, each
// address and port once, in no particular order.
func (m *merge) candidates(out []candidate, sp clustermesh.ServicePort, v6 bool) []candidate {
	for i := range m.parts {
		if p := &m.parts[i]; p.part.Reason != "" {
			m.notes.leaveAll(p, v6, StepCluster, p.part.Reason)
		}
	}
	out = slices.Grow(out, m.endpoints)
	for _, part := range m.merged {
		name, ok := portName(m.def, sp, part.Service)
		if !ok {
			m.notes.leaveAll(part, v6, StepPort, "its cluster's Service has no such port")
			continue
		}
		part.common = true
		from := len(out)
		out = m.appendCandidates(out, part, sp, name, v6)
		out = append(out[:from], m.once(out[from:])...)
	}
	return out
}

// appendCandidates appends a cluster's endpoints behind a service port, which has
// this name there.
func (m *merge) appendCandidates(out []candidate, part *member, sp clustermesh.ServicePort, name string, v6 bool) []candidate {
	rank := rank(m.def.Affinity, part)
	all := part.Slices
	if !slices.IsSortedFunc(all, bySliceName) {
		all = slices.SortedFunc(slices.Values(all), bySliceName)
	}
	for _, s := range all {
		at := slices.IndexFunc(s.Ports, func(p clustermesh.EndpointPort) bool {
			return p.Name == name && p.Protocol == sp.Protocol
		})
		for i := range s.Endpoints {
			e := &s.Endpoints[i]
			switch {
			case e.Address.Is6() != v6:
				if !m.reaches(!v6) {
					m.notes.leave(part, e, 0, StepFamily, "the service has no address of its family")
				}
			case at < 0:
				m.notes.leave(part, e, 0, StepPort, "its slice has no such port")
			case part.lost[e.Address] != "":
				m.notes.leave(part, e, s.Ports[at].Port, StepAddress, "cluster "+part.lost[e.Address]+" has its address")
			default:
				out = append(out, m.candidate(part, e, s.Ports[at].Port, rank))
				m.eject(&out[len(out)-1], sp)
			}
		}
	}
	return out
}

// reaches reports whether the service has an address of a family.
func (m *merge) reaches(v6 bool) bool {
	of := func(a netip.Addr) bool { return a.Is6() == v6 }
	return slices.ContainsFunc(m.def.ClusterIPs, of) || slices.ContainsFunc(m.def.LoadBalancerIPs, of) ||
		slices.ContainsFunc(m.def.ExternalIPs, of)
}

// candidate judges an endpoint.
func (m *merge) candidate(part *member, e *clustermesh.Endpoint, port uint16, rank int) candidate {
	c := candidate{m: part, rank: rank, condition: part.condition(e), Backend: Backend{
		Cluster: part.Cluster, ClusterID: part.ClusterID,
		Address: e.Address, Port: port,
		Node: e.Node, Zone: e.Zone, PodUID: e.PodUID, OnNode: part.onNode(e.Address),
		Weight: part.weight(),
	}}
	if _, ok := m.in.Withdrawn[c.pod()]; ok {
		c.condition = withdrawn
	}
	c.Serving, c.Terminating = c.condition > notReady, c.condition == ending
	c.down = m.in.Health.down(&c.Backend)
	c.kept, c.Ended = m.in.Drains.kept(&c.Backend)
	return c
}

// eject notes that a candidate of a service port is ejected, if it is.
func (m *merge) eject(c *candidate, sp clustermesh.ServicePort) {
	if len(m.in.Ejected) > 0 && sp.Protocol == clustermesh.TCP {
		c.ejected = m.in.Ejected[Target{sp.Port, c.Cluster, netip.AddrPortFrom(c.Address, c.Port)}]
	}
}

// pod returns who the candidate is.
func (c *candidate) pod() Pod { return Pod{c.Cluster, c.Address, c.PodUID} }

func bySliceName(a, b *clustermesh.EndpointSlice) int { return cmp.Compare(a.Name, b.Name) }

// once leaves of candidates with the same address and port the first in the
// best condition. The slices' order is that of their names.
func (m *merge) once(cs []candidate) []candidate {
	slices.SortStableFunc(cs, func(a, b candidate) int {
		return cmp.Or(a.Compare(b.Backend), cmp.Compare(b.condition, a.condition))
	})
	return slices.CompactFunc(cs, func(a, b candidate) bool {
		if a.Compare(b.Backend) != 0 {
			return false
		}
		m.notes.leave(b.m, &clustermesh.Endpoint{Address: b.Address, Node: b.Node, Zone: b.Zone, PodUID: b.PodUID}, b.Port,
			StepAddress, "named twice: the better one counts")
		return true
	})
}

// rank places a cluster: first the side that the affinity prefers, then by the
// priority that the cluster gives its service.
func rank(a clustermesh.Affinity, m *member) int {
	second := a == clustermesh.AffinityLocal && !m.own || a == clustermesh.AffinityRemote && m.own
	rank := int(m.Service.Priority)
	if second {
		rank += 1 << 8
	}
	return rank
}

// portName returns under which name another definition of the service has a
// port of ours.
//
// Names decide, with the protocol. Only where one of the two names no port,
// having a single one, the number does, and where both have a single port, that
// is it.
func portName(def *clustermesh.Service, sp clustermesh.ServicePort, theirs *clustermesh.Service) (string, bool) {
	same := func(p clustermesh.ServicePort) bool { return p.Name == sp.Name && p.Protocol == sp.Protocol }
	if slices.ContainsFunc(theirs.Ports, same) {
		return sp.Name, true
	}
	unnamed := func(s *clustermesh.Service) bool { return len(s.Ports) == 1 && s.Ports[0].Name == "" }
	if !unnamed(def) && !unnamed(theirs) {
		return "", false
	}
	for _, p := range theirs.Ports {
		if p.Protocol == sp.Protocol && (p.Port == sp.Port || len(def.Ports) == 1 && len(theirs.Ports) == 1) {
			return p.Name, true
		}
	}
	return "", false
}

// frontends returns the addresses with one port, in their order.
func frontends(addresses []netip.Addr, sp clustermesh.ServicePort, scope Scope) []Frontend {
	out := make([]Frontend, len(addresses))
	for i, a := range addresses {
		out[i] = Frontend{Address: a, Port: sp.Port, Protocol: sp.Protocol, Scope: scope}
	}
	return out
}

// ofFamily returns the frontends of one family in a slice of its own.
func ofFamily(fs []Frontend, v6 bool) []Frontend {
	var out []Frontend
	for _, f := range fs {
		if f.Address.Is6() == v6 {
			out = append(out, f)
		}
	}
	return out
}
