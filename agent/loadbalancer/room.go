package loadbalancer

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"tombolo.io/tombolo/agent/maglev"
)

// fullError says that a map has no room left for something.
type fullError struct {
	which string // the map: "backends"
	err   error
}

func (e *fullError) Error() string { return e.err.Error() }

func (e *fullError) Unwrap() error { return e.err }

// fullMaps returns which maps an error says to be full.
func fullMaps(err error) []string {
	var out []string
	switch e := err.(type) {
	case *fullError:
		out = append(out, e.which)
	case interface{ Unwrap() error }:
		out = fullMaps(e.Unwrap())
	case interface{ Unwrap() []error }:
		for _, part := range e.Unwrap() {
			out = append(out, fullMaps(part)...)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// besides returns what an error says beside full maps; nil when it says nothing else.
func besides(err error) error {
	if len(fullMaps(err)) == 0 {
		return err
	}
	switch e := err.(type) {
	case interface{ Unwrap() []error }:
		var rest []error
		for _, part := range e.Unwrap() {
			rest = append(rest, besides(part))
		}
		return errors.Join(rest...)
	case *fullError:
		return nil
	case interface{ Unwrap() error }:
		return besides(e.Unwrap())
	}
	return nil
}

// LeftOut is a backend for which a map has no room: it takes no new connection.
type LeftOut struct {
	Cluster uint16
	Address netip.AddrPort
	Tier    Tier
	// Full is the map: "backends", "nodes" or "slots".
	Full string
}

// placeAll returns the members of a tier, with the numbers that they have or get.
// Those for whom there is none leave the tier: it is built of the others, so that
// what is gone leaves it however full the maps are.
func (s *state) placeAll(p *port, t Tier, d *desired, pl *plan) []member {
	all := d.tiers[t]
	members := make([]member, 0, len(all))
	var errs []error
	for _, sh := range all {
		b, err := s.place(p, sh.endpoint, pl)
		if err != nil {
			if !slices.ContainsFunc(errs, func(e error) bool { return e.Error() == err.Error() }) {
				errs = append(errs, err)
			}
			pl.left = append(pl.left, LeftOut{sh.cluster, sh.address, t, strings.Join(fullMaps(err), ", ")})
			continue
		}
		all[len(members)] = sh
		members = append(members, member{b.number, sh.weight})
	}
	if missing := len(all) - len(members); missing > 0 {
		d.tiers[t], d.built[t] = all[:len(members)], nil
		pl.short = append(pl.short, fmt.Errorf("%w; left out: %d of %d backends", errors.Join(errs...), missing, len(all)))
	}
	return members
}

// squeeze finds slots for a table for which no run of free ones is long enough: its
// own old ones, over which it is written while programs read it, or fewer than it
// should have. Each slot is stored at once and leads to one of the service's backends
// before and after; the old ones, and the slots behind a shorter table, are let go
// behind that.
func (s *state) squeeze(p *port, t Tier, d *desired, members []member, pl *plan, err error) {
	old := p.tables[t]
	at := Extent{old.at.Offset, min(old.at.Size, d.size)}
	if !slices.Contains(maglev.Sizes(), at.Size) { // none, or a size of another version
		at = Extent{}
	}
	// The more slots, the truer the shares; so it is not enough that each member has one.
	if larger, ok := s.takeSmaller(d.size, max(len(members), int(at.Size)+1)); at.Size < d.size && ok {
		at = larger
	}
	fit := min(len(members), int(at.Size))
	s.leaveOut(p, members[fit:], pl)
	for _, sh := range d.tiers[t][fit:] {
		pl.left = append(pl.left, LeftOut{sh.cluster, sh.address, t, "slots"})
	}
	switch {
	case fit < len(members):
		pl.short = append(pl.short, fmt.Errorf("%w; left out: %d of %d backends", err, len(members)-fit, len(members)))
		d.tiers[t], d.built[t] = d.tiers[t][:fit], nil
	case at.Size < d.size:
		pl.short = append(pl.short, fmt.Errorf("%w; it has %d slots", err, at.Size))
	}
	pl.write[t] = at != old.at || !slices.Equal(old.members, members[:fit])
	if fit > 0 {
		pl.tables[t] = table{at, members[:fit]}
	}
}

// takeSmaller takes the longest run below a size in which every member has a slot.
func (s *state) takeSmaller(size uint32, members int) (Extent, bool) {
	for _, smaller := range slices.Backward(maglev.Sizes()) {
		if smaller >= size || int(smaller) < members {
			continue
		}
		if at, err := s.slots.take(smaller); err == nil {
			return at, true
		}
	}
	return Extent{}, false
}

// leaveOut takes backends out of a plan because no table has room for them. Those that
// have an entry keep their connections.
func (s *state) leaveOut(p *port, members []member, pl *plan) {
	if len(members) == 0 {
		return
	}
	out := make(map[uint32]bool, len(members)) // whether it has no entry
	for _, m := range members {
		out[m.number] = false
	}
	pl.fresh = slices.DeleteFunc(pl.fresh, func(b placed) bool {
		_, is := out[b.number]
		if is {
			out[b.number] = true
			s.unplace(b)
		}
		return is
	})
	is := func(b placed) bool { _, is := out[b.number]; return is }
	pl.backends = slices.DeleteFunc(pl.backends, func(b placed) bool { return out[b.number] })
	pl.turned = slices.DeleteFunc(pl.turned, is)
	for i := range pl.backends {
		b := &pl.backends[i]
		if !is(*b) {
			continue
		}
		b.standing = Draining
		if was, _ := p.find(b.cluster, b.address); was.standing != Draining {
			pl.turned = append(pl.turned, *b)
		}
	}
}
