package clustermesh

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

// rule is one change that makes a sample of its kind invalid, and what the
// error must say.
type rule struct {
	key    string
	change func(Object)
	want   string
}

// on makes a rule's change of a function on the concrete type.
func on[T Object](f func(T)) func(Object) { return func(o Object) { f(o.(T)) } }

const (
	clusterKey = "tombolo/v1/export/cluster"
	nodeKey    = "tombolo/v1/export/nodes/n1.example"
	serviceKey = "tombolo/v1/export/services/shop/cart"
	importKey  = "tombolo/v1/private/imports/shop/cart"
	exportKey  = "tombolo/v1/mirror/east/exports/shop/cart"
	sliceKey   = "tombolo/v1/mirror/east/slices/shop/cart/cart-x7.1"
	idKey      = "tombolo/v1/export/identities/65537"
	epKey      = "tombolo/v1/export/endpoints/fd01::5"
	markerKey  = "tombolo/v1/private/synced/bgp/peers"
	stateKey   = "tombolo/v1/mirror/east/state"
	processKey = "tombolo/v1/status/agent/n1"
	askedKey   = "tombolo/v1/status/check/asked/x1"
	answerKey  = "tombolo/v1/status/check/answers/n1"
	drainKey   = "tombolo/v1/mirror/east/drains/service/shop/cart"
	ringKey    = "tombolo/v1/private/gossip"
	peerKey    = "tombolo/v1/private/peers/west"
	routerKey  = "tombolo/v1/private/bgp/peers/tor"
	advertKey  = "tombolo/v1/private/bgp/advertisements/all"
	poolKey    = "tombolo/v1/private/pools/public"
	addressKey = "tombolo/v1/mirror/east/addresses/198.51.100.7"
)

func repeat[T any](n int, f func(i int) T) []T {
	out := make([]T, n)
	for i := range out {
		out[i] = f(i)
	}
	return out
}

func rules() []rule {
	var all []rule
	add := func(key string, want string, change func(Object)) { all = append(all, rule{key, change, want}) }
	add(drainKey, "what ", on(func(d *Drain) { d.What = "pod" }))
	add(drainKey, "name ", on(func(d *Drain) { d.Name = "shop" }))
	add(drainKey, "name ", on(func(d *Drain) { d.What, d.Name = DrainCluster, "west" })) // not the mirrored one
	add(drainKey, "name ", on(func(d *Drain) { d.Name = "shop/other" }))
	add(drainKey, "moved ", on(func(d *Drain) { d.Moved, d.Returning = 0, d.Since }))
	add(drainKey, "moved ", on(func(d *Drain) { d.Moved = 1001 }))
	add(drainKey, "since ", on(func(d *Drain) { d.Since = time.Time{} }))
	add(drainKey, "over ", on(func(d *Drain) { d.Over = 25 * time.Hour }))
	add(drainKey, "over ", on(func(d *Drain) { d.Over = -1 }))
	add(drainKey, "ended ", on(func(d *Drain) { d.Deadline = time.Time{} }))
	add(drainKey, "reason ", on(func(d *Drain) { d.Reason = "a\nb" }))
	add(ringKey, "use ", on(func(k *Keyring) { k.Use = 2 }))
	add(ringKey, "keys ", on(func(k *Keyring) { k.Keys, k.Use = nil, 0 }))
	add(ringKey, "keys ", on(func(k *Keyring) {
		k.Keys = repeat(MaxGossipKeys+1, func(i int) GossipKey { return GossipKey{GossipSecret{byte(i + 1)}, k.Keys[0].Since} })
	}))
	add(ringKey, "keys[0].secret ", on(func(k *Keyring) { k.Keys[0].Secret = GossipSecret{} }))
	add(ringKey, "keys[1].secret ", on(func(k *Keyring) { k.Keys[1].Secret = k.Keys[0].Secret }))
	add(ringKey, "keys[1].since ", on(func(k *Keyring) { k.Keys[1].Since = time.Time{} }))
	add(processKey, "gossip keys ", on(func(p *ProcessStatus) { p.GossipKeys[0] = "" }))
	add(processKey, "gossip keys ", on(func(p *ProcessStatus) { p.GossipKeys = repeat(9, func(int) string { return "a" }) }))
	add(processKey, "drains[0].what ", on(func(p *ProcessStatus) { p.Drains[0].What = "pod" }))
	add(processKey, "drains[0].name ", on(func(p *ProcessStatus) { p.Drains[0].Name = "a b" }))
	add(processKey, "drains[1].name ", on(func(p *ProcessStatus) { p.Drains[1] = p.Drains[0] }))
	for _, bad := range []string{"", "East", "-a", "a-", "a.b", "a_b", strings.Repeat("a", 64), "a/b", "é"} {
		add(clusterKey, "name ", on(func(c *Cluster) { c.Name = bad }))
		add(serviceKey, "namespace ", on(func(s *Service) { s.Name.Namespace = bad }))
		add(sliceKey, "service.name ", on(func(s *EndpointSlice) { s.Service.Name = bad }))
		add(peerKey, "name ", on(func(p *Peer) { p.Name = bad }))
		add(processKey, "role ", on(func(p *ProcessStatus) { p.Role = bad }))
		add(processKey, "drains[1].cluster ", on(func(p *ProcessStatus) { p.Drains[1].Cluster = bad }))
		add(askedKey, "id ", on(func(r *CheckRequest) { r.ID = bad }))
		add(answerKey, "requests ", on(func(a *CheckAnswer) { a.Requests[1] = bad }))
		add(answerKey, "paths[0].cluster ", on(func(a *CheckAnswer) { a.Paths[0].Cluster = bad }))
		add(answerKey, "findings[0].code ", on(func(a *CheckAnswer) { a.Findings[0].Code = bad }))
		if bad != "" {
			add(answerKey, "findings[0].cluster ", on(func(a *CheckAnswer) { a.Findings[0].Cluster = bad }))
			add(serviceKey, "ports[1].name ", on(func(s *Service) { s.Ports[1].Name = bad }))
		}
	}
	for _, bad := range []string{"", "a..b", ".a", "A.b", strings.Repeat("a.", 127) + "a"} {
		add(nodeKey, "name ", on(func(n *Node) { n.Name = bad }))
		add(sliceKey, "name ", on(func(s *EndpointSlice) { s.Name = bad }))
		add(routerKey, "name ", on(func(p *BGPPeer) { p.Name = bad }))
		add(advertKey, "name ", on(func(a *BGPAdvertisement) { a.Name = bad }))
		add(advertKey, "peers ", on(func(a *BGPAdvertisement) { a.Peers = []string{bad} }))
		add(processKey, "node ", on(func(p *ProcessStatus) { p.Node = bad }))
		add(answerKey, "node ", on(func(a *CheckAnswer) { a.Node = bad }))
		if bad != "" {
			add(answerKey, "findings[0].node ", on(func(a *CheckAnswer) { a.Findings[0].Node = bad }))
			add(sliceKey, "endpoints[1].node ", on(func(s *EndpointSlice) { s.Endpoints[1].Node = bad }))
			add(epKey, "node ", on(func(e *EndpointIdentity) { e.Node = bad }))
		}
	}
	for _, bad := range []netip.Addr{
		{}, netip.MustParseAddr("0.0.0.0"), netip.MustParseAddr("::"), netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1"),
		netip.MustParseAddr("224.0.0.1"), netip.MustParseAddr("ff02::1"), netip.MustParseAddr("169.254.169.254"),
		netip.MustParseAddr("fe80::1"), netip.MustParseAddr("fd00::1%eth0"), netip.MustParseAddr("::ffff:10.0.0.1"),
		netip.MustParseAddr("255.255.255.255"),
	} {
		add(nodeKey, "addresses ", on(func(n *Node) { n.Addresses[0] = bad }))
		add(serviceKey, "cluster IPs ", on(func(s *Service) { s.ClusterIPs[1] = bad }))
		add(serviceKey, "load balancer IPs ", on(func(s *Service) { s.LoadBalancerIPs[0] = bad }))
		add(serviceKey, "external IPs ", on(func(s *Service) { s.ExternalIPs[1] = bad }))
		add(sliceKey, "endpoints[0].address ", on(func(s *EndpointSlice) { s.Endpoints[0].Address = bad }))
		add(epKey, "address ", on(func(e *EndpointIdentity) { e.Address = bad }))
		add(nodeKey, "gossip ", on(func(n *Node) { n.Gossip = netip.AddrPortFrom(bad, 1) }))
	}
	for _, bad := range []netip.Prefix{
		{}, netip.MustParsePrefix("10.1.0.1/16"), netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0"),
		netip.MustParsePrefix("127.1.0.0/16"), netip.MustParsePrefix("169.254.0.0/24"), netip.MustParsePrefix("225.0.0.0/8"),
		netip.MustParsePrefix("fe80::/64"), netip.MustParsePrefix("::ffff:10.0.0.0/104"),
		netip.PrefixFrom(netip.MustParseAddr("10.0.0.0"), 33),
	} {
		add(clusterKey, "pod CIDRs ", on(func(c *Cluster) { c.PodCIDRs[0] = bad }))
		add(clusterKey, "node CIDRs ", on(func(c *Cluster) { c.NodeCIDRs[0] = bad }))
		add(clusterKey, "service CIDRs ", on(func(c *Cluster) { c.ServiceCIDRs[0] = bad }))
		add(nodeKey, "pod CIDRs ", on(func(n *Node) { n.PodCIDRs[1] = bad }))
		if p := bad; !p.IsValid() || p.Masked() != p || p.Addr().Is4In6() { // clients may be anywhere
			add(serviceKey, "source ranges ", on(func(s *Service) { s.SourceRanges[1] = bad }))
		}
	}
	for _, bad := range []string{"a b", "é", strings.Repeat("a", 254), "a\x00"} {
		add(nodeKey, "boot id ", on(func(n *Node) { n.BootID = bad }))
		add(sliceKey, "endpoints[0].pod UID ", on(func(s *EndpointSlice) { s.Endpoints[0].PodUID = bad }))
		add(epKey, "pod UID ", on(func(e *EndpointIdentity) { e.PodUID = bad }))
		add(markerKey, "epoch ", on(func(s *Synced) { s.Epoch = bad }))
		add(markerKey, "source ", on(func(s *Synced) { s.Source = bad }))
		add(stateKey, "epoch ", on(func(m *MirrorState) { m.Epoch = bad }))
	}
	for _, bad := range []string{"a\nb", strings.Repeat("a", 1025), "\xff"} {
		add(stateKey, "reason ", on(func(m *MirrorState) { m.Reason = bad }))
		add(processKey, "reasons ", on(func(p *ProcessStatus) { p.Reasons[0] = bad }))
		add(processKey, "version ", on(func(p *ProcessStatus) { p.Version = bad }))
		add(answerKey, "version ", on(func(a *CheckAnswer) { a.Version = bad }))
		add(answerKey, "kernel ", on(func(a *CheckAnswer) { a.Kernel = bad }))
		add(answerKey, "findings[0].problem ", on(func(a *CheckAnswer) { a.Findings[0].Problem = bad }))
		add(answerKey, "findings[0].mend ", on(func(a *CheckAnswer) { a.Findings[0].Mend = bad }))
	}
	for _, bad := range []string{"-a", "a ", strings.Repeat("a", 64), "a/b"} {
		add(nodeKey, "zone ", on(func(n *Node) { n.Zone = bad }))
		add(nodeKey, "labels ", on(func(n *Node) { n.Labels["a"] = bad }))
		add(sliceKey, "endpoints[1].zone ", on(func(s *EndpointSlice) { s.Endpoints[1].Zone = bad }))
	}
	for _, bad := range []string{"", "a/", "/a", "a/b/c", "A/b", "-a", "a b", strings.Repeat("a", 64)} {
		add(serviceKey, "labels ", on(func(s *Service) { s.Labels[bad] = "" }))
		add(idKey, "labels ", on(func(i *Identity) { i.Labels["namespace:"+bad] = "" }))
		add(advertKey, "service selector.expressions[0].key ", on(func(a *BGPAdvertisement) { a.ServiceSelector.MatchExpressions[0].Key = bad }))
		if bad != "" {
			add(serviceKey, "load balancer class ", on(func(s *Service) { s.LoadBalancerClass = bad }))
		}
	}
	return append(all, singleRules()...)
}

func singleRules() []rule {
	many := func(n int) map[string]string {
		m := map[string]string{}
		for i := range n {
			m[fmt.Sprint("k", i)] = ""
		}
		return m
	}
	cidrs := func(n int) []netip.Prefix {
		return repeat(n, func(i int) netip.Prefix {
			return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 0}), 24)
		})
	}
	ips := func(n int) []netip.Addr {
		return repeat(n, func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}) })
	}
	return []rule{
		{clusterKey, on(func(c *Cluster) { c.ID = 0 }), "id (0) must be 1 to 511"},
		{clusterKey, on(func(c *Cluster) { c.ID = 512 }), "id (512) must be 1 to 511"},
		{clusterKey, on(func(c *Cluster) { c.PodCIDRs = prefixes("10.0.0.0/8", "10.1.0.0/16") }), "must not overlap with 10.0.0.0/8"},
		{clusterKey, on(func(c *Cluster) { c.PodCIDRs = cidrs(257) }), "pod CIDRs (257) must be at most 256"},
		{clusterKey, on(func(c *Cluster) { c.Capabilities = []string{"b", "a"} }), "must be sorted"},
		{clusterKey, on(func(c *Cluster) { c.Capabilities = []string{"a", "a"} }), "must be sorted"},
		{clusterKey, on(func(c *Cluster) { c.Capabilities = []string{"A"} }), "capabilities "},
		{clusterKey, on(func(c *Cluster) {
			c.Capabilities = repeat(257, func(i int) string { return fmt.Sprintf("c%03d", i) })
		}), "capabilities (257)"},
		{clusterKey, on(func(c *Cluster) { c.Peers = []string{"west", "north"} }), "peers (\"north\") must be sorted"},
		{clusterKey, on(func(c *Cluster) { c.Peers = []string{""} }), "peers "},
		{clusterKey, on(func(c *Cluster) { c.Peers = repeat(512, func(i int) string { return fmt.Sprintf("c%03d", i) }) }), "peers (512)"},

		{nodeKey, on(func(n *Node) { n.Addresses = addrs("10.0.0.1", "10.0.0.1") }), "must not occur twice"},
		{nodeKey, on(func(n *Node) { n.Addresses = ips(65) }), "addresses (65)"},
		{nodeKey, on(func(n *Node) { n.PodCIDRs = cidrs(65) }), "pod CIDRs (65)"},
		{nodeKey, on(func(n *Node) { n.Labels = many(1001) }), "labels (1001)"},
		{nodeKey, on(func(n *Node) { n.Gossip = netip.AddrPortFrom(n.Addresses[0], 0) }), "gossip port (0) must be 1 to 65535"},

		{serviceKey, on(func(s *Service) { s.Type = ExternalName + 1 }), "type (4) must be 0 to 3"},
		{serviceKey, on(func(s *Service) { s.ExternalPolicy = 2 }), "external policy (2)"},
		{serviceKey, on(func(s *Service) { s.InternalPolicy = 2 }), "internal policy (2)"},
		{serviceKey, on(func(s *Service) { s.Affinity = 3 }), "affinity (3)"},
		{serviceKey, on(func(s *Service) { s.Ports[1].Port = 0 }), "ports[1].port (0) must be 1 to 65535"},
		{serviceKey, on(func(s *Service) { s.Ports[1].Protocol = 1 }), "ports[1].protocol (1)"},
		{serviceKey, on(func(s *Service) { s.Ports[1].Name = "" }), "ports[1].name"},
		{serviceKey, on(func(s *Service) { s.Ports[1].Name = "http" }), "ports[1].name (\"http\") must not occur twice"},
		{serviceKey, on(func(s *Service) { s.Ports[1].Protocol = TCP }), "ports[1].port (80) must not occur twice"},
		{serviceKey, on(func(s *Service) { s.Ports[1] = ServicePort{Name: "dns", Protocol: TCP, Port: 81, NodePort: 30080} }), "ports[1].node port (30080) must not occur twice"},
		{serviceKey, on(func(s *Service) {
			s.Ports = repeat(1001, func(i int) ServicePort {
				return ServicePort{Name: fmt.Sprint("p", i), Protocol: TCP, Port: uint16(i + 1)}
			})
		}), "ports (1001)"},
		{serviceKey, on(func(s *Service) { s.ClusterIPs = addrs("10.0.0.1", "10.0.0.2") }), "must be of another family"},
		{serviceKey, on(func(s *Service) { s.ClusterIPs = addrs("10.0.0.1", "10.0.0.1") }), "must not occur twice"},
		{serviceKey, on(func(s *Service) { s.ClusterIPs = addrs("10.0.0.1", "fd00::1", "fd00::2") }), "cluster IPs (3)"},
		{serviceKey, on(func(s *Service) { s.LoadBalancerIPs = ips(65) }), "load balancer IPs (65)"},
		{serviceKey, on(func(s *Service) { s.ExternalIPs = ips(65) }), "external IPs (65)"},
		{serviceKey, on(func(s *Service) { s.SourceRanges = prefixes("10.0.0.0/8", "10.0.0.0/9", "10.0.0.0/8") }), "must not occur twice"},
		{serviceKey, on(func(s *Service) {
			s.SourceRanges = each(ips(MaxSourceRanges+1), func(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) })
		}), "source ranges (4097)"},
		{serviceKey, on(func(s *Service) { s.Distribution = PreferSameNode + 1 }), "distribution"},
		{serviceKey, on(func(s *Service) { s.Overprovisioning = MinOverprovisioning - 1 }), "overprovisioning"},
		{serviceKey, on(func(s *Service) { s.Overprovisioning = MaxOverprovisioning + 1 }), "overprovisioning"},
		{serviceKey, on(func(s *Service) { s.Outliers = OutlierDetection{0, time.Second, time.Second, 1} }), "outliers.consecutive failures (0)"},
		{serviceKey, on(func(s *Service) { s.Outliers = OutlierDetection{1001, time.Second, time.Second, 1} }), "outliers.consecutive failures (1001)"},
		{serviceKey, on(func(s *Service) { s.Outliers = OutlierDetection{1, time.Second / 2, time.Second, 1} }), "outliers.base ejection time"},
		{serviceKey, on(func(s *Service) { s.Outliers = OutlierDetection{1, time.Minute, time.Second, 1} }), "outliers.max ejection time"},
		{serviceKey, on(func(s *Service) { s.Outliers = OutlierDetection{1, time.Second, time.Second, 51} }), "outliers.max ejection percent (51)"},
		{serviceKey, on(func(s *Service) { s.SessionAffinity = time.Millisecond }), "session affinity"},
		{serviceKey, on(func(s *Service) { s.SessionAffinity = -time.Second }), "session affinity"},
		{serviceKey, on(func(s *Service) { s.SessionAffinity = 24*time.Hour + time.Second }), "session affinity"},
		{serviceKey, on(func(s *Service) { s.TableSize = 250 }), "table size (250)"},
		{serviceKey, on(func(s *Service) { s.TableSize = 241 }), "table size (241)"},
		{serviceKey, on(func(s *Service) { s.TableSize = 1023 }), "table size (1023)"},
		{serviceKey, on(func(s *Service) { s.TableSize = 131101 }), "table size (131101)"},
		{serviceKey, on(func(s *Service) { s.Created = at(1, 1) }), "created"},
		{serviceKey, on(func(s *Service) { s.Name.Name = "other" }), `name ("shop/other") must be that of the key, "shop/cart"`},
		{serviceKey, on(func(s *Service) { s.Shared = false }), "shared (false)"},
		{serviceKey, on(func(s *Service) { s.Global = false }), "to lie in export/"},

		{serviceKey, on(func(s *Service) { s.Headless = true }), "cluster IPs (\"10.96.0.10\") must be none"},
		{serviceKey, on(func(s *Service) { s.Ports[0].AppProtocol = "h2 c" }), "ports[0].app protocol"},

		{exportKey, on(func(e *ServiceExport) { e.Service.Name.Name = "other" }), `name ("shop/other") must be that of the key`},
		{exportKey, on(func(e *ServiceExport) { e.Service.Ports[0].Port = 0 }), "service.ports[0].port (0)"},
		{exportKey, on(func(e *ServiceExport) { e.Service.Type = ExternalName }), "service.type"},
		{exportKey, on(func(e *ServiceExport) { e.Service.ClusterIPs = addrs("10.96.0.10") }), "service.cluster IPs"},
		{exportKey, on(func(e *ServiceExport) { e.Service.Headless = true }), "families (\"IPv4 and IPv6\") must be none"},
		{exportKey, on(func(e *ServiceExport) { e.Families = 4 }), "families (4)"},
		{exportKey, on(func(e *ServiceExport) { e.Created = at(1, 1) }), "created"},
		{exportKey, on(func(e *ServiceExport) { e.Labels = label("-", "x") }), "labels"},
		{exportKey, on(func(e *ServiceExport) { e.Annotations = label("a b", "x") }), "annotations (\"a b\")"},
		{exportKey, on(func(e *ServiceExport) { e.Annotations = label("a", "\xff") }), "annotations (\"a\") must have values of UTF-8"},
		{exportKey, on(func(e *ServiceExport) { e.Annotations = label("a", strings.Repeat("x", 64<<10)) }), "annotations (65537)"},

		{importKey, on(func(i *ServiceImport) { i.Service.Name.Name = "other" }), `name ("shop/other") must be that of the key`},
		{importKey, on(func(i *ServiceImport) { i.Service.Ports[0].Port = 0 }), "service.ports[0].port (0)"},
		{importKey, on(func(i *ServiceImport) { i.Service.Type = LoadBalancer }), "service.type"},
		{importKey, on(func(i *ServiceImport) { i.Service.ClusterIPs = nil }), "service.cluster IPs"},
		{importKey, on(func(i *ServiceImport) { i.Service.Shared = false }), "service.global"},
		{importKey, on(func(i *ServiceImport) { i.Clusters = nil }), "clusters"},
		{importKey, on(func(i *ServiceImport) { i.Clusters = []string{"b", "a"} }), "clusters (\"a\") must be sorted"},

		{sliceKey, on(func(s *EndpointSlice) { s.Ports[0].Port = 0 }), "ports[0].port (0)"},
		{sliceKey, on(func(s *EndpointSlice) { s.Ports[0].Protocol = 0 }), "ports[0].protocol (0)"},
		{sliceKey, on(func(s *EndpointSlice) { s.Ports[0].Name = "" }), "ports[0].name"},
		{sliceKey, on(func(s *EndpointSlice) { s.Ports[1].Name = "http" }), "ports[1].name"},
		{sliceKey, on(func(s *EndpointSlice) {
			s.Ports = repeat(1001, func(i int) EndpointPort { return EndpointPort{fmt.Sprint("p", i), TCP, 1} })
		}), "ports (1001)"},
		{sliceKey, on(func(s *EndpointSlice) { s.Endpoints[1].PodUID = "b7" }), "endpoints[1].address (\"10.1.1.5\") must not occur twice"},
		{sliceKey, on(func(s *EndpointSlice) { s.Endpoints[1].Address = netip.MustParseAddr("fd00::1") }), "must be of the family"},
		{sliceKey, on(func(s *EndpointSlice) { s.Endpoints[1].Hostname = "web.0" }), "endpoints[1].hostname"},
		{sliceKey, on(func(s *EndpointSlice) { s.Endpoints[1].Ready = true }), "endpoints[1].ready (true)"},
		{sliceKey, on(func(s *EndpointSlice) {
			s.Endpoints = each(ips(256)[1:MaxSliceEndpoints+2], func(a netip.Addr) Endpoint { return Endpoint{Address: a} })
		}), "endpoints (101) must be at most 100"},

		{idKey, on(func(i *Identity) { i.ID = 0 }), "id (0)"},
		{idKey, on(func(i *Identity) { i.ID = NewIdentityID(512, 1) }), "id (33554433)"},
		{idKey, on(func(i *Identity) { i.ID = NewIdentityID(1, 0) }), "id (65536)"},
		{idKey, on(func(i *Identity) { i.ID++ }), "must be that of the key"},
		{idKey, on(func(i *Identity) { i.Labels = nil }), "labels "},
		{idKey, on(func(i *Identity) { i.Labels["a"] = "b c" }), `labels ("a=b c") must be a label's value`},
		{epKey, on(func(e *EndpointIdentity) { e.Identity = 1 }), "identity (1)"},
		{epKey, on(func(e *EndpointIdentity) { e.Pod = "cart" }), `pod ("cart") must be namespace/name`},
		{epKey, on(func(e *EndpointIdentity) { e.Pod = "a/b/c" }), `pod ("a/b/c") must be namespace/name`},
		{epKey, on(func(e *EndpointIdentity) { e.Address = netip.MustParseAddr("fd01::6") }), "must be that of the key"},

		{markerKey, on(func(s *Synced) { s.Epoch = "" }), `epoch ("") must not be empty`},
		{markerKey, on(func(s *Synced) { s.Source = "" }), `source ("") must not be empty`},
		{markerKey, on(func(s *Synced) { s.Count = -1 }), "count (-1)"},
		{stateKey, on(func(m *MirrorState) { m.Phase = "Fine" }), `phase ("Fine")`},
		{stateKey, on(func(m *MirrorState) { m.Revision = -1 }), "revision (-1)"},
		{stateKey, on(func(m *MirrorState) { m.Cluster.ID = 0 }), "cluster.id (0)"},
		{stateKey, on(func(m *MirrorState) { m.Cluster.Name = "" }), "cluster.name"},
		{stateKey, on(func(m *MirrorState) { m.Cluster.Name = "west" }), "cluster.name"},
		{answerKey, on(func(a *CheckAnswer) { a.Node = "n2" }), "must be that of the key"},
		{answerKey, on(func(a *CheckAnswer) { a.Requests = make([]string, MaxCheckRequests+1) }), "requests (101)"},
		{answerKey, on(func(a *CheckAnswer) { a.Paths = make([]CheckPath, MaxCheckPaths+1) }), "paths (1025)"},
		{answerKey, on(func(a *CheckAnswer) { a.Paths[0].Family = "" }), "paths[0].family"},
		{answerKey, on(func(a *CheckAnswer) { a.Paths[0].Kept = -1 }), "paths[0].kept (-1)"},
		{answerKey, on(func(a *CheckAnswer) { a.Findings = make([]Finding, MaxFindings+1) }), "findings (201)"},
		{answerKey, on(func(a *CheckAnswer) { a.Findings[0].Level = "" }), "findings[0].level"},
		{answerKey, on(func(a *CheckAnswer) { a.Findings[0].Family = "ipv4" }), "findings[0].family"},
		{answerKey, on(func(a *CheckAnswer) { a.More = -1 }), "more (-1)"},
		{processKey, on(func(p *ProcessStatus) { p.Health = "" }), "health"},
		{processKey, on(func(p *ProcessStatus) { p.Health = HealthOK }), "must be none when the health is OK"},
		{processKey, on(func(p *ProcessStatus) { p.Reasons = make([]string, 101) }), "reasons (101)"},
		{processKey, on(func(p *ProcessStatus) { p.Role = "speaker" }), "must be that of the key"},
		{processKey, on(func(p *ProcessStatus) { p.Epoch = "two words" }), "epoch"},
		{processKey, on(func(p *ProcessStatus) { p.Identities[1].ID = p.Identities[0].ID }), "must be in the order of their numbers"},
		{processKey, on(func(p *ProcessStatus) { p.Identities[0].Labels = nil }), "labels"},
		{processKey, on(func(p *ProcessStatus) { p.Identities = make([]Identity, MaxReportedIdentities+1) }), "identities (1025)"},
		{processKey, on(func(p *ProcessStatus) { p.Drains = make([]DrainCount, MaxReportedDrains+1) }), "drains (257)"},
		{processKey, on(func(p *ProcessStatus) { p.Sessions = make([]BGPSession, MaxReportedSessions+1) }), "sessions (257)"},
		{processKey, on(func(p *ProcessStatus) { p.Sessions = []BGPSession{{Peer: "Tor", State: "Idle"}} }), `sessions[0].peer ("Tor")`},
		{processKey, on(func(p *ProcessStatus) { p.Sessions = []BGPSession{{Peer: "tor"}} }), `sessions[0].state ("")`},
		{processKey, on(func(p *ProcessStatus) { p.Sessions = []BGPSession{{"tor", "Idle", false, "a\nb"}} }), "sessions[0].reason"},
		{processKey, on(func(p *ProcessStatus) {
			p.Sessions = []BGPSession{{Peer: "tor", State: "Idle"}, {Peer: "tor", State: "Idle"}}
		}), `sessions[1].peer ("tor")`},

		{peerKey, on(func(p *Peer) { p.Endpoints = nil }), "endpoints ([]) must not be empty"},
		{peerKey, on(func(p *Peer) { p.Endpoints[1] = p.Endpoints[0] }), "must not occur twice"},
		{peerKey, on(func(p *Peer) { p.Endpoints[0] = "http://192.0.2.1:2379" }), "must be https://HOST:PORT"},
		{peerKey, on(func(p *Peer) { p.Endpoints[0] = "https://192.0.2.1" }), "must be https://HOST:PORT"},
		{peerKey, on(func(p *Peer) { p.Endpoints[0] = "https://:2379" }), "must be https://HOST:PORT"},
		{peerKey, on(func(p *Peer) { p.Endpoints[0] = "https://192.0.2.1:2379/x" }), "must be https://HOST:PORT"},
		{peerKey, on(func(p *Peer) { p.Endpoints[0] = "https://u:p@192.0.2.1:2379" }), "must be https://HOST:PORT"},
		{peerKey, on(func(p *Peer) { p.Endpoints[0] = "https://[::1" }), "must be https://HOST:PORT"},
		{peerKey, on(func(p *Peer) {
			p.Endpoints = repeat(17, func(i int) string { return fmt.Sprintf("https://h%d:1", i) })
		}), "endpoints (17)"},
		{peerKey, on(func(p *Peer) { p.TLS.CA = "ca.pem" }), "TLS CA file"},
		{peerKey, on(func(p *Peer) { p.TLS.Cert = "" }), "TLS certificate file"},
		{peerKey, on(func(p *Peer) { p.TLS.Key = "/a\x00" }), "TLS key file"},
	}
}

func TestValidation(t *testing.T) {
	all := slices.Concat(rules(), bgpRules(), addressRules())
	for i, r := range all {
		o := samples()[r.key]
		r.change(o)
		k, err := ParseKey(r.key)
		if err != nil {
			t.Fatal(err)
		}
		wantInvalid(t, fmt.Sprintf("rule %d (%s)", i, r.want), Validate(k, o), r.key, r.want)
	}
}

func wantInvalid(t *testing.T, name string, err error, key, want string) {
	t.Helper()
	var invalid *InvalidError
	if !errors.As(err, &invalid) {
		t.Errorf("%s: got %v, want an InvalidError", name, err)
		return
	}
	if s := err.Error(); !strings.HasPrefix(s, key+": ") || !strings.Contains(s, want) {
		t.Errorf("%s: got %q, want it to begin with the key and to say %q", name, s, want)
	}
}

func TestValidSamplesAtTheEdges(t *testing.T) {
	for name, o := range map[string]Object{
		"headless without ports": &Service{Name: ServiceName{"a", "b"}},
		"one port without name":  &Service{Name: ServiceName{"a", "b"}, Ports: []ServicePort{{Protocol: TCP, Port: 1}}},
		"smallest table":         &Service{Name: ServiceName{"a", "b"}, TableSize: MinTableSize},
		"largest table":          &Service{Name: ServiceName{"a", "b"}, TableSize: MaxTableSize},
		"long account":           &Identity{ID: NewIdentityID(1, 1), Labels: label("tombolo.io/serviceaccount", strings.Repeat("a.", 100)+"a")},
		"empty slice":            &EndpointSlice{Service: ServiceName{"a", "b"}, Name: "b-1"},
		"bare node":              &Node{Name: "n"},
		"mirror not yet reached": &MirrorState{Phase: MirrorConnecting},
		"loopback router":        &BGPPeer{Name: "r", Address: netip.MustParseAddr("127.0.0.1"), ASN: 1, LocalASN: 2},
		"selects all":            &BGPAdvertisement{Name: "a"},
		"healthy":                &ProcessStatus{Role: "agent", Node: "n", Health: HealthOK},
	} {
		if _, err := Encode(o); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestInvalidErrorIsBounded(t *testing.T) {
	s := samples()[sliceKey].(*EndpointSlice)
	s.Endpoints = repeat(MaxSliceEndpoints, func(int) Endpoint { return Endpoint{Node: strings.Repeat("A", 100_000)} })
	_, err := Encode(s)
	if err == nil || len(err.Error()) > 4096 || !strings.HasSuffix(err.Error(), " more") {
		t.Errorf("got %d bytes: %.200v", len(fmt.Sprint(err)), err)
	}
}
