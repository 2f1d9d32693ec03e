package global

import (
	"cmp"
	"slices"

	"tombolo.io/tombolo/clustermesh"
)

// load is a part of the new connections to a port, in millionths.
type load uint64

// full is all of them.
const full load = 1_000_000

// tier is the candidates of one rank, whether they can be used or not.
type tier struct {
	// candidates are a run of those of the port; the tier marks them.
	candidates []candidate
	// health is how much of the whole load the tier would bear by itself.
	health load
	// load and backup are what it gets in the two tables.
	load, backup load
}

// divide sorts the candidates, and cuts them into tiers. Usable are those of
// the given resort; a tier's health is the part of its endpoints that they are,
// times the over-provisioning factor in percent.
func divide(found []candidate, resort int, factor uint64) []tier {
	slices.SortFunc(found, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.rank, b.rank), a.Compare(b.Backend))
	})
	var tiers []tier
	for len(found) > 0 {
		n, kept := 0, uint64(0)
		for n < len(found) && found[n].rank == found[0].rank {
			if c := &found[n]; c.resort() == resort && serves(resort) {
				kept += uint64(c.kept)
			}
			n++
		}
		whole := uint64(n) * uint64(Whole)
		health := min(full, full*load(factor*kept)/load(100*whole))
		tiers = append(tiers, tier{candidates: found[:n:n], health: health})
		found = found[n:]
	}
	return tiers
}

// spread says how much of the load each tier gets of which this is the health,
// the preferred first. It is the arithmetic of Envoy's priority levels: a tier
// passes on what it cannot bear, and when all together cannot bear the whole,
// each gets its part of what they can. What divisions leave over, and all when
// nobody is healthy, goes to the first that may have it.
func spread(health []load) []load {
	if len(health) == 0 {
		return nil
	}
	var total load
	for _, h := range health {
		total += h
	}
	total = min(total, full)
	out, left, first := make([]load, len(health)), full, 0
	for i, h := range health {
		if total > 0 {
			out[i] = min(left, h*full/total)
		}
		left -= out[i]
		if out[first] == 0 {
			first = i
		}
	}
	if out[first] == 0 {
		first = 0
	}
	out[first] += left
	return out
}

// spare leaves a fifth of the load to the tiers that have none. A backup table
// serves when a verdict has struck a whole primary table, until it is built anew:
// whoever is left then must be found by a few tries.
func spare(loads []load) {
	none := load(0)
	for _, l := range loads {
		if l == 0 {
			none++
		}
	}
	if none == 0 {
		return
	}
	left, first := full, -1
	for i, l := range loads {
		if l == 0 {
			loads[i] = full / 5 / none
		} else {
			loads[i] = l * 4 / 5
		}
		left -= loads[i]
		if first < 0 && l > 0 {
			first = i
		}
	}
	loads[first] += left
}

// factorOf returns the over-provisioning factor of a service, in percent.
func factorOf(def *clustermesh.Service) uint64 {
	return uint64(cmp.Or(def.Overprovisioning, clustermesh.DefaultOverprovisioning))
}

// choose fills the two tables of a port from its candidates, and marks with
// each where it went. It returns the tiers, of which none can be used when the
// tables are empty.
//
// The primary table has those tiers to which the load spreads, and of each of
// these the nearest. The backup has all who are left, wherever they are: most of
// its load spreads over their tiers as it would if nobody else were there.
func (p *Port) choose(found []candidate, def *clustermesh.Service, at place) []tier {
	resort := bestResort(found)
	tiers := divide(found, resort, factorOf(def))
	if resort == nobody {
		return tiers
	}
	if !serves(resort) {
		at.prefers = clustermesh.Anywhere
	}
	p.Primary = fill(tiers, resort, at, inPrimary)
	p.Backup = fill(tiers, resort, place{}, inBackup)
	return tiers
}

// fill makes a table of the usable candidates that are in none yet, ordered as
// Backend.Compare says.
func fill(tiers []tier, resort int, at place, into table) []Backend {
	var open []*tier
	var health []load
	usable := 0
	for i := range tiers {
		t := &tiers[i]
		before := usable
		for j := range t.candidates {
			if t.candidates[j].usable(resort) {
				usable++
			}
		}
		if usable > before {
			open, health = append(open, t), append(health, t.health)
		}
	}
	if usable == 0 {
		return nil
	}
	loads := spread(health)
	if into == inBackup {
		spare(loads)
	}
	shared := !slices.Contains(loads, full)
	out := make([]Backend, 0, usable)
	for i, t := range open {
		if into == inPrimary {
			t.load = loads[i]
		} else {
			t.backup = loads[i]
		}
		if loads[i] > 0 {
			out = t.appendTo(out, resort, at, into, loads[i], shared)
		}
	}
	if shared {
		slices.SortFunc(out, Backend.Compare)
	}
	return out
}

// appendTo puts the tier's nearest usable candidates into a table, in which
// they share the tier's load. Where no other tier is in the table, weights stay
// what the clusters said, as far as nothing is drained in part.
func (t *tier) appendTo(out []Backend, resort int, at place, into table, l load, shared bool) []Backend {
	within := at.nearest(t.candidates, resort)
	var sum uint64
	partly := false
	from := len(out)
	for i := range t.candidates {
		c := &t.candidates[i]
		if !c.usable(resort) || !at.has(c, within) {
			continue
		}
		c.in = into
		partly = partly || serves(resort) && c.kept < Whole
		sum += c.pull(resort)
		out = append(out, c.Backend)
	}
	if !shared && !partly {
		return out
	}
	n := from
	for i := range t.candidates {
		if c := &t.candidates[i]; c.in == into {
			pull := c.pull(resort)
			if shared {
				pull = max(1, uint64(l)*sharpness*pull/sum)
			}
			c.Weight = uint32(pull)
			out[n].Weight = c.Weight
			n++
		}
	}
	return out
}

// sharpness is how finely the load of a tier is divided: the weights of a table
// of several tiers add up to full × sharpness, short of rounding.
const sharpness = 1000

// pull is what a candidate takes beside others of its tier: its weight, and of
// one that is not there in full the share that is left.
func (c *candidate) pull(resort int) uint64 {
	if serves(resort) {
		return uint64(c.Weight) * uint64(c.kept)
	}
	return uint64(c.Weight)
}
