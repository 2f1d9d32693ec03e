package global

import (
	"net/netip"
	"slices"
	"sync"

	"tombolo.io/tombolo/clustermesh"
)

// Balanced reports whether connections of a protocol are balanced at all. The
// kernel asks no program about SCTP's connect().
func Balanced(p clustermesh.Protocol) bool { return p == clustermesh.TCP || p == clustermesh.UDP }

// Merge returns the service as this cluster uses it.
//
//   - Frontends come from this cluster's definition alone; node ports are at the
//     addresses of the node that looks. A service that it does not define, or that
//     is not Taken, has none.
//   - Backends are this cluster's own and, if it holds the service global,
//     those of every cluster that has it global and shared. A cluster that
//     gives its global service weight 0 adds none.
//   - Ready endpoints are used, as far as no verdict holds them down and they
//     are not drained. For want of such in all clusters the drained are, then
//     those that end but still serve; and if there are none either, verdicts
//     and ejections are not believed, and the same is asked again without them.
//   - The clusters are in tiers. What counts is first the side that this
//     cluster's affinity prefers, then the priority that each cluster gives its
//     service, lower first. The primary table has the first tier, and as much of
//     the next ones as the load that the first cannot bear: see spread. All
//     others who could be used are the backup.
//   - Clients that dial a cluster IP get, of each tier, the nearest endpoints if
//     the service prefers near ones; under an internal policy Local only those of
//     their node are looked at from the start.
//   - An address and port that a cluster names twice, as it does while
//     endpoints move between slices, is one backend: the ready one counts, then
//     the one that still serves, then the one whose slice has the lesser name.
//   - An address that several clusters claim belongs to this cluster, else to
//     the one whose service is older, else to the lower id. The others' is
//     refused and reported.
func Merge(in Input) Service {
	found, _ := candidateMemory.Get().(*[]candidate)
	if found == nil {
		found = new([]candidate)
	}
	m := merge{in: &in, found: *found}
	s := m.run()
	clear(m.found)
	*found = m.found[:0]
	candidateMemory.Put(found)
	return s
}

// candidateMemory holds what merges that ended had for their candidates: a verdict
// merges thousands of services, and this would be a sixth of the garbage.
var candidateMemory sync.Pool

// merge is one call of Merge.
type merge struct {
	in  *Input
	def *clustermesh.Service
	// parts are the clusters, merged those of them that take part.
	parts  []member
	merged []*member
	// endpoints is how many the merged have of both families.
	endpoints int
	// found is memory for the candidates of one port after the other: none of them
	// stays in the result.
	found []candidate
	// notes are nil unless somebody wants to know.
	notes *notes
}

func (m *merge) run() Service {
	m.parts = membersOf(*m.in)
	for i := range m.parts {
		p := &m.parts[i]
		p.outdated = m.in.Health.Outdated[p.Cluster]
		if p.own {
			m.def = p.Service
		}
		if p.part.Reason == "" {
			m.merged = append(m.merged, p)
			for _, s := range p.Slices {
				m.endpoints += len(s.Endpoints)
			}
		}
	}
	s := Service{Name: m.in.Name, Definition: m.def, Every: m.in.Every, Conflicts: settleClaims(m.merged, m.endpoints)}
	s.Reason = s.whyWithout()
	if s.Reason == "" {
		for _, sp := range m.def.Ports {
			if Balanced(sp.Protocol) {
				s.Ports = m.appendPorts(s.Ports, sp)
			}
		}
	}
	s.Parts = make([]Part, len(m.parts))
	for i := range m.parts {
		s.Parts[i] = m.parts[i].describe(s.Reason == "")
	}
	return s
}

// whyWithout says why a service has no ports here.
func (s *Service) whyWithout() string {
	def := s.Definition
	switch {
	case def == nil:
		return "not defined in this cluster"
	case def.Type == clustermesh.ExternalName:
		return "of type ExternalName"
	case !s.Taken() && s.Every && !def.Headless:
		return "labelled for another proxy: " + proxyLabel
	case !s.Taken():
		return "neither global nor of type LoadBalancer"
	case len(def.ClusterIPs)+len(def.LoadBalancerIPs)+len(def.ExternalIPs) == 0:
		return "has no address"
	case len(def.Ports) == 0:
		return "has no port"
	case !slices.ContainsFunc(def.Ports, func(p clustermesh.ServicePort) bool { return Balanced(p.Protocol) }):
		return "has only SCTP ports, which are not balanced"
	}
	return ""
}

// appendPorts appends what one service port becomes: one Port for each family
// and way to select.
func (m *merge) appendPorts(ports []Port, sp clustermesh.ServicePort) []Port {
	def := m.def
	for _, v6 := range []bool{false, true} {
		inside, outside, guarded := m.frontends(sp, v6)
		if len(inside)+len(outside)+len(guarded) == 0 {
			continue
		}
		m.notes.begin()
		clear(m.found) // what is left of the port before must not be held for long
		found := m.candidates(m.found[:0], sp, v6)
		m.found = found
		if len(guarded) > 0 {
			p := m.newPort(sp, guarded, slices.Clone(found))
			p.guard(def.SourceRanges, v6)
			ports = append(ports, p)
		}
		if def.InternalPolicy == clustermesh.TrafficLocal || def.Distribution != clustermesh.Anywhere {
			if len(inside) > 0 {
				ports = append(ports, m.newPort(sp, inside, slices.Clone(found)))
			}
			inside = nil
		}
		if all := append(inside, outside...); len(all) > 0 {
			ports = append(ports, m.newPort(sp, all, found))
		}
	}
	return ports
}

// frontends returns those of a service port in a family: of this cluster's own clients,
// of all, and of those that source ranges let in. An address of several kinds is of the
// last of them.
func (m *merge) frontends(sp clustermesh.ServicePort, v6 bool) (inside, outside, guarded []Frontend) {
	inside = ofFamily(frontends(m.def.ClusterIPs, sp, Internal), v6)
	outside = ofFamily(frontends(m.def.LoadBalancerIPs, sp, External), v6)
	if len(m.def.SourceRanges) > 0 {
		outside, guarded = nil, outside
		inside = without(inside, guarded)
	}
	others := ofFamily(frontends(m.def.ExternalIPs, sp, External), v6)
	outside = append(outside, without(others, slices.Concat(outside, guarded))...)
	return inside, append(outside, m.nodePorts(sp, v6, slices.Concat(outside, guarded))...), guarded
}

// nodePorts returns the frontends of a service port's node port in a family, if the
// service has that: at the addresses of the node that looks, as other nodes see to theirs.
// Source ranges are about load-balancer IPs alone.
func (m *merge) nodePorts(sp clustermesh.ServicePort, v6 bool, others []Frontend) []Frontend {
	if sp.NodePort == 0 || !slices.ContainsFunc(m.def.ClusterIPs, func(a netip.Addr) bool { return a.Is6() == v6 }) {
		return nil
	}
	sp.Port = sp.NodePort
	return slices.DeleteFunc(ofFamily(frontends(m.in.NodeAddresses, sp, External), v6), func(f Frontend) bool { return slices.Contains(others, f) })
}

// without returns the frontends whose addresses others have not.
func without(fs, others []Frontend) []Frontend {
	return slices.DeleteFunc(fs, func(f Frontend) bool {
		return slices.ContainsFunc(others, func(o Frontend) bool { return o.Address == f.Address })
	})
}

// guard takes the ranges of a port's family from which its clients may come.
func (p *Port) guard(ranges []netip.Prefix, v6 bool) {
	p.Guarded = true
	for _, r := range ranges {
		if r.Addr().Is6() == v6 {
			p.Ranges = append(p.Ranges, r)
		}
	}
}

// newPort divides the candidates, which it may change, among the tables of a
// port. What clients prefer counts for addresses that only this cluster's own
// can reach; load-balancer IPs select alike on every node.
func (m *merge) newPort(sp clustermesh.ServicePort, fs []Frontend, found []candidate) Port {
	p := Port{Name: sp.Name, Protocol: sp.Protocol, Port: sp.Port, Frontends: fs}
	if m.def.ExternalPolicy == clustermesh.TrafficLocal {
		p.LocalNodes = localNodes(found)
	}
	if m.def.ExternalPolicy == clustermesh.TrafficLocal || m.in.Direct {
		p.Here = m.here(found)
	}
	at, off := place{}, []Outcome(nil)
	if !slices.ContainsFunc(fs, func(f Frontend) bool { return f.Scope == External }) {
		at = place{m.def.Distribution, m.in.Node, m.in.Zone}
		if m.def.InternalPolicy == clustermesh.TrafficLocal {
			found, off = m.keepNode(found, at)
		}
	}
	tiers := p.choose(found, m.def, at)
	m.notes.port(m, &p, tiers, off)
	aside := 0
	for i := range found {
		c := &found[i]
		c.m.account(c)
		if c.aside() {
			aside++
		}
	}
	p.Aside = slices.Grow(p.Aside, aside)
	for i := range found {
		if found[i].aside() {
			p.Aside = append(p.Aside, found[i].Backend)
		}
	}
	return p
}

// keepNode leaves the candidates of the place's node; off are the others, if
// somebody wants to know.
func (m *merge) keepNode(found []candidate, at place) (kept []candidate, off []Outcome) {
	kept = slices.DeleteFunc(found, func(c candidate) bool {
		out := !at.has(&c, sameNode)
		if out && m.notes != nil {
			off = append(off, Outcome{Cluster: c.Cluster, Address: c.Address, Port: c.Port, Node: c.Node, Zone: c.Zone, PodUID: c.PodUID,
				Step: StepNode, Reason: "not on this node, and the internal policy is Local"})
		}
		return out
	})
	return kept, off
}

// here returns who is chosen among the candidates of the node that looks alone: who
// ends but still serves is used while nobody else is there, whatever other nodes have.
func (m *merge) here(found []candidate) []Backend {
	at, resort := place{node: m.in.Node}, nobody
	for i := range found {
		if c := &found[i]; at.has(c, sameNode) {
			resort = min(resort, c.resort())
		}
	}
	if resort == nobody {
		return nil
	}
	var out []Backend
	for i := range found {
		if c := &found[i]; at.has(c, sameNode) && c.resort() == resort {
			out = append(out, c.Backend)
		}
	}
	slices.SortFunc(out, Backend.Compare)
	return out
}

// localNodes returns the nodes with an endpoint of this cluster that is ready
// and not drained.
func localNodes(found []candidate) []string {
	var out []string
	for i := range found {
		if c := &found[i]; c.m.own && c.condition == ready && c.kept > 0 && c.Node != "" {
			out = append(out, c.Node)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
