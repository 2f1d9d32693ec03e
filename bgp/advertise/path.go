package advertise

import (
	"cmp"
	"net/netip"
	"slices"

	"tombolo.io/tombolo/clustermesh"
)

// Path is one route as it is offered to one router.
type Path struct {
	Prefix netip.Prefix
	// NextHop is the node's own address of the prefix's family.
	NextHop netip.Addr
	// Communities are sorted and without repetition.
	Communities []clustermesh.Community
	// LocalPref goes to routers of the node's own AS; zero leaves the default.
	LocalPref uint32
	// Leaving: the path is about to go, and has the local preference 0 whatever
	// LocalPref says.
	Leaving bool `json:",omitempty"`
	// Origin says what the path is for.
	Origin Origin
}

// Origin is the object that a path comes from.
type Origin struct {
	// Service is empty for a pod prefix. As text an empty name is none, so it is
	// left out.
	Service clustermesh.ServiceName `json:",omitzero"`
	// Advertisements are the names of the advertisements that ask for the path, sorted.
	Advertisements []string
}

// String says in words what the path is for.
func (o Origin) String() string {
	if o.Service == (clustermesh.ServiceName{}) {
		return "pods of this node"
	}
	return "service " + o.Service.String()
}

// Equal reports whether a router would see the two as the same route.
func (p Path) Equal(o Path) bool {
	return p.Prefix == o.Prefix && p.NextHop == o.NextHop && p.LocalPref == o.LocalPref && p.Leaving == o.Leaving &&
		slices.Equal(p.Communities, o.Communities)
}

// Reason is why a path that an advertisement asks for is not offered, in one word.
type Reason string

// The reasons.
const (
	// NoEndpoint: no ready endpoint that this node could use.
	NoEndpoint Reason = "no-endpoint"
	// Down: no ready endpoint to which the node's data path leads, by what its
	// agent has seen: verdicts, or a store that it does not reach.
	Down Reason = "down"
	// NotBalanced: the node's maps do not lead the address anywhere.
	NotBalanced Reason = "not-balanced"
	// Taken: an older service has the address and all of the service's ports there.
	Taken Reason = "taken"
	// NoAddress: the node has no address of the prefix's family to be its next hop.
	NoAddress Reason = "no-address"
	// NoFamily: the session with the router does not carry the prefix's family.
	NoFamily Reason = "no-family"
	// Removed: nothing asks for the path any more.
	Removed Reason = "removed"
	// Draining: the node's owner moves work away from it.
	Draining Reason = "draining"
)

// Held is a path that is not offered.
type Held struct {
	Prefix netip.Prefix
	Origin Origin
	Reason Reason
}

// Set is what one router should have, and what was held back from it, each
// sorted by prefix and each prefix once.
type Set struct {
	Paths []Path
	Held  []Held
}

func comparePrefixes(a, b netip.Prefix) int {
	return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
}

func compareCommunities(a, b clustermesh.Community) int {
	return cmp.Or(
		cmp.Compare(a.Standard, b.Standard), cmp.Compare(a.Global, b.Global),
		cmp.Compare(a.Local1, b.Local1), cmp.Compare(a.Local2, b.Local2))
}
