package clustermesh

import (
	"cmp"
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// ServiceName names a service; the same name in several clusters is the same
// global service (namespace sameness).
type ServiceName struct {
	Namespace, Name string
}

// String returns namespace/name.
func (n ServiceName) String() string { return n.Namespace + "/" + n.Name }

// ParseServiceName reads namespace/name, both RFC 1123 labels.
func ParseServiceName(s string) (ServiceName, error) {
	namespace, name, _ := strings.Cut(s, "/")
	if !isLabel(namespace) || !isLabel(name) {
		return ServiceName{}, fmt.Errorf("parsing service name %q: want namespace/name", s)
	}
	return ServiceName{namespace, name}, nil
}

// Protocol is a transport protocol, by its IANA protocol number.
type Protocol uint8

// The protocols that services use.
const (
	TCP  Protocol = 6
	UDP  Protocol = 17
	SCTP Protocol = 132
)

// Affinity says which clusters' backends a global service prefers, as the
// cluster that looks wants it.
type Affinity uint8

// The affinities, as in the annotation tombolo.io/affinity.
const (
	AffinityNone   Affinity = iota // all clusters alike
	AffinityLocal                  // this cluster's backends while one is ready
	AffinityRemote                 // other clusters' backends while one is ready
)

// TrafficPolicy is Kubernetes' external or internal traffic policy.
type TrafficPolicy uint8

// The traffic policies.
const (
	TrafficCluster TrafficPolicy = iota // every backend
	TrafficLocal                        // backends on the same node only
)

// Distribution is Kubernetes' traffic distribution: which ready endpoints the
// clients of a node prefer.
type Distribution uint8

// The traffic distributions. PreferClose is Kubernetes' older name of
// PreferSameZone.
const (
	Anywhere       Distribution = iota // all alike
	PreferSameZone                     // those of the client's zone, if there are any
	PreferSameNode                     // those of its node, else of its zone
)

// ServiceType is Kubernetes' type of a service.
type ServiceType uint8

// LoadBalancerClass is that of the services that have their addresses from us.
const LoadBalancerClass = "tombolo.io/bgp"

// The service types.
const (
	ClusterIP ServiceType = iota
	NodePort
	LoadBalancer
	ExternalName
)

// Service is one service as one cluster defines it.
type Service struct {
	Name ServiceName
	Type ServiceType
	// Ports are in the order of the object; names are unique, and empty only
	// when there is one port.
	Ports []ServicePort
	// ClusterIPs are the service's addresses inside its own cluster; they mean
	// nothing in another one. Empty for a headless service, and while none was given.
	ClusterIPs []netip.Addr
	// Headless: the service has no cluster IP and is to get none; its clients
	// dial its endpoints.
	Headless bool
	// LoadBalancerIPs are the addresses from status.loadBalancer or given by a pool.
	LoadBalancerIPs []netip.Addr
	// Request is what the service says about those that a pool is to give it.
	Request AddressRequest
	// LoadBalancerClass is spec.loadBalancerClass.
	LoadBalancerClass string
	// LoadBalancerOthers: LoadBalancerIPs are those of another implementation, which
	// wrote them to a service that names no class. It is left to have the service.
	LoadBalancerOthers bool
	// SourceRanges are from where clients may come to LoadBalancerIPs; none is from
	// everywhere. A client of a family of which there is none is outside of them.
	SourceRanges []netip.Prefix
	// ExternalIPs are addresses by which the service is reached as well: who brings
	// packets for them here is none of ours to know. SourceRanges are not about them.
	ExternalIPs []netip.Addr
	// HealthCheckNodePort is where each node says over HTTP whether it has an endpoint of
	// a load balancer under an external policy Local; zero is nowhere.
	HealthCheckNodePort uint16
	// ExternalPolicy and InternalPolicy are the traffic policies.
	ExternalPolicy, InternalPolicy TrafficPolicy
	// Distribution is this cluster's own wish for its clients.
	Distribution Distribution
	// Global: merge the endpoints of all clusters that share this service.
	Global bool
	// Shared: other clusters may use this cluster's endpoints. Meaningful only
	// with Global; a service that is both lies in export/, any other in private/.
	Shared bool
	// Affinity is this cluster's own wish and does not bind others.
	Affinity Affinity
	// Priority orders clusters when more than one could serve: lower first, 0 to 255.
	Priority uint8
	// Weight is the share of this cluster's endpoints, 0 to 65535; the default is 100.
	Weight uint16
	// Overprovisioning is how much of its load a tier of clusters takes upon
	// those of its endpoints that live, in percent, 100 to 10000: at 140 it
	// passes none on while 72 of 100 live. Zero is DefaultOverprovisioning. It is
	// this cluster's own wish.
	Overprovisioning uint16
	// Outliers says when backends that fail are left out, by each node for its own
	// clients. It is this cluster's own wish.
	Outliers OutlierDetection
	// SessionAffinity keeps a client on one backend for this long: whole
	// seconds, at most a day; zero is off.
	SessionAffinity time.Duration
	// PublishNotReady serves endpoints before they are ready.
	PublishNotReady bool
	// TableSize is the number of slots of each of the service's Maglev tables,
	// given out by the cluster's leader so that all nodes build the same: a
	// prime from MinTableSize to MaxTableSize, or zero while none was given.
	TableSize uint32
	// Labels are the object's; the service selectors of BGP objects look at them.
	Labels map[string]string
	// Created is the object's creation time, to the second; the older object
	// wins where two disagree.
	Created time.Time
}

// Age says which of two services was there first. The older one has what both
// claim and only one can have: an address and port.
type Age struct {
	Created time.Time
	// Name decides between services of the same second.
	Name ServiceName
}

// Age returns the service's.
func (s *Service) Age() Age { return Age{s.Created, s.Name} }

// Compare is negative if a is older than b.
func (a Age) Compare(b Age) int {
	return cmp.Or(a.Created.Compare(b.Created),
		cmp.Compare(a.Name.Namespace, b.Name.Namespace), cmp.Compare(a.Name.Name, b.Name.Name))
}

// Bounds of Service.Overprovisioning and what zero means there, Envoy's default.
const (
	MinOverprovisioning     = 100
	MaxOverprovisioning     = 10000
	DefaultOverprovisioning = 140
)

// Bounds of a Maglev table; see Service.TableSize.
const (
	MinTableSize = 251
	MaxTableSize = 131071
)

// MaxSourceRanges bounds Service.SourceRanges.
const MaxSourceRanges = 4096

// ServicePort is one port of a service.
type ServicePort struct {
	Name     string
	Protocol Protocol
	Port     uint16
	// NodePort is zero when the service has none.
	NodePort uint16
	// AppProtocol is a hint for gateways, a label's key, or empty.
	AppProtocol string
}

// EndpointSlice is up to MaxSliceEndpoints endpoints of one service, of one
// address family.
type EndpointSlice struct {
	Service ServiceName
	// Name is unique in the service's namespace and cluster.
	Name string
	// Ports are those that every endpoint of the slice serves; the name ties a
	// port to the service's.
	Ports []EndpointPort
	// Endpoints are all of one family. An address occurs twice only with
	// different pod UIDs: a pod that is going and the one that follows it.
	Endpoints []Endpoint
}

// MaxSliceEndpoints bounds a slice, so that a change rewrites little.
const MaxSliceEndpoints = 100

// EndpointPort is the port on which the endpoints of a slice listen.
type EndpointPort struct {
	Name     string
	Protocol Protocol
	Port     uint16
}

// Endpoint is one pod (or host) behind a service.
type Endpoint struct {
	Address netip.Addr
	// PodUID tells two pods apart that had the same address one after the other.
	PodUID string
	// Node is the endpoint's node in its cluster, Zone that node's zone; either may be empty.
	Node, Zone string
	// Ready, Serving and Terminating are the conditions of an EndpointSlice,
	// except that a terminating endpoint is never ready: where Kubernetes says
	// both (it publishes not-ready addresses) a source says terminating.
	Ready, Serving, Terminating bool
	// Hostname is the endpoint's own name below that of its service, or empty.
	Hostname string
}
