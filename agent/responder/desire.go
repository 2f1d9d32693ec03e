package responder

import (
	"cmp"
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
	// node is what the store says of this node; nil while it says nothing, which
	// changes nothing.
	node *clustermesh.Node
}

// desire looks at the mesh for a node.
func desire(v *view.View, node string) desired {
	d := desired{node: v.Node(view.Ours, node), complete: v.Synced(view.Ours, clustermesh.KindNodes)}
	add := func(cluster string) {
		for n := range v.Nodes(cluster) {
			d.askers = append(d.askers, n.Addresses...)
		}
	}
	add(view.Ours)
	for cluster := range v.Mirrors() {
		add(cluster)
	}
	for name := range v.Peers() {
		d.complete = d.complete && seen(v, name)
	}
	slices.SortFunc(d.askers, netip.Addr.Compare)
	d.askers = slices.Compact(d.askers)
	return d
}

// seen says whether a peer's nodes are all known, or there is nothing to wait
// for: it was never mirrored, or may not be.
func seen(v *view.View, peer string) bool {
	if v.Synced(peer, clustermesh.KindNodes) {
		return true
	}
	state := v.Mirror(peer)
	return state != nil && (state.Phase == clustermesh.MirrorConnecting || state.Phase == clustermesh.MirrorRefused)
}

// allowed returns who may ask, given those that may already.
func (d desired) allowed(already []netip.Addr) []netip.Addr {
	if d.complete {
		return d.askers
	}
	all := slices.Concat(d.askers, already)
	slices.SortFunc(all, netip.Addr.Compare)
	return slices.Compact(all)
}

// devices returns on which devices to attach: those that are chosen, and those
// that were and still exist. A default route that is gone for a moment is no
// reason to fall silent.
func devices(chosen, before, existing []string) []string {
	out := slices.Clone(chosen)
	for _, name := range before {
		if slices.Contains(existing, name) {
			out = append(out, name)
		}
	}
	slices.SortFunc(out, cmp.Compare[string])
	return slices.Compact(out)
}
