package global

import (
	"cmp"
	"slices"

	"tombolo.io/tombolo/clustermesh"
)

// Taken reports whether Tombolo serves the service that a cluster defines so:
// the global ones, and those of type LoadBalancer.
func Taken(s *clustermesh.Service) bool {
	return s != nil && s.Type != clustermesh.ExternalName && (s.Global || s.Type == clustermesh.LoadBalancer)
}

// Merge returns the service as this cluster uses it.
//
//   - Frontends come from this cluster's definition alone. A service that it
//     does not define, or that is not Taken, has none.
//   - Backends are this cluster's own and, if it holds the service global,
//     those of every cluster that has it global and shared. A cluster that
//     gives its global service weight 0 adds none.
//   - Ready endpoints are used, as far as no verdict holds them down and they
//     are not drained. For want of such in all clusters the drained are, then
//     those that end but still serve; and if there are none either, verdicts
//     are not believed, and the same is asked again without them.
//   - Of those, the best clusters make the primary tier and the next best the
//     backup. What counts is first the side that this cluster's affinity
//     prefers, then the priority that each cluster gives its service, lower
//     first. A cluster without a usable endpoint of the port and family does
//     not count, so that preference falls back by itself.
//   - An address and port that a cluster names twice, as it does while
//     endpoints move between slices, is one backend: the ready one counts, then
//     the one that still serves, then the one whose slice has the lesser name.
//   - An address that several clusters claim belongs to this cluster, else to
//     the one whose service is older, else to the lower id. The others' is
//     refused and reported.
func Merge(in Input) Service {
	s := Service{Name: in.Name}
	members := membersOf(in)
	var merged []*member
	for i := range members {
		m := &members[i]
		if m.own {
			s.Definition = m.Service
		}
		if m.part.Reason == "" {
			merged = append(merged, m)
		}
	}
	s.Conflicts = settleClaims(merged)
	s.Reason = whyWithout(s.Definition)
	if s.Reason == "" {
		for _, p := range s.Definition.Ports {
			s.Ports = appendPorts(s.Ports, s.Definition, p, merged, &in)
		}
	}
	s.Parts = make([]Part, len(members))
	for i := range members {
		s.Parts[i] = members[i].describe(s.Reason == "")
	}
	return s
}

// whyWithout says why a service that is defined so has no ports here.
func whyWithout(def *clustermesh.Service) string {
	switch {
	case def == nil:
		return "not defined in this cluster"
	case def.Type == clustermesh.ExternalName:
		return "of type ExternalName"
	case !Taken(def):
		return "neither global nor of type LoadBalancer"
	case len(def.ClusterIPs)+len(def.LoadBalancerIPs) == 0:
		return "has no address"
	case len(def.Ports) == 0:
		return "has no port"
	}
	return ""
}

// appendPorts appends what one service port becomes: one Port for each family
// and way to select.
func appendPorts(ports []Port, def *clustermesh.Service, sp clustermesh.ServicePort, merged []*member, in *Input) []Port {
	internal := frontends(def.ClusterIPs, sp, Internal)
	external := frontends(def.LoadBalancerIPs, sp, External)
	for _, v6 := range []bool{false, true} {
		inside, outside := ofFamily(internal, v6), ofFamily(external, v6)
		if len(inside)+len(outside) == 0 {
			continue
		}
		found := candidates(def, sp, merged, v6, in)
		if def.InternalPolicy == clustermesh.TrafficLocal {
			if len(inside) > 0 {
				ports = append(ports, newPort(def, sp, inside, onNode(found, in.Node)))
			}
			inside = nil
		}
		if all := append(inside, outside...); len(all) > 0 {
			ports = append(ports, newPort(def, sp, all, found))
		}
	}
	return ports
}

// newPort divides the candidates among the tiers of a port.
func newPort(def *clustermesh.Service, sp clustermesh.ServicePort, fs []Frontend, found []candidate) Port {
	p := Port{Name: sp.Name, Protocol: sp.Protocol, Port: sp.Port, Frontends: fs}
	usable := best(found)
	weigh(usable)
	p.Primary, usable = firstRank(usable)
	p.Backup, _ = firstRank(usable)
	if def.ExternalPolicy == clustermesh.TrafficLocal {
		for _, c := range found {
			if !c.Terminating && c.m.own && c.Node != "" {
				p.LocalNodes = append(p.LocalNodes, c.Node)
			}
		}
		slices.Sort(p.LocalNodes)
		p.LocalNodes = slices.Compact(p.LocalNodes)
	}
	return p
}

// best returns the candidates of the best resort that has any, ordered by rank
// and then as Backend.Compare says.
func best(found []candidate) []candidate {
	if len(found) == 0 {
		return nil
	}
	first := found[0].resort()
	for _, c := range found[1:] {
		first = min(first, c.resort())
	}
	var out []candidate
	for _, c := range found {
		if c.resort() == first {
			out = append(out, c)
			c.m.used = true
		}
	}
	slices.SortFunc(out, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.rank, b.rank), a.Compare(b.Backend))
	})
	return out
}

// weigh takes the drained shares off the weights, which stay as they are while
// nothing is drained in part.
func weigh(cs []candidate) {
	if !slices.ContainsFunc(cs, func(c candidate) bool { return c.kept > 0 && c.kept < Whole }) {
		return
	}
	for i := range cs {
		cs[i].Weight *= uint32(cs[i].kept)
	}
}

// firstRank cuts the candidates of the first rank off.
func firstRank(cs []candidate) (tier []Backend, rest []candidate) {
	n := 0
	for n < len(cs) && cs[n].rank == cs[0].rank {
		n++
	}
	if n == 0 {
		return nil, nil
	}
	tier = make([]Backend, n)
	for i := range tier {
		tier[i] = cs[i].Backend
	}
	return tier, cs[n:]
}
