package builtin

import (
	"net/netip"

	"github.com/osrg/gobgp/v3/pkg/packet/bgp"
)

// nextHop returns the next hop among a path's attributes, wherever its family
// has it.
func nextHop(attrs []bgp.PathAttributeInterface) netip.Addr {
	for _, a := range attrs {
		switch a := a.(type) {
		case *bgp.PathAttributeNextHop:
			hop, _ := netip.AddrFromSlice(a.Value)
			return hop.Unmap()
		case *bgp.PathAttributeMpReachNLRI:
			hop, _ := netip.AddrFromSlice(a.Nexthop)
			return hop
		}
	}
	return netip.Addr{}
}
