package clustermesh

import "net/netip"

// Pool holds addresses that are given to services of type LoadBalancer.
type Pool struct {
	Name string
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
