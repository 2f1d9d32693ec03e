package mirror

import (
	"net/netip"
	"strings"
	"testing"

	"tombolo.io/tombolo/clustermesh"
)

func TestAdmit(t *testing.T) {
	admitted := map[string]*clustermesh.Cluster{"west": cluster("west", 2), "north": cluster("north", 3)}
	nodes := func(c *clustermesh.Cluster, prefix string) *clustermesh.Cluster {
		c.NodeCIDRs = []netip.Prefix{netip.MustParsePrefix(prefix)}
		return c
	}
	for _, c := range []struct {
		name string
		peer string
		said *clustermesh.Cluster
		want string // "" for admitted
	}{
		{"a newcomer", "south", cluster("south", 4), ""},
		{"who joined already", "west", cluster("west", 2), ""},
		{"who joined, with other addresses", "west", cluster("west", 2, "10.7.0.0/16"), ""},
		{"who joined, with another id", "west", cluster("west", 9), ""},
		{"another name", "south", cluster("wild", 4), `it calls itself "wild", and is configured as "south"`},
		{"our name", "east", cluster("east", 4), `it has our own name "east"`},
		{"our id", "south", cluster("south", 1, "10.4.0.0/16"), "its id 1 is ours"},
		{"the id of another", "south", cluster("south", 3, "10.4.0.0/16"), `its id 3 is that of "north"`},
		{"our pods", "south", cluster("south", 4, "10.1.7.0/24"), "its pod CIDR 10.1.7.0/24 overlaps ours, pod CIDR 10.1.0.0/16"},
		{"around our pods", "south", cluster("south", 4, "10.0.0.0/8"), "overlaps ours"},
		{"our nodes as pods", "south", cluster("south", 4, "192.168.1.0/28"), "its pod CIDR 192.168.1.0/28 overlaps ours, node CIDR 192.168.1.0/24"},
		{"our pods as nodes", "south", nodes(cluster("south", 4), "10.1.0.0/24"), "its node CIDR 10.1.0.0/24 overlaps ours, pod CIDR 10.1.0.0/16"},
		{"another's pods", "south", cluster("south", 4, "10.4.0.0/16", "10.3.3.0/24"), `its pod CIDR 10.3.3.0/24 overlaps that of "north", pod CIDR 10.3.0.0/16`},
		{"another's nodes", "south", nodes(cluster("south", 4), "192.168.2.0/24"), `its node CIDR 192.168.2.0/24 overlaps that of "west", node CIDR 192.168.2.0/24`},
		{"services may be equal", "south", func() *clustermesh.Cluster {
			c := cluster("south", 4)
			c.ServiceCIDRs = []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}
			return c
		}(), ""},
	} {
		err := Admit(&self, admitted, c.peer, c.said)
		if c.want == "" && err != nil {
			t.Errorf("%s: refused: %v", c.name, err)
		}
		if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: got %v, want %s", c.name, err, c.want)
		}
	}
}

func TestFits(t *testing.T) {
	west := cluster("west", 2, "10.2.0.0/16", "fd02::/48")
	addr := netip.MustParseAddr
	node := func(change func(*clustermesh.Node)) *clustermesh.Node {
		n := &clustermesh.Node{Name: "w1", Addresses: []netip.Addr{addr("192.168.2.1")},
			PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.2.1.0/24"), netip.MustParsePrefix("fd02:0:0:1::/64")},
			Gossip:   netip.MustParseAddrPort("192.168.2.1:7946")}
		change(n)
		return n
	}
	own := clustermesh.NewIdentityID(2, 1)
	for _, c := range []struct {
		name string
		o    clustermesh.Object
		want string // "" when it fits
	}{
		{"a pod", slice("cart/a=10.2.255.1"), ""},
		{"a pod of the other family", slice("cart/a=fd02::1"), ""},
		{"a pod on the host's network", slice("cart/a=192.168.2.7"), ""},
		{"our pod", slice("cart/a=10.1.0.1"), "address 10.1.0.1 is outside of its cluster's pod or node CIDRs"},
		{"one foreign among its own", func() clustermesh.Object {
			s := slice("cart/a=10.2.0.1")
			s.Endpoints = append(s.Endpoints, clustermesh.Endpoint{Address: addr("8.8.8.8")})
			return s
		}(), "8.8.8.8"},
		{"a node", node(func(*clustermesh.Node) {}), ""},
		{"a node with a pod's address", node(func(n *clustermesh.Node) { n.Addresses = append(n.Addresses, addr("10.2.0.1")) }), "10.2.0.1 is outside of its cluster's node CIDRs"},
		{"a node with our prefix", node(func(n *clustermesh.Node) { n.PodCIDRs[0] = netip.MustParsePrefix("10.1.1.0/24") }), "prefix 10.1.1.0/24"},
		{"a node with more than its cluster", node(func(n *clustermesh.Node) { n.PodCIDRs[0] = netip.MustParsePrefix("10.2.0.0/15") }), "prefix 10.2.0.0/15"},
		{"a node that gossips elsewhere", node(func(n *clustermesh.Node) { n.Gossip = netip.MustParseAddrPort("10.2.0.1:7946") }), "10.2.0.1"},
		{"a node that does not gossip", node(func(n *clustermesh.Node) { n.Gossip = netip.AddrPort{} }), ""},
		{"an identity", &clustermesh.Identity{ID: own}, ""},
		{"our identity", &clustermesh.Identity{ID: clustermesh.NewIdentityID(1, 1)}, "identity 65537 is not of cluster 2"},
		{"a pod with an identity", &clustermesh.EndpointIdentity{Address: addr("10.2.0.1"), Identity: own}, ""},
		{"our pod with its identity", &clustermesh.EndpointIdentity{Address: addr("10.1.0.1"), Identity: own}, "10.1.0.1"},
		{"its pod with our identity", &clustermesh.EndpointIdentity{Address: addr("10.2.0.1"), Identity: clustermesh.NewIdentityID(1, 1)}, "identity 65537"},
		{"a service", service("cart"), ""},
	} {
		err := fits(west, c.o)
		if c.want == "" && err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: got %v, want %s", c.name, err, c.want)
		}
	}
}

func TestWord(t *testing.T) {
	if word("ok-1") != "ok-1" || word("no good") != "" || word(strings.Repeat("x", 254)) != "" {
		t.Error("a word is kept as it is, and anything else is none")
	}
}
