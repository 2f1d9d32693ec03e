package loadbalancer

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/global"
)

// told writes what should lie in the maps in a few words: the frontends of each port,
// and its backends.
func told(ds []desired) string {
	var out []string
	for _, d := range ds {
		var words []string
		for _, f := range d.frontends {
			words = append(words, strings.NewReplacer(" from outside", "!", " from other nodes", "^").Replace(f.String()))
		}
		slices.Sort(words)
		words = append(words, "→")
		for t := range tiers {
			for _, sh := range d.tiers[t] {
				words = append(words, fmt.Sprint(sh.address.Addr()))
			}
			if t == Primary {
				words = append(words, "|")
			}
		}
		for _, by := range d.aside {
			words = append(words, fmt.Sprintf("(%v)", by.address.Addr()))
		}
		out = append(out, strings.Join(words, " "))
	}
	return strings.Join(out, "; ")
}

// Packets from outside find load-balancer IPs, and nothing else; under an external
// policy Local they find the node's own endpoints there, and sockets all.
func TestDesireForPackets(t *testing.T) {
	ip := func(n int) string { return vip(n, false).String() }
	backend := func(n int, cluster, node string) global.Backend {
		return global.Backend{Cluster: cluster, ClusterID: 1, Address: vip(n, false), Node: node, Weight: 7}
	}
	service := func(policy clustermesh.TrafficPolicy) *global.Service {
		here := []global.Backend{backend(2, "east", "n1"), backend(5, "east", "n1")}
		if policy == clustermesh.TrafficCluster {
			here = nil
		}
		return &global.Service{
			Definition: &clustermesh.Service{ExternalPolicy: policy, Global: true},
			Ports: []global.Port{{
				Protocol: clustermesh.TCP, Port: 80,
				Frontends: []global.Frontend{
					{Address: vip(0, false), Port: 80, Protocol: clustermesh.TCP, Scope: global.Internal},
					{Address: vip(1, false), Port: 80, Protocol: clustermesh.TCP, Scope: global.External},
				},
				Primary: []global.Backend{backend(2, "east", "n1"), backend(3, "east", "n2"), backend(4, "west", "n1")},
				Backup:  []global.Backend{backend(5, "east", "n1")},
				Aside:   []global.Backend{backend(6, "east", "n1"), backend(7, "east", "n2")},
				Here:    here,
			}},
		}
	}
	socket := fmt.Sprintf("%s:80/TCP %s:80/TCP", ip(0), ip(1))
	all := fmt.Sprintf("→ %s %s %s | %s (%s) (%s)", ip(2), ip(3), ip(4), ip(5), ip(6), ip(7))
	for _, c := range []struct {
		name   string
		policy clustermesh.TrafficPolicy
		packet bool
		want   string
		others bool // another implementation has its addresses, and it is not global
	}{
		{"not for packets", clustermesh.TrafficCluster, false, socket + " " + all, false},
		{"not for packets either", clustermesh.TrafficLocal, false, socket + " " + all, false},
		{"not for packets of others", clustermesh.TrafficCluster, true, socket + " " + all, true},
		{"nor for those of the node", clustermesh.TrafficLocal, true, socket + " " + all, true},
		{"from every backend", clustermesh.TrafficCluster, true, fmt.Sprintf("%s %s:80/TCP! %s", socket, ip(1), all), false},
		{"from those of the node", clustermesh.TrafficLocal, true, fmt.Sprintf("%s %s; %s:80/TCP! → %s %s | (%s)", socket, all, ip(1), ip(2), ip(5), ip(6)), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := service(c.policy)
			if c.others {
				s.Definition.Global, s.Definition.Type, s.Definition.LoadBalancerOthers = false, clustermesh.LoadBalancer, true
			}
			got := desire(s, wish{packets: c.packet, cluster: "east", node: "n1"})
			if told(got) != c.want {
				t.Errorf("got  %s\nwant %s", told(got), c.want)
			}
			ids := map[portID]bool{}
			for _, d := range got {
				ids[d.id] = true
			}
			if len(ids) != len(got) {
				t.Errorf("two ports have one id")
			}
		})
	}
}

// What other nodes send here finds the endpoints of this node, under the same addresses,
// where there are any; under an external policy Local nobody sends any.
func TestDesireForPacketsOfNodes(t *testing.T) {
	ip := func(n int) string { return vip(n, false).String() }
	backend := func(n int, node string) global.Backend {
		return global.Backend{Cluster: "east", ClusterID: 1, Address: vip(n, false), Node: node, Weight: 7}
	}
	for _, c := range []struct {
		name        string
		policy      clustermesh.TrafficPolicy
		here, aside []global.Backend
		want        string // beside the first port
	}{
		{"two here", clustermesh.TrafficCluster, []global.Backend{backend(2, "n1"), backend(5, "n1")}, []global.Backend{backend(6, "n1")},
			fmt.Sprintf("%s:80/TCP^ → %s %s | (%s)", ip(1), ip(2), ip(5), ip(6))},
		{"one that has its connections still", clustermesh.TrafficCluster, nil, []global.Backend{backend(6, "n1")}, fmt.Sprintf("%s:80/TCP^ → | (%s)", ip(1), ip(6))},
		{"nobody", clustermesh.TrafficCluster, nil, []global.Backend{backend(7, "n2")}, ""},
		{"what comes from outside", clustermesh.TrafficLocal, []global.Backend{backend(2, "n1")}, nil, fmt.Sprintf("%s:80/TCP! → %s |", ip(1), ip(2))},
	} {
		s := &global.Service{
			Definition: &clustermesh.Service{ExternalPolicy: c.policy, Global: true},
			Ports: []global.Port{{
				Protocol: clustermesh.TCP, Port: 80,
				Frontends: []global.Frontend{{Address: vip(1, false), Port: 80, Protocol: clustermesh.TCP, Scope: global.External}},
				Primary:   []global.Backend{backend(2, "n1"), backend(3, "n2")}, Here: c.here, Aside: c.aside,
			}},
		}
		if got := told(desire(s, wish{packets: true, direct: true, cluster: "east", node: "n1"})[1:]); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
		if got := desire(s, wish{direct: true, cluster: "east", node: "n1"}); len(got) != 1 {
			t.Errorf("%s: without packets: %s", c.name, told(got))
		}
	}
}

// Where a node has only an endpoint that ends, packets from outside are led to it; where
// it has none they are dropped while another node has one, and else refused.
func TestDesireForPacketsOfALastResort(t *testing.T) {
	ending := clustermesh.Endpoint{Address: vip(2, false), Node: "n1", Serving: true, Terminating: true}
	ready := clustermesh.Endpoint{Address: vip(3, false), Node: "n2", Ready: true, Serving: true}
	for _, c := range []struct {
		node      string
		endpoints []clustermesh.Endpoint
		want      string
		drops     bool
	}{
		{"n1", []clustermesh.Endpoint{ending, ready}, fmt.Sprintf("%v:80/TCP! → %v |", vip(1, false), vip(2, false)), false},
		{"n2", []clustermesh.Endpoint{ending, ready}, fmt.Sprintf("%v:80/TCP! → %v |", vip(1, false), vip(3, false)), false},
		{"n3", []clustermesh.Endpoint{ending, ready}, fmt.Sprintf("%v:80/TCP! → |", vip(1, false)), true},
		{"n3", nil, fmt.Sprintf("%v:80/TCP! → |", vip(1, false)), false},
	} {
		s := global.Merge(global.Input{Self: "east", Node: c.node, Exports: []global.Export{{
			Cluster: "east", ClusterID: 1,
			Service: &clustermesh.Service{
				Type: clustermesh.LoadBalancer, ExternalPolicy: clustermesh.TrafficLocal, LoadBalancerIPs: []netip.Addr{vip(1, false)},
				Ports: []clustermesh.ServicePort{{Protocol: clustermesh.TCP, Port: 80}},
			},
			Slices: []*clustermesh.EndpointSlice{{Ports: []clustermesh.EndpointPort{{Protocol: clustermesh.TCP, Port: 80}}, Endpoints: c.endpoints}},
		}}})
		got := desire(&s, wish{packets: true, cluster: "east", node: c.node})
		here := got[len(got)-1]
		if told([]desired{here}) != c.want || here.drops != c.drops {
			t.Errorf("%s: got %s, drops %v; want %s, %v", c.node, told([]desired{here}), here.drops, c.want, c.drops)
		}
		if e := (&port{drops: here.drops}).entry(); e.Drops != c.drops {
			t.Errorf("%s: stored %+v", c.node, e)
		}
	}
}

// The numbers of this node are marked, whenever it is known which they are.
func TestThisNode(t *testing.T) {
	r := newRAM(Limits{Services: 8, Slots: 1 << 10, Backends: 8, Nodes: 8})
	n := newNodes(r, newNumbers("nodes", r.Limits().Nodes, func(uint32) bool { return false }))
	self, other := nodeName{1, "n1"}, nodeName{1, "n2"}
	first, err := n.number(self)
	if err != nil {
		t.Fatal(err)
	}
	second, _ := n.number(other)
	n.setSelf(self)
	n.judge(self, PodsDown, Everything)
	n.judge(other, PodsDown, Everything)
	if got := [2]Health{r.NodeHealth(first), r.NodeHealth(second)}; got != [2]Health{PodsDown | ThisNode, PodsDown} {
		t.Errorf("stored %d", got)
	}
	n.setSelf(other)
	if got := [2]Health{r.NodeHealth(first), r.NodeHealth(second)}; got != [2]Health{PodsDown, PodsDown | ThisNode} {
		t.Errorf("after it is another: %d", got)
	}

	// What an agent stored under another name is put right once that is known.
	n = newNodes(r, newNumbers("nodes", r.Limits().Nodes, func(uint32) bool { return false }))
	if !n.is(first, self) || r.NodeHealth(first) != PodsDown {
		t.Errorf("taken over: %d", r.NodeHealth(first))
	}
	if !n.is(second, other) || r.NodeHealth(second) != PodsDown|ThisNode {
		t.Errorf("taken over while it is not known: %d", r.NodeHealth(second))
	}
	n.setSelf(self)
	if got := [2]Health{r.NodeHealth(first), r.NodeHealth(second)}; got != [2]Health{PodsDown | ThisNode, PodsDown} {
		t.Errorf("taken over: %d", got)
	}
	n.hold(second)
	n.setSelf(other)

	var gone remains
	n.drop(second, &gone)
	n.numbers.put(second)
	for range r.Limits().Nodes - 2 {
		if number, err := n.number(nodeName{2, fmt.Sprint(len(n.byName))}); err != nil || r.NodeHealth(number) != 0 {
			t.Fatalf("number %d has %d, %v", number, r.NodeHealth(number), err)
		}
	}
}
