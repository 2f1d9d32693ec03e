package global

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"time"

	"tombolo.io/tombolo/clustermesh"
)

func chance(r *rand.Rand, percent int) bool { return r.IntN(100) < percent }

func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

func randomInput(r *rand.Rand) Input {
	in := Input{Self: "east", Node: pick(r, "", "n1", "n2"), Zone: pick(r, "", "z1", "z2")}
	for _, a := range []string{"10.0.9.1", "192.0.2.9", "fd00::9"} {
		if chance(r, 40) {
			in.NodeAddresses = append(in.NodeAddresses, netip.MustParseAddr(a))
		}
	}
	for name, id := range ids {
		if chance(r, 85) {
			e := Export{Cluster: name, ClusterID: id, Service: randomService(r), Slices: randomSlices(r, byte(id))}
			e.NodeCIDRs, e.PodCIDRs = randomCIDRs(r), randomCIDRs(r)
			in.Exports = append(in.Exports, e)
		}
	}
	if chance(r, 50) {
		randomKnown(r, &in)
	}
	if chance(r, 50) {
		agree(in.Exports)
	}
	r.Shuffle(len(in.Exports), func(i, j int) { in.Exports[i], in.Exports[j] = in.Exports[j], in.Exports[i] })
	return in
}

// agree makes the clusters share the service and its port, as they mostly do.
func agree(exports []Export) {
	for _, e := range exports {
		if s := e.Service; s != nil {
			s.Type, s.Global, s.Shared, s.Weight = clustermesh.LoadBalancer, true, true, max(s.Weight, 1)
			s.Ports = []clustermesh.ServicePort{{Name: "a", Protocol: clustermesh.TCP, Port: 80}}
		}
	}
}

// randomCIDRs covers some of the addresses of randomSlices.
func randomCIDRs(r *rand.Rand) []netip.Prefix {
	if chance(r, 50) {
		return nil
	}
	return []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(r.IntN(4)), byte(r.IntN(6))}), 30+r.IntN(3)).Masked()}
}

func randomFamilies(r *rand.Rand) clustermesh.Families {
	return pick(r, 0, clustermesh.IPv4, clustermesh.IPv6, clustermesh.AllFamilies, clustermesh.AllFamilies)
}

// randomKnown draws what our own eyes and the operators say of the clusters.
func randomKnown(r *rand.Rand, in *Input) {
	share := func() Share { return pick(r, 0, 1, 500, Whole, Whole, Whole+1) }
	for name := range ids {
		if chance(r, 20) {
			put(&in.Health.Clusters, name, randomFamilies(r))
		}
		if chance(r, 15) {
			put(&in.Drains.Clusters, name, share())
		}
		if chance(r, 15) {
			put(&in.Drains.Services, name, share())
		}
		for _, node := range []string{"", "n1", "n2"} {
			if chance(r, 30) {
				put(&in.Health.Nodes, NodeName{name, node}, NodeHealth{randomFamilies(r), randomFamilies(r)})
			}
			if chance(r, 20) {
				put(&in.Drains.Nodes, NodeName{name, node}, share())
			}
		}
		for i := range byte(6) {
			if chance(r, 10) {
				put(&in.Withdrawn, Pod{name, netip.AddrFrom4([4]byte{10, 0, byte(r.IntN(4)), i}), ""}, "node n says that the pod ended")
			}
			if chance(r, 30) {
				address := netip.AddrFrom4([4]byte{10, 0, byte(r.IntN(4)), i})
				put(&in.Ejected, Target{uint16(80 + r.IntN(2)), name, netip.AddrPortFrom(address, uint16(8080+r.IntN(2)))}, "it refuses")
			}
		}
	}
}

func randomService(r *rand.Rand) *clustermesh.Service {
	if chance(r, 5) {
		return nil
	}
	s := &clustermesh.Service{
		Type:   pick(r, clustermesh.ClusterIP, clustermesh.ClusterIP, clustermesh.LoadBalancer, clustermesh.ExternalName),
		Global: chance(r, 80), Shared: chance(r, 80), Affinity: clustermesh.Affinity(r.IntN(3)),
		Priority: uint8(r.IntN(3)), Weight: uint16(r.IntN(4)), PublishNotReady: chance(r, 10),
		InternalPolicy: clustermesh.TrafficPolicy(r.IntN(2)), ExternalPolicy: clustermesh.TrafficPolicy(r.IntN(2)),
		Distribution: clustermesh.Distribution(r.IntN(3)), Overprovisioning: pick[uint16](r, 0, 0, 100, 150, 10000),
		Created: time.Unix(int64(r.IntN(3)), 0),
	}
	for _, a := range []string{"172.20.0.1", "fd20::1"} {
		if chance(r, 70) {
			s.ClusterIPs = append(s.ClusterIPs, netip.MustParseAddr(a))
		}
	}
	for _, a := range []string{"192.0.2.1", "fd02::1", "192.0.2.2"} {
		if chance(r, 30) {
			s.LoadBalancerIPs = append(s.LoadBalancerIPs, netip.MustParseAddr(a))
		}
	}
	for _, a := range []string{"192.0.2.9", "fd02::9", "192.0.2.1"} {
		if chance(r, 20) {
			s.ExternalIPs = append(s.ExternalIPs, netip.MustParseAddr(a))
		}
	}
	for _, p := range []string{"198.51.100.0/24", "2001:db8::/32", "0.0.0.0/0"} {
		if chance(r, 15) {
			s.SourceRanges = append(s.SourceRanges, netip.MustParsePrefix(p))
		}
	}
	s.Ports = randomPorts(r)
	for i := range s.Ports {
		if chance(r, 30) {
			s.Ports[i].NodePort = uint16(30000 + i)
		}
	}
	return s
}

func randomPorts(r *rand.Rand) []clustermesh.ServicePort {
	number := func() uint16 { return uint16(80 + r.IntN(2)) }
	if chance(r, 40) {
		return []clustermesh.ServicePort{{Name: "", Protocol: pick(r, clustermesh.TCP, clustermesh.UDP), Port: number()}}
	}
	var ports []clustermesh.ServicePort
	for _, name := range []string{"a", "b"} {
		if chance(r, 70) {
			ports = append(ports, clustermesh.ServicePort{Name: name, Protocol: pick(r, clustermesh.TCP, clustermesh.UDP), Port: number()})
		}
	}
	return ports
}

// randomSlices draws endpoints of a cluster; some are at addresses that other
// clusters have too.
func randomSlices(r *rand.Rand, id byte) []*clustermesh.EndpointSlice {
	var out []*clustermesh.EndpointSlice
	for i := range r.IntN(4) {
		s := &clustermesh.EndpointSlice{Name: fmt.Sprint("s", i)}
		for _, name := range []string{"", "a", "b"} {
			for _, p := range []clustermesh.Protocol{clustermesh.TCP, clustermesh.UDP} {
				if chance(r, 70) {
					s.Ports = append(s.Ports, clustermesh.EndpointPort{Name: name, Protocol: p, Port: uint16(8080 + r.IntN(2))})
				}
			}
		}
		for range r.IntN(4) {
			of := pick(r, 0, id, id, id)
			address := netip.AddrFrom4([4]byte{10, 0, of, byte(r.IntN(6))})
			if i%2 == 1 {
				address = netip.AddrFrom16([16]byte{0xfd, 14: of, 15: byte(r.IntN(6))})
			}
			s.Endpoints = append(s.Endpoints, clustermesh.Endpoint{Address: address, Node: pick(r, "", "n1", "n2", "n2"), Zone: pick(r, "", "z1", "z2", "z2"),
				Ready: chance(r, 60), Serving: chance(r, 60), Terminating: chance(r, 30)})
		}
		out = append(out, s)
	}
	r.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

// obvious says for each frontend, one after the other, what lies behind it,
// and asks every question anew for every endpoint.
func obvious(in Input) []string {
	var own *clustermesh.Service
	for _, e := range in.Exports {
		if e.Cluster == in.Self {
			own = e.Service
		}
	}
	if own == nil || own.Type == clustermesh.ExternalName || !own.Global && own.Type != clustermesh.LoadBalancer {
		return nil
	}
	groups := map[string]string{} // what lies behind, and the frontends that have it
	var order []string
	for _, sp := range own.Ports {
		addresses := slices.Concat(own.ClusterIPs, own.LoadBalancerIPs, own.ExternalIPs)
		nodes := len(addresses)
		if sp.NodePort > 0 {
			addresses = append(addresses, in.NodeAddresses...)
		}
		for i, vip := range addresses {
			internal, port := i < len(own.ClusterIPs), sp.Port
			if i >= nodes {
				port = sp.NodePort
				if !slices.ContainsFunc(own.ClusterIPs, func(a netip.Addr) bool { return a.Is4() == vip.Is4() }) {
					continue
				}
			}
			balancer := slices.Contains(own.LoadBalancerIPs, vip)
			if balancer && i >= len(own.ClusterIPs)+len(own.LoadBalancerIPs) {
				continue // it was there
			}
			onlyNode := internal && own.InternalPolicy == clustermesh.TrafficLocal
			near := internal && own.Distribution != clustermesh.Anywhere
			behind := obviousBackends(in, own, sp, vip.Is4(), onlyNode, near)
			from := obviousRanges(own, balancer, vip)
			key := fmt.Sprint(sp, vip.Is4(), onlyNode, near, from)
			behind += from
			if _, ok := groups[key]; !ok {
				order = append(order, key+"\x00"+behind)
			}
			groups[key] += fmt.Sprintf("%s:", netip.AddrPortFrom(vip, port))
			if !internal {
				groups[key] += "external:"
			}
		}
	}
	var out []string
	for _, o := range order {
		key, behind, _ := strings.Cut(o, "\x00")
		out = append(out, groups[key]+behind+"\n")
	}
	slices.Sort(out)
	return out
}

// obviousRanges says from where clients may come to an address, if not from everywhere.
func obviousRanges(own *clustermesh.Service, balancer bool, vip netip.Addr) string {
	if !balancer || len(own.SourceRanges) == 0 {
		return ""
	}
	var of []netip.Prefix
	for _, p := range own.SourceRanges {
		if p.Addr().Is4() == vip.Is4() {
			of = append(of, p)
		}
	}
	return fmt.Sprintf(" from %v", of)
}

func obviousBackends(in Input, own *clustermesh.Service, sp clustermesh.ServicePort, v4, onlyNode, near bool) string {
	var all []obviousBackend
	var nodes []string
	for _, e := range in.Exports {
		for _, b := range obviousOf(in, own, e, sp) {
			if b.Address.Is4() != v4 {
				continue
			}
			if b.state == "ready" && b.kept > 0 && b.own && b.Node != "" && own.ExternalPolicy == clustermesh.TrafficLocal && !slices.Contains(nodes, b.Node) {
				nodes = append(nodes, b.Node)
			}
			if !onlyNode || b.own && in.Node != "" && b.Node == in.Node {
				all = append(all, b)
			}
		}
	}
	primary := obviousTable(in, own, all, nil, near)
	backup := obviousTable(in, own, all, primary, near)
	out := " " + obviousText(primary)
	if len(backup) > 0 {
		out += " | " + obviousText(backup)
	}
	if len(nodes) > 0 {
		slices.Sort(nodes)
		out += " @" + strings.Join(nodes, ",")
	}
	return out
}

func obviousText(bs []obviousBackend) string {
	var out []Backend
	for _, b := range bs {
		out = append(out, b.Backend)
	}
	slices.SortFunc(out, Backend.Compare)
	return tierText(out)
}

type obviousBackend struct {
	Backend
	own   bool
	place int
	kept  uint32
	down  bool
	// ejected: connections from here fail to it
	ejected bool
	state   string // ready, ending or out
}

func (b obviousBackend) is(o obviousBackend) bool { return b.Compare(o.Backend) == 0 }

// obviousTable returns what is chosen among all, were it not for those that are
// taken already.
func obviousTable(in Input, own *clustermesh.Service, all, taken []obviousBackend, near bool) []obviousBackend {
	kind, isServing := obviousKind(all)
	usable := func(b obviousBackend) bool {
		return kind(b) && !slices.ContainsFunc(taken, b.is)
	}
	// How the load spreads over the places that have a usable one.
	factor := int(own.Overprovisioning)
	if factor == 0 {
		factor = 140
	}
	var places, health []int
	total := 0
	for place := range 1000 {
		whole, kept, some := 0, 0, false
		for _, b := range all {
			if b.place != place {
				continue
			}
			whole += 1000
			some = some || usable(b)
			if isServing && kind(b) {
				kept += int(b.kept)
			}
		}
		if some {
			h := min(1000000, 1000000*factor*kept/(100*whole))
			places, health, total = append(places, place), append(health, h), total+h
		}
	}
	left := 1000000
	loads := make([]int, len(places))
	for i := range places {
		if total > 0 {
			loads[i] = min(left, health[i]*1000000/min(total, 1000000))
		}
		left -= loads[i]
	}
	if first := slices.IndexFunc(loads, func(l int) bool { return l > 0 }); first >= 0 {
		loads[first] += left
	} else if len(loads) > 0 {
		loads[0] = left
	}
	if without := len(slices.DeleteFunc(slices.Clone(loads), func(l int) bool { return l > 0 })); taken != nil && without > 0 {
		left = 1000000
		for i, l := range loads {
			if loads[i] = l * 4 / 5; l == 0 {
				loads[i] = 200000 / without
			}
			left -= loads[i]
		}
		loads[slices.IndexFunc(loads, func(l int) bool { return l > 0 })] += left
	}
	near = near && taken == nil
	var out []obviousBackend
	for i, place := range places {
		if loads[i] == 0 {
			continue
		}
		var tier []obviousBackend
		for _, b := range all {
			if b.place == place && usable(b) {
				tier = append(tier, b)
			}
		}
		if near && isServing {
			tier = obviousNear(in, own, tier)
		}
		out = append(out, obviousWeights(tier, loads[i], isServing)...)
	}
	return out
}

// obviousKind asks one after the other: is there somebody of this kind?
func obviousKind(all []obviousBackend) (kind func(obviousBackend) bool, isServing bool) {
	for _, believe := range []func(obviousBackend) bool{
		func(b obviousBackend) bool { return !b.down && !b.ejected },
		func(b obviousBackend) bool { return !b.down },
		func(b obviousBackend) bool { return !b.ejected },
		func(b obviousBackend) bool { return true },
	} {
		for i, of := range []func(b obviousBackend) bool{
			func(b obviousBackend) bool { return b.state == "ready" && b.kept > 0 },
			func(b obviousBackend) bool { return b.state == "ready" },
			func(b obviousBackend) bool { return b.state == "ending" },
		} {
			kind := func(b obviousBackend) bool { return of(b) && believe(b) }
			if slices.ContainsFunc(all, kind) {
				return kind, i == 0
			}
		}
	}
	return func(obviousBackend) bool { return false }, false
}

// obviousNear leaves of a tier who is near, as Kubernetes says.
func obviousNear(in Input, own *clustermesh.Service, tier []obviousBackend) []obviousBackend {
	for _, d := range []struct {
		asked bool
		where func(obviousBackend) string
		here  func(obviousBackend) bool
	}{
		{own.Distribution == clustermesh.PreferSameNode, func(b obviousBackend) string { return b.Node },
			func(b obviousBackend) bool { return b.own && b.Node == in.Node }},
		{own.Distribution != clustermesh.Anywhere, func(b obviousBackend) string { return b.Zone },
			func(b obviousBackend) bool { return b.Zone == in.Zone }},
	} {
		var found []obviousBackend
		known, full := true, false
		for _, b := range tier {
			known = known && d.where(b) != ""
			if d.here(b) {
				found, full = append(found, b), full || b.kept == 1000
			}
		}
		if d.asked && known && full {
			return found
		}
	}
	return tier
}

func obviousWeights(tier []obviousBackend, load int, isServing bool) []obviousBackend {
	partly, sum := false, 0
	pull := func(b obviousBackend) int {
		if !isServing {
			return int(b.Weight)
		}
		return int(b.Weight) * int(b.kept)
	}
	for _, b := range tier {
		partly = partly || isServing && b.kept < 1000
		sum += pull(b)
	}
	var out []obviousBackend
	for _, b := range tier {
		switch {
		case load < 1000000:
			b.Weight = uint32(max(1, load*1000*pull(b)/sum))
		case partly:
			b.Weight = uint32(pull(b))
		}
		out = append(out, b)
	}
	return out
}

// obviousDown and obviousKept say what is known of a backend.
func obviousDown(in Input, e Export, b Backend) bool {
	is := func(f clustermesh.Families) bool {
		return f == clustermesh.AllFamilies || f == clustermesh.IPv4 && b.Address.Is4() || f == clustermesh.IPv6 && b.Address.Is6()
	}
	isNodes := false
	for _, p := range e.NodeCIDRs {
		isNodes = isNodes || p.Contains(b.Address)
	}
	for _, p := range e.PodCIDRs {
		isNodes = isNodes && !p.Contains(b.Address)
	}
	for n, h := range in.Health.Nodes {
		if n.Cluster == e.Cluster && n.Node == b.Node && n.Node != "" && (isNodes && is(h.AddressDown) || !isNodes && is(h.PodsDown)) {
			return true
		}
	}
	return is(in.Health.Clusters[e.Cluster])
}

func obviousEjected(in Input, sp clustermesh.ServicePort, b Backend) bool {
	for e := range in.Ejected {
		if sp.Protocol == clustermesh.TCP && e.Port == sp.Port && e.Cluster == b.Cluster && e.Address == netip.AddrPortFrom(b.Address, b.Port) {
			return true
		}
	}
	return false
}

func obviousKept(in Input, e Export, b Backend) uint32 {
	kept := 1000
	take := func(s Share) { kept = max(0, min(kept, 1000-int(s))) }
	for n, s := range in.Drains.Nodes {
		if n.Cluster == e.Cluster && n.Node == b.Node && n.Node != "" {
			take(s)
		}
	}
	take(in.Drains.Clusters[e.Cluster])
	take(in.Drains.Services[e.Cluster])
	return uint32(kept)
}

// obviousOf returns what one cluster has behind a port: for each address and
// port that it names, the best endpoint that bears it.
func obviousOf(in Input, own *clustermesh.Service, e Export, sp clustermesh.ServicePort) []obviousBackend {
	if !obviousPart(in, own, e) {
		return nil
	}
	weight := uint32(e.Service.Weight)
	if weight == 0 {
		weight = 1
	}
	place := int(e.Service.Priority)
	if own.Affinity == clustermesh.AffinityLocal && e.Cluster != in.Self || own.Affinity == clustermesh.AffinityRemote && e.Cluster == in.Self {
		place += 500
	}
	found := map[netip.AddrPort]obviousBackend{}
	for _, want := range []string{"ready", "ending", "out"} {
		for _, s := range slices.SortedFunc(slices.Values(e.Slices), func(a, b *clustermesh.EndpointSlice) int { return strings.Compare(a.Name, b.Name) }) {
			number := obviousPort(own, sp, e.Service, s)
			for _, ep := range s.Endpoints {
				state := "out"
				switch {
				case in.Withdrawn[Pod{e.Cluster, ep.Address, ep.PodUID}] != "":
				case !ep.Terminating && (ep.Ready || e.Service.PublishNotReady):
					state = "ready"
				case ep.Terminating && ep.Serving:
					state = "ending"
				}
				at := netip.AddrPortFrom(ep.Address, number)
				if _, taken := found[at]; number == 0 || taken || state != want || obviousHolder(in, own, ep.Address) != e.Cluster {
					continue
				}
				b := Backend{Cluster: e.Cluster, ClusterID: e.ClusterID, Address: ep.Address, Port: number,
					Node: ep.Node, Zone: ep.Zone, Weight: weight, Terminating: state == "ending"}
				found[at] = obviousBackend{own: e.Cluster == in.Self, place: place, Backend: b, state: state,
					kept: obviousKept(in, e, b), down: obviousDown(in, e, b), ejected: obviousEjected(in, sp, b)}
			}
		}
	}
	var out []obviousBackend
	for _, b := range found {
		out = append(out, b)
	}
	return out
}

func obviousPart(in Input, own *clustermesh.Service, e Export) bool {
	s := e.Service
	if s == nil || s.Global && s.Weight == 0 {
		return false
	}
	return e.Cluster == in.Self || own.Global && s.Global && s.Shared
}

func obviousHolder(in Input, own *clustermesh.Service, a netip.Addr) string {
	var holder Export
	for _, e := range in.Exports {
		if !obviousPart(in, own, e) || !slices.ContainsFunc(e.Slices, func(s *clustermesh.EndpointSlice) bool {
			return slices.ContainsFunc(s.Endpoints, func(ep clustermesh.Endpoint) bool { return ep.Address == a })
		}) {
			continue
		}
		switch {
		case e.Cluster == in.Self:
			return e.Cluster
		case holder.Service == nil || e.Service.Created.Before(holder.Service.Created),
			e.Service.Created.Equal(holder.Service.Created) && e.ClusterID < holder.ClusterID:
			holder = e
		}
	}
	return holder.Cluster
}

// obviousPort returns the number on which a slice serves our port, or 0.
func obviousPort(own *clustermesh.Service, sp clustermesh.ServicePort, theirs *clustermesh.Service, s *clustermesh.EndpointSlice) uint16 {
	name, found := "", false
	for _, p := range theirs.Ports {
		if p.Protocol == sp.Protocol && p.Name == sp.Name {
			name, found = p.Name, true
		}
	}
	single := len(own.Ports) == 1 && len(theirs.Ports) == 1
	oneUnnamed := sp.Name == "" || len(theirs.Ports) == 1 && theirs.Ports[0].Name == ""
	for _, p := range theirs.Ports {
		if !found && oneUnnamed && p.Protocol == sp.Protocol && (single || p.Port == sp.Port) {
			name, found = p.Name, true
		}
	}
	for _, p := range s.Ports {
		if found && p.Protocol == sp.Protocol && p.Name == name {
			return p.Port
		}
	}
	return 0
}
