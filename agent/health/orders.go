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
	verdict loadbalancer.Verdict
}

// ordered is what the balancer was told last of somebody, or will be: what is down, of
// what of it is known.
type ordered struct{ down, known loadbalancer.Health }

// deliver hands verdicts to the balancer, which may let it wait.
func (h *Health) deliver(ctx context.Context, orders <-chan order) {
	for {
		select {
		case <-ctx.Done():
			return
		case o := <-orders: // only ctx ends these
			if o.places != nil {
				_ = h.deps.Balancer.SetPlaces(ctx, o.places)
			} else {
				_ = h.deps.Balancer.Judge(ctx, o.verdict)
			}
		}
	}
}

// order has the balancer told a verdict, if that is news to it.
func (h *Health) order(v clustermesh.Verdict) {
	who := Name{v.Cluster, v.Node}
	old, said := h.ordered[who]
	o := ordered{bits(v), h.known(v, old.known)}
	if o.known == loadbalancer.Everything {
		delete(h.owed, who)
	} else {
		h.owed[who] = struct{}{}
	}
	if h.config.Mode != On || said && old == o || o.known == 0 {
		return
	}
	h.ordered[who] = o
	h.tellBalancer(h.mesh.ids[who.Cluster], who.Node, o)
}

func (h *Health) tellBalancer(cluster uint16, node string, o ordered) {
	h.told = append(h.told, order{verdict: loadbalancer.Verdict{Cluster: cluster, Node: node, Down: o.down, Known: o.known}})
}

// part has the balancer keep what it was told of who exists no more, for as long as it
// has use for it.
func (h *Health) part(who Name) {
	delete(h.owed, who)
	if _, said := h.ordered[who]; said {
		delete(h.ordered, who)
		h.told = append(h.told, order{verdict: loadbalancer.Verdict{Cluster: h.mesh.ids[who.Cluster], Node: who.Node, Gone: true}})
	}
}

// renumber says what the balancer was told of clusters again where they have another
// id now, after it took it back of the old ones, of which one may be another's now.
func (h *Health) renumber(before map[string]uint16) {
	var again []order
	for who, o := range h.ordered {
		old, known := before[who.Cluster]
		if id := h.mesh.ids[who.Cluster]; known && old != id && o.down != 0 {
			h.tellBalancer(old, who.Node, ordered{known: loadbalancer.Everything})
			again = append(again, order{verdict: loadbalancer.Verdict{Cluster: id, Node: who.Node, Down: o.down, Known: o.known}})
		}
	}
	h.told = append(h.told, again...)
}

// known is of what a verdict may speak. The balancer may know from a process before this
// one that something is down, of which the record may be lost: so that has to answer
// this one before it is said to be up. Who is known by memory alone is up again only if
// it was we who called it down, and saw it come back. What a hand says is known.
func (h *Health) known(v clustermesh.Verdict, before loadbalancer.Health) loadbalancer.Health {
	if v.Override {
		return loadbalancer.Everything
	}
	known := before | bits(v)
	if _, remembered := h.mesh.remembered[v.Cluster]; !remembered {
		own, pods := h.machine.Proven(Name{v.Cluster, v.Node})
		known |= loadbalancer.NodeDown&within(own) | loadbalancer.PodsDown&within(pods)
		if v.Node == "" {
			known |= loadbalancer.ClusterDown & within(own)
		}
	}
	return known
}

// catchUpEvery is how often it is looked whether more is known of who is owed a word.
const catchUpEvery = 200 * time.Millisecond

// catchUp says the rest of those of whom more is known meanwhile.
func (h *Health) catchUp(now time.Time) {
	if len(h.owed) == 0 || now.Sub(h.caughtUp) < catchUpEvery {
		return
	}
	h.caughtUp = now
	for who := range h.owed {
		if v, judged := h.machine.Verdict(who); judged {
			h.order(v)
		} else {
			delete(h.owed, who)
		}
	}
}
