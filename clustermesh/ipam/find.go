package ipam

import (
	"net/netip"
	"slices"
	"strings"

	"tombolo.io/tombolo/clustermesh"
)

// find returns a free address of a family for a service, and its pool, or why
// there is none.
func (al *Allocator) find(s *service, f clustermesh.Families) (netip.Addr, *pool, *Problem) {
	if addr, p := al.shared(s, f); p != nil {
		return addr, p, nil
	}
	if addr, p := al.former(s, f); p != nil {
		return addr, p, nil
	}
	var full []string
	var conflict *pool
	for _, p := range al.order {
		switch {
		case !al.gives(p, s, f):
		case p.conflict != "":
			conflict = p
		default:
			if addr, ok := p.lowest(f, al.taken); ok {
				return addr, p, nil
			}
			full = append(full, p.Name)
		}
	}
	switch {
	case len(full) == 1:
		return netip.Addr{}, nil, problem(PoolFull, "pool %s has no %s address left", full[0], f)
	case len(full) > 1:
		return netip.Addr{}, nil, problem(PoolFull, "pools %s have no %s address left", strings.Join(full, ", "), f)
	case conflict != nil:
		return netip.Addr{}, nil, overlapping(conflict)
	}
	return netip.Addr{}, nil, noPool(f)
}

func noPool(f clustermesh.Families) *Problem {
	return problem(NoPool, "no pool that selects the service gives out %s addresses", familyWord(f))
}

// gives says whether a pool chooses addresses of a family for a service.
func (al *Allocator) gives(p *pool, s *service, f clustermesh.Families) bool {
	return p.AutoAssign && p.Scope == clustermesh.PoolCluster && len(p.free[index(f)].ranges) > 0 && al.selects(p, s)
}

func (al *Allocator) taken(a netip.Addr) bool { return al.addresses[a] != nil }

// former returns the address that a service of this name gave back a moment ago.
func (al *Allocator) former(s *service, f clustermesh.Families) (netip.Addr, *pool) {
	for _, r := range al.resting {
		a := al.addresses[r.addr]
		if a == nil || a.last != s.Name || len(a.claims) > 0 || a.mesh || clustermesh.FamilyOf(a.addr) != f {
			continue
		}
		if p := al.poolOf(a.addr); p != nil && p.conflict == "" && al.gives(p, s, f) && !p.avoids(a.addr) {
			return a.addr, p
		}
	}
	return netip.Addr{}, nil
}

// shared returns the lowest address that services with the same sharing key
// have and that has room for this one; no pool if there is none.
func (al *Allocator) shared(s *service, f clustermesh.Families) (found netip.Addr, of *pool) {
	if s.Request.SharingKey == "" || s.Exclusive {
		return found, nil
	}
	mine := &claim{AddressClaim: clustermesh.AddressClaim{Service: s.Name}}
	s.describe(mine)
	for a := range al.keys[s.Request.SharingKey] {
		if a.mesh || s.claimOn(a) != nil || clustermesh.FamilyOf(a.addr) != f || of != nil && found.Less(a.addr) {
			continue
		}
		p := al.poolOf(a.addr)
		if p == nil || p.conflict != "" || !al.gives(p, s, f) {
			continue
		}
		if by, _ := a.blocker(mine); by == nil && slices.ContainsFunc(a.claims, func(c *claim) bool { return c.Holds }) {
			found, of = a.addr, p
		}
	}
	return found, of
}
