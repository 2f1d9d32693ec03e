package health

import (
	"context"

	"tombolo.io/tombolo/agent/loadbalancer"
	"tombolo.io/tombolo/clustermesh"
)

// bits are what of a verdict the maps hold.
func bits(v clustermesh.Verdict) (out loadbalancer.Health) {
	switch {
	case v.Node == "" && v.State == clustermesh.VerdictDown:
		return loadbalancer.ClusterDown
	case v.Node == "":
		return 0
	}
	if v.AddressDown {
		out |= loadbalancer.NodeDown
	}
	if v.PodsDown {
		out |= loadbalancer.PodsDown
	}
	return out
}

// order is a verdict for the balancer.
type order struct {
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
			if o.node == "" {
				_ = h.deps.Balancer.SetClusterHealth(ctx, o.cluster, o.health) // only ctx ends it
			} else {
				_ = h.deps.Balancer.SetNodeHealth(ctx, o.cluster, o.node, o.health)
			}
		}
	}
}
