package loadbalancer

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"time"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/view"
	"tombolo.io/tombolo/etcd"
)

// The clusters of the test's world; the first is the one whose agent is tested.
var clusterNames = []string{"east", "west", "north"}

const (
	worldServices  = 8
	worldVIPs      = 6 // fewer than services: they change hands, and are fought for
	worldEndpoints = 12
	worldNodes     = 3
)

// membership is how a cluster stands to the first one.
type membership int

const (
	joined  membership = iota
	leaving            // it is no peer any more, and its mirror is still there
	left
)

// world is the mesh as it truly is: one service table a cluster.
type world struct {
	r        *rand.Rand
	services [3][worldServices]worldService
	// peers are how the clusters stand to the first one, which is joined.
	peers [3]membership
	// moved: the node whose agent is tested has its other addresses.
	moved    bool
	revision int64
	// made is what etcd held last of each service, and of which.
	made [3][worldServices]record
}

// record is what etcd holds of a service; it is made anew when the service changes.
type record struct {
	of      worldService
	objects map[string]clustermesh.Object
}

// worldService is a service as one cluster has it. Its endpoints' addresses are
// those of no other service.
type worldService struct {
	defined, global, shared bool
	// created is a second: of the services that want an address the older has it.
	created  int64
	affinity clustermesh.Affinity
	priority uint8
	weight   uint16
	vips     []int // of the own cluster: which addresses it has
	ports    int
	table    uint32
	timeout  time.Duration
	// Of the own cluster: from where clients may come, and whether the addresses are
	// external IPs, to which all may.
	ranges   []netip.Prefix
	external bool
	// nodePorts: its ports have node ports, which it shares with every other service.
	nodePorts bool
	ready     [worldEndpoints]bool
}

// worldNode returns the address in a family of the node whose agent is tested.
func worldNode(moved, v6 bool) netip.Addr {
	last := byte(1)
	if moved {
		last = 2
	}
	if v6 {
		return netip.AddrFrom16([16]byte{0xfd, 0x20, 15: last})
	}
	return netip.AddrFrom4([4]byte{192, 168, 7, last})
}

// worldNodePort is the node port of a port of a service.
func worldNodePort(service, port int) uint16 { return uint16(30000 + service%2*10 + port) }

// portOf returns which port of its services a frontend is of, and whether it is a node
// port.
func portOf(f Frontend) (index int, node bool) {
	if n := int(f.Address.Port()); n >= 30000 {
		return n % 10, true
	}
	return int(f.Address.Port()) - 80, false
}

// worldPod is one of the addresses of east's pods that are in range when all are.
var worldPod = netip.MustParseAddr("10.0.200.1")

// worldRanges are from where clients may come to a service, and worldClients are some
// of them, by family.
var (
	worldRanges = []netip.Prefix{
		netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("198.51.100.7/32"), netip.MustParsePrefix("0.0.0.0/0"),
		netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("10.0.7.0/24"),
		netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("2001:db8::7/128"), netip.MustParsePrefix("::/0"),
	}
	worldClients = map[bool][]netip.Addr{
		false: {netip.MustParseAddr("198.51.100.7"), netip.MustParseAddr("203.0.113.9"), worldPod},
		true:  {netip.MustParseAddr("2001:db8::7"), netip.MustParseAddr("2001:db9::9")},
	}
)

func vip(i int, v6 bool) netip.Addr {
	if v6 {
		return netip.AddrFrom16([16]byte{0xfd, 15: byte(i + 1)})
	}
	return netip.AddrFrom4([4]byte{172, 16, 0, byte(i + 1)})
}

// endpointAddr is the address of an endpoint; every third of a cluster lies
// among the addresses of its nodes.
func endpointAddr(cluster, service, i int, v6 bool) netip.Addr {
	kind := byte(0)
	if i%3 == 0 {
		kind = 100
	}
	if v6 {
		return netip.AddrFrom16([16]byte{0xfc, kind + byte(cluster), 14: byte(service), 15: byte(i + 1)})
	}
	return netip.AddrFrom4([4]byte{10, kind + byte(cluster), byte(service), byte(i + 1)})
}

// serviceOf returns which service an endpoint's address belongs to.
func serviceOf(a netip.Addr) int {
	if a.Is4() {
		return int(a.As4()[2])
	}
	return int(a.As16()[14])
}

func serviceNameOf(i int) clustermesh.ServiceName {
	return clustermesh.ServiceName{Namespace: "shop", Name: fmt.Sprintf("s%d", i)}
}

// step changes something.
func (w *world) step() {
	c, i := w.r.IntN(3), w.r.IntN(worldServices)
	s := &w.services[c][i]
	switch w.r.IntN(14) {
	case 0:
		s.defined, s.created = !s.defined, int64(w.r.IntN(4))
	case 1:
		s.defined, s.global = true, w.r.IntN(5) > 0
	case 2:
		s.shared = w.r.IntN(4) > 0
	case 3:
		s.affinity = clustermesh.Affinity(w.r.IntN(3))
		s.priority = uint8(w.r.IntN(2))
		s.weight = uint16([]int{0, 50, 100, 100, 300}[w.r.IntN(5)])
	case 4:
		s.vips = nil
		for len(s.vips) < 1+w.r.IntN(2) {
			s.vips = append(s.vips, w.r.IntN(worldVIPs))
		}
		s.ports = 1 + w.r.IntN(2)
	case 5:
		s.table = []uint32{0, 251, 509, 1021}[w.r.IntN(4)]
		s.timeout = time.Duration(w.r.IntN(2)) * time.Hour
	case 6:
		for e := range s.ready {
			s.ready[e] = w.r.IntN(3) > 0
		}
	case 7:
		s.ready = [worldEndpoints]bool{}
	case 8:
		s.ranges, s.external = nil, w.r.IntN(4) == 0
		for _, p := range worldRanges {
			if w.r.IntN(5) == 0 {
				s.ranges = append(s.ranges, p)
			}
		}
	case 9:
		s.nodePorts = !s.nodePorts
	case 10:
		w.moved = w.moved != (w.r.IntN(3) == 0)
	case 11:
		if c > 0 {
			w.peers[c] = []membership{joined, joined, joined, leaving, left}[w.r.IntN(5)]
		}
	default:
		e := w.r.IntN(worldEndpoints)
		s.ready[e] = !s.ready[e]
	}
}

// dwindle leaves of the world what has room in the smallest maps.
func (w *world) dwindle() {
	for c := range w.services {
		for i := range w.services[c] {
			s := &w.services[c][i]
			s.defined = c == 0 && i < 3
			s.vips, s.ports, s.table, s.ranges, s.external, s.nodePorts = []int{i}, 1, 251, nil, false, false
			s.ready = [worldEndpoints]bool{0: true, 1: true}
		}
	}
}

// populate makes a world in which most things exist.
func (w *world) populate() {
	w.peers = [3]membership{}
	for c := range w.services {
		for i := range w.services[c] {
			s := &w.services[c][i]
			*s = worldService{
				defined: w.r.IntN(5) > 0, global: true, shared: true, weight: 100,
				ports: 1, vips: []int{i % worldVIPs}, nodePorts: w.r.IntN(2) == 0,
			}
			for e := range s.ready {
				s.ready[e] = w.r.IntN(2) == 0
			}
		}
	}
}

// objects returns what east's etcd holds of the world, by key.
func (w *world) objects() map[string]clustermesh.Object {
	out := map[string]clustermesh.Object{}
	for c, name := range clusterNames {
		self := &clustermesh.Cluster{Name: name, ID: uint16(c + 1),
			PodCIDRs:  []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(c)}), 16), prefix6(byte(c))},
			NodeCIDRs: []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 100 + byte(c)}), 16), prefix6(100 + byte(c))}}
		if c == 0 {
			put(out, clustermesh.Export, "", self)
			put(out, clustermesh.Export, "", &clustermesh.Node{Name: "n0", Addresses: []netip.Addr{worldNode(w.moved, false), worldNode(w.moved, true)}})
		}
		if c > 0 && w.peers[c] == joined {
			put(out, clustermesh.Private, "", &clustermesh.Peer{Name: name, Endpoints: []string{"https://" + name}})
		}
		if w.peers[c] == left {
			continue
		}
		if c > 0 {
			put(out, clustermesh.Mirror, name, self)
		}
		for i := range w.services[c] {
			maps.Copy(out, w.record(c, i))
		}
	}
	return out
}

// record returns what east's etcd holds of a service of a cluster.
func (w *world) record(c, i int) map[string]clustermesh.Object {
	r, s := &w.made[c][i], w.services[c][i]
	if r.objects == nil || !reflect.DeepEqual(r.of, s) {
		s.vips = slices.Clone(s.vips)
		*r = record{s, s.record(c, i)}
	}
	return r.objects
}

func (s *worldService) record(c, i int) map[string]clustermesh.Object {
	out := map[string]clustermesh.Object{}
	area, where := clustermesh.Export, ""
	switch {
	case !s.defined:
		return out
	case c == 0 && !(s.global && s.shared):
		area = clustermesh.Private
	case c > 0 && !(s.global && s.shared):
		return out
	case c > 0:
		area, where = clustermesh.Mirror, clusterNames[c]
	}
	put(out, area, where, s.object(i))
	for _, v6 := range []bool{false, true} {
		put(out, area, where, s.slice(c, i, v6))
	}
	return out
}

// put adds an object by its key.
func put(to map[string]clustermesh.Object, area clustermesh.Area, cluster string, o clustermesh.Object) {
	k := clustermesh.KeyOf(area, o)
	k.Cluster = cluster
	to[k.String()] = o
}

func prefix6(b byte) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom16([16]byte{0xfc, b}), 16)
}

func (s *worldService) object(i int) *clustermesh.Service {
	o := &clustermesh.Service{
		Name: serviceNameOf(i), Type: clustermesh.LoadBalancer,
		Created: time.Unix(s.created, 0),
		// Nobody else wants these.
		ClusterIPs: []netip.Addr{netip.AddrFrom4([4]byte{172, 17, 0, byte(i + 1)}), netip.AddrFrom16([16]byte{0xfd, 0x17, 15: byte(i + 1)})},
		Global:     s.global, Shared: s.shared, Affinity: s.affinity, Priority: s.priority, Weight: s.weight,
		TableSize: s.table, SessionAffinity: s.timeout, SourceRanges: s.ranges,
		// How load spreads over tiers is package global's to know: here each bears
		// its own as long as one endpoint lives.
		Overprovisioning: clustermesh.MaxOverprovisioning,
	}
	for p := range s.ports {
		o.Ports = append(o.Ports, clustermesh.ServicePort{
			Name: fmt.Sprintf("p%d", p), Protocol: []clustermesh.Protocol{clustermesh.TCP, clustermesh.UDP}[p], Port: uint16(80 + p)})
		if s.nodePorts {
			o.Ports[p].NodePort = worldNodePort(i, p)
		}
	}
	for _, v := range s.vips {
		o.LoadBalancerIPs = append(o.LoadBalancerIPs, vip(v, false), vip(v, true))
	}
	if s.external {
		o.LoadBalancerIPs, o.ExternalIPs = nil, o.LoadBalancerIPs
	}
	return o
}

func (s *worldService) slice(c, i int, v6 bool) *clustermesh.EndpointSlice {
	o := &clustermesh.EndpointSlice{Service: serviceNameOf(i), Name: fmt.Sprintf("s%d-%v", i, v6)}
	for p := range 2 {
		o.Ports = append(o.Ports, clustermesh.EndpointPort{
			Name: fmt.Sprintf("p%d", p), Protocol: []clustermesh.Protocol{clustermesh.TCP, clustermesh.UDP}[p], Port: uint16(8080 + p)})
	}
	for e, ready := range s.ready {
		o.Endpoints = append(o.Endpoints, clustermesh.Endpoint{
			Address: endpointAddr(c, i, e, v6), Node: nodeOf(e), Ready: ready, Serving: ready})
	}
	return o
}

func nodeOf(endpoint int) string { return [worldNodes]string{"n0", "n1", "n2"}[endpoint%worldNodes] }

// difference returns the batch that turns one state of the store into another.
func (w *world) difference(from, to map[string]clustermesh.Object) view.Batch {
	w.revision++
	b := view.Batch{Revision: w.revision}
	for k, o := range to {
		if o != from[k] && !reflect.DeepEqual(o, from[k]) {
			b.Events = append(b.Events, etcd.Event[clustermesh.Object]{Op: etcd.Put, Key: k, Value: o, Revision: w.revision})
		}
	}
	for k := range maps.Keys(from) {
		if to[k] == nil {
			b.Events = append(b.Events, etcd.Event[clustermesh.Object]{Op: etcd.Delete, Key: k, Revision: w.revision})
		}
	}
	return b
}

// synced returns the events that vouch for all tables of an area.
func synced(area clustermesh.Area, cluster string) (out []etcd.Event[clustermesh.Object]) {
	for _, k := range clustermesh.Tables(area) {
		marker := clustermesh.Key{Area: area, Cluster: cluster, Kind: clustermesh.KindSynced, Name: string(k)}
		out = append(out, etcd.Event[clustermesh.Object]{Op: etcd.Synced, Key: marker.String()})
	}
	return out
}
