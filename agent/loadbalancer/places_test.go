package loadbalancer

import (
	"maps"
	"net/netip"
	"slices"
	"testing"
)

// TestPlaces follows verdicts over a restart without the store: numbers that lie in
// the maps have the names of those at whose places their backends are, and a wrong
// place is put right by the store.
func TestPlaces(t *testing.T) {
	h := newHarness(t, 1, newRAM(testLimits))
	h.w.half(false, -1)
	h.tell(true)
	h.converge()
	names, places := maps.Clone(h.l.state.nodes.byNumber), map[nodeName]*Place{}
	for _, ports := range h.l.state.byName {
		for _, p := range ports {
			for _, b := range p.backends {
				if who := names[b.node]; who.name != "" {
					if places[who] == nil {
						places[who] = &Place{Cluster: who.cluster, Node: who.name}
					}
					places[who].Addresses = append(places[who].Addresses, b.address.Addr())
				}
			}
		}
	}
	dead, other := nodeName{2, "n1"}, nodeName{2, "n2"}
	if places[dead] == nil || places[other] == nil {
		t.Fatalf("there are %v", names)
	}
	flat := func() (out []Place) {
		for _, p := range places {
			out = append(out, *p)
		}
		return out
	}
	expect := func(when string, down ...nodeName) {
		t.Helper()
		for number, who := range names {
			want := Health(0)
			if slices.Contains(down, who) {
				want = PodsDown
			}
			if who == (nodeName{1, h.l.config.Node}) {
				want |= ThisNode
			}
			if got := h.k.NodeHealth(number); got != want {
				t.Errorf("%s: node %d, %v, is %d, want %d", when, number, who, got, want)
			}
		}
	}

	h.start()
	h.l.state.recognize(flat())
	h.l.judge(Verdict{Cluster: dead.cluster, Node: dead.name, Down: PodsDown, Known: Everything})
	h.drain(3)
	expect("from memory", dead)
	h.l.judge(Verdict{Cluster: dead.cluster, Node: dead.name, Down: 0, Known: Everything})
	h.drain(3)
	expect("from memory, up again")

	// What two claim is nobody's; no verdict reaches it.
	h.start()
	its := len(places[other].Addresses)
	places[other].Addresses = append(places[other].Addresses, places[dead].Addresses...)
	h.l.state.recognize(flat())
	h.l.judge(Verdict{Cluster: dead.cluster, Node: dead.name, Down: PodsDown, Known: Everything})
	h.drain(3)
	expect("claimed twice")
	if _, named := h.l.state.nodes.byName[dead]; named {
		t.Error("a number has a name although two claim it")
	}

	// The two are taken for each other, and the store knows better.
	h.start()
	places[other].Addresses = places[other].Addresses[:its]
	places[dead].Addresses, places[other].Addresses = places[other].Addresses, places[dead].Addresses
	h.l.state.recognize(flat())
	h.nodes[dead] = PodsDown
	h.judgeAll()
	h.drain(3)
	h.tell(true)
	h.converge()
}

func TestAtlas(t *testing.T) {
	a, p := netip.MustParseAddr, netip.MustParsePrefix
	atlas := newAtlas([]Place{
		{Cluster: 1, Node: "a", Addresses: []netip.Addr{a("172.20.1.1"), a("fd00::1")}, Pods: []netip.Prefix{p("10.1.1.0/24"), p("fd00:1::/64")}},
		{Cluster: 1, Node: "b", Pods: []netip.Prefix{p("10.1.2.7/24"), p("10.1.1.64/26"), p("10.8.0.0/16")}},
		{Cluster: 2, Node: "c", Pods: []netip.Prefix{p("10.1.1.0/24"), p("10.8.0.0/16")}},
		{Cluster: 2, Node: "d", Pods: []netip.Prefix{p("10.8.0.0/16")}},
	})
	for _, c := range []struct {
		cluster uint16
		addr    string
		want    string
	}{
		{1, "172.20.1.1", "a"}, {1, "fd00::1", "a"}, {1, "10.1.1.1", "a"}, {1, "fd00:1::9", "a"},
		{1, "10.1.2.1", "b"}, {1, "10.1.1.65", ""}, {2, "10.1.1.1", "c"}, {2, "10.8.1.1", ""}, {1, "10.8.1.1", "b"},
		{1, "10.1.3.1", ""}, {3, "10.1.1.1", ""}, {2, "fd00::1", ""},
	} {
		if got := atlas.at(c.cluster, a(c.addr)); got.name != c.want || got.name != "" && got.cluster != c.cluster {
			t.Errorf("%s of cluster %d: %v, want %q", c.addr, c.cluster, got, c.want)
		}
	}
}
