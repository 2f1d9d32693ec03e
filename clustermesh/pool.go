package clustermesh

import (
	"net/netip"
	"slices"
	"time"
)

// Pool holds addresses that are given to services of type LoadBalancer.
type Pool struct {
	Name string
	// Created is the object's creation time, to the second: of two pools that
	// overlap the older one counts.
	Created time.Time
	// Ranges are the addresses: in order, apart from each other, none empty.
	Ranges []AddrRange
	// ServiceSelector picks services by their labels, NamespaceSelector by those
	// of their namespace; both must hold.
	ServiceSelector, NamespaceSelector Selector
	// AvoidBuggy gives out no IPv4 address that ends in .0 or .255.
	AvoidBuggy bool
	// AutoAssign gives addresses to services that ask for none in particular;
	// never with PoolMesh.
	AutoAssign bool
	Scope      PoolScope
}

// AddrRange is the addresses from First to Last, both included, of one family.
type AddrRange struct{ First, Last netip.Addr }

// PoolScope is how far the addresses of a pool reach.
type PoolScope uint8

// The scopes.
const (
	// PoolCluster is a pool of this cluster alone.
	PoolCluster PoolScope = iota
	// PoolMesh is a pool that every cluster has: an address is named by the user
	// and belongs to the same service everywhere.
	PoolMesh
)

// maxRanges bounds a pool.
const maxRanges = 256

func (p *Pool) check(c *checker) {
	c.subdomain("name", p.Name)
	if p.Created.Nanosecond() != 0 {
		c.fail("created", p.Created, "must be a whole second")
	}
	if len(p.Ranges) == 0 {
		c.fail("ranges", p.Ranges, "must not be empty")
	}
	c.count("ranges", len(p.Ranges), maxRanges)
	for i, r := range p.Ranges[:min(len(p.Ranges), maxRanges)] {
		c.enter("ranges", i)
		r.check(c)
		if i > 0 && p.Ranges[i-1].Last.Compare(r.First) >= 0 {
			c.fail("first", r.First, "must be behind the last address of the range before, %s", p.Ranges[i-1].Last)
		}
		c.leave()
	}
	c.selector("service selector", p.ServiceSelector)
	c.selector("namespace selector", p.NamespaceSelector)
	atMost(c, "scope", p.Scope, PoolMesh)
	if p.AutoAssign && p.Scope == PoolMesh {
		c.fail("auto assign", p.AutoAssign, "must be false with scope mesh, where users name the addresses")
	}
}

func (r AddrRange) check(c *checker) {
	c.address("first", r.First)
	c.address("last", r.Last)
	switch {
	case r.First.BitLen() != r.Last.BitLen():
		c.fail("last", r.Last, "must be of the family of the first")
	case r.Last.Less(r.First):
		c.fail("last", r.Last, "must not be before the first")
	case slices.ContainsFunc(specialPrefixes, r.overlaps):
		c.fail("first", r.First, "must not lead through loopback, link-local, multicast or mapped addresses")
	}
}

// overlaps says whether a range and a prefix have an address in common.
func (r AddrRange) overlaps(p netip.Prefix) bool {
	return p.Contains(r.First) || p.Contains(r.Last) || p.Addr().BitLen() == r.First.BitLen() && r.First.Less(p.Addr()) && p.Addr().Less(r.Last)
}

// Range returns the addresses of a prefix.
func Range(p netip.Prefix) AddrRange {
	last := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < len(last)*8; i++ {
		last[i/8] |= 0x80 >> (i % 8)
	}
	end, _ := netip.AddrFromSlice(last)
	return AddrRange{p.Masked().Addr(), end}
}

// JoinRanges returns the addresses of ranges, each of one family, as a pool has
// them: in order and apart from each other.
func JoinRanges(in []AddrRange) []AddrRange {
	sorted := slices.Clone(in)
	slices.SortFunc(sorted, func(a, b AddrRange) int { return a.First.Compare(b.First) })
	var out []AddrRange
	for _, r := range sorted {
		n := len(out) - 1
		if n >= 0 && out[n].Last.BitLen() == r.First.BitLen() && (out[n].Last.Next() == r.First || !out[n].Last.Less(r.First)) {
			if out[n].Last.Less(r.Last) {
				out[n].Last = r.Last
			}
			continue
		}
		out = append(out, r)
	}
	return out
}
