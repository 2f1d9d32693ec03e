package loadbalancer

import (
	"context"
	"net/netip"
)

// Place is where a node's backends are found by their addresses.
type Place struct {
	Cluster uint16
	Node    string
	// Addresses are the node's own, Pods the prefixes of its pods.
	Addresses []netip.Addr
	Pods      []netip.Prefix
}

// SetPlaces says where the mesh's nodes were, for a start without the store: the maps
// hold numbers of nodes and not their names, and without names no verdict about a node
// finds its backends. What the store says later is believed instead. It returns when
// Run has it, or ctx is done.
func (l *LoadBalancer) SetPlaces(ctx context.Context, all []Place) error {
	select {
	case l.places <- all:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// recognize gives the numbers that were found in the maps the names of the nodes at
// whose places all backends of the number are. One whose backends are at several
// places, or at none, stays without a name: rather no verdict than one about others.
func (s *state) recognize(all []Place) {
	a := newAtlas(all)
	found := map[uint32]nodeName{}
	for _, p := range s.pinned {
		for _, b := range p.backends {
			if b.node == 0 {
				continue
			}
			who := a.at(b.cluster, b.address.Addr())
			if old, ok := found[b.node]; ok && old != who {
				who = nodeName{}
			}
			found[b.node] = who
		}
	}
	for number, who := range found {
		if who.name != "" {
			s.nodes.is(number, who) // which names it
		}
	}
}

// atlas finds places by addresses. What several claim is nobody's.
type atlas struct {
	prefixes map[region]nodeName
	// lengths are those that some prefix has.
	lengths map[int]struct{}
}

// region is a prefix in a cluster.
type region struct {
	cluster uint16
	prefix  netip.Prefix
}

func newAtlas(all []Place) atlas {
	a := atlas{map[region]nodeName{}, map[int]struct{}{}}
	for _, p := range all {
		who := nodeName{p.Cluster, p.Node}
		for _, addr := range p.Addresses {
			a.add(netip.PrefixFrom(addr, addr.BitLen()), who)
		}
		for _, prefix := range p.Pods {
			a.add(prefix.Masked(), who)
		}
	}
	return a
}

func (a atlas) add(prefix netip.Prefix, who nodeName) {
	at := region{who.cluster, prefix}
	if old, ok := a.prefixes[at]; ok && old != who {
		who = nodeName{}
	}
	a.prefixes[at] = who
	a.lengths[prefix.Bits()] = struct{}{}
}

// at returns whose place an address is; no name when it is nobody's, or that of more
// than one.
func (a atlas) at(cluster uint16, addr netip.Addr) nodeName {
	found := nodeName{}
	for bits := range a.lengths {
		prefix, err := addr.Prefix(bits)
		if err != nil {
			continue // of the other family
		}
		who, ok := a.prefixes[region{cluster, prefix}]
		switch {
		case !ok:
		case who.name == "" || found.name != "" && found != who:
			return nodeName{}
		default:
			found = who
		}
	}
	return found
}
