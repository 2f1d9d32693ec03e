package global

import (
	"cmp"
	"net/netip"
	"slices"

	"tombolo.io/tombolo/clustermesh"
)

// Input is one service as the mesh knows it.
type Input struct {
	Name clustermesh.ServiceName
	// Self is the name of the cluster that looks.
	Self string
	// Node is the node that looks: an internal traffic policy Local keeps
	// cluster IPs to its endpoints. Empty for a reader that is no node.
	Node string
	// Zone is that of Node; empty for a node that is in none.
	Zone string
	// NodeAddresses are those of Node at which it serves node ports; none where it
	// serves no such ports.
	NodeAddresses []netip.Addr
	// Every: all services are taken, for there is no kube-proxy.
	Every bool
	// Direct: other nodes of the cluster send clients' packets to Node as they came, for
	// its own endpoints.
	Direct bool
	// Exports are what the clusters say, at most one for each, in any order.
	Exports []Export

	// What follows is no part of what the clusters export. The maps may be shared
	// by the inputs of many services, and nobody writes them any more: an Input
	// is kept to explain its service later.

	// Health is what our verdicts hold down.
	Health Health
	// Withdrawn are pods that ended, as their own node says, while the mirror of
	// their cluster is stale, and what it says: they are no endpoints any more,
	// not even for want of others.
	Withdrawn map[Pod]string
	// Ejected are backends of this service's TCP ports that take no connections from
	// the node that looks, each with the reason for people. They are left out as
	// those that Health holds down: while others serve.
	Ejected map[Target]string
	// Drains are what is being moved away from.
	Drains Drains
}

// Export is one cluster's part of a service. Merge only reads it.
type Export struct {
	Cluster   string
	ClusterID uint16
	// NodeCIDRs and PodCIDRs are the cluster's: an address of the former that is
	// none of the latter is a node's own.
	NodeCIDRs, PodCIDRs []netip.Prefix
	// Service is the cluster's definition; nil when only slices are known.
	Service *clustermesh.Service
	Slices  []*clustermesh.EndpointSlice
}

// Service is a service as this cluster uses it.
type Service struct {
	Name clustermesh.ServiceName
	// Definition is this cluster's own, nil when it has none. It carries what
	// holds for the service as a whole: session affinity, table size, external
	// traffic policy, labels.
	Definition *clustermesh.Service
	// Every is the Input's.
	Every bool
	// Reason says why the service has no ports here; empty when it has.
	Reason string
	// Ports are in the order of the definition, without those that are not
	// Balanced; of one service port, IPv4 comes before IPv6.
	Ports []Port
	// Parts say what each cluster adds: this cluster first, the others by id.
	Parts []Part
	// Conflicts are the endpoints refused because another cluster has their
	// address, by cluster and address.
	Conflicts []Conflict
}

// Port is a port of the service in one address family: frontends that select
// from the same backends. A service port has a second Port in a family when
// its cluster IPs and its addresses for clients outside select differently, as they do under
// an internal policy Local or a traffic distribution, or are not for the same clients.
type Port struct {
	// Name, Protocol and Port are the definition's.
	Name     string
	Protocol clustermesh.Protocol
	Port     uint16
	// Frontends are at least one, all of one family, in the definition's order.
	Frontends []Frontend
	// Guarded: clients from Ranges alone may come to the frontends, which are the
	// load-balancer IPs. Ranges are those of their family, and may be none.
	Guarded bool
	Ranges  []netip.Prefix
	// Primary are the backends to use, of one tier or of several that share the
	// load, and Backup all others that serve as well, to use while none of the
	// primary lives; of the frontends' family, ordered by cluster id, address and port. Without a
	// primary there is no backup.
	Primary, Backup []Backend
	// Aside are the other endpoints that live as far as their cluster and their
	// node know, in no particular order: they take no new connection, and keep
	// those they have.
	Aside []Backend
	// LocalNodes are the nodes of this cluster with a ready endpoint, sorted;
	// filled only under an external traffic policy Local, which asks for them.
	LocalNodes []string
	// Here are the endpoints on the node that looks to which packets are led that came
	// for it alone, chosen among themselves, as Compare says: under an external traffic
	// policy Local, and of an Input that is Direct; else it is not filled.
	Here []Backend
}

// Scope says who reaches a frontend.
type Scope uint8

// The scopes.
const (
	// Internal is a cluster IP: this cluster's own pods and nodes.
	Internal Scope = iota
	// External is a load-balancer IP, an external IP or an address of the node that
	// looks, with a node port: clients outside, and those inside too.
	External
)

// String returns the scope in a word.
func (s Scope) String() string {
	if s == External {
		return "external"
	}
	return "internal"
}

// Frontend is an address under which a port of the service is reached.
type Frontend struct {
	Address  netip.Addr
	Port     uint16
	Protocol clustermesh.Protocol
	Scope    Scope
}

// Backend is an endpoint as one port of the service uses it.
type Backend struct {
	Cluster   string
	ClusterID uint16
	Address   netip.Addr
	Port      uint16
	// Node and Zone are names in the backend's cluster; either may be empty.
	Node, Zone string
	PodUID     string
	// OnNode: the address is one of the node itself, not of its pods.
	OnNode bool
	// Weight is the backend's share beside others of its table, at least 1. It
	// is what the backend's cluster said, unless a table has several tiers or
	// something of it is drained in part.
	Weight uint32
	// Ended: it is drained, and the time is over which its connections had to
	// finish. Only of those that are aside does that mean anything.
	Ended bool
	// Serving: the endpoint answers, says its cluster. Those of a table all do.
	Serving bool
	// Terminating is set for a last resort: an endpoint that still serves while
	// it ends, used because no cluster has a ready one. A port's backends are all
	// such or none is.
	Terminating bool
}

// Part is what one cluster adds to a service, for people.
type Part struct {
	Cluster   string
	ClusterID uint16
	// Ready, Ending and NotReady count endpoint addresses: ready, terminating
	// but still serving, and neither.
	Ready, Ending, NotReady int
	// Reason says why none of the cluster's endpoints is used, empty when some
	// may be.
	Reason string
}

// Conflict is an address that two clusters claim for the same service.
type Conflict struct {
	Address netip.Addr
	// Cluster is refused; Holder keeps the address.
	Cluster, Holder string
}

// Compare orders backends as tiers are ordered: by cluster id, address and port.
func (b Backend) Compare(o Backend) int {
	return cmp.Or(cmp.Compare(b.ClusterID, o.ClusterID), b.Address.Compare(o.Address), cmp.Compare(b.Port, o.Port))
}

// Shares returns which part of the new connections each backend of a table gets,
// in percent.
func Shares(table []Backend) []float64 {
	total := 0.0
	for _, b := range table {
		total += float64(b.Weight)
	}
	out := make([]float64, len(table))
	for i, b := range table {
		out[i] = 100 * float64(b.Weight) / total
	}
	return out
}

// ServedBy reports whether a node of this cluster can serve a load-balancer IP
// of the service: some port under that address has a ready backend, and under
// an external traffic policy Local one on that node. A last resort does not
// count: it ends, and no new client should be led to it from outside.
func (s Service) ServedBy(node string, ip netip.Addr) bool {
	local := s.Definition != nil && s.Definition.ExternalPolicy == clustermesh.TrafficLocal
	return slices.ContainsFunc(s.Ports, func(p Port) bool {
		if !slices.ContainsFunc(p.Frontends, func(f Frontend) bool { return f.Address == ip && f.Scope == External }) {
			return false
		}
		if local {
			return slices.Contains(p.LocalNodes, node)
		}
		return len(p.Primary) > 0 && !p.Primary[0].Terminating
	})
}
