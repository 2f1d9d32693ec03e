package ipam

import (
	"cmp"
	"container/heap"
	"math"
	"math/big"
	"net/netip"
	"slices"
	"sort"

	"tombolo.io/tombolo/clustermesh"
)

// pool is a pool with what is free in it.
type pool struct {
	*clustermesh.Pool
	// conflict names an older pool with which it overlaps; empty when it does not.
	conflict string
	free     [2]free // IPv4, IPv6
	// sizes are how many addresses it gives out, by family, at most MaxUint64.
	sizes [2]uint64
}

// families are those of the elements of pool.free.
var families = [2]clustermesh.Families{clustermesh.IPv4, clustermesh.IPv6}

func index(f clustermesh.Families) int { return slices.Index(families[:], f) }

// free finds addresses of one family of a pool that nobody has: the lowest of
// those that came back, or the next one that was never looked at.
type free struct {
	ranges []clustermesh.AddrRange
	// next in the range at is the first that was never looked at; at is behind the
	// last range when there is none.
	at   int
	next netip.Addr
	back addrHeap
}

func newPool(p *clustermesh.Pool) *pool {
	out := &pool{Pool: p}
	for _, r := range p.Ranges {
		f := &out.free[index(clustermesh.FamilyOf(r.First))]
		f.ranges = append(f.ranges, r)
	}
	for i := range out.free {
		if f := &out.free[i]; len(f.ranges) > 0 {
			f.next = f.ranges[0].First
		}
		out.sizes[i] = out.size(i)
	}
	return out
}

// contains says whether an address is one of the pool's.
func (p *pool) contains(a netip.Addr) bool {
	rs := p.Ranges
	i := sort.Search(len(rs), func(i int) bool { return rs[i].Last.Compare(a) >= 0 })
	return i < len(rs) && rs[i].First.Compare(a) <= 0
}

// avoids says whether the pool gives out an address that it contains.
func (p *pool) avoids(a netip.Addr) bool {
	if !p.AvoidBuggy || !a.Is4() {
		return false
	}
	b := a.As4()[3]
	return b == 0 || b == 255
}

// overlaps says whether two pools have an address in common.
func (p *pool) overlaps(o *pool) bool {
	i, j := 0, 0
	for i < len(p.Ranges) && j < len(o.Ranges) {
		a, b := p.Ranges[i], o.Ranges[j]
		switch {
		case a.Last.Less(b.First):
			i++
		case b.Last.Less(a.First):
			j++
		default:
			return true
		}
	}
	return false
}

// lowest returns an address of a family that is free, which it stays until
// somebody claims it; false when all are taken.
func (p *pool) lowest(f clustermesh.Families, taken func(netip.Addr) bool) (netip.Addr, bool) {
	fr := &p.free[index(f)]
	for len(fr.back) > 0 {
		if a := fr.back[0]; !taken(a) {
			return a, true
		}
		heap.Pop(&fr.back)
	}
	for fr.at < len(fr.ranges) {
		a := fr.next
		if !taken(a) && !p.avoids(a) {
			return a, true
		}
		if fr.next = a.Next(); a == fr.ranges[fr.at].Last {
			if fr.at++; fr.at < len(fr.ranges) {
				fr.next = fr.ranges[fr.at].First
			}
		}
	}
	return netip.Addr{}, false
}

// giveBack notes that an address is free again.
func (p *pool) giveBack(a netip.Addr) {
	fr := &p.free[index(clustermesh.FamilyOf(a))]
	if !p.contains(a) || p.avoids(a) || fr.at < len(fr.ranges) && a.Compare(fr.next) >= 0 {
		return // not ours, or still to be looked at
	}
	heap.Push(&fr.back, a)
}

// size works out one of the sizes.
func (p *pool) size(family int) uint64 {
	n := new(big.Int)
	for _, r := range p.free[family].ranges {
		n.Add(n, width(r))
		if p.AvoidBuggy && r.First.Is4() {
			n.Sub(n, buggy(r))
		}
	}
	if !n.IsUint64() {
		return math.MaxUint64
	}
	return n.Uint64()
}

func width(r clustermesh.AddrRange) *big.Int {
	n := new(big.Int).Sub(number(r.Last), number(r.First))
	return n.Add(n, big.NewInt(1))
}

// buggy counts the addresses of an IPv4 range that end in .0 or .255.
func buggy(r clustermesh.AddrRange) *big.Int {
	first, last := number(r.First).Int64(), number(r.Last).Int64()
	of := func(end int64) int64 { return (last-end+256)/256 - (first-end+255)/256 }
	return big.NewInt(of(0) + of(255))
}

func number(a netip.Addr) *big.Int { return new(big.Int).SetBytes(a.AsSlice()) }

// addrHeap is a heap of addresses, the lowest first.
type addrHeap []netip.Addr

func (h addrHeap) Len() int           { return len(h) }
func (h addrHeap) Less(i, j int) bool { return h[i].Less(h[j]) }
func (h addrHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *addrHeap) Push(x any)        { *h = append(*h, x.(netip.Addr)) }
func (h *addrHeap) Pop() any {
	last := len(*h) - 1
	a := (*h)[last]
	*h = (*h)[:last]
	return a
}

// SetPools tells which pools there are. Of two that overlap the younger one
// gives nothing out until that is mended.
func (al *Allocator) SetPools(all []*clustermesh.Pool) {
	al.pools = map[string]*pool{}
	byAge := slices.Clone(all)
	slices.SortFunc(byAge, func(a, b *clustermesh.Pool) int {
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.Name, b.Name))
	})
	var sound []*pool
	for _, in := range byAge {
		p := newPool(in)
		al.pools[in.Name] = p
		if i := slices.IndexFunc(sound, p.overlaps); i >= 0 {
			p.conflict = sound[i].Name
			continue
		}
		sound = append(sound, p)
	}
	al.order = slices.Collect(func(yield func(*pool) bool) {
		for _, p := range al.pools {
			if !yield(p) {
				return
			}
		}
	})
	slices.SortFunc(al.order, comparePools)
	for _, s := range al.services {
		if s.known {
			al.due[s] = struct{}{}
		}
	}
	for _, a := range al.addresses {
		if p := al.poolOf(a.addr); p != nil {
			al.setPool(a, p)
		}
	}
}

// comparePools orders pools as they are tried: those that choose their
// services first, then by name.
func comparePools(a, b *pool) int {
	chooses := func(p *pool) int {
		if p.ServiceSelector.Everything() && p.NamespaceSelector.Everything() {
			return 1
		}
		return 0
	}
	return cmp.Or(cmp.Compare(chooses(a), chooses(b)), cmp.Compare(a.Name, b.Name))
}

// poolOf returns the pool that an address is of, one that is sound before one
// that is not; nil when it is of none.
func (al *Allocator) poolOf(a netip.Addr) (found *pool) {
	for _, p := range al.order {
		if p.contains(a) && (found == nil || found.conflict != "" && p.conflict == "") {
			found = p
		}
	}
	return found
}

// selects says whether a pool is for a service.
func (al *Allocator) selects(p *pool, s *service) bool {
	return p.ServiceSelector.Matches(s.Labels) &&
		(p.NamespaceSelector.Everything() || p.NamespaceSelector.Matches(al.namespace(s.Name.Namespace)))
}
