package standing

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"tombolo.io/tombolo/clustermesh"
)

// Pool is how a pool of load-balancer addresses stands.
type Pool struct {
	*clustermesh.Pool
	// Conflict names an older pool with which it overlaps; empty when it does not.
	Conflict string
	// Size is how many addresses it can give out, at most MaxUint64, and Used how
	// many of them are not free.
	Size, Used uint64
}

// addressPool says whether a pool and another have addresses in common.
func (m *Mesh) addressPool(p *Pool) Object {
	out := Object{Kind: AddressPool, Name: p.Name, Stored: p.Pool, Allocated: saturated(p.Used)}
	if p.Size > p.Used {
		out.Available = saturated(p.Size - p.Used)
	}
	var younger []string
	for _, o := range m.Pools {
		if o.Conflict == p.Name {
			younger = append(younger, o.Name)
		}
	}
	slices.Sort(younger)
	c := Condition{Conflicted, False, "None", "no other pool has addresses of it"}
	switch {
	case p.Conflict != "":
		out.Available = 0
		c = Condition{Conflicted, True, "Younger", fmt.Sprintf(
			"the older pool %s has some of its addresses: it gives nothing out until one of the two is changed", p.Conflict)}
	case len(younger) > 0:
		c = Condition{Conflicted, True, "Older", fmt.Sprintf(
			"%s has some of its addresses, and gives nothing out until one of them is changed", strings.Join(younger[:min(len(younger), maxNamed)], ", "))}
	}
	out.Conditions = []Condition{stored, c}
	return out
}

func saturated(n uint64) int64 { return int64(min(n, math.MaxInt64)) }
