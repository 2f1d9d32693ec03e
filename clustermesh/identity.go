package clustermesh

import (
	"fmt"
	"net/netip"
	"strconv"
)

// IdentityID is a number that is unique in the mesh: cluster id << 16 | local number.
type IdentityID uint32

// NewIdentityID returns the identity with this local number in this cluster.
func NewIdentityID(cluster uint16, local uint16) IdentityID {
	return IdentityID(cluster)<<16 | IdentityID(local)
}

// ParseIdentityID reads a number as it is written in keys.
func ParseIdentityID(s string) (IdentityID, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("parsing identity %q: want a number of 32 bits", s)
	}
	return IdentityID(n), nil
}

// Cluster returns the id of the cluster that gave the identity out.
func (id IdentityID) Cluster() uint16 { return uint16(id >> 16) }

// Local returns the number within its cluster.
func (id IdentityID) Local() uint16 { return uint16(id) }

// Identity is a set of labels that workloads share, and its number.
type Identity struct {
	ID     IdentityID
	Labels map[string]string
}

// EndpointIdentity says which identity an address has.
type EndpointIdentity struct {
	Address  netip.Addr
	Identity IdentityID
	PodUID   string
	Node     string
	// Pod is the workload's name, namespace/name, for people.
	Pod string
}
