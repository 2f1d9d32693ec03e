package source

import (
	"net/netip"
	"time"

	"tombolo.io/tombolo/clustermesh"
)

// Statuses are what services of a source should say of themselves, as far as the
// cluster's API servers decide it. What they do not name is as it was.
type Statuses struct {
	// Whole: they name all services of which something is to be said.
	Whole    bool
	Services map[clustermesh.ServiceName]ServiceStatus
}

// ServiceStatus is what a service should say of its load-balancer addresses. Without
// any address or condition it is not, or no longer, for the API servers to say: what
// they wrote before is to go.
type ServiceStatus struct {
	Addresses []netip.Addr
	// Conditions begin with that of its addresses.
	Conditions []clustermesh.Condition
	// Lacking: it lacks something that it asks for.
	Lacking bool
	// Judged is the object of which this is said: another one of the name, or of
	// another class, is not to say it.
	Judged Judged
}

// Judged is what tells one service of type LoadBalancer from another of its name.
type Judged struct {
	Class   string
	Created time.Time
	// Others: it has no class, and another implementation has written its addresses.
	Others bool
}
