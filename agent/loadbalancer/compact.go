package loadbalancer

import (
	"cmp"
	"slices"
)

// compactAtOnce is how many tables one compaction moves: each frees its old
// slots only after a grace period, so that more in a row would not help.
const compactAtOnce = 64

// compact moves tables from the end of the slots into holes before them, so
// that the holes behind grow together. It returns how many it moved; none means
// that there is nothing to gain.
func (s *state) compact() int {
	type place struct {
		port *port
		tier Tier
	}
	var places []place
	each := func(p *port) {
		for t := range tiers {
			if p.tables[t].at.Size > 0 {
				places = append(places, place{p, t})
			}
		}
	}
	for _, ports := range s.byName {
		for _, p := range ports {
			each(p)
		}
	}
	for _, p := range s.pinned {
		each(p)
	}
	slices.SortFunc(places, func(a, b place) int {
		return -cmp.Compare(a.port.tables[a.tier].at.Offset, b.port.tables[b.tier].at.Offset)
	})
	moved := 0
	for _, pl := range places {
		if moved == compactAtOnce {
			break
		}
		if s.moveDown(pl.port, pl.tier) {
			moved++
		}
	}
	return moved
}

// moveDown writes a table anew in the first hole that lies before it.
func (s *state) moveDown(p *port, t Tier) bool {
	old := p.tables[t]
	if !s.slots.lower(old.at) {
		return false
	}
	at, err := s.slots.take(old.at.Size)
	if err != nil {
		return false
	}
	s.target.PutSlots(at.Offset, s.target.Slots(old.at))
	p.tables[t].at = at
	s.target.PutService(p.number, p.entry())
	s.letSlotsGo(old.at)
	return true
}
