package view

import (
	"iter"
	"slices"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/global"
	"tombolo.io/tombolo/etcd"
)

// Drains returns what a cluster is draining of its own, in no order.
func (v *View) Drains(cluster string) iter.Seq[*clustermesh.Drain] {
	return func(yield func(*clustermesh.Drain) bool) {
		for _, p := range v.placesOf(cluster) {
			for _, d := range p.drains {
				if !yield(d) {
					return
				}
			}
		}
	}
}

// Drained reports whether a node of our own cluster takes no new connections
// now because it or the cluster is drained. One that comes back takes some.
func (v *View) Drained(node string) bool {
	self, n := v.Self(), v.Node(Ours, node)
	if n != nil && n.Draining {
		return true
	}
	for d := range v.Drains(Ours) {
		if !d.Returning.IsZero() {
			continue
		}
		if d.What == clustermesh.DrainNode && d.Name == node || d.What == clustermesh.DrainCluster && self != nil && d.Name == self.Name {
			return true
		}
	}
	return false
}

// setDrain stores or removes a drain, and marks the services whose endpoints it
// is about.
func (v *View) setDrain(p *place, k clustermesh.Key, e etcd.Event[clustermesh.Object], c *Changes) {
	old := p.drains[k.Name]
	keep(p.drains, k.Name, e)
	now := p.drains[k.Name]
	if old == nil && now == nil {
		return
	}
	v.drained = nil
	c.Drains.add(k.Cluster)
	d := now
	if d == nil {
		d = old
	}
	if d.What == clustermesh.DrainService {
		v.touch(d.Service(), c)
		return
	}
	for _, o := range origins(k.Cluster) {
		for name, parts := range v.services {
			if part := partOf(parts, v.places[o]); part != nil && (d.What == clustermesh.DrainCluster || part.on(d.Name)) {
				v.touch(name, c)
			}
		}
	}
}

// on reports whether the part has an endpoint on a node.
func (p *part) on(node string) bool {
	return slices.ContainsFunc(p.slices, func(s entry[*clustermesh.EndpointSlice]) bool {
		return slices.ContainsFunc(s.value.Endpoints, func(e clustermesh.Endpoint) bool { return e.Node == node })
	})
}

// drains are the drains of all clusters as Merge takes them.
type drains struct {
	clusters map[string]global.Share
	nodes    map[global.NodeName]global.Share
	services map[clustermesh.ServiceName]map[string]global.Share
}

// drainsOf returns what of a service is drained. The maps are shared by all
// services, until a drain changes.
func (v *View) drainsOf(name clustermesh.ServiceName) global.Drains {
	if v.drained == nil {
		v.drained = v.sumDrains()
	}
	return global.Drains{Clusters: v.drained.clusters, Nodes: v.drained.nodes, Services: v.drained.services[name]}
}

// sumDrains gathers the drains by the names that clusters have in the mesh.
func (v *View) sumDrains() *drains {
	out := &drains{
		clusters: map[string]global.Share{}, nodes: map[global.NodeName]global.Share{},
		services: map[clustermesh.ServiceName]map[string]global.Share{},
	}
	for cluster := range v.clusters() {
		self := v.Cluster(cluster)
		if self == nil {
			continue // it takes no part yet
		}
		for d := range v.Drains(cluster) {
			out.add(self.Name, d)
		}
	}
	return out
}

func (s *drains) add(cluster string, d *clustermesh.Drain) {
	moved := global.Share(d.Moved)
	if d.Ended && moved == global.Whole {
		moved = global.Ended
	}
	switch d.What {
	case clustermesh.DrainCluster:
		if d.Name == cluster {
			s.clusters[cluster] = moved
		}
	case clustermesh.DrainNode:
		s.nodes[global.NodeName{Cluster: cluster, Node: d.Name}] = moved
	case clustermesh.DrainService:
		of := s.services[d.Service()]
		if of == nil {
			of = map[string]global.Share{}
			s.services[d.Service()] = of
		}
		of[cluster] = moved
	}
}
