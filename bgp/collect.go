package bgp

import (
	"cmp"
	"maps"
	"slices"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/global"
	"tombolo.io/tombolo/clustermesh/view"
)

// collector turns what the store says into pictures. It merges a service anew
// only when something of it changed.
type collector struct {
	node string
	view *view.View
	// services are those that have a load-balancer IP here.
	services map[clustermesh.ServiceName]global.Service
	// seen are the peer clusters that were whole in this process at least once.
	seen map[string]bool
}

func newCollector(node string) *collector {
	return &collector{
		node: node, view: view.New(node),
		services: map[clustermesh.ServiceName]global.Service{}, seen: map[string]bool{},
	}
}

// take applies a batch.
func (c *collector) take(b view.Batch) {
	changes := c.view.Apply(b)
	for name := range changes.Services {
		s := global.Merge(c.view.Service(name))
		if s.Definition != nil && len(s.Definition.LoadBalancerIPs) > 0 {
			c.services[name] = s
		} else {
			delete(c.services, name)
		}
	}
	for cluster := range changes.Clusters {
		if cluster != view.Ours && c.view.Synced(cluster, clustermesh.KindServices, clustermesh.KindSlices) {
			c.seen[cluster] = true
		}
	}
}

// picture returns all that decides, as it is now.
func (c *collector) picture() picture {
	p := picture{
		complete: c.view.Synced(view.Ours),
		drained:  c.view.Drained(c.node),
		node:     c.view.Node(view.Ours, c.node),
		peers:    byName(c.view.BGPPeers()),
		adverts:  byName(c.view.BGPAdvertisements()),
		services: slices.SortedFunc(maps.Values(c.services), func(a, b global.Service) int {
			return cmp.Or(cmp.Compare(a.Name.Namespace, b.Name.Namespace), cmp.Compare(a.Name.Name, b.Name.Name))
		}),
	}
	for cluster := range c.view.Peers() {
		p.unseen = p.unseen || !c.seen[cluster]
	}
	return p
}

// byName returns the values of a map in the order of their keys.
func byName[T any](m map[string]T) []T {
	out := make([]T, 0, len(m))
	for _, name := range slices.Sorted(maps.Keys(m)) {
		out = append(out, m[name])
	}
	return out
}
