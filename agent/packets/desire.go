package packets

import (
	"net/netip"
	"slices"

	"tombolo.io/tombolo/agent/loadbalancer"
	"tombolo.io/tombolo/bpf"
	"tombolo.io/tombolo/clustermesh"
)

// owned returns what addresses are to the packet path: those of the node, and those
// under which packets find a service, as the maps have it.
// An address that is nobody's load-balancer IP is shared: it is an external IP, which
// may be a machine's as well.
func owned(node *clustermesh.Node, name string, services []*loadbalancer.ServiceStatus) map[netip.Addr]bpf.Owned {
	all := map[netip.Addr]bpf.Owned{}
	given := map[netip.Addr]bool{}
	for _, st := range services {
		if d := st.Merged.Definition; d != nil {
			for _, a := range d.LoadBalancerIPs {
				given[a] = true
			}
		}
	}
	for _, st := range services {
		for _, p := range st.Ports {
			for _, f := range p.Frontends {
				if f.Scope != loadbalancer.Outside {
					continue
				}
				a := f.Address.Addr()
				all[a] |= bpf.ServiceAddress
				if !given[a] {
					all[a] |= bpf.SharedAddress
				}
				if st.Merged.ServedBy(name, a) {
					all[a] |= bpf.Pinged
				}
			}
		}
	}
	for _, a := range node.Addresses {
		all[a] |= bpf.NodeAddress
	}
	return all
}

// sources returns the node's first address of each family, as far as it has one.
func sources(node *clustermesh.Node) (v4, v6 netip.Addr) {
	first := func(is4 bool) netip.Addr {
		i := slices.IndexFunc(node.Addresses, func(a netip.Addr) bool { return a.Is4() == is4 })
		if i < 0 {
			return netip.Addr{}
		}
		return node.Addresses[i]
	}
	return first(true), first(false)
}
