package view

import "tombolo.io/tombolo/clustermesh"

// A peer that was removed is none of the mesh any more, from the moment at
// which our own cluster says so: its mirror may be there for longer. It is
// there for as long as nobody vouches for it when the peer was removed while
// the store was lost, for then the deletions never come.

// removed reports whether a cluster was removed from those that we mesh with:
// the table of peers was seen whole, and the cluster is not in it.
func (v *View) removed(cluster string) bool {
	return cluster != Ours && v.peersKnown && v.peers[cluster] == nil
}

// member marks all that a cluster has, because the cluster was removed or came
// back.
func (v *View) member(cluster string, c *Changes) {
	p := v.places[origin{clustermesh.Mirror, cluster}]
	if p == nil {
		return
	}
	c.Clusters.add(cluster)
	for name, parts := range v.services {
		if partOf(parts, p) != nil {
			v.touch(name, c)
		}
	}
	for name := range p.nodes {
		c.Nodes.add(NodeName{cluster, name})
	}
	for a := range p.endpoints {
		c.Addresses.add(a)
	}
	for id := range p.identities {
		c.Identities.add(id)
	}
}

// peersSeen notes that the table of peers is whole now.
func (v *View) peersSeen(c *Changes) {
	if v.peersKnown {
		return
	}
	v.peersKnown, v.drained = true, nil
	for o := range v.places {
		if v.removed(o.cluster) {
			v.member(o.cluster, c)
		}
	}
}
