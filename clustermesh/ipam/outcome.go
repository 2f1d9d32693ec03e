package ipam

import (
	"fmt"
	"net/netip"

	"tombolo.io/tombolo/clustermesh"
)

// Outcome is what a service has, and what stands in the way of more.
type Outcome struct {
	// Grants are its addresses: first those that it names, in its order.
	Grants []Grant
	// Ready: it has all that it asks for.
	Ready bool
	// Problems are what its owner should know.
	Problems []Problem
}

// Grant is an address that a service has.
type Grant struct {
	Address netip.Addr
	// Pool is the one that it is of, empty when it is of none.
	Pool string
	// Hand: it stands in the service's status in a manifest, and no pool was asked.
	Hand bool
}

// Problem is something about the addresses of a service, for people.
type Problem struct {
	Reason  Reason `json:"reason"`
	Message string `json:"message"`
}

// Reason is a problem in a word.
type Reason string

// The reasons. Kept and Claimed tell of something that a service has all the
// same; with the others it lacks something.
const (
	// NoPool: no pool that selects the service has addresses of the family.
	NoPool Reason = "NoPool"
	// PoolFull: those that do have none left.
	PoolFull Reason = "PoolFull"
	// PoolConflict: the pool overlaps with an older one, and gives nothing out.
	PoolConflict Reason = "PoolConflict"
	// NotInPool: an address that the service names is in no pool.
	NotInPool Reason = "NotInPool"
	// NotSelected: it is in one that does not select the service.
	NotSelected Reason = "NotSelected"
	// Avoided: it ends in .0 or .255, in a pool that avoids those.
	Avoided Reason = "Avoided"
	// WrongFamily: the service does not use its family.
	WrongFamily Reason = "WrongFamily"
	// Resting: another service gave it back a moment ago.
	Resting Reason = "Resting"
	// Conflict: an older claim has it.
	Conflict Reason = "Conflict"
	// Unsure: what other clusters claim is not known yet.
	Unsure Reason = "Unsure"
	// Kept: the service has an address that its pool would not give it any more.
	Kept Reason = "Kept"
	// Claimed: the service has an address that a younger claim wants, or that another
	// service has too, one of the two by hand.
	Claimed Reason = "Claimed"
)

// Lacks says whether a service lacks something for this reason.
func (r Reason) Lacks() bool { return r != Kept && r != Claimed }

func problem(r Reason, format string, args ...any) *Problem {
	return &Problem{r, fmt.Sprintf(format, args...)}
}

// Addresses returns the addresses of the grants.
func (o *Outcome) Addresses() []netip.Addr {
	var out []netip.Addr
	for _, g := range o.Grants {
		out = append(out, g.Address)
	}
	return out
}

// Lacking returns the first problem for which something is lacking, nil if
// there is none.
func (o *Outcome) Lacking() *Problem {
	for i := range o.Problems {
		if o.Problems[i].Reason.Lacks() {
			return &o.Problems[i]
		}
	}
	return nil
}

// familyWord names a family in a sentence.
func familyWord(f clustermesh.Families) string {
	if f == clustermesh.AllFamilies {
		return "IPv4 or IPv6"
	}
	return f.String()
}
