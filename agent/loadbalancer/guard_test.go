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

func prefixesOf(text string) (out []netip.Prefix) {
	for p := range strings.FieldsSeq(text) {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}

func TestCovered(t *testing.T) {
	for _, c := range []struct {
		prefix, ranges string
		want           bool
	}{
		{"10.1.1.0/24", "", false},
		{"10.1.1.0/24", "10.1.2.0/24 2001:db8::/32 ::/0", false},
		{"10.1.1.0/24", "10.1.1.0/24", true},
		{"10.1.1.0/24", "0.0.0.0/0", true},
		{"10.1.1.0/24", "10.1.1.0/25", false},
		{"10.1.1.0/24", "10.1.1.0/25 10.1.1.128/25", true},
		{"10.1.1.0/24", "10.1.1.128/25 10.1.1.0/26 10.1.1.64/27 10.1.1.96/27", true},
		{"10.1.1.0/24", "10.1.1.128/25 10.1.1.0/26 10.1.1.64/27 10.1.1.97/32", false},
		{"10.1.1.7/32", "10.1.1.7/32", true},
		{"10.1.1.7/32", "10.1.1.6/32", false},
		{"0.0.0.0/0", "0.0.0.0/1 128.0.0.0/1", true},
		{"fd00::/64", "fd00::/65 fd00:0:0:0:8000::/65", true},
		{"fd00::/64", "fd00::/65 fd00:0:0:1::/65", false},
	} {
		if got := covered(netip.MustParsePrefix(c.prefix), prefixesOf(c.ranges)); got != c.want {
			t.Errorf("%s in %q: %v", c.prefix, c.ranges, got)
		}
	}
}

// Sockets are let in where all addresses that they may have are in range, of the family
// that is dialled.
func TestGuard(t *testing.T) {
	node := &clustermesh.Node{
		Addresses: []netip.Addr{netip.MustParseAddr("172.20.1.1"), netip.MustParseAddr("172.20.1.2"), netip.MustParseAddr("fd00:20::1")},
		PodCIDRs:  prefixesOf("10.1.1.0/24 fd00:10::/64"),
	}
	cluster := &clustermesh.Cluster{PodCIDRs: prefixesOf("10.1.0.0/16")}
	bare := &clustermesh.Node{Addresses: node.Addresses}
	out := Guard{Packets: true, Pods: true, Node: true}
	for _, c := range []struct {
		in     *inside
		ranges string
		v6     bool
		want   Guard
	}{
		{nil, "0.0.0.0/0", false, out},
		{insideOf(nil, nil), "0.0.0.0/0", false, out},
		{insideOf(node, cluster), "", false, out},
		{insideOf(node, cluster), "198.51.100.0/24", false, out},
		{insideOf(node, cluster), "172.20.1.1/32", false, out},
		{insideOf(node, cluster), "172.20.0.0/16", false, Guard{Packets: true, Pods: true}},
		{insideOf(node, cluster), "10.1.1.0/24", false, Guard{Packets: true, Node: true}},
		{insideOf(node, cluster), "10.1.1.10/32", false, out},
		{insideOf(node, cluster), "0.0.0.0/0", false, Guard{Packets: true}},
		{insideOf(node, cluster), "0.0.0.0/0", true, out},
		{insideOf(node, cluster), "fd00:10::/32", true, Guard{Packets: true, Node: true}},
		{insideOf(bare, cluster), "10.1.1.0/24", false, out},
		{insideOf(bare, cluster), "10.1.0.0/16", false, Guard{Packets: true, Node: true}},
		{insideOf(nil, cluster), "10.1.0.0/16", false, Guard{Packets: true, Node: true}},
	} {
		if got := c.in.guard(prefixesOf(c.ranges), c.v6); got != c.want {
			t.Errorf("%+v and %q: %+v, want %+v", c.in, c.ranges, got, c.want)
		}
	}
}

// guarded returns what should lie in the maps of a service with ranges.
func guarded(policy clustermesh.TrafficPolicy, ranges string, in *inside) []desired {
	s := global.Merge(global.Input{Self: "east", Node: "n1", Exports: []global.Export{{
		Cluster: "east", ClusterID: 1,
		Service: &clustermesh.Service{
			Type: clustermesh.LoadBalancer, ExternalPolicy: policy, SourceRanges: prefixesOf(ranges),
			ClusterIPs: []netip.Addr{vip(0, false)}, LoadBalancerIPs: []netip.Addr{vip(1, false)},
			ExternalIPs: []netip.Addr{vip(1, false), vip(3, false)},
			Ports:       []clustermesh.ServicePort{{Protocol: clustermesh.TCP, Port: 80}},
		},
		Slices: []*clustermesh.EndpointSlice{{Ports: []clustermesh.EndpointPort{{Protocol: clustermesh.TCP, Port: 80}},
			Endpoints: []clustermesh.Endpoint{{Address: vip(2, false), Node: "n1", Ready: true, Serving: true}}}},
	}}})
	out := desire(&s, wish{packets: true, cluster: "east", node: "n1", inside: in})
	slices.SortStableFunc(out, func(a, b desired) int { return narrowFirst(a.id, b.id) })
	return out
}

// Ranges guard load-balancer IPs, also those that are named as external IPs, and nothing else, for sockets and packets, and those
// ports come first: they take the frontends over.
func TestDesireGuarded(t *testing.T) {
	web, inner, pod, ext := vip(1, false), vip(0, false), vip(2, false), vip(3, false)
	in := insideOf(&clustermesh.Node{PodCIDRs: prefixesOf("10.1.1.0/24")}, nil)
	guard := Guard{Packets: true, Node: true}
	open := fmt.Sprintf("%v:80/TCP %v:80/TCP %v:80/TCP! → %v | %+v []", inner, ext, ext, pod, Guard{})
	for _, c := range []struct {
		policy clustermesh.TrafficPolicy
		ranges string
		want   []string
	}{
		{clustermesh.TrafficCluster, "", []string{
			fmt.Sprintf("%v:80/TCP %v:80/TCP %v:80/TCP! %v:80/TCP %v:80/TCP! → %v | %+v []", inner, web, web, ext, ext, pod, Guard{})}},
		{clustermesh.TrafficCluster, "10.1.0.0/16 fd00::/8", []string{
			fmt.Sprintf("%v:80/TCP %v:80/TCP! → %v | %+v [10.1.0.0/16]", web, web, pod, guard), open}},
		{clustermesh.TrafficCluster, "fd00::/8", []string{
			fmt.Sprintf("%v:80/TCP %v:80/TCP! → %v | %+v []", web, web, pod, Guard{true, true, true}), open}},
		{clustermesh.TrafficLocal, "10.1.0.0/16", []string{
			fmt.Sprintf("%v:80/TCP! → %v | %+v [10.1.0.0/16]", web, pod, guard),
			fmt.Sprintf("%v:80/TCP → %v | %+v [10.1.0.0/16]", web, pod, guard),
			fmt.Sprintf("%v:80/TCP! → %v | %+v []", ext, pod, Guard{}),
			fmt.Sprintf("%v:80/TCP %v:80/TCP → %v | %+v []", inner, ext, pod, Guard{})}},
	} {
		var got []string
		ids := map[portID]bool{}
		for _, d := range guarded(c.policy, c.ranges, in) {
			ids[d.id] = true
			got = append(got, fmt.Sprintf("%s %+v %v", told([]desired{d}), d.guard, d.ranges))
		}
		if !slices.Equal(got, c.want) || len(ids) != len(got) {
			t.Errorf("%v %q:\ngot  %s\nwant %s", c.policy, c.ranges, strings.Join(got, "\n     "), strings.Join(c.want, "\n     "))
		}
	}
}

// A map that has no room for a range keeps its clients out, and says so; the service
// is served all the same, and its address is not left to who is open.
func TestRangesWithoutRoom(t *testing.T) {
	h := newHarness(t, 1, newRAM(Limits{Services: 40, Slots: 1 << 17, Backends: 1300, Nodes: 20, Ranges: 1}))
	for i := range h.w.services[0] {
		h.w.services[0][i] = worldService{}
	}
	own := &h.w.services[0][0]
	*own = worldService{defined: true, weight: 100, ports: 1, vips: []int{0}}
	own.ready[0] = true
	h.tell(true)
	h.drain(100)
	own.ranges = prefixesOf("198.51.100.0/24 203.0.113.0/24")
	h.tell(false)
	h.drain(20)
	f := Frontend{netip.AddrPortFrom(vip(0, false), 80), clustermesh.TCP, Sockets}
	n, _ := h.k.frontend(f)
	first, second := h.lets(n, worldClients[false][0]), h.lets(n, worldClients[false][1])
	if n == 0 || !first || second {
		t.Errorf("service %d lets the first in: %v, the second: %v", n, first, second)
	}
	failures := h.l.queue.Failures()
	if len(failures) != 1 || !slices.Equal(fullMaps(failures[0].Err), []string{"ranges"}) {
		t.Errorf("failures: %v", failures)
	}
	own.ranges = own.ranges[1:]
	h.tell(false)
	h.converge()
}
