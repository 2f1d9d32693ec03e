package advertise

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/global"
)

// Input is all that decides what a node offers.
type Input struct {
	Node           *clustermesh.Node
	Peers          []*clustermesh.BGPPeer
	Advertisements []*clustermesh.BGPAdvertisement
	// Services are merged as this node sees them.
	Services []global.Service
	// Local is what the node's data path serves, nil when that is not known and
	// not to be asked for.
	Local *Local
	// Drain is how far the node is being drained.
	Drain Drain
}

// Local is what the data path of a node serves. The zero value is one that
// balances nothing.
type Local struct {
	// Addresses lead somewhere; those that are true to a ready endpoint.
	Addresses map[ServiceAddress]bool
}

// ServiceAddress is a load-balancer address of a service.
type ServiceAddress struct {
	Service clustermesh.ServiceName
	Address netip.Addr
}

// Drain is how far a node is being drained.
type Drain uint8

// The stages of a drain.
const (
	InService Drain = iota
	// Leaving: routers are asked to prefer others, and may come here still.
	Leaving
	// Drained: no load-balancer IP is offered.
	Drained
)

// Paths returns the set of each router that the node peers with, by the name
// of the BGPPeer. A router for which nothing is advertised has an empty set;
// one whose node selector does not pick the node has none.
//
//   - A pod prefix is offered as long as the node exists.
//   - A load-balancer IP is offered as a host route while the node can serve it:
//     the store knows a ready endpoint that it could use
//     (global.Service.ServedBy), and its data path leads to one.
//   - One of a node that is leaving carries GRACEFUL_SHUTDOWN and the least local
//     preference (RFC 8326 4.1); one of a node that is drained is not offered.
//   - Two services that have the same load-balancer IP offer it while either
//     can be served; the path names the one whose name sorts first of those. A
//     port that both have is the older one's.
//   - Where several advertisements ask for the same prefix, the path has the
//     communities of all of them and the greatest local preference.
func Paths(in Input) map[string]Set {
	sets := make(map[string]Set)
	if in.Node == nil {
		return sets
	}
	services := settleClaims(in.Services)
	for _, peer := range in.Peers {
		if !peer.NodeSelector.Matches(in.Node.Labels) {
			continue
		}
		d := draft{in: &in, node: in.Node, peer: peer, wanted: map[netip.Prefix]*Path{}, held: map[netip.Prefix]*Held{}}
		for _, ad := range in.Advertisements {
			if concerns(ad, peer, in.Node) {
				d.add(ad, services)
			}
		}
		sets[peer.Name] = d.set()
	}
	return sets
}

// concerns says whether an advertisement holds for this router and node.
func concerns(ad *clustermesh.BGPAdvertisement, peer *clustermesh.BGPPeer, node *clustermesh.Node) bool {
	return (len(ad.Peers) == 0 || slices.Contains(ad.Peers, peer.Name)) && ad.NodeSelector.Matches(node.Labels)
}

// draft is the set of one router in the making.
type draft struct {
	in     *Input
	node   *clustermesh.Node
	peer   *clustermesh.BGPPeer
	wanted map[netip.Prefix]*Path
	held   map[netip.Prefix]*Held
}

// add takes in all that one advertisement asks for.
func (d *draft) add(ad *clustermesh.BGPAdvertisement, services []global.Service) {
	if ad.PodCIDRs {
		for _, p := range d.node.PodCIDRs {
			d.want(ad, p.Masked(), clustermesh.ServiceName{}, "")
		}
	}
	if !ad.LoadBalancerIPs {
		return
	}
	for _, s := range services {
		if s.Definition == nil || !ad.ServiceSelector.Matches(s.Definition.Labels) {
			continue
		}
		for _, ip := range s.Definition.LoadBalancerIPs {
			d.want(ad, netip.PrefixFrom(ip, ip.BitLen()), s.Name, d.whyNot(s, ip))
		}
	}
}

// whyNot says why the node does not offer a load-balancer IP; empty when it does.
func (d *draft) whyNot(s global.Service, ip netip.Addr) Reason {
	switch {
	case d.in.Drain == Drained:
		return Draining
	case len(s.Ports) > 0 && !claimed(s, func(f global.Frontend) bool { return f.Address == ip }):
		return Taken
	case !s.ServedBy(d.node.Name, ip):
		return NoEndpoint
	case d.in.Local == nil:
		return ""
	}
	ready, written := d.in.Local.Addresses[ServiceAddress{s.Name, ip}]
	switch {
	case !written:
		return NotBalanced
	case !ready:
		return Down
	}
	return ""
}

// want notes that an advertisement asks for a prefix, or why it is held back.
func (d *draft) want(ad *clustermesh.BGPAdvertisement, prefix netip.Prefix, service clustermesh.ServiceName, reason Reason) {
	family := familyOf(prefix.Addr())
	nextHop := addressOf(d.node, family)
	switch {
	case len(d.peer.Families) > 0 && !slices.Contains(d.peer.Families, family):
		reason = NoFamily
	case !nextHop.IsValid():
		reason = NoAddress
	}
	if reason != "" {
		h := d.held[prefix]
		if h == nil {
			h = &Held{Prefix: prefix, Reason: reason}
			d.held[prefix] = h
		}
		h.Origin.add(ad.Name, service)
		return
	}
	p := d.wanted[prefix]
	if p == nil {
		p = &Path{Prefix: prefix, NextHop: nextHop}
		d.wanted[prefix] = p
	}
	p.Origin.add(ad.Name, service)
	p.LocalPref = max(p.LocalPref, ad.LocalPref)
	p.Communities = append(p.Communities, communities(ad)...)
	if d.in.Drain == Leaving && service != (clustermesh.ServiceName{}) {
		p.Leaving = true
		p.Communities = append(p.Communities, gracefulShutdown)
	}
}

// add notes one more advertisement, and the service whose name sorts first.
func (o *Origin) add(advertisement string, service clustermesh.ServiceName) {
	if !slices.Contains(o.Advertisements, advertisement) {
		o.Advertisements = append(o.Advertisements, advertisement)
	}
	if first := o.Service; first == (clustermesh.ServiceName{}) || compareNames(service, first) < 0 {
		o.Service = service
	}
}

// set sorts the draft; a prefix that one service offers is not held for another.
func (d *draft) set() Set {
	var s Set
	for _, prefix := range slices.SortedFunc(maps.Keys(d.wanted), comparePrefixes) {
		p := d.wanted[prefix]
		slices.Sort(p.Origin.Advertisements)
		slices.SortFunc(p.Communities, compareCommunities)
		p.Communities = slices.Compact(p.Communities)
		s.Paths = append(s.Paths, *p)
	}
	for _, prefix := range slices.SortedFunc(maps.Keys(d.held), comparePrefixes) {
		if _, offered := d.wanted[prefix]; !offered {
			slices.Sort(d.held[prefix].Origin.Advertisements)
			s.Held = append(s.Held, *d.held[prefix])
		}
	}
	return s
}

// gracefulShutdown is the community GRACEFUL_SHUTDOWN (RFC 8326 5).
var gracefulShutdown = clustermesh.Community{Standard: 0xffff0000}

// communities are those of an advertisement. What does not parse was refused
// when the object was read from the store.
func communities(ad *clustermesh.BGPAdvertisement) []clustermesh.Community {
	var out []clustermesh.Community
	for _, text := range ad.Communities {
		if c, err := clustermesh.ParseCommunity(text); err == nil {
			out = append(out, c)
		}
	}
	return out
}

func familyOf(a netip.Addr) clustermesh.Family {
	if a.Is4() {
		return clustermesh.IPv4Unicast
	}
	return clustermesh.IPv6Unicast
}

// addressOf returns the node's first address of a family, or the zero Addr.
func addressOf(n *clustermesh.Node, f clustermesh.Family) netip.Addr {
	for _, a := range n.Addresses {
		if familyOf(a) == f {
			return a
		}
	}
	return netip.Addr{}
}

func compareNames(a, b clustermesh.ServiceName) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}
