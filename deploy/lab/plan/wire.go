package plan

import "net/netip"

// Bridge is the device on a router that joins the wires to its nodes.
const Bridge = "nodes"

// End is one end of a wire.
type End struct {
	Machine, Interface string
	// Bridge is the bridge that the end is a port of, or empty.
	Bridge    string
	Addresses []netip.Prefix
}

// Wire is a cable between two machines.
type Wire struct{ A, B End }

// Route is a route that is there from the start.
type Route struct {
	Machine string
	// Prefix is 0.0.0.0/0 or ::/0 for a default route.
	Prefix netip.Prefix
	// Via is the gateway; invalid for what is on the link.
	Via netip.Addr
	// Interface is the device; empty for an unreachable route.
	Interface string
	// Source is the address that the machine's own packets take; invalid to
	// leave it to the kernel.
	Source netip.Addr
	// OnLink: the gateway is on the link whatever the addresses say.
	OnLink bool
	// Metric orders routes to one prefix, the lowest first.
	Metric int
}

// Unreachable says that packets which match the route are refused.
func (r Route) Unreachable() bool { return r.Interface == "" }

var (
	defaultV4 = prefix("0.0.0.0/0")
	defaultV6 = prefix("::/0")
	// podGateway is the link-local address of every node's end of a pod's wire.
	podGateway = prefix("fe80::1/64")
)

// BridgeAddresses are those of the router's bridge.
func (c Cluster) BridgeAddresses() []netip.Prefix { return c.Router.Addresses.in(c.NodeCIDR) }

// Wires returns the wires between the machines.
func (p Plan) Wires() []Wire {
	var out []Wire
	for i, c := range p.Clusters {
		for _, n := range c.Nodes {
			out = append(out, Wire{
				A: End{Machine: n.Name, Interface: "eth0", Addresses: n.Addresses.in(c.NodeCIDR)},
				B: End{Machine: c.Router.Name, Interface: n.Name, Bridge: Bridge},
			})
			for _, pod := range n.Pods {
				out = append(out, n.Wire(pod))
			}
		}
		// Neighbors are in the order of the clusters: from the i-th on they are
		// those that did not make the link with us already.
		for _, nb := range c.Router.Neighbors[i:] {
			out = append(out, p.link(c, nb))
		}
		out = append(out, Wire{
			A: End{Machine: c.Router.Name, Interface: p.Client.Name, Addresses: routerToClient(i + 1).in(ClientNet(i + 1))},
			B: End{Machine: p.Client.Name, Interface: c.Name, Addresses: clientAddrs(i + 1).in(ClientNet(i + 1))},
		})
	}
	return out
}

// Wire is the wire between a node and a pod of it.
func (n Node) Wire(pod Pod) Wire {
	return Wire{
		A: End{Machine: pod.Name, Interface: "eth0", Addresses: pod.Addresses.hosts()},
		B: End{Machine: n.Name, Interface: pod.Name, Addresses: []netip.Prefix{podGateway}},
	}
}

// link is the wire between the router of c and a neighbor.
func (p Plan) link(c Cluster, nb Neighbor) Wire {
	var far Neighbor
	for _, other := range p.Clusters {
		for _, n := range other.Router.Neighbors {
			if other.Router.Name == nb.Name && n.Name == c.Router.Name {
				far = n
			}
		}
	}
	network := nets("0.0.0.0/30", "::/64")
	return Wire{
		A: End{Machine: c.Router.Name, Interface: nb.Interface, Addresses: nb.Local.in(network)},
		B: End{Machine: nb.Name, Interface: far.Interface, Addresses: far.Local.in(network)},
	}
}

// Routes returns the routes that are there before BGP speaks.
func (p Plan) Routes() []Route {
	var out []Route
	for i, c := range p.Clusters {
		for _, n := range c.Nodes {
			out = append(out, nodeRoutes(c, n)...)
			for _, pod := range n.Pods {
				out = append(out, n.Routes(pod)...)
			}
		}
		for _, gw := range routerToClient(i + 1).List() {
			r := Route{Machine: p.Client.Name, Prefix: defaultV4, Via: gw, Interface: c.Name, Metric: 100 + i}
			if gw.Is6() {
				r.Prefix = defaultV6
			}
			out = append(out, r)
		}
	}
	return out
}

// nodeRoutes are those of a node: to nowhere for addresses of its prefix that no
// pod has (else they would go back and forth between the
// node and its router), and to its router for all else.
func nodeRoutes(c Cluster, n Node) []Route {
	return []Route{
		{Machine: n.Name, Prefix: defaultV4, Via: c.Router.Addresses.IPv4, Interface: "eth0"},
		{Machine: n.Name, Prefix: defaultV6, Via: c.Router.Addresses.IPv6, Interface: "eth0"},
		{Machine: n.Name, Prefix: n.PodCIDR.IPv4},
		{Machine: n.Name, Prefix: n.PodCIDR.IPv6},
	}
}

// Routes are those between a node and a pod of it.
func (n Node) Routes(pod Pod) []Route {
	hosts := pod.Addresses.hosts()
	return []Route{
		{Machine: n.Name, Prefix: hosts[0], Interface: pod.Name, Source: n.Addresses.IPv4},
		{Machine: n.Name, Prefix: hosts[1], Interface: pod.Name, Source: n.Addresses.IPv6},
		{Machine: pod.Name, Prefix: defaultV4, Via: n.Addresses.IPv4, Interface: "eth0", OnLink: true},
		{Machine: pod.Name, Prefix: defaultV6, Via: podGateway.Addr(), Interface: "eth0"},
	}
}
