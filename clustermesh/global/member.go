package global

import (
	"cmp"
	"net/netip"
	"slices"

	"tombolo.io/tombolo/clustermesh"
)

// member is a cluster that says something of the service.
type member struct {
	Export
	own  bool
	part Part
	// common is set when some port of ours is one of the member's.
	common bool
	// lost are the addresses that another cluster holds, and which; nil for most.
	lost map[netip.Addr]string
	// outdated: too old is what we know of the member.
	outdated bool
	// used is set when some port has a backend of it, spare holds a bit for each
	// resort of those that no port has.
	used  bool
	spare uint
}

// membersOf returns the clusters in the order of Service.Parts, each with the
// reason why it takes no part.
func membersOf(in Input) []member {
	members := make([]member, len(in.Exports))
	global := false
	for i, e := range in.Exports {
		members[i] = member{Export: e, own: e.Cluster == in.Self, part: Part{Cluster: e.Cluster, ClusterID: e.ClusterID}}
		if members[i].own && e.Service != nil {
			global = e.Service.Global
		}
	}
	for i := range members {
		members[i].part.Reason = members[i].whyOut(global)
	}
	slices.SortFunc(members, func(a, b member) int {
		if a.own != b.own {
			if a.own {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.ClusterID, b.ClusterID)
	})
	return members
}

// whyOut says why a cluster's endpoints take no part, whatever their state;
// global is whether this cluster holds the service global.
func (m *member) whyOut(global bool) string {
	switch {
	case m.Service == nil:
		return "no definition there"
	case m.Service.Weight == 0 && m.Service.Global:
		return "weight 0"
	case m.own:
		return ""
	case !global:
		return "not global in this cluster"
	case !m.Service.Global:
		return "not global there"
	case !m.Service.Shared:
		return "not shared"
	}
	return ""
}

// weight is the share of each of the member's endpoints. A service that is not
// global shares with nobody, whatever its weight says.
func (m *member) weight() uint32 { return uint32(max(m.Service.Weight, 1)) }

// condition is what may be done with an endpoint; the higher the better.
type condition uint8

const (
	withdrawn condition = iota // its node knows that it ended
	gone                       // terminating, and serves no more
	notReady
	ending // terminating, and still serving
	ready
)

// condition returns that of an endpoint of this member.
func (m *member) condition(e *clustermesh.Endpoint) condition {
	switch {
	case e.Terminating && e.Serving:
		return ending
	case e.Terminating:
		return gone
	case e.Ready || m.Service != nil && m.Service.PublishNotReady:
		return ready
	}
	return notReady
}

// describe counts the member's addresses, each once in its best condition, and
// says why none of them is used; served is whether the service has ports here.
func (m *member) describe(served bool) Part {
	seen := make(map[netip.Addr]condition)
	for _, s := range m.Slices {
		for i := range s.Endpoints {
			e := &s.Endpoints[i]
			seen[e.Address] = max(seen[e.Address], m.condition(e))
		}
	}
	p := m.part
	for _, c := range seen {
		switch c {
		case ready:
			p.Ready++
		case ending:
			p.Ending++
		default:
			p.NotReady++
		}
	}
	if p.Reason != "" {
		return p
	}
	switch {
	case len(seen) == 0:
		p.Reason = "no endpoint"
	case p.Ready+p.Ending == 0:
		p.Reason = "no ready endpoint"
	case len(m.lost) == len(seen):
		p.Reason = "another cluster has its addresses"
	case served && !m.common:
		p.Reason = "no port in common"
	case served && !m.used:
		p.Reason = m.whySpare()
	}
	return p
}

// account notes what became of a candidate of the member.
func (m *member) account(c *candidate) {
	if c.in == inNone {
		m.spare |= 1 << c.resort()
	} else {
		m.used = true
	}
}

// whySpare says why nothing of the member is used, as far as it is for what we
// or an operator know: a tier that is held in reserve has no reason.
func (m *member) whySpare() string {
	known := m.spare &^ (1 << nobody)
	switch {
	case known == 0 || known&(1<<serving|1<<ends) != 0:
		return ""
	case known&(1<<resorts-1) != 0:
		return "drained"
	case known&(1<<down-1) != 0:
		return "ejected"
	}
	if m.outdated {
		return "its mirror is stale for too long"
	}
	return "down by verdict"
}

// seniority orders clusters by who keeps an address that both claim.
func seniority(a, b *member) int {
	switch {
	case a.own:
		return -1
	case b.own:
		return 1
	}
	return cmp.Or(a.Service.Created.Compare(b.Service.Created), cmp.Compare(a.ClusterID, b.ClusterID))
}

// settleClaims gives each address that several members claim to one of them,
// notes it with those that lose it, and returns who lost what; endpoints is about
// how many there are.
func settleClaims(members []*member, endpoints int) []Conflict {
	if len(members) < 2 {
		return nil
	}
	bySeniority := slices.SortedFunc(slices.Values(members), seniority)
	var conflicts []Conflict
	holder := make(map[netip.Addr]*member, endpoints)
	for _, m := range bySeniority {
		for _, s := range m.Slices {
			for i := range s.Endpoints {
				a := s.Endpoints[i].Address
				h, claimed := holder[a]
				if !claimed {
					holder[a] = m
				} else if h != m && m.lost[a] == "" {
					m.lose(a, h.Cluster)
					conflicts = append(conflicts, Conflict{Address: a, Cluster: m.Cluster, Holder: h.Cluster})
				}
			}
		}
	}
	slices.SortFunc(conflicts, func(a, b Conflict) int {
		return cmp.Or(cmp.Compare(a.Cluster, b.Cluster), a.Address.Compare(b.Address))
	})
	return conflicts
}

func (m *member) lose(a netip.Addr, to string) {
	if m.lost == nil {
		m.lost = make(map[netip.Addr]string)
	}
	m.lost[a] = to
}
