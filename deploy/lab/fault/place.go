package fault

import (
	"fmt"
	"net/netip"

	"tombolo.io/tombolo/deploy/lab/plan"
)

// place is a machine or a cluster as its neighbours see it.
type place struct {
	edges []edge
	// prefixes are the addresses of all that is in the place.
	prefixes []netip.Prefix
}

// edge is a device that all packets pass on one of the ways between a place
// and the rest.
type edge struct {
	machine, device string
	// inside says that the machine belongs to the place: what comes in by the
	// device comes from the rest.
	inside bool
}

// hook is where the device sees packets from the place, or those to it.
func (e edge) hook(from bool) string {
	if from == e.inside {
		return "egress"
	}
	return "ingress"
}

// placeOf finds a place by its name.
func placeOf(p plan.Plan, name string) (place, error) {
	if c, ok := p.Cluster(name); ok {
		return ofCluster(p, c), nil
	}
	if name == p.Client.Name {
		return ofClient(p), nil
	}
	for _, c := range p.Clusters {
		if c.Router.Name == name {
			return ofRouter(p, c), nil
		}
		for _, n := range c.Nodes {
			if n.Name == name {
				return place{[]edge{{machine: c.Router.Name, device: n.Name}}, append(hosts(n.Addresses), n.PodCIDR.List()...)}, nil
			}
			for _, pod := range n.Pods {
				if pod.Name == name {
					return place{[]edge{{machine: n.Name, device: pod.Name}}, hosts(pod.Addresses)}, nil
				}
			}
		}
	}
	return place{}, fmt.Errorf("lab %q has no machine and no cluster %q; tombolo lab status lists them", p.Lab, name)
}

// ofCluster is cut off at its router's links to other routers and to the client.
func ofCluster(p plan.Plan, c plan.Cluster) place {
	out := place{edges: []edge{{c.Router.Name, p.Client.Name, true}}}
	for _, n := range []plan.Nets{c.NodeCIDR, c.PodCIDR, c.LoadBalancerCIDR} {
		out.prefixes = append(out.prefixes, n.List()...)
	}
	for _, nb := range c.Router.Neighbors {
		out.edges = append(out.edges, edge{c.Router.Name, nb.Interface, true})
		out.prefixes = append(out.prefixes, hosts(nb.Local)...)
	}
	return out
}

// ofRouter has every device of a router, and no addresses: who wants to part two
// places means what is behind them.
func ofRouter(p plan.Plan, c plan.Cluster) place {
	out := place{edges: ofCluster(p, c).edges}
	for _, n := range c.Nodes {
		out.edges = append(out.edges, edge{c.Router.Name, n.Name, true})
	}
	return out
}

func ofClient(p plan.Plan) place {
	var out place
	for i, c := range p.Clusters {
		out.edges = append(out.edges, edge{machine: c.Router.Name, device: p.Client.Name})
		out.prefixes = append(out.prefixes, hosts(p.Client.Addresses[i])...)
	}
	return out
}

func isRouter(p plan.Plan, name string) bool {
	m, err := p.Machine(name)
	return err == nil && m.Kind == plan.KindRouter
}

func hosts(a plan.Addrs) []netip.Prefix {
	var out []netip.Prefix
	for _, x := range a.List() {
		out = append(out, netip.PrefixFrom(x, x.BitLen()))
	}
	return out
}
