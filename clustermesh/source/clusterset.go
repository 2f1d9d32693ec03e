package source

import (
	"crypto/sha256"
	"encoding/base32"
	"net/netip"
	"strings"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/clusterset"
)

// ClusterSetWriter is a source that can show its users what all clusters offer
// together. A directory of manifests cannot.
type ClusterSetWriter interface {
	// SetClusterSet tells what there is, from the API server that leads; it never
	// blocks. Of what was not written yet the newest counts.
	SetClusterSet(ClusterSet)
	// StopClusterSet tells that another leads.
	StopClusterSet()
}

// ClusterSet is what the clusters of the mesh offer together. It is immutable once
// it was told.
type ClusterSet struct {
	// Services are those that some cluster offers, in namespaces that there are.
	Services map[clustermesh.ServiceName]*Imported
	// Globals are our own global Services that wish to show the endpoints of others.
	Globals map[clustermesh.ServiceName]*Global
	// Cluster is our own's name.
	Cluster string
	// Exports are the conditions of our own ServiceExports, without times.
	Exports map[clustermesh.ServiceName][]clustermesh.Condition
	// Unknown says of a cluster that it is not known at present whether it offers a
	// service, or with which endpoints, that Services do not have of it: what was written
	// of it stays.
	Unknown func(cluster string, n clustermesh.ServiceName) bool
	// UnknownShares says the same of what it shares of one of Globals, and of ourselves
	// whether it is known what our Service of that name says.
	UnknownShares func(cluster string, n clustermesh.ServiceName) bool
}

// Imported is a service that clusters offer, with the endpoints of each.
type Imported struct {
	clusterset.Service
	// Addresses are those by which it is reached here, as far as the source has said.
	Addresses []netip.Addr
	// Slices are in the order of their cluster and name.
	Slices []ImportedSlice
}

// Global is a global Service with the endpoints that other clusters share of it.
type Global struct {
	Name     clustermesh.ServiceName
	UID      string // as in SliceWish
	Headless bool
	// Slices are in the order of their cluster and name.
	Slices []ImportedSlice
}

// ImportedSlice is a slice of a cluster's endpoints.
type ImportedSlice struct {
	Cluster string
	*clustermesh.EndpointSlice
}

// DerivedName is the name of the Service from which the import of a service has its
// address in Kubernetes.
func DerivedName(n clustermesh.ServiceName) string { return "derived-" + Sum(n.Namespace, n.Name) }

// Sum is a short name for words, the same wherever it is made.
func Sum(words ...string) string {
	h := sha256.Sum256([]byte(strings.Join(words, "/")))
	return strings.ToLower(base32.StdEncoding.EncodeToString(h[:10]))
}
