package standing

import (
	"bytes"
	"cmp"
	"net/netip"
	"slices"

	"tombolo.io/tombolo/clustermesh"
)

// Kinds of objects, by their Kubernetes names.
const (
	ClusterPeer      = "ClusterPeer"
	BGPPeer          = "BGPPeer"
	BGPAdvertisement = "BGPAdvertisement"
	AddressPool      = "AddressPool"
)

// Object is how one object stands.
type Object struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
	// Conditions are those that the kind has, in the order in which they are told.
	Conditions []Condition `json:"conditions"`
	// ClusterID and the prefixes are those of the cluster that a ClusterPeer
	// names, once it said so.
	ClusterID    uint16         `json:"clusterID,omitempty"`
	PodCIDRs     []netip.Prefix `json:"podCIDRs,omitempty"`
	NodeCIDRs    []netip.Prefix `json:"nodeCIDRs,omitempty"`
	ServiceCIDRs []netip.Prefix `json:"serviceCIDRs,omitempty"`
	// Nodes counts the nodes that are to peer with the router of a BGPPeer,
	// Established those of them whose session is.
	Nodes       int `json:"nodes,omitempty"`
	Established int `json:"established,omitempty"`
	// Allocated and Available count the addresses of an AddressPool that are not
	// free, and those that it could still give out.
	Allocated int64 `json:"allocated,omitempty"`
	Available int64 `json:"available,omitempty"`
	// Stored is the object as the store has it: what was judged.
	Stored clustermesh.Object `json:"-"`
}

// Of says whether it was judged by what an object means now, and not by what it meant
// before or what another of the name did.
func (o *Object) Of(now clustermesh.Object) bool {
	if o == nil || o.Stored == nil || now == nil {
		return false
	}
	a, errA := clustermesh.Encode(o.Stored)
	b, errB := clustermesh.Encode(now)
	return errA == nil && errB == nil && bytes.Equal(a, b)
}

// Condition returns the condition of a type; the zero value when it has none.
func (o *Object) Condition(typ string) Condition {
	i := slices.IndexFunc(o.Conditions, func(c Condition) bool { return c.Type == typ })
	if i < 0 {
		return Condition{}
	}
	return o.Conditions[i]
}

// Types of conditions.
const (
	Accepted   = "Accepted"
	Ready      = "Ready"
	Conflicted = "Conflicted"
)

// Condition is one statement about an object.
type Condition struct {
	Type  string `json:"type"`
	State State  `json:"status"`
	// Reason is a word in CamelCase, Message a sentence for people.
	Reason  string `json:"reason"`
	Message string `json:"message,omitempty"`
}

// State is whether a condition holds, as Kubernetes spells it.
type State string

// The states of a condition.
const (
	True    State = "True"
	False   State = "False"
	Unknown State = "Unknown"
)

// Mesh is what is known of the objects and of what became of them.
type Mesh struct {
	Peers []*clustermesh.Peer
	// Mirrors are the states of the mirrors, by the name of the peer, and
	// Clusters what the peers say of themselves.
	Mirrors        map[string]*clustermesh.MirrorState
	Clusters       map[string]*clustermesh.Cluster
	BGPPeers       []*clustermesh.BGPPeer
	Advertisements []*clustermesh.BGPAdvertisement
	Pools          []Pool
	// Nodes are those of this cluster; Speakers what their speakers report.
	Nodes    []*clustermesh.Node
	Speakers []*clustermesh.ProcessStatus
}

// Of returns how the objects of a mesh stand, by kind and name.
func Of(m *Mesh) []Object {
	var out []Object
	for _, p := range m.Peers {
		out = append(out, m.clusterPeer(p))
	}
	for _, p := range m.BGPPeers {
		out = append(out, m.bgpPeer(p))
	}
	for _, a := range m.Advertisements {
		out = append(out, m.advertisement(a))
	}
	for i := range m.Pools {
		out = append(out, m.addressPool(&m.Pools[i]))
	}
	slices.SortFunc(out, func(a, b Object) int { return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name)) })
	return out
}
