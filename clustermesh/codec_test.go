package clustermesh

import (
	"bytes"
	"net/netip"
	"reflect"
	"testing"
	"time"
)

func addrs(s ...string) []netip.Addr      { return each(s, netip.MustParseAddr) }
func prefixes(s ...string) []netip.Prefix { return each(s, netip.MustParsePrefix) }
func at(sec, nsec int64) time.Time        { return time.Unix(sec, nsec).UTC() }
func label(kv ...string) (m map[string]string) {
	m = map[string]string{}
	for i := 0; i < len(kv); i += 2 {
		m[kv[i]] = kv[i+1]
	}
	return m
}

// samples are one well-formed object of each kind, with every field set.
func samples() map[string]Object {
	east := Cluster{
		Name: "east", ID: 1, PodCIDRs: prefixes("10.1.0.0/16", "fd01::/48"), NodeCIDRs: prefixes("192.168.1.0/24"),
		ServiceCIDRs: prefixes("10.96.0.0/12"), Capabilities: []string{"identities", "slices"}, Peers: []string{"north", "west"},
		Seal: bytes.Repeat([]byte{7}, 32),
	}
	return map[string]Object{
		"tombolo/v1/export/cluster": &east,
		"tombolo/v1/export/nodes/n1.example": &Node{
			Name: "n1.example", Addresses: addrs("192.168.1.1", "fd02::1"), PodCIDRs: prefixes("10.1.1.0/24", "fd01:0:0:1::/64"),
			Zone: "eu-1a", Labels: label("kubernetes.io/hostname", "n1", "empty", ""),
			Gossip: netip.MustParseAddrPort("192.168.1.1:7946"), BootID: "0c2f8b1e-5b1a", Draining: true,
		},
		"tombolo/v1/export/services/shop/cart": &Service{
			Name: ServiceName{"shop", "cart"}, Type: LoadBalancer,
			Ports:      []ServicePort{{"http", TCP, 80, 30080, "kubernetes.io/h2c"}, {"dns", UDP, 80, 30080, ""}, {"sig", SCTP, 9, 0, ""}},
			ClusterIPs: addrs("10.96.0.10", "fd96::10"), LoadBalancerIPs: addrs("198.51.100.7"), LoadBalancerClass: "tombolo.io/bgp", LoadBalancerOthers: true,
			SourceRanges: prefixes("0.0.0.0/0", "198.51.100.0/24", "2001:db8::/32"), ExternalIPs: addrs("192.0.2.80", "2001:db8:2::80"), HealthCheckNodePort: 32100,
			ExternalPolicy: TrafficLocal, InternalPolicy: TrafficLocal, Global: true, Shared: true, Affinity: AffinityRemote,
			Priority: 255, Weight: 65535, SessionAffinity: 3 * time.Hour, PublishNotReady: true, TableSize: 1021,
			Distribution: PreferSameNode, Overprovisioning: 250, Outliers: OutlierDetection{5, 10 * time.Second, time.Minute, 20},
			Labels: label("app", "cart"), Created: at(1700000000, 0),
			Request: AddressRequest{addrs("198.51.100.7", "fd98::7"), AllFamilies, true, "front", []string{"ops", AnyNamespace}},
		},
		"tombolo/v1/export/services/shop/peers": &Service{Name: ServiceName{"shop", "peers"}, Global: true, Shared: true, Headless: true},
		"tombolo/v1/mirror/east/exports/shop/cart": &ServiceExport{
			Service: Service{
				Name: ServiceName{"shop", "cart"}, Ports: []ServicePort{{"http", TCP, 80, 0, "http"}}, InternalPolicy: TrafficLocal,
				Weight: 100, SessionAffinity: time.Minute, Created: at(1700000000, 0),
			},
			Created: at(1700000005, 0), Labels: label("app", "cart"), Annotations: label("example.com/note", "for all\nto read"), Families: AllFamilies,
		},
		"tombolo/v1/private/imports/shop/cart": &ServiceImport{
			Service: Service{
				Name: ServiceName{"shop", "cart"}, ClusterIPs: addrs("10.96.0.99"), Ports: []ServicePort{{"http", TCP, 80, 0, "http"}},
				Global: true, Shared: true, Weight: 100, Created: at(1700000000, 0), TableSize: 251,
			},
			Clusters: []string{"east", "west"},
		},
		"tombolo/v1/mirror/east/slices/shop/cart/cart-x7.1": &EndpointSlice{
			Service: ServiceName{"shop", "cart"}, Name: "cart-x7.1", Ports: []EndpointPort{{"http", TCP, 8080}, {"dns", UDP, 5353}},
			Endpoints: []Endpoint{
				{Address: netip.MustParseAddr("10.1.1.5"), PodUID: "b7", Node: "n1", Zone: "eu-1a", Ready: true, Serving: true, Hostname: "cart-0"},
				{Address: netip.MustParseAddr("10.1.1.5"), PodUID: "a1", Node: "n1", Serving: true, Terminating: true},
			},
		},
		"tombolo/v1/export/identities/65537": &Identity{
			ID: NewIdentityID(1, 1), Labels: label("app", "cart", "namespace:team/owner", "shop"),
		},
		"tombolo/v1/export/endpoints/fd01::5": &EndpointIdentity{
			Address: netip.MustParseAddr("fd01::5"), Identity: NewIdentityID(511, 65535), PodUID: "b7", Node: "n1", Pod: "shop/cart-0",
		},
		"tombolo/v1/private/synced/bgp/peers": &Synced{Source: "s", Epoch: "e", Count: 3},
		"tombolo/v1/mirror/east/state": &MirrorState{
			Phase: MirrorStale, Reason: "dialling: no route", Epoch: "e", Revision: 7, Since: at(1700000000, 5), Cluster: east,
		},
		"tombolo/v1/status/agent/n1": &ProcessStatus{
			Role: "agent", Node: "n1", Version: "v0.1", Started: at(1700000000, 7), Health: HealthDegraded, Reasons: []string{"etcd away"},
			Epoch: "e", Identities: []Identity{{ID: 65537, Labels: label("app", "cart")}, {ID: 65538, Labels: label("app", "web")}},
			GossipKeys: []string{"0a1b2c3d", "4e5f6071"},
			Drains:     []DrainCount{{DrainRef{"east", DrainNode, "n1"}, 0}, {DrainRef{"east", DrainService, "shop/cart"}, 4294967295}},
			Sessions:   []BGPSession{{Peer: "a", State: "Idle", Reason: "no route"}, {Peer: "b", State: "Established", Established: true}},
		},
		"tombolo/v1/status/check/asked/x1": &CheckRequest{ID: "x1"},
		"tombolo/v1/status/check/answers/n1": &CheckAnswer{
			Node: "n1", Requests: []string{"x1", "x2"}, Version: "v0.1", Kernel: "6.1.0-9", More: 3,
			Paths: []CheckPath{{Cluster: "west", Family: "IPv6", Nodes: 9, Checked: 8, Address: 7, Pods: 6, Back: 5, Kept: 4, MTU: 1500,
				RTT: time.Millisecond, Clock: -time.Second}},
			Findings: []Finding{{Level: FindingWrong, Code: "port-closed", Cluster: "west", Node: "w1", Family: "IPv4", Problem: "closed", Mend: "open it"}},
		},
		"tombolo/v1/mirror/east/drains/service/shop/cart": &Drain{
			What: DrainService, Name: "shop/cart", Moved: 750, Since: at(1700000000, 0), Deadline: at(1700000060, 0), Ended: true,
			Returning: at(1700000090, 5), Over: 30 * time.Second, Reason: "cordoned",
		},
		"tombolo/v1/private/pools/public": &Pool{
			Name: "public", Created: at(1700000000, 0), AvoidBuggy: true, AutoAssign: true,
			Ranges:          []AddrRange{{addrs("198.51.100.0")[0], addrs("198.51.100.63")[0]}, {addrs("fd98::")[0], addrs("fd98::ffff")[0]}},
			ServiceSelector: Selector{MatchLabels: label("tier", "web")}, NamespaceSelector: Selector{MatchLabels: label("team", "a")},
		},
		"tombolo/v1/private/pools/everywhere": &Pool{Name: "everywhere", Scope: PoolMesh, Ranges: []AddrRange{Range(prefixes("fd99::/64")[0])}},
		"tombolo/v1/mirror/east/addresses/198.51.100.7": &Address{
			Address: addrs("198.51.100.7")[0], Pool: "public", Released: at(1700000070, 1), Last: ServiceName{"shop", "web"},
			Claims: []AddressClaim{
				{Service: ServiceName{"shop", "cart"}, Since: at(1700000060, 9), Created: at(1700000000, 0), Holds: true, Named: true,
					SharingKey: "front", SharingNamespaces: []string{"ops"}, Exclusive: true, Ports: []ClaimedPort{{TCP, 80}, {UDP, 53}}},
				{Service: ServiceName{"ops", "cart"}, Since: at(1700000061, 0)},
			},
		},
		"tombolo/v1/export/lease":   &Lease{Holder: "n1.example", Reign: 7},
		"tombolo/v1/private/origin": &Origin{UID: "7c1"},
		"tombolo/v1/private/seal":   &Seal{Seed: bytes.Repeat([]byte{9}, 32)},
		"tombolo/v1/private/gossip": &Keyring{
			Keys: []GossipKey{{GossipSecret{1, 2}, at(1700000000, 7)}, {GossipSecret{31: 3}, at(1700000060, 0)}}, Use: 1,
		},
		"tombolo/v1/private/peers/west": &Peer{
			Name: "west", Endpoints: []string{"https://192.0.2.1:2379", "https://[fd00::1]:2379"},
			TLS: TLSFiles{"/etc/ca.pem", "/etc/cert.pem", "/etc/key.pem"},
		},
		"tombolo/v1/private/bgp/peers/tor": &BGPPeer{
			Name: "tor", Address: netip.MustParseAddr("fe80::1"), Port: 179, ASN: 64512, LocalASN: 4200000000, Interface: "eth0",
			HoldTime: 9 * time.Second, Keepalive: 3 * time.Second, ConnectRetry: 1500 * time.Millisecond, RestartTime: 4095 * time.Second,
			PasswordFile: "/etc/md5", Multihop: 255, Families: []Family{IPv6Unicast, IPv4Unicast},
			NodeSelector: Selector{MatchLabels: label("rack", "1")},
		},
		"tombolo/v1/private/bgp/advertisements/all": &BGPAdvertisement{
			Name: "all", PodCIDRs: true, LoadBalancerIPs: true, Peers: []string{"tor"}, LocalPref: 200,
			ServiceSelector: Selector{MatchExpressions: []Requirement{{"app", OpIn, []string{"a", "b"}}, {"x", OpExists, nil}}},
			NodeSelector:    Selector{MatchLabels: label("rack", "1")}, Communities: []string{"65000:1", "65000:1:2", "no-export"},
		},
	}
}

func TestRoundTrip(t *testing.T) {
	kinds := map[Kind]bool{}
	for key, want := range samples() {
		kinds[want.Kind()] = true
		value, err := Encode(want)
		if err != nil {
			t.Errorf("encoding: %v", err)
			continue
		}
		got, err := DecodeAt(key, value)
		if err != nil {
			t.Errorf("decoding: %v", err)
			continue
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n got %+v\nwant %+v", key, got, want)
		}
		again, err := Encode(got)
		if err != nil || !bytes.Equal(again, value) {
			t.Errorf("%s: encoded again %x, %v; want %x", key, again, err, value)
		}
	}
	for k := range readers {
		if !kinds[k] {
			t.Errorf("no sample of kind %s", k)
		}
	}
}

// A sample with a field that is not set would let a forgotten line of
// write.go or read.go pass TestRoundTrip.
func TestSamplesSetEveryField(t *testing.T) {
	unset := map[string]bool{} // kind and field: set in no sample of the kind
	for _, o := range samples() {
		v := reflect.ValueOf(o).Elem()
		for i := range v.NumField() {
			field := string(o.Kind()) + ": " + v.Type().Field(i).Name
			zero := v.Field(i).IsZero() && v.Type().Field(i).Name != "MatchExpressions"
			if was, seen := unset[field]; !seen || was {
				unset[field] = zero
			}
		}
	}
	for field, is := range unset {
		if is {
			t.Errorf("%s is not set", field)
		}
	}
}
