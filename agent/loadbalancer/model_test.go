package loadbalancer

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"time"

	"tombolo.io/tombolo/agent/maglev"
	"tombolo.io/tombolo/clustermesh"
)

// choice is a backend as the model knows it.
type choice struct {
	cluster  int
	endpoint int
	address  netip.AddrPort
	weight   uint32
}

// expectation is what the maps should select for one frontend.
type expectation struct {
	tiers    [tiers][]choice
	size     uint32
	affinity time.Duration
	guard    Guard
}

// wants returns the services of east that want an address, port and family, the
// oldest first: it is the one that has it.
func (w *world) wants(f Frontend) []int {
	var out []int
	for i := range w.services[0] {
		s := &w.services[0][i]
		index, node := portOf(f)
		if !s.defined || index >= s.ports {
			continue
		}
		if node && s.nodePorts && worldNodePort(i, index) == f.Address.Port() && f.Address.Addr() == worldNode(w.moved, f.Address.Addr().Is6()) {
			out = append(out, i)
		}
		for _, v := range s.vips {
			if vip(v, f.Address.Addr().Is6()) == f.Address.Addr() {
				out = append(out, i)
			}
		}
	}
	slices.SortFunc(out, func(a, b int) int {
		return cmp.Or(cmp.Compare(w.services[0][a].created, w.services[0][b].created), cmp.Compare(a, b))
	})
	return slices.Compact(out)
}

// lets says whether service i of east is for a client who dials a frontend.
func (w *world) lets(i int, f Frontend, client netip.Addr) bool {
	ranges := w.services[0][i].guards(f)
	in := len(ranges) == 0
	for _, r := range ranges {
		in = in || r.Contains(client)
	}
	return in
}

// guards are the ranges of a service that are about a frontend.
func (s *worldService) guards(f Frontend) []netip.Prefix {
	if _, node := portOf(f); node || s.external {
		return nil
	}
	return s.ranges
}

// reach is a frontend as one of the world's clients finds it.
type reach struct {
	frontend Frontend
	client   netip.Addr
}

// worldReaches returns all that some client may ever find.
func worldReaches() (out []reach) {
	for _, f := range worldFrontends() {
		for _, client := range worldClients[f.Address.Addr().Is6()] {
			out = append(out, reach{f, client})
		}
	}
	return out
}

// reaches returns the services of east that want a frontend and are for a client.
func (w *world) reaches(r reach) []int {
	return slices.DeleteFunc(w.wants(r.frontend), func(i int) bool { return !w.lets(i, r.frontend, r.client) })
}

// guard returns whom a frontend of service i of east keeps out. The sockets of the node
// are at worldNode, those of its pods in 10.0.0.0/16 and fc00::/16.
func (w *world) guard(i int, f Frontend) Guard {
	ranges, v6 := w.services[0][i].guards(f), f.Address.Addr().Is6()
	if len(ranges) == 0 {
		return Guard{}
	}
	g := Guard{Packets: true, Pods: true, Node: true}
	for _, r := range ranges {
		switch r.String() {
		case "10.0.0.0/8":
			g.Pods = g.Pods && v6
		case "0.0.0.0/0":
			g.Pods, g.Node = g.Pods && v6, g.Node && v6
		case "::/0":
			g.Pods, g.Node = g.Pods && !v6, g.Node && !v6
		}
	}
	return g
}

// frontends returns all that some service may ever have.
func worldFrontends() []Frontend {
	var out []Frontend
	for v := range worldVIPs {
		for _, v6 := range []bool{false, true} {
			out = append(out,
				Frontend{netip.AddrPortFrom(vip(v, v6), 80), clustermesh.TCP, Sockets},
				Frontend{netip.AddrPortFrom(vip(v, v6), 81), clustermesh.UDP, Sockets})
		}
	}
	for i := range 2 { // as many node ports as services have
		for _, v6 := range []bool{false, true} {
			for _, moved := range []bool{false, true} {
				out = append(out,
					Frontend{netip.AddrPortFrom(worldNode(moved, v6), worldNodePort(i, 0)), clustermesh.TCP, Sockets},
					Frontend{netip.AddrPortFrom(worldNode(moved, v6), worldNodePort(i, 1)), clustermesh.UDP, Sockets})
			}
		}
	}
	return out
}

// expect tells slowly what service i of east should select for f: whoever is
// ready, best rank first, the others as backup; and who is down as if it were
// not ready, unless all are.
func (w *world) expect(i int, f Frontend, down func(cluster, endpoint int, family Health) bool) expectation {
	if x := w.ready(i, f, down); x.tiers[Primary] != nil {
		return x
	}
	return w.ready(i, f, func(int, int, Health) bool { return false })
}

func (w *world) ready(i int, f Frontend, down func(cluster, endpoint int, family Health) bool) expectation {
	own := &w.services[0][i]
	index, _ := portOf(f)
	family := V4
	if f.Address.Addr().Is6() {
		family = V6
	}
	byRank := map[int][]choice{}
	for c := range w.services {
		s := &w.services[c][i]
		if w.peers[c] != joined || !s.defined || s.weight == 0 && s.global || index >= s.ports || c > 0 && !(own.global && s.global && s.shared) {
			continue
		}
		rank := int(s.priority)
		if own.affinity == clustermesh.AffinityLocal && c > 0 || own.affinity == clustermesh.AffinityRemote && c == 0 {
			rank += 512
		}
		for e, ready := range s.ready {
			if ready && !down(c, e, family) {
				a := netip.AddrPortFrom(endpointAddr(c, i, e, f.Address.Addr().Is6()), uint16(8080+index))
				byRank[rank] = append(byRank[rank], choice{c, e, a, uint32(max(s.weight, 1))})
			}
		}
	}
	var x expectation
	var rest [][]choice
	for _, rank := range slices.Sorted(maps.Keys(byRank)) {
		if x.tiers[Primary] == nil {
			x.tiers[Primary] = byRank[rank]
		} else {
			rest = append(rest, byRank[rank])
		}
	}
	x.tiers[Backup] = backup(rest)
	x.size = own.table
	if n := max(len(x.tiers[Primary]), len(x.tiers[Backup])); x.size == 0 || int(x.size) < n {
		x.size = maglev.SizeFor(n)
	}
	x.affinity, x.guard = own.timeout, w.guard(i, f)
	return x
}

// usable returns what frontends may lead to: the ready endpoints of those who want it;
// and, by cluster, all that are ready for some service of east.
func (w *world) usable() (map[selection]bool, [4]map[netip.Addr]bool) {
	out, all := map[selection]bool{}, [4]map[netip.Addr]bool{}
	for c := range all {
		all[c] = map[netip.Addr]bool{}
	}
	nobody := func(int, int, Health) bool { return false }
	for _, f := range worldFrontends() {
		wants := w.wants(f)
		for i := range w.services[0] {
			if !w.services[0][i].defined {
				continue
			}
			wanted := slices.Contains(wants, i)
			for _, tier := range w.ready(i, f, nobody).tiers {
				for _, c := range tier {
					all[c.cluster+1][c.address.Addr()] = true
					if wanted {
						out[selection{f, uint16(c.cluster + 1), c.address}] = true
					}
				}
			}
		}
	}
	return out, all
}

// backup joins tiers as package global does: the first has four fifths of the
// load, the others share the last one.
func backup(rest [][]choice) []choice {
	if len(rest) == 1 {
		return rest[0]
	}
	var out []choice
	for i, cs := range rest {
		sum, share := uint64(0), uint64(800_000_000)
		if i > 0 {
			share = 200_000_000 / uint64(len(rest)-1)
		}
		for _, c := range cs {
			sum += uint64(c.weight)
		}
		for _, c := range cs {
			c.weight = uint32(share * uint64(c.weight) / sum)
			out = append(out, c)
		}
	}
	slices.SortFunc(out, func(a, b choice) int { return cmp.Or(a.cluster-b.cluster, a.address.Compare(b.address)) })
	return out
}

// slots returns which of a tier's choices its table should have, slot by slot.
func (x expectation) slots(t Tier) []uint32 {
	var in []maglev.Backend
	for _, c := range x.tiers[t] {
		in = append(in, maglev.Backend{Cluster: uint16(c.cluster + 1), Address: c.address, Weight: c.weight})
	}
	return maglev.Table(in, x.size)
}
