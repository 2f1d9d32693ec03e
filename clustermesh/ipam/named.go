package ipam

import (
	"net/netip"
	"slices"

	"tombolo.io/tombolo/clustermesh"
)

// named claims the addresses that the service names.
func (d *decision) named() {
	for _, addr := range d.s.Request.Addresses {
		if slices.Contains(d.s.Hand, addr) {
			continue
		}
		family := clustermesh.FamilyOf(addr)
		if wanted := d.s.Request.Families; wanted != 0 && !wanted.Has(family) {
			d.tell(problem(WrongFamily, "%s is %s, which the service does not use", addr, family))
			continue
		}
		d.covered |= family
		if !d.name(addr) {
			d.refused |= family
		}
	}
}

// name claims one address that the service names, and reports whether it has it.
func (d *decision) name(addr netip.Addr) bool {
	var c *claim
	a := d.al.addresses[addr]
	if a != nil {
		c = d.s.claimOn(a)
	}
	if c == nil || !c.Holds {
		p, why := d.al.admits(d.s, addr)
		if why == nil && c == nil && p.Scope == clustermesh.PoolMesh && !d.al.others {
			why = problem(Unsure, "%s is of pool %s of the mesh, and what other clusters claim of it is not known yet", addr, p.Name)
		}
		if why != nil {
			d.tell(why)
			return false
		}
		a = d.al.at(addr)
		d.al.setPool(a, p)
	}
	if c == nil {
		c = d.al.claim(d.s, a, d.al.since(a))
	}
	if !c.Named {
		c.Named = true
		d.al.changed(a)
	}
	d.have(a, c)
	return c.Holds
}

// admits returns the pool that would give an address to a service that names
// it, or why none does.
func (al *Allocator) admits(s *service, addr netip.Addr) (*pool, *Problem) {
	switch p := al.poolOf(addr); {
	case p == nil:
		return nil, problem(NotInPool, "%s is in no pool", addr)
	case p.conflict != "":
		return nil, overlapping(p)
	case !al.selects(p, s):
		return nil, problem(NotSelected, "%s is of pool %s, which does not select the service", addr, p.Name)
	case p.avoids(addr):
		return nil, problem(Avoided, "%s ends in .0 or .255, which pool %s avoids", addr, p.Name)
	default:
		return p, nil
	}
}

func overlapping(p *pool) *Problem {
	return problem(PoolConflict, "pool %s overlaps with pool %s, which is older, and gives nothing out", p.Name, p.conflict)
}
