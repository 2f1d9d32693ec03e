package loadbalancer

import (
	"cmp"
	"slices"
)

// retain adds to what a port should become those of its backends that were
// found in the maps and belong to a cluster that is missing: nobody vouches for
// its tables yet, and what is not known is not known to be gone.
func (s *state) retain(p *port, d *desired, missing func(cluster uint16) bool) {
	if !p.restored {
		return
	}
	p.restored = false
	if !d.merged {
		return
	}
	wanted := map[placed]bool{}
	for t := range tiers {
		for _, sh := range d.tiers[t] {
			wanted[placed{cluster: sh.cluster, address: sh.address}] = true
		}
	}
	for t := range tiers {
		weights := s.weights(p.tables[t])
		for _, b := range p.backends {
			who := placed{cluster: b.cluster, address: b.address}
			weight := weights[b.number]
			if weight == 0 || wanted[who] || !missing(b.cluster) {
				continue
			}
			p.restored, wanted[who] = true, true
			d.tiers[t] = append(d.tiers[t], share{endpoint{cluster: b.cluster, address: b.address, pinned: true}, weight})
		}
		slices.SortFunc(d.tiers[t], func(a, b share) int {
			return cmp.Or(cmp.Compare(a.cluster, b.cluster), a.address.Compare(b.address))
		})
	}
	d.size = max(d.size, tableSize(d.size, max(len(d.tiers[Primary]), len(d.tiers[Backup]))))
}

// usualWeight is what a backend weighs of which nothing else is known.
const usualWeight = 100

// weights returns the weights of a table's backends by number. Of a table that
// was found they are read off the numbers of slots.
func (s *state) weights(t table) map[uint32]uint32 {
	out := map[uint32]uint32{}
	for _, m := range t.members {
		out[m.number] = m.weight
	}
	if t.members != nil || t.at.Size == 0 {
		return out
	}
	for _, number := range s.target.Slots(t.at) {
		out[number]++
	}
	mean := t.at.Size / uint32(len(out))
	for number, slots := range out {
		out[number] = usualWeight
		if slots < mean || slots > mean+1 { // more than the rest of a division
			out[number] = max(1, slots*usualWeight/mean)
		}
	}
	return out
}
