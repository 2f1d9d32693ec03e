package source

import (
	"net/netip"
	"time"

	"tombolo.io/tombolo/clustermesh"
)

// Kind is a kind of object that sources deliver, by its Kubernetes name.
type Kind string

// The kinds.
const (
	Node             Kind = "Node"
	Namespace        Kind = "Namespace"
	Service          Kind = "Service"
	ServiceExport    Kind = "ServiceExport"
	ServiceImport    Kind = "ServiceImport"
	EndpointSlice    Kind = "EndpointSlice"
	Pod              Kind = "Pod"
	ClusterPeer      Kind = "ClusterPeer"
	BGPPeer          Kind = "BGPPeer"
	BGPAdvertisement Kind = "BGPAdvertisement"
	AddressPool      Kind = "AddressPool"
)

// Kinds are all kinds.
var Kinds = [...]Kind{Node, Namespace, Service, ServiceExport, ServiceImport, EndpointSlice, Pod, ClusterPeer, BGPPeer, BGPAdvertisement, AddressPool}

// Namespaced says whether objects of the kind lie in a namespace.
func (k Kind) Namespaced() bool {
	return k == Service || k == ServiceExport || k == ServiceImport || k == EndpointSlice || k == Pod
}

// Key names an object of a source.
type Key struct {
	Kind Kind
	// Namespace is empty for kinds that have none.
	Namespace, Name string
}

// String returns the key for people: "Service shop/web", "Node n1".
func (k Key) String() string {
	if k.Namespace == "" {
		return string(k.Kind) + " " + k.Name
	}
	return string(k.Kind) + " " + k.Namespace + "/" + k.Name
}

// Object is one noun: *clustermesh.Node, Service, EndpointSlice, Peer, BGPPeer,
// BGPAdvertisement or Pool, or *Labels, *Export, *ImportAddress, *SliceWish or *Workload of
// this package. It is immutable once delivered.
type Object any

// Labels are those of a namespace, which are part of the identity of its pods.
type Labels struct {
	Namespace string
	Labels    map[string]string
}

// Export asks that a service be offered to all clusters: a ServiceExport. Whether
// there is such a service is another matter.
type Export struct {
	Service clustermesh.ServiceName
	// Created is when the ServiceExport was made, to the second.
	Created time.Time
	// Labels and Annotations are those that imports of the service are to have.
	Labels, Annotations map[string]string
}

// ImportAddress says under which addresses the import of a service is reached: those
// of a Service that was derived of it, or that a manifest names.
type ImportAddress struct {
	Service clustermesh.ServiceName
	// IPs are at least one, at most one of a family.
	IPs []netip.Addr
}

// SliceWish says of a global Service that the endpoints of other clusters are to be seen
// in the API of its own, as EndpointSlices. It comes behind the Service.
type SliceWish struct {
	Service clustermesh.ServiceName
	// UID tells the Service from others of its name; empty where there is no API.
	UID string
}

// Workload is a pod as far as the mesh cares: what it is and which addresses
// are its own.
type Workload struct {
	Namespace, Name string
	UID             string
	// Node is where it runs, empty until it is scheduled.
	Node string
	// Addresses are the pod's own; none while it has none yet, when it has
	// ended, or when it uses those of its node.
	Addresses []netip.Addr
	Labels    map[string]string
	// ServiceAccount is the account that it runs as, or empty.
	ServiceAccount string
}
