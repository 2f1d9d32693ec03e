package view

import (
	"cmp"
	"iter"
	"net/netip"
	"slices"

	"tombolo.io/tombolo/clustermesh"
)

// Nodes returns the nodes of a cluster, in no order.
func (v *View) Nodes(cluster string) iter.Seq[*clustermesh.Node] {
	return func(yield func(*clustermesh.Node) bool) {
		for _, p := range v.placesOf(cluster) {
			for name, e := range p.nodes {
				if newest(v, cluster, name, nodesOf).value == e.value && !yield(e.value) {
					return
				}
			}
		}
	}
}

// Node returns a node of a cluster, or nil.
func (v *View) Node(cluster, name string) *clustermesh.Node {
	return newest(v, cluster, name, nodesOf).value
}

// Labels returns the identity of a number, or nil.
func (v *View) Labels(id clustermesh.IdentityID) *clustermesh.Identity {
	var found *clustermesh.Identity
	for cluster := range v.clusters() {
		if i := newest(v, cluster, id, identitiesOf).value; i != nil {
			found = i
			if c := v.Cluster(cluster); c != nil && c.ID == id.Cluster() {
				return i
			}
		}
	}
	return found
}

// Identities returns the identities that a cluster gave out, in no order.
func (v *View) Identities(cluster string) iter.Seq[*clustermesh.Identity] {
	return func(yield func(*clustermesh.Identity) bool) {
		for _, p := range v.placesOf(cluster) {
			for id, e := range p.identities {
				if newest(v, cluster, id, identitiesOf).value == e.value && !yield(e.value) {
					return
				}
			}
		}
	}
}

// Holder is what one cluster says of an address.
type Holder struct {
	// Cluster is Ours or a mirror's name.
	Cluster  string
	Endpoint *clustermesh.EndpointIdentity
}

// HoldersOf returns which identity an address has: one answer, unless clusters
// contradict each other; ours first, then by name.
func (v *View) HoldersOf(a netip.Addr) []Holder {
	var out []Holder
	for cluster := range v.clusters() {
		if e := newest(v, cluster, a, endpointsOf).value; e != nil {
			out = append(out, Holder{cluster, e})
		}
	}
	slices.SortFunc(out, func(a, b Holder) int { return cmp.Compare(a.Cluster, b.Cluster) })
	return out
}

// clusters returns Ours and the mirrors' names.
func (v *View) clusters() iter.Seq[string] {
	return func(yield func(string) bool) {
		if yield(Ours) {
			v.Mirrors()(yield)
		}
	}
}

// placesOf returns the places of a cluster that hold something.
func (v *View) placesOf(cluster string) []*place {
	var out []*place
	if v.removed(cluster) {
		return nil
	}
	for _, o := range origins(cluster) {
		if p := v.places[o]; p != nil {
			out = append(out, p)
		}
	}
	return out
}

// newest finds an object of a cluster: where two places have it, the younger.
func newest[K comparable, T any](v *View, cluster string, k K, of func(*place) map[K]entry[T]) entry[T] {
	var found entry[T]
	if v.removed(cluster) {
		return found
	}
	for _, o := range origins(cluster) {
		if p := v.places[o]; p != nil {
			found = younger(found, of(p)[k])
		}
	}
	return found
}

func nodesOf(p *place) map[string]entry[*clustermesh.Node] { return p.nodes }

func identitiesOf(p *place) map[clustermesh.IdentityID]entry[*clustermesh.Identity] {
	return p.identities
}

func endpointsOf(p *place) map[netip.Addr]entry[*clustermesh.EndpointIdentity] { return p.endpoints }
