package clustermesh

import "slices"

// Lease says that an API server keeps what a cluster exports up to date. It lies under
// export/lease and hangs on the etcd lease by which its holder leads: where etcd
// outlives all API servers, nothing else there tells that what it says grows old.
type Lease struct {
	// Holder is the name of the node that the API server runs on.
	Holder string
	// Reign is the term of etcd's own leader in which the holder last wrote it: etcd lets
	// leases begin anew when it restarts, also those of the dead, and then has another.
	// Zero is one of an older version.
	Reign uint64
}

func (l *Lease) check(c *checker) { c.subdomain("holder", l.Holder) }

// CapabilityLease says that whoever keeps the cluster's objects up to date holds its
// Lease. One of an older version has none.
const CapabilityLease = "lease"

// HasLease says whether somebody holds the cluster's Lease while its objects are kept
// up to date.
func (cl *Cluster) HasLease() bool { return slices.Contains(cl.Capabilities, CapabilityLease) }
