package source

import (
	"net/netip"

	"tombolo.io/tombolo/clustermesh"
)

// Statuses are what services of a source should say of themselves, as far as the
// cluster's API servers decide it. What they do not name is as it was.
type Statuses struct {
	// Whole: they name all services of which something is to be said.
	Whole    bool
	Services map[clustermesh.ServiceName]ServiceStatus
	// Events are what just happened to objects.
	Events []Event
}

// ServiceStatus is what a service should say of its load-balancer addresses.
type ServiceStatus struct {
	Addresses  []netip.Addr
	Conditions []clustermesh.Condition
}

// Event is something that happened to an object.
type Event struct {
	Object Key
	// Warning: its owner should look.
	Warning bool
	// Reason is one word, Message a sentence.
	Reason, Message string
}
