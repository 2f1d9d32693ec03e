package responder

import (
	"iter"
	"net/netip"
	"slices"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/view"
)

// kinds are what of the mesh the responder looks at.
var kinds = []clustermesh.Kind{clustermesh.KindNodes, clustermesh.KindPeers, clustermesh.KindState}

// desired is what the responder should hold.
type desired struct {
	// askers are sorted.
	askers []netip.Addr
	// complete: no other asker is known to anyone; else those that may ask
	// already go on.
	complete bool
	// enough is known to answer by maps that are new in place of older ones.
	enough bool
	// node is what the store says of this node; nil while it says nothing, which
	// changes nothing.
	node *clustermesh.Node
}

// desire looks at the mesh for a node.
func desire(v *view.View, node string) desired {
	own := v.Synced(view.Ours, clustermesh.KindNodes) && v.Synced(view.Ours, clustermesh.KindPeers)
	d := desired{node: v.Node(view.Ours, node), complete: own, enough: own}
	for cluster := range clusters(v) {
		for n := range v.Nodes(cluster) {
			d.askers = append(d.askers, n.Addresses...)
		}
	}
	for peer := range v.Peers() {
		listed := v.Synced(peer, clustermesh.KindNodes)
		d.complete = d.complete && listed
		d.enough = d.enough && (listed || waiting(v.Mirror(peer)))
	}
	slices.SortFunc(d.askers, netip.Addr.Compare)
	d.askers = slices.Compact(d.askers)
	return d
}

// clusters are those whose nodes may ask, by the names that the view has for them.
func clusters(v *view.View) iter.Seq[string] {
	return func(yield func(string) bool) {
		if !yield(view.Ours) {
			return
		}
		v.Mirrors()(yield)
	}
}

// waiting reports whether a mirror may be without nodes for long: it never had any
// in this store, or may not. That says nothing of whom the kernel was told of
// before. A store that lost its data is as new as one that never had any, and a
// peer that took another name is refused for as long as it has the old one too.
func waiting(state *clustermesh.MirrorState) bool {
	return state != nil && (state.Phase == clustermesh.MirrorConnecting || state.Phase == clustermesh.MirrorRefused)
}

// sources are whose nodes the askers were seen to be, since this process started.
type sources map[netip.Addr]string

// note takes in whose nodes have which addresses now.
func (s sources) note(v *view.View) {
	for cluster := range clusters(v) {
		for n := range v.Nodes(cluster) {
			for _, a := range n.Addresses {
				s[a] = cluster
			}
		}
	}
}

// allowed returns who may ask, given those that may already. Who is no node's goes
// when the cluster of which it was seen vouches that it has it no more. If it was
// not seen, or that cluster is no peer any more, it may be of one that is not all
// known yet: a restored store, or the same cluster by another name.
func (d desired) allowed(already []netip.Addr, s sources, v *view.View) []netip.Addr {
	all := slices.Clone(d.askers)
	for _, a := range already {
		of, seen := s[a]
		gone := d.complete || seen && v.Synced(of, clustermesh.KindNodes)
		if _, listed := slices.BinarySearchFunc(d.askers, a, netip.Addr.Compare); !listed && !gone {
			all = append(all, a)
		} else if !listed {
			delete(s, a)
		}
	}
	slices.SortFunc(all, netip.Addr.Compare)
	return slices.Compact(all)
}
