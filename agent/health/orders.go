package health

import (
	"context"
	"time"

	"tombolo.io/tombolo/agent/loadbalancer"
	"tombolo.io/tombolo/clustermesh"
)

// bits are what of a verdict the maps hold.
func bits(v clustermesh.Verdict) (out loadbalancer.Health) {
	switch {
	case v.Node == "" && v.State == clustermesh.VerdictDown:
		return loadbalancer.ClusterDown & within(v.AddressDown)
	case v.Node == "":
		return 0
	}
	return loadbalancer.NodeDown&within(v.AddressDown) | loadbalancer.PodsDown&within(v.PodsDown)
}

// within returns the bits that are about some families.
func within(f clustermesh.Families) (out loadbalancer.Health) {
	if f.Has(clustermesh.IPv4) {
		out |= loadbalancer.V4
	}
	if f.Has(clustermesh.IPv6) {
		out |= loadbalancer.V6
	}
	return out
}

// order is a verdict for the balancer, or where the nodes are.
type order struct {
	places  []loadbalancer.Place
	cluster uint16
	node    string
	health  loadbalancer.Health
}

// deliver hands verdicts to the balancer, which may let it wait.
func (h *Health) deliver(ctx context.Context, orders <-chan order) {
	for {
		select {
		case <-ctx.Done():
			return
		case o := <-orders:
			switch {
			case o.places != nil:
				_ = h.deps.Balancer.SetPlaces(ctx, o.places) // only ctx ends it
			case o.node == "":
				_ = h.deps.Balancer.SetClusterHealth(ctx, o.cluster, o.health)
			default:
				_ = h.deps.Balancer.SetNodeHealth(ctx, o.cluster, o.node, o.health)
			}
		}
	}
}

// order has the balancer told, if that is news to it.
func (h *Health) order(who Name, b loadbalancer.Health) {
	old, ok := h.ordered[who]
	if h.config.Mode != On || ok && old == b {
		return
	}
	h.ordered[who] = b
	h.told = append(h.told, order{cluster: h.mesh.ids[who.Cluster], node: who.Node, health: b})
}

// renumber says what the balancer was told of clusters again where they have another
// id now, after it took it back of the old ones, of which one may be another's now.
func (h *Health) renumber(before map[string]uint16) {
	var again []order
	for who, b := range h.ordered {
		old, known := before[who.Cluster]
		if id := h.mesh.ids[who.Cluster]; known && old != id && b != 0 {
			h.told = append(h.told, order{cluster: old, node: who.Node})
			again = append(again, order{cluster: id, node: who.Node, health: b})
		}
	}
	h.told = append(h.told, again...)
}

// unsaid reports whether that somebody is up is not to be said: the balancer may know
// from a process before this one that it is down, of which the record may be lost. So
// it has to answer this one first; and who is known by memory alone is up again only if
// it was we who called it down, and saw it come back.
func (h *Health) unsaid(who Name) bool {
	if _, said := h.ordered[who]; said {
		return false
	}
	_, remembered := h.mesh.remembered[who.Cluster]
	return remembered || !h.machine.Proven(who)
}

// catchUpEvery is how often it is looked whether what was unsaid may be said.
const catchUpEvery = 200 * time.Millisecond

// catchUp says what was unsaid of those who have answered meanwhile, and are listed.
func (h *Health) catchUp(now time.Time) {
	if len(h.owed) == 0 || now.Sub(h.caughtUp) < catchUpEvery {
		return
	}
	h.caughtUp = now
	for who := range h.owed {
		v, judged := h.machine.Verdict(who)
		_, said := h.ordered[who]
		switch {
		case said, !judged:
			delete(h.owed, who)
		case !h.unsaid(who):
			delete(h.owed, who)
			h.order(who, bits(v))
		}
	}
}
