package global

import (
	"cmp"
	"net/netip"
	"slices"

	"tombolo.io/tombolo/clustermesh"
)

// candidate is an endpoint that a port may use: ready, or a last resort.
type candidate struct {
	Backend
	m *member
	// down is what our verdicts say, kept the share that is not drained.
	down bool
	kept Share
	// rank is the place of the cluster: those of the lowest rank are primary.
	rank int
}

// The resorts, best first. Of those who are down there are as many again: they
// come up only when all are.
const (
	serving = iota // ready, and not wholly drained
	drained
	ends
	unbelieved // added when a verdict says that it is down
)

// resort returns the place of a candidate among the resorts.
func (c candidate) resort() int {
	r := serving
	switch {
	case c.Terminating:
		r = ends
	case c.kept == 0:
		r = drained
	}
	if c.down {
		r += unbelieved
	}
	return r
}

// candidates returns the endpoints of one family behind a service port, each
// address and port once, in no particular order.
func candidates(def *clustermesh.Service, sp clustermesh.ServicePort, merged []*member, v6 bool, in *Input) []candidate {
	var out []candidate
	for _, m := range merged {
		name, ok := portName(def, sp, m.Service)
		if !ok {
			continue
		}
		m.common = true
		from := len(out)
		out = m.appendCandidates(out, clustermesh.EndpointPort{Name: name, Protocol: sp.Protocol}, v6, in)
		rank := rank(def.Affinity, m)
		for i := range out[from:] {
			out[from+i].rank = rank
		}
		out = append(out[:from], once(out[from:])...)
	}
	return out
}

// appendCandidates appends the member's usable endpoints behind a port of its
// slices, whose number is still open.
func (m *member) appendCandidates(out []candidate, port clustermesh.EndpointPort, v6 bool, in *Input) []candidate {
	for _, s := range slices.SortedFunc(slices.Values(m.Slices), bySliceName) {
		at := slices.IndexFunc(s.Ports, func(p clustermesh.EndpointPort) bool {
			return p.Name == port.Name && p.Protocol == port.Protocol
		})
		if at < 0 {
			continue
		}
		for i := range s.Endpoints {
			e := &s.Endpoints[i]
			c := m.condition(e)
			if c == notReady || e.Address.Is6() != v6 || m.lost[e.Address] || in.Withdrawn[Pod{m.Cluster, e.Address, e.PodUID}] {
				continue
			}
			b := Backend{
				Cluster: m.Cluster, ClusterID: m.ClusterID,
				Address: e.Address, Port: s.Ports[at].Port,
				Node: e.Node, Zone: e.Zone, PodUID: e.PodUID, OnNode: m.onNode(e.Address),
				Weight: m.weight(), Terminating: c == ending,
			}
			out = append(out, candidate{Backend: b, m: m, down: in.Health.down(&b), kept: in.Drains.kept(&b)})
		}
	}
	return out
}

func bySliceName(a, b *clustermesh.EndpointSlice) int { return cmp.Compare(a.Name, b.Name) }

// once leaves of candidates with the same address and port the first ready
// one, or else the first. The slices' order is that of their names.
func once(cs []candidate) []candidate {
	slices.SortStableFunc(cs, func(a, b candidate) int {
		if c := a.Compare(b.Backend); c != 0 || a.Terminating == b.Terminating {
			return c
		}
		if b.Terminating {
			return -1
		}
		return 1
	})
	return slices.CompactFunc(cs, func(a, b candidate) bool { return a.Compare(b.Backend) == 0 })
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

// onNode returns the candidates of this cluster that live on the node.
func onNode(cs []candidate, node string) []candidate {
	var out []candidate
	for _, c := range cs {
		if c.m.own && node != "" && c.Node == node {
			out = append(out, c)
		}
	}
	return out
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
