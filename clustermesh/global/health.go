package global

import (
	"net/netip"
	"slices"

	"tombolo.io/tombolo/clustermesh"
)

// NodeName names a node of the mesh.
type NodeName struct{ Cluster, Node string }

// Health is what our own verdicts hold down; the zero value is nothing.
//
// It takes endpoints out of a service only while others remain: when all that
// would serve are down, the service is merged as though none were, for our eyes
// may be wrong.
type Health struct {
	// Clusters are those that are down as a whole, by name, in which families.
	Clusters map[string]clustermesh.Families
	// Outdated are clusters of which too old is what we know.
	Outdated map[string]bool
	// Nodes are those of which something is down.
	Nodes map[NodeName]NodeHealth
}

// NodeHealth is what of a node is down: its own addresses, those of its pods, in
// which families.
type NodeHealth struct{ AddressDown, PodsDown clustermesh.Families }

// down reports whether a verdict is about the backend.
func (h *Health) down(b *Backend) bool {
	family := clustermesh.FamilyOf(b.Address)
	if h.Clusters[b.Cluster].Has(family) || h.Outdated[b.Cluster] {
		return true
	}
	n := h.Nodes[NodeName{b.Cluster, b.Node}]
	return b.Node != "" && (b.OnNode && n.AddressDown.Has(family) || !b.OnNode && n.PodsDown.Has(family))
}

// Target is a backend of one TCP port of a service: an address and port that
// fails behind one port says nothing of another.
type Target struct {
	// Port is the service's.
	Port    uint16
	Cluster string
	Address netip.AddrPort
}

// Pod is an endpoint by who it is: another pod under the same address is
// another one.
type Pod struct {
	Cluster string
	Address netip.Addr
	UID     string
}

// Share is a part of the whole in thousandths, 0 to Whole.
type Share uint16

// Whole is all of something. Ended says of a drain that, besides, the time is over
// which connections had to finish.
const (
	Whole Share = 1000
	Ended Share = Whole + 1
)

// Drains say which share of what serves is moved away, of clusters and nodes
// as a whole and of this service alone; what is not named keeps everything. Of
// several that concern an endpoint the greatest counts.
//
// An endpoint's weight shrinks by its share, which is how something that comes
// back is given more step by step. One that lost Whole takes no new connection
// while an endpoint of any cluster does; before one that is terminating it is
// the first resort.
type Drains struct {
	// Clusters and Nodes are drained for all services. They may be shared by
	// the inputs of many.
	Clusters map[string]Share
	Nodes    map[NodeName]Share
	// Services is this service, by the name of the cluster in which it is drained.
	Services map[string]Share
}

// kept returns the share that is left to the backend, and whether its drain has
// ended.
func (d *Drains) kept(b *Backend) (share Share, ended bool) {
	away := max(d.Clusters[b.Cluster], d.Services[b.Cluster])
	if b.Node != "" {
		away = max(away, d.Nodes[NodeName{b.Cluster, b.Node}])
	}
	return Whole - min(away, Whole), away == Ended
}

// onNode reports whether an address of the cluster is one of a node itself:
// within the prefixes of its nodes, and of none of its pods.
func (e *Export) onNode(a netip.Addr) bool {
	contains := func(p netip.Prefix) bool { return p.Contains(a) }
	return slices.ContainsFunc(e.NodeCIDRs, contains) && !slices.ContainsFunc(e.PodCIDRs, contains)
}
