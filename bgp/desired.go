package bgp

import (
	"cmp"
	"net/netip"
	"slices"

	"tombolo.io/tombolo/bgp/advertise"
	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/global"
)

// picture is all that decides what this node advertises, as the store has it.
type picture struct {
	// complete is set when every table of this cluster is synced. Before that
	// nothing can be decided.
	complete bool
	node     *clustermesh.Node
	peers    []*clustermesh.BGPPeer
	adverts  []*clustermesh.BGPAdvertisement
	services []global.Service
	// unseen is set while a cluster that we should mirror was never seen whole
	// by this process: its endpoints may be what keeps a global service alive.
	unseen bool
	// local is what the node's data path serves; nil when nobody can say.
	local *advertise.Local
	// drained: the node or its cluster is; drain is how far that is.
	drained bool
	drain   advertise.Drain
}

// decide returns the routers that the node should peer with and what each
// should have, by name of the BGPPeer. before is what they have now.
//
// Until the picture is complete that is what they have. While a peer cluster
// was never seen, the path of a global service stays that would go for want of
// an endpoint: an endpoint that nobody has heard of yet is not one that is gone.
// A path that is about to go is offered only to a router that has it.
func decide(p picture, before []router) (routers []router, held map[string][]advertise.Held) {
	if !p.complete || p.node == nil {
		return before, nil
	}
	sets := advertise.Paths(advertise.Input{Node: p.node, Peers: p.peers, Advertisements: p.adverts, Services: p.services,
		Local: p.local, Drain: p.drain})
	held = map[string][]advertise.Held{}
	doubtful := p.doubtful()
	for _, peer := range p.peers {
		set, ok := sets[peer.Name]
		if !ok {
			continue
		}
		r := router{Peer: *peer, Paths: set.Paths}
		r.Paths = slices.DeleteFunc(r.Paths, func(path advertise.Path) bool {
			if _, had := pathOf(before, peer.Name, path.Prefix); had || !path.Leaving {
				return false
			}
			held[peer.Name] = append(held[peer.Name], advertise.Held{Prefix: path.Prefix, Origin: path.Origin, Reason: advertise.Draining})
			return true
		})
		for _, h := range set.Held {
			if (h.Reason == advertise.NoEndpoint || h.Reason == advertise.Down) && doubtful[h.Origin.Service] {
				if old, had := pathOf(before, peer.Name, h.Prefix); had {
					r.Paths = append(r.Paths, old)
					continue
				}
			}
			held[peer.Name] = append(held[peer.Name], h)
		}
		slices.SortFunc(r.Paths, func(a, b advertise.Path) int {
			return cmp.Or(a.Prefix.Addr().Compare(b.Prefix.Addr()), cmp.Compare(a.Prefix.Bits(), b.Prefix.Bits()))
		})
		routers = append(routers, r)
	}
	slices.SortFunc(routers, func(a, b router) int { return cmp.Compare(a.Peer.Name, b.Peer.Name) })
	return routers, held
}

// doubtful returns the services whose endpoints may not all be known.
func (p picture) doubtful() map[clustermesh.ServiceName]bool {
	out := map[clustermesh.ServiceName]bool{}
	if !p.unseen {
		return out
	}
	for _, s := range p.services {
		out[s.Name] = s.Definition != nil && s.Definition.Global
	}
	return out
}

func pathOf(routers []router, name string, prefix netip.Prefix) (advertise.Path, bool) {
	for _, r := range routers {
		if r.Peer.Name != name {
			continue
		}
		for _, p := range r.Paths {
			if p.Prefix == prefix {
				return p, true
			}
		}
	}
	return advertise.Path{}, false
}

// hostRoutes returns the load-balancer addresses among what routers should have.
func hostRoutes(routers []router) map[netip.Prefix]bool {
	out := map[netip.Prefix]bool{}
	for _, r := range routers {
		for _, p := range r.Paths {
			if p.Origin.Service != (clustermesh.ServiceName{}) {
				out[p.Prefix] = true
			}
		}
	}
	return out
}
