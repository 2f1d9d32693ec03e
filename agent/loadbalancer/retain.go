package loadbalancer

import (
	"cmp"
	"slices"
)

// retain adds to what a port should become those of its backends that were
// found in the maps and belong to a cluster that is missing: nobody vouches for
// its tables yet, and what is not known is not known to be gone. One that ended by the
// word of its node stays so.
func (s *state) retain(p *port, d *desired, missing func(cluster uint16) bool) {
	if !p.restored {
		return
	}
	p.restored = false
	if !d.merged {
		return
	}
	d.built = [tiers][]uint32{}
	wanted := map[placed]bool{}
	for t := range tiers {
		for _, sh := range d.tiers[t] {
			wanted[placed{cluster: sh.cluster, address: sh.address}] = true
		}
	}
	for t := range tiers {
		weights := s.weights(p.tables[t], meanWeight(d.tiers[t]))
		for _, b := range p.backends {
			who := placed{cluster: b.cluster, address: b.address}
			weight := weights[b.number]
			if weight == 0 || wanted[who] || b.standing == Ended || !missing(b.cluster) {
				continue
			}
			p.restored, wanted[who] = true, true
			d.tiers[t] = append(d.tiers[t], share{endpoint{cluster: b.cluster, address: b.address, pinned: true}, weight})
		}
		slices.SortFunc(d.tiers[t], func(a, b share) int {
			return cmp.Or(cmp.Compare(a.cluster, b.cluster), a.address.Compare(b.address))
		})
	}
	for _, b := range p.backends {
		if who := (placed{cluster: b.cluster, address: b.address}); !wanted[who] && missing(b.cluster) {
			p.restored = true
			d.aside = append(d.aside, bystander{endpoint: endpoint{cluster: b.cluster, address: b.address, pinned: true}, standing: b.standing})
		}
	}
	d.size = max(d.size, tableSize(d.size, max(len(d.tiers[Primary]), len(d.tiers[Backup]))))
}

// usualWeight is what a backend weighs where there is nothing to compare with.
const usualWeight = 100

// meanWeight returns what a backend of a table weighs on average.
func meanWeight(shares []share) uint32 {
	if len(shares) == 0 {
		return usualWeight
	}
	sum := uint64(0)
	for _, sh := range shares {
		sum += uint64(sh.weight)
	}
	return uint32(max(1, sum/uint64(len(shares))))
}

// weights returns the weights of a table's backends by number, on the scale on
// which their mean is the given one: those of another table may be on another.
// Of a table that was found they are read off the numbers of slots.
func (s *state) weights(t table, mean uint32) map[uint32]uint32 {
	out := map[uint32]uint32{}
	if t.at.Size == 0 {
		return out
	}
	sum := uint64(t.at.Size)
	if t.members != nil {
		sum = 0
		for _, m := range t.members {
			out[m.number] = m.weight
			sum += uint64(m.weight)
		}
	} else {
		for _, number := range s.target.Slots(t.at) {
			out[number]++
		}
	}
	n := uint64(len(out))
	for number, part := range out {
		usual := uint64(part) == sum/n
		if t.members == nil { // one slot more is the rest of a division
			usual = usual || uint64(part) == sum/n+1
		}
		out[number] = mean
		if !usual {
			out[number] = uint32(max(1, uint64(part)*uint64(mean)*n/sum))
		}
	}
	return out
}
