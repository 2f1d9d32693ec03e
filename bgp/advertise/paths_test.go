package advertise

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/global"
)

// A world is told in words and sets in turn are told in words:
//
//	node n1 10.0.0.1 fd00::1; pods 10.1.1.0/24; zone=a
//	web 192.0.2.1: n1, n2
//
// Every service has port 80, or the one after its name; its ready endpoints are named by their nodes.
func service(name string, policy clustermesh.TrafficPolicy, ips string, nodes ...string) global.Service {
	name, port := name, uint16(80)
	if before, ok := strings.CutSuffix(name, ":81"); ok {
		name, port = before, 81
	}
	def := &clustermesh.Service{
		Name: clustermesh.ServiceName{Namespace: "d", Name: name}, Type: clustermesh.LoadBalancer, ExternalPolicy: policy,
		Ports:  []clustermesh.ServicePort{{Protocol: clustermesh.TCP, Port: port}},
		Labels: map[string]string{"app": name},
	}
	slice := &clustermesh.EndpointSlice{Service: def.Name, Name: "s", Ports: []clustermesh.EndpointPort{{Protocol: clustermesh.TCP, Port: 80}}}
	slice6 := *slice
	for _, ip := range strings.Fields(ips) {
		def.LoadBalancerIPs = append(def.LoadBalancerIPs, netip.MustParseAddr(ip))
	}
	for i, n := range nodes {
		e := clustermesh.Endpoint{Node: n, Ready: true, Serving: true, Address: netip.AddrFrom4([4]byte{10, 1, 1, byte(i + 1)})}
		slice.Endpoints = append(slice.Endpoints, e)
		e.Address = netip.MustParseAddr(fmt.Sprintf("fd01::%d", i+1))
		slice6.Endpoints = append(slice6.Endpoints, e)
	}
	return global.Merge(global.Input{Name: def.Name, Self: "east", Exports: []global.Export{
		{Cluster: "east", ClusterID: 1, Service: def, Slices: []*clustermesh.EndpointSlice{slice, &slice6}},
	}})
}

func node(name string, addrs, pods string) *clustermesh.Node {
	n := &clustermesh.Node{Name: name, Labels: map[string]string{"node": name}}
	for _, a := range strings.Fields(addrs) {
		n.Addresses = append(n.Addresses, netip.MustParseAddr(a))
	}
	for _, p := range strings.Fields(pods) {
		n.PodCIDRs = append(n.PodCIDRs, netip.MustParsePrefix(p))
	}
	return n
}

func picks(key string, values ...string) clustermesh.Selector {
	return clustermesh.Selector{MatchExpressions: []clustermesh.Requirement{{Key: key, Operator: "In", Values: values}}}
}

// tell writes sets as text: a line a router, its paths, and what is held back.
func tell(sets map[string]Set) string {
	var lines []string
	for name, s := range sets {
		var b strings.Builder
		b.WriteString(name + ":")
		for _, p := range s.Paths {
			fmt.Fprintf(&b, " %s via %s", p.Prefix, p.NextHop)
			for _, c := range p.Communities {
				fmt.Fprintf(&b, " %d:%d", c.Standard>>16, c.Standard&0xffff)
			}
			switch {
			case p.Leaving:
				b.WriteString(" pref 0")
			case p.LocalPref > 0:
				fmt.Fprintf(&b, " pref %d", p.LocalPref)
			}
			if p.Origin.Service.Name != "" {
				b.WriteString(" for " + p.Origin.Service.Name)
			}
			b.WriteString(";")
		}
		for _, h := range s.Held {
			fmt.Fprintf(&b, " (%s %s)", h.Prefix, h.Reason)
		}
		lines = append(lines, b.String())
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func TestPaths(t *testing.T) {
	tor := &clustermesh.BGPPeer{Name: "tor"}
	all := &clustermesh.BGPAdvertisement{Name: "all", PodCIDRs: true, LoadBalancerIPs: true}
	n1 := node("n1", "10.0.0.1 fd00::1", "10.1.1.0/24 fd01::/64")
	pods := node("n1", "10.0.0.1", "10.1.1.0/24")
	preferred := &clustermesh.BGPAdvertisement{Name: "all", PodCIDRs: true, LoadBalancerIPs: true, LocalPref: 200, Communities: []string{"65000:1"}}
	// local says of the addresses of web, in the order given, whether they lead to
	// a ready endpoint.
	local := func(ips ...string) *Local {
		l := &Local{Addresses: map[ServiceAddress]bool{}}
		for _, ip := range ips {
			address, down, _ := strings.Cut(ip, " ")
			l.Addresses[ServiceAddress{clustermesh.ServiceName{Namespace: "d", Name: "web"}, netip.MustParseAddr(address)}] = down == ""
		}
		return l
	}
	const onNode = clustermesh.TrafficLocal
	const everywhere = clustermesh.TrafficCluster

	for _, c := range []struct {
		name string
		in   Input
		want string
	}{
		{"no node yet", Input{Peers: []*clustermesh.BGPPeer{tor}, Advertisements: []*clustermesh.BGPAdvertisement{all}}, ""},
		{"nothing advertised", Input{Node: n1, Peers: []*clustermesh.BGPPeer{tor}}, "tor:"},
		{"pods of both families", Input{Node: n1, Peers: []*clustermesh.BGPPeer{tor}, Advertisements: []*clustermesh.BGPAdvertisement{all}},
			"tor: 10.1.1.0/24 via 10.0.0.1; fd01::/64 via fd00::1;"},
		{"a prefix with host bits", Input{Node: node("n1", "10.0.0.1", "10.1.1.7/24"), Peers: []*clustermesh.BGPPeer{tor}, Advertisements: []*clustermesh.BGPAdvertisement{all}},
			"tor: 10.1.1.0/24 via 10.0.0.1;"},
		{"a service with an endpoint elsewhere", Input{Node: node("n1", "10.0.0.1 fd00::1", ""), Peers: []*clustermesh.BGPPeer{tor}, Advertisements: []*clustermesh.BGPAdvertisement{all},
			Services: []global.Service{service("web", everywhere, "192.0.2.1 2001:db8::1", "n2")}},
			"tor: 192.0.2.1/32 via 10.0.0.1 for web; 2001:db8::1/128 via fd00::1 for web;"},
		{"without a ready endpoint", Input{Node: node("n1", "10.0.0.1", ""), Peers: []*clustermesh.BGPPeer{tor}, Advertisements: []*clustermesh.BGPAdvertisement{all},
			Services: []global.Service{service("web", everywhere, "192.0.2.1")}},
			"tor: (192.0.2.1/32 no-endpoint)"},
		{"local, endpoint here", Input{Node: node("n1", "10.0.0.1", ""), Peers: []*clustermesh.BGPPeer{tor}, Advertisements: []*clustermesh.BGPAdvertisement{all},
			Services: []global.Service{service("web", onNode, "192.0.2.1", "n1", "n2")}},
			"tor: 192.0.2.1/32 via 10.0.0.1 for web;"},
		{"local, endpoint elsewhere", Input{Node: node("n1", "10.0.0.1", ""), Peers: []*clustermesh.BGPPeer{tor}, Advertisements: []*clustermesh.BGPAdvertisement{all},
			Services: []global.Service{service("web", onNode, "192.0.2.1", "n2")}},
			"tor: (192.0.2.1/32 no-endpoint)"},
		{"a shared address, one of two served", Input{Node: node("n1", "10.0.0.1", ""), Peers: []*clustermesh.BGPPeer{tor}, Advertisements: []*clustermesh.BGPAdvertisement{all},
			Services: []global.Service{service("a:81", everywhere, "192.0.2.1"), service("b", everywhere, "192.0.2.1", "n2")}},
			"tor: 192.0.2.1/32 via 10.0.0.1 for b;"},
		{"an address and port that two services claim is the older one's", Input{Node: node("n1", "10.0.0.1", ""), Peers: []*clustermesh.BGPPeer{tor}, Advertisements: []*clustermesh.BGPAdvertisement{all},
			Services: []global.Service{service("old", everywhere, "192.0.2.1"), service("young", everywhere, "192.0.2.1 192.0.2.2", "n1")}},
			"tor: 192.0.2.2/32 via 10.0.0.1 for young; (192.0.2.1/32 no-endpoint)"},
		{"who lost its only port at an address is told so", Input{Node: node("n1", "10.0.0.1", ""), Peers: []*clustermesh.BGPPeer{tor}, Advertisements: []*clustermesh.BGPAdvertisement{{Name: "young", LoadBalancerIPs: true, ServiceSelector: picks("app", "young")}},
			Services: []global.Service{service("old", everywhere, "192.0.2.1", "n1"), service("young", everywhere, "192.0.2.1", "n1")}},
			"tor: (192.0.2.1/32 taken)"},
		{"a node that is drained keeps its pods reachable", Input{Drain: Drained, Node: pods, Peers: []*clustermesh.BGPPeer{tor}, Advertisements: []*clustermesh.BGPAdvertisement{all},
			Services: []global.Service{service("web", everywhere, "192.0.2.1", "n1")}},
			"tor: 10.1.1.0/24 via 10.0.0.1; (192.0.2.1/32 draining)"},
		{"one that is leaving asks to prefer others, and for its addresses alone", Input{Drain: Leaving, Node: pods, Peers: []*clustermesh.BGPPeer{tor}, Advertisements: []*clustermesh.BGPAdvertisement{preferred},
			Services: []global.Service{service("web", everywhere, "192.0.2.1", "n1")}},
			"tor: 10.1.1.0/24 via 10.0.0.1 65000:1 pref 200; 192.0.2.1/32 via 10.0.0.1 65000:1 65535:0 pref 0 for web;"},
		{"what the data path leads to an endpoint", Input{Node: pods, Local: local("192.0.2.1", "192.0.2.2 down"), Peers: []*clustermesh.BGPPeer{tor}, Advertisements: []*clustermesh.BGPAdvertisement{all},
			Services: []global.Service{service("web", everywhere, "192.0.2.1 192.0.2.2 192.0.2.3", "n1")}},
			"tor: 10.1.1.0/24 via 10.0.0.1; 192.0.2.1/32 via 10.0.0.1 for web; (192.0.2.2/32 down) (192.0.2.3/32 not-balanced)"},
		{"a data path that is behind the store", Input{Node: pods, Local: local("192.0.2.1"), Peers: []*clustermesh.BGPPeer{tor}, Advertisements: []*clustermesh.BGPAdvertisement{all},
			Services: []global.Service{service("web", everywhere, "192.0.2.1")}},
			"tor: 10.1.1.0/24 via 10.0.0.1; (192.0.2.1/32 no-endpoint)"},
		{"no data path", Input{Node: pods, Local: &Local{}, Peers: []*clustermesh.BGPPeer{tor}, Advertisements: []*clustermesh.BGPAdvertisement{all},
			Services: []global.Service{service("web", everywhere, "192.0.2.1", "n1")}},
			"tor: 10.1.1.0/24 via 10.0.0.1; (192.0.2.1/32 not-balanced)"},
		{"draining goes before other reasons", Input{Node: pods, Local: &Local{}, Drain: Drained, Peers: []*clustermesh.BGPPeer{tor}, Advertisements: []*clustermesh.BGPAdvertisement{all},
			Services: []global.Service{service("web", everywhere, "192.0.2.1")}},
			"tor: 10.1.1.0/24 via 10.0.0.1; (192.0.2.1/32 draining)"},
		{"no address of the family", Input{Node: node("n1", "10.0.0.1", "fd01::/64"), Peers: []*clustermesh.BGPPeer{tor}, Advertisements: []*clustermesh.BGPAdvertisement{all}},
			"tor: (fd01::/64 no-address)"},
		{"a session of one family", Input{Node: n1, Peers: []*clustermesh.BGPPeer{{Name: "tor", Families: []clustermesh.Family{clustermesh.IPv6Unicast}}}, Advertisements: []*clustermesh.BGPAdvertisement{all}},
			"tor: fd01::/64 via fd00::1; (10.1.1.0/24 no-family)"},
		{"a router for other nodes", Input{Node: n1, Peers: []*clustermesh.BGPPeer{tor, {Name: "other", NodeSelector: picks("node", "n2")}}, Advertisements: []*clustermesh.BGPAdvertisement{all}},
			"tor: 10.1.1.0/24 via 10.0.0.1; fd01::/64 via fd00::1;"},
		{"an advertisement for another router, and one for other nodes", Input{Node: n1, Peers: []*clustermesh.BGPPeer{tor, {Name: "edge"}},
			Advertisements: []*clustermesh.BGPAdvertisement{{Name: "x", PodCIDRs: true, Peers: []string{"edge"}}, {Name: "y", PodCIDRs: true, NodeSelector: picks("node", "n2")}}},
			"edge: 10.1.1.0/24 via 10.0.0.1; fd01::/64 via fd00::1;\ntor:"},
		{"services by label", Input{Node: node("n1", "10.0.0.1", ""), Peers: []*clustermesh.BGPPeer{tor},
			Advertisements: []*clustermesh.BGPAdvertisement{{Name: "x", LoadBalancerIPs: true, ServiceSelector: picks("app", "web")}},
			Services:       []global.Service{service("web", everywhere, "192.0.2.1", "n1"), service("db", everywhere, "192.0.2.2", "n1")}},
			"tor: 192.0.2.1/32 via 10.0.0.1 for web;"},
		{"attributes of several advertisements", Input{Node: node("n1", "10.0.0.1", "10.1.1.0/24"), Peers: []*clustermesh.BGPPeer{tor}, Advertisements: []*clustermesh.BGPAdvertisement{
			{Name: "b", PodCIDRs: true, Communities: []string{"65000:2", "65000:1"}, LocalPref: 50},
			{Name: "a", PodCIDRs: true, Communities: []string{"65000:3", "65000:1"}, LocalPref: 200}}},
			"tor: 10.1.1.0/24 via 10.0.0.1 65000:1 65000:2 65000:3 pref 200;"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := tell(Paths(c.in)); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

// What is offered must not depend on the order in which objects were read.
func TestPathsIgnoreOrder(t *testing.T) {
	in := Input{
		Node:  node("n1", "10.0.0.1 fd00::1", "10.1.1.0/24 fd01::/64"),
		Peers: []*clustermesh.BGPPeer{{Name: "a"}, {Name: "b"}},
		Advertisements: []*clustermesh.BGPAdvertisement{
			{Name: "x", PodCIDRs: true, LoadBalancerIPs: true, Communities: []string{"65000:2", "no-export"}},
			{Name: "y", LoadBalancerIPs: true, Communities: []string{"65000:1:9"}},
		},
		Services: []global.Service{
			service("web", clustermesh.TrafficCluster, "192.0.2.1 192.0.2.9", "n1"),
			service("api", clustermesh.TrafficLocal, "192.0.2.1 192.0.2.8", "n1", "n2"),
			service("gone", clustermesh.TrafficCluster, "192.0.2.7"),
		},
	}
	want := Paths(in)
	slices.Reverse(in.Peers)
	slices.Reverse(in.Advertisements)
	slices.Reverse(in.Services)
	got := Paths(in)
	if g, w := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want); g != w {
		t.Errorf("got\n%s\nwant\n%s", g, w)
	}
	if names := got["a"].Paths[0].Origin.Advertisements; !slices.IsSorted(names) {
		t.Errorf("advertisements %q are not sorted", names)
	}
}
