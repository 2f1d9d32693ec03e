package clustermesh

import (
	"crypto/ed25519"
	"net/netip"
	"slices"
)

// Bounds of a cluster id. Zero means "no cluster"; the upper bound leaves an
// identity (id << 16 | local number) inside 25 bits.
const (
	MinClusterID = 1
	MaxClusterID = 511
)

// Cluster is what a cluster says of itself under export/cluster.
type Cluster struct {
	// Name is the cluster's name, unique in the mesh (RFC 1123 label).
	Name string
	// ID is the cluster's number, unique in the mesh, MinClusterID to MaxClusterID.
	ID uint16
	// PodCIDRs and NodeCIDRs are routed in the whole mesh and overlap with
	// those of no other cluster.
	PodCIDRs  []netip.Prefix
	NodeCIDRs []netip.Prefix
	// ServiceCIDRs are the cluster's own; other clusters may use the same.
	ServiceCIDRs []netip.Prefix
	// Capabilities name what this cluster's version can do, sorted.
	Capabilities []string
	// Peers are the names of the clusters that this one has as peers, sorted. It
	// says so if its Capabilities have CapabilityPeers; see PeersWith.
	Peers []string
	// Seal is the public half of the cluster's Seal, empty while it has none.
	Seal ed25519.PublicKey
}

// CapabilityPeers says that Cluster.Peers is told.
const CapabilityPeers = "peers"

// CapabilityExports says that the cluster vouches for its ServiceExports. One of an
// older version has none, and no table of them.
const CapabilityExports = "exports"

// TellsExports says whether the cluster vouches for its ServiceExports.
func (cl *Cluster) TellsExports() bool { return slices.Contains(cl.Capabilities, CapabilityExports) }

// PeersWith says whether the cluster has another one as a peer. Of one that does
// not tell it is assumed.
func (cl *Cluster) PeersWith(name string) bool {
	return !slices.Contains(cl.Capabilities, CapabilityPeers) || slices.Contains(cl.Peers, name)
}

// Node is a machine of a cluster.
type Node struct {
	// Name is unique in its cluster.
	Name string
	// Addresses are the node's own, routed in the whole mesh; the first of a
	// family is the one to use.
	Addresses []netip.Addr
	// PodCIDRs are the prefixes from which the node's pods have their addresses.
	PodCIDRs []netip.Prefix
	// Zone is the failure domain (topology.kubernetes.io/zone), or empty.
	Zone string
	// Labels are the node's labels; the node selectors of BGP objects look at them.
	Labels map[string]string
	// Gossip is where the node's agent listens for gossip; invalid when it does not.
	Gossip netip.AddrPort
	// BootID is the kernel's boot id, or empty.
	BootID string
	// Draining is set while the node is cordoned, in a cluster that counts this as
	// draining. A source sets it always; the store has it only there.
	Draining bool
}

// Peer is another cluster whose export/ this cluster mirrors.
type Peer struct {
	// Name is the peer cluster's name; its export/cluster must say the same.
	Name string
	// Endpoints are the URLs of the peer's etcd.
	Endpoints []string
	// TLS names the files that authenticate us to the peer and the peer to us.
	TLS TLSFiles
}

// TLSFiles are paths of PEM files.
type TLSFiles struct {
	CA, Cert, Key string
}
