package clustermesh

import (
	"net/netip"
	"slices"
)

// Readiness is what the data path of a node serves, as its agent says on its
// socket: what lies in the maps, and not what should. Verdicts are in it: a
// backend that is held down does not count, unless all are.
type Readiness struct {
	// Version tells this word from the others; whoever names it waits for the next.
	Version string `json:"version"`
	// Pins are the files of the pinned programs: while they are there the programs
	// serve, whether the agent lives or not.
	Pins []string `json:"pins"`
	// Addresses are the load-balancer addresses that lead somewhere in the maps,
	// by service and address.
	Addresses []ServedAddress `json:"addresses"`
}

// ServedAddress is a load-balancer address of a service in a node's maps.
type ServedAddress struct {
	Service ServiceName `json:"service"`
	Address netip.Addr  `json:"address"`
	// Ready: the node can lead a new client from outside to a ready endpoint.
	Ready bool `json:"ready"`
}

// ReadinessPage is where agents serve it.
const ReadinessPage = "/readiness"

// Same reports whether two words say the same.
func (r *Readiness) Same(o *Readiness) bool {
	return slices.Equal(r.Pins, o.Pins) && slices.Equal(r.Addresses, o.Addresses)
}
