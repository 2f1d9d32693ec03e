package translate

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"sigs.k8s.io/yaml"

	"tombolo.io/tombolo/api/v1alpha1"
	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/source"
)

// row is one object, as YAML, and what it becomes: a noun, or mistakes, one a line.
type row struct {
	name, yaml string
	want       any
	mistakes   string
}

func run[O any, N any](t *testing.T, translate func(*O) (N, error), rows []row) {
	t.Helper()
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			var object O
			if err := yaml.UnmarshalStrict([]byte(r.yaml), &object); err != nil {
				t.Fatal(err)
			}
			got, err := translate(&object)
			var lines []string
			for _, m := range Mistakes(err) {
				lines = append(lines, m.Error())
			}
			if d := cmp.Diff(strings.TrimSpace(r.mistakes), strings.Join(lines, "\n")); d != "" {
				t.Errorf("mistakes (-want +got):\n%s", d)
			}
			if err != nil {
				return
			}
			if d := cmp.Diff(r.want, any(got), cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}, netip.AddrPort{})); d != "" {
				t.Errorf("noun (-want +got):\n%s", d)
			}
		})
	}
}

func addrs(s string) (out []netip.Addr) {
	for f := range strings.FieldsSeq(s) {
		out = append(out, netip.MustParseAddr(f))
	}
	return out
}

func prefixes(s string) (out []netip.Prefix) {
	for f := range strings.FieldsSeq(s) {
		out = append(out, netip.MustParsePrefix(f))
	}
	return out
}

func TestService(t *testing.T) {
	web := clustermesh.ServiceName{Namespace: "shop", Name: "web"}
	run(t, Service, []row{
		{name: "defaults are filled in", yaml: `
metadata: {name: web, namespace: shop}
spec: {clusterIP: 10.96.0.10, ports: [{port: 80}]}`,
			want: &clustermesh.Service{Name: web, Weight: 100, ClusterIPs: addrs("10.96.0.10"),
				Ports: []clustermesh.ServicePort{{Protocol: clustermesh.TCP, Port: 80}}},
		},
		{name: "everything", yaml: `
metadata:
  name: web
  namespace: shop
  creationTimestamp: "2026-01-02T03:04:05Z"
  labels: {tier: front}
  annotations:
    tombolo.io/global: "true"
    tombolo.io/shared: "false"
    tombolo.io/affinity: local
    tombolo.io/priority: "7"
    tombolo.io/weight: "0"
    tombolo.io/overprovisioning-factor: "1.25"
    tombolo.io/outlier-detection: "consecutive_failures=5, max_ejection_percent=10"
spec:
  type: LoadBalancer
  clusterIP: 10.96.0.10
  clusterIPs: [10.96.0.10, "fd00:96::a"]
  loadBalancerIP: 192.0.2.99
  loadBalancerClass: tombolo.io/bgp
  externalTrafficPolicy: Local
  internalTrafficPolicy: Local
  trafficDistribution: PreferSameNode
  sessionAffinity: ClientIP
  sessionAffinityConfig: {clientIP: {timeoutSeconds: 60}}
  publishNotReadyAddresses: true
  healthCheckNodePort: 32100
  externalIPs: [192.0.2.80, "2001:DB8:2::80", 192.0.2.80]
  loadBalancerSourceRanges: [198.51.100.0/24, " 203.0.113.9/24 ", 203.0.113.0/24, "2001:DB8::/32", 0.0.0.0/0, "::ffff:10.0.0.0/104", 010.001.0.0/16]
  ports:
  - {name: http, port: 80, nodePort: 30080, appProtocol: kubernetes.io/h2c}
  - {name: dns, port: 53, protocol: UDP}
status: {loadBalancer: {ingress: [{ip: 192.0.2.10}, {hostname: lb.example.org}, {ip: "2001:db8::10"}]}}`,
			want: &clustermesh.Service{
				Name: web, Type: clustermesh.LoadBalancer, Created: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
				Labels: map[string]string{"tier": "front"}, Global: true, Affinity: clustermesh.AffinityLocal, Priority: 7,
				ClusterIPs: addrs("10.96.0.10 fd00:96::a"), LoadBalancerIPs: addrs("192.0.2.10 2001:db8::10"),
				LoadBalancerClass: "tombolo.io/bgp",
				SourceRanges:      prefixes("198.51.100.0/24 203.0.113.0/24 2001:db8::/32 0.0.0.0/0 10.0.0.0/8 10.1.0.0/16"),
				ExternalIPs:       addrs("192.0.2.80 2001:db8:2::80"), HealthCheckNodePort: 32100,
				ExternalPolicy: clustermesh.TrafficLocal, InternalPolicy: clustermesh.TrafficLocal,
				Distribution: clustermesh.PreferSameNode, Overprovisioning: 125,
				Outliers: clustermesh.OutlierDetection{ConsecutiveFailures: 5, BaseEjectionTime: 30 * time.Second,
					MaxEjectionTime: 300 * time.Second, MaxEjectionPercent: 10},
				Request:         clustermesh.AddressRequest{Addresses: addrs("192.0.2.99"), Families: clustermesh.AllFamilies},
				SessionAffinity: time.Minute, PublishNotReady: true,
				Ports: []clustermesh.ServicePort{
					{Name: "http", Protocol: clustermesh.TCP, Port: 80, NodePort: 30080, AppProtocol: "kubernetes.io/h2c"},
					{Name: "dns", Protocol: clustermesh.UDP, Port: 53},
				},
			},
		},
		{name: "Cilium's annotations mean the same, a global service is shared", yaml: `
metadata: {name: web, namespace: shop, annotations: {service.cilium.io/global: "True", service.cilium.io/affinity: remote}}
spec: {clusterIP: None}`,
			want: &clustermesh.Service{Name: web, Weight: 100, Headless: true, Global: true, Shared: true, Affinity: clustermesh.AffinityRemote,
				Overprovisioning: clustermesh.MaxOverprovisioning},
		},
		{name: "Cilium's affinity with a factor of ours", yaml: `
metadata: {name: web, namespace: shop, annotations: {service.cilium.io/affinity: remote, tombolo.io/overprovisioning-factor: "2"}}
spec: {clusterIP: None, trafficDistribution: PreferClose}`,
			want: &clustermesh.Service{Name: web, Weight: 100, Headless: true, Affinity: clustermesh.AffinityRemote, Overprovisioning: 200,
				Distribution: clustermesh.PreferSameZone},
		},
		{name: "outlier detection as it is usual", yaml: `
metadata: {name: web, namespace: shop, annotations: {tombolo.io/outlier-detection: "true"}}`,
			want: &clustermesh.Service{Name: web, Weight: 100, Outliers: clustermesh.DefaultOutlierDetection()},
		},
		{name: "a long ejection needs no longer maximum", yaml: `
metadata: {name: web, namespace: shop, annotations: {tombolo.io/outlier-detection: " base_ejection_time = 10m"}}`,
			want: &clustermesh.Service{Name: web, Weight: 100, Outliers: clustermesh.OutlierDetection{ConsecutiveFailures: 3,
				BaseEjectionTime: 10 * time.Minute, MaxEjectionTime: 10 * time.Minute, MaxEjectionPercent: 50}},
		},
		{name: "no outlier detection", yaml: `
metadata: {name: web, namespace: shop, annotations: {tombolo.io/outlier-detection: "False"}}`,
			want: &clustermesh.Service{Name: web, Weight: 100},
		},
		{name: "wrong settings of outlier detection", yaml: `
metadata:
  name: web
  namespace: shop
  annotations: {tombolo.io/outlier-detection: "consecutive_5xx=3,consecutive_failures=0,base_ejection_time=500ms,max_ejection_percent=51,max_ejection_percent=5,max_ejection_percent=6"}`,
			mistakes: `
metadata.annotations["tombolo.io/outlier-detection"]: "consecutive_5xx" is not "true", "false" or a list of consecutive_failures, base_ejection_time, max_ejection_time and max_ejection_percent, each with =VALUE
metadata.annotations["tombolo.io/outlier-detection"]: "consecutive_failures=0" is not a whole number from 1 to 1000
metadata.annotations["tombolo.io/outlier-detection"]: "base_ejection_time=500ms" is not a duration of whole seconds from 1s to 24h
metadata.annotations["tombolo.io/outlier-detection"]: "max_ejection_percent=51" is not a whole number from 1 to 50
metadata.annotations["tombolo.io/outlier-detection"]: "max_ejection_percent" is not to be named twice
metadata.annotations["tombolo.io/outlier-detection"]: "max_ejection_percent" is not to be named twice`,
		},
		{name: "a maximum below the first ejection", yaml: `
metadata: {name: web, namespace: shop, annotations: {tombolo.io/outlier-detection: "max_ejection_time=10s"}}`,
			mistakes: `metadata.annotations["tombolo.io/outlier-detection"]: "max_ejection_time=10s" is not as long as base_ejection_time=30s`,
		},
		{name: "ours hold against Cilium's", yaml: `
metadata: {name: web, namespace: shop, annotations: {service.cilium.io/global: "true", tombolo.io/global: "false"}}`,
			want: &clustermesh.Service{Name: web, Weight: 100},
		},
		{name: "the address asked for, before one is given", yaml: `
metadata: {name: web, namespace: shop}
spec: {type: LoadBalancer, loadBalancerIP: 192.0.2.99, sessionAffinity: ClientIP}`,
			want: &clustermesh.Service{Name: web, Weight: 100, Type: clustermesh.LoadBalancer,
				Request: clustermesh.AddressRequest{Addresses: addrs("192.0.2.99")}, SessionAffinity: 3 * time.Hour},
		},
		{name: "addresses asked for, ours before the others' annotations", yaml: `
metadata:
  name: web
  namespace: shop
  annotations:
    tombolo.io/load-balancer-ips: "192.0.2.1, 2001:db8::1 192.0.2.1"
    metallb.io/loadBalancerIPs: 192.0.2.9
    lbipam.cilium.io/sharing-key: front
    tombolo.io/load-balancer-sharing-namespaces: "ops,team-a"
spec: {type: LoadBalancer, loadBalancerIP: 192.0.2.99, ipFamilyPolicy: RequireDualStack, ipFamilies: [IPv6, IPv4]}`,
			want: &clustermesh.Service{Name: web, Weight: 100, Type: clustermesh.LoadBalancer,
				Request: clustermesh.AddressRequest{Addresses: addrs("192.0.2.1 2001:db8::1"), Families: clustermesh.AllFamilies, Required: true,
					SharingKey: "front", SharingNamespaces: []string{"ops", "team-a"}}},
		},
		{name: "MetalLB's and Cilium's annotations, and one family of two", yaml: `
metadata:
  name: web
  namespace: shop
  annotations: {lbipam.cilium.io/ips: 192.0.2.2, metallb.io/allow-shared-ip: front, lbipam.cilium.io/sharing-cross-namespace: "*"}
spec: {type: LoadBalancer, ipFamilyPolicy: SingleStack, ipFamilies: [IPv6]}`,
			want: &clustermesh.Service{Name: web, Weight: 100, Type: clustermesh.LoadBalancer,
				Request: clustermesh.AddressRequest{Addresses: addrs("192.0.2.2"), Families: clustermesh.IPv6, SharingKey: "front", SharingNamespaces: []string{"*"}}},
		},
		{name: "rather both families", yaml: `
metadata: {name: web, namespace: shop}
spec: {type: LoadBalancer, ipFamilyPolicy: PreferDualStack, clusterIP: 10.96.0.1}`,
			want: &clustermesh.Service{Name: web, Weight: 100, Type: clustermesh.LoadBalancer, ClusterIPs: addrs("10.96.0.1"),
				Request: clustermesh.AddressRequest{Families: clustermesh.AllFamilies}},
		},
		{name: "mistakes about addresses", yaml: `
metadata: {name: web, namespace: shop, annotations: {tombolo.io/load-balancer-ips: "192.0.2.1,nonsense", tombolo.io/load-balancer-sharing-namespaces: Ops}}
spec: {type: LoadBalancer, ipFamilyPolicy: Both, ipFamilies: [ipv4]}`,
			mistakes: `
spec.ipFamilies[0]: "ipv4" is not IPv4 or IPv6
spec.ipFamilyPolicy: "Both" is not SingleStack, PreferDualStack or RequireDualStack
metadata.annotations["tombolo.io/load-balancer-ips"]: "192.0.2.1,nonsense" is not a list of IP addresses, such as 192.0.2.1,2001:db8::1`,
		},
		{name: "mistakes about sharing", yaml: `
metadata: {name: web, namespace: shop, annotations: {lbipam.cilium.io/sharing-key: "a b", tombolo.io/load-balancer-sharing-namespaces: Ops}}
spec: {type: LoadBalancer}`,
			mistakes: `
metadata.annotations["lbipam.cilium.io/sharing-key"]: "a b" must be at most 253 printable ASCII characters without spaces
metadata.annotations["tombolo.io/load-balancer-sharing-namespaces"]: "Ops" must be an RFC 1123 label: 1 to 63 of a-z, 0-9 and -, no - at its ends`,
		},
		{name: "the annotation for source ranges, while the field is empty", yaml: `
metadata: {name: web, namespace: shop, annotations: {service.beta.kubernetes.io/load-balancer-source-ranges: " 198.51.100.0/24, 2001:db8::/32 "}}
spec: {type: LoadBalancer}`,
			want: &clustermesh.Service{Name: web, Weight: 100, Type: clustermesh.LoadBalancer, SourceRanges: prefixes("198.51.100.0/24 2001:db8::/32")},
		},
		{name: "the field for source ranges holds", yaml: `
metadata: {name: web, namespace: shop, annotations: {service.beta.kubernetes.io/load-balancer-source-ranges: nonsense}}
spec: {type: LoadBalancer, loadBalancerSourceRanges: [198.51.100.0/24]}`,
			want: &clustermesh.Service{Name: web, Weight: 100, Type: clustermesh.LoadBalancer, SourceRanges: prefixes("198.51.100.0/24")},
		},
		{name: "source ranges that are none", yaml: `
metadata: {name: web, namespace: shop}
spec: {type: LoadBalancer, loadBalancerSourceRanges: [198.51.100.0/24, 198.51.100.1, 10.0.0.0/33, ""]}`,
			mistakes: `
spec.loadBalancerSourceRanges[1]: "198.51.100.1" is not a CIDR such as 10.1.0.0/24 or fd00:1::/64
spec.loadBalancerSourceRanges[2]: "10.0.0.0/33" is not a CIDR such as 10.1.0.0/24 or fd00:1::/64
spec.loadBalancerSourceRanges[3]: "" is not a CIDR such as 10.1.0.0/24 or fd00:1::/64`,
		},
		{name: "a source range that is none in the annotation", yaml: `
metadata: {name: web, namespace: shop, annotations: {service.beta.kubernetes.io/load-balancer-source-ranges: "198.51.100.0/24,"}}
spec: {type: LoadBalancer}`,
			mistakes: `metadata.annotations["service.beta.kubernetes.io/load-balancer-source-ranges"]: "" is not a CIDR such as 10.1.0.0/24 or fd00:1::/64`,
		},
		{name: "source ranges of what is no load balancer", yaml: `
metadata: {name: web, namespace: shop}
spec: {loadBalancerSourceRanges: [198.51.100.0/24]}`,
			mistakes: `spec.loadBalancerSourceRanges: may only be used when the type is LoadBalancer`,
		},
		{name: "addresses of a load balancer count only for one", yaml: `
metadata: {name: web, namespace: shop}
status: {loadBalancer: {ingress: [{ip: 192.0.2.10}]}}`,
			want: &clustermesh.Service{Name: web, Weight: 100},
		},
		{name: "wrong annotations name themselves and what is allowed", yaml: `
metadata:
  name: web
  namespace: shop
  annotations: {tombolo.io/global: "yes", service.cilium.io/shared: "1", tombolo.io/affinity: near, tombolo.io/priority: "256", tombolo.io/weight: "-1", tombolo.io/overprovisioning-factor: "0.9"}
spec: {trafficDistribution: Near}`,
			mistakes: `
metadata.annotations["tombolo.io/global"]: "yes" is not "true" or "false"
metadata.annotations["service.cilium.io/shared"]: "1" is not "true" or "false"
metadata.annotations["tombolo.io/affinity"]: "near" is not local, remote or none
metadata.annotations["tombolo.io/priority"]: "256" is not a whole number from 0 to 255
metadata.annotations["tombolo.io/weight"]: "-1" is not a whole number from 0 to 65535
metadata.annotations["tombolo.io/overprovisioning-factor"]: "0.9" is not a number from 1 to 100 with at most two decimals
spec.trafficDistribution: "Near" is not PreferClose, PreferSameZone or PreferSameNode`,
		},
		{name: "every mistake at once", yaml: `
metadata: {name: a/b, namespace: Shop}
spec:
  type: Balanced
  clusterIPs: [10.96.0.1, nonsense]
  externalIPs: [192.0.2.1, 0.0.0.0, web.example.org]
  externalTrafficPolicy: local
  sessionAffinity: Cookie
  ports: [{port: 70000}, {name: a, port: 1, protocol: QUIC}, {name: a, port: 2}]`,
			mistakes: `
metadata.name: "a/b" is not a name: lower case letters, digits, '-' and '.', at most 253
metadata.namespace: "Shop" is not a namespace: lower case letters, digits and '-', at most 63
spec.type: "Balanced" is not ClusterIP, NodePort, LoadBalancer or ExternalName
spec.ports[0].name: is missing; each of several ports needs one
spec.ports[0].port: 70000 is not between 1 and 65535
spec.ports[1].protocol: "QUIC" is not TCP, UDP or SCTP
spec.ports[2].name: "a" is another port's
spec.clusterIPs[1]: "nonsense" is not the address of one host, such as 10.1.2.3 or fd00::1
spec.externalTrafficPolicy: "local" is not Cluster or Local
spec.sessionAffinity: "Cookie" is not None or ClientIP
spec.externalIPs[1]: "0.0.0.0" is not the address of one host, such as 10.1.2.3 or fd00::1
spec.externalIPs[2]: "web.example.org" is not the address of one host, such as 10.1.2.3 or fd00::1`,
		},
	})
}

func TestEndpointSlices(t *testing.T) {
	none := []*clustermesh.EndpointSlice(nil)
	run(t, func(s *discoveryv1.EndpointSlice) ([]*clustermesh.EndpointSlice, error) { return EndpointSlices(s) }, []row{
		{name: "conditions, in the order of the addresses", yaml: `
metadata: {name: web-1, namespace: shop, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: http, port: 8080}, {name: dns, protocol: UDP, port: 53}]
endpoints:
- {addresses: [10.1.0.3], conditions: {ready: false, serving: true, terminating: true}}
- {addresses: [10.1.0.2], conditions: {ready: false}}
- {addresses: [10.1.0.1, 10.1.0.9], nodeName: n1, zone: z1, hostname: web-0, targetRef: {kind: Pod, uid: u1}}
- {addresses: [10.1.0.1], targetRef: {kind: Pod, uid: u0}, conditions: {ready: true, terminating: true}}
- {addresses: [10.1.0.1], targetRef: {kind: Pod, uid: u1}}`,
			want: []*clustermesh.EndpointSlice{{
				Service: clustermesh.ServiceName{Namespace: "shop", Name: "web"}, Name: "web-1",
				Ports: []clustermesh.EndpointPort{{Name: "http", Protocol: clustermesh.TCP, Port: 8080}, {Name: "dns", Protocol: clustermesh.UDP, Port: 53}},
				Endpoints: []clustermesh.Endpoint{
					{Address: netip.MustParseAddr("10.1.0.1"), PodUID: "u0", Serving: true, Terminating: true},
					{Address: netip.MustParseAddr("10.1.0.1"), PodUID: "u1", Node: "n1", Zone: "z1", Hostname: "web-0", Ready: true, Serving: true},
					{Address: netip.MustParseAddr("10.1.0.2")},
					{Address: netip.MustParseAddr("10.1.0.3"), Serving: true, Terminating: true},
				},
			}},
		},
		{name: "what the mesh itself refuses", yaml: `
metadata: {name: web-1, namespace: shop, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
endpoints: [{addresses: [127.0.0.1]}]`,
			mistakes: `endpoints[0].address: "127.0.0.1" must not be unspecified, loopback, link-local, multicast or broadcast`},
		{name: "of another cluster", want: none, yaml: `
metadata: {name: web-1, namespace: shop, labels: {kubernetes.io/service-name: web, multicluster.kubernetes.io/source-cluster: west}}
addressType: IPv4
endpoints: [{addresses: [10.2.0.1]}]`},
		{name: "of no service", want: none, yaml: `
metadata: {name: web-1, namespace: shop}
addressType: IPv6
endpoints: [{addresses: ["fd00::1"]}]`},
		{name: "of host names", want: none, yaml: `
metadata: {name: web-1, namespace: shop, labels: {kubernetes.io/service-name: web}}
addressType: FQDN
endpoints: [{addresses: [a.example.org]}]`},
		{name: "mistakes", yaml: `
metadata: {name: web-1, namespace: shop, labels: {kubernetes.io/service-name: a/b}}
addressType: IPv6
ports: [{name: http}]
endpoints: [{addresses: [10.1.0.1]}, {addresses: []}, {addresses: ["fe80::1%eth0"]}]`,
			mistakes: `
metadata.labels["kubernetes.io/service-name"]: "a/b" is not the name of a service
ports[0].port: is missing; a port that means all ports is not supported
endpoints[0].addresses[0]: 10.1.0.1 is not of the slice's address type IPv6
endpoints[1].addresses: is empty
endpoints[2].addresses[0]: "fe80::1%eth0" is not the address of one host, such as 10.1.2.3 or fd00::1`},
		{name: "an address type that there is not", yaml: `
metadata: {name: web-1, namespace: shop}
addressType: IPX`,
			mistakes: `addressType: "IPX" is not IPv4, IPv6 or FQDN`},
	})
}

func bigSlice(n int) *discoveryv1.EndpointSlice {
	s := &discoveryv1.EndpointSlice{AddressType: discoveryv1.AddressTypeIPv4}
	s.Namespace, s.Name, s.Labels = "shop", "web-1", map[string]string{discoveryv1.LabelServiceName: "web"}
	for i := range n {
		a := netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)})
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{Addresses: []string{a.String()}})
	}
	return s
}

func TestSplitKeepsEveryEndpointAndChangesLittle(t *testing.T) {
	for _, n := range []int{0, 1, 100, 101, 1000, 5000} {
		parts, err := EndpointSlices(bigSlice(n))
		if err != nil {
			t.Fatal(err)
		}
		seen, names := map[netip.Addr]bool{}, map[string]bool{}
		for _, p := range parts {
			if len(p.Endpoints) > clustermesh.MaxSliceEndpoints || names[p.Name] {
				t.Errorf("%d endpoints: part %q has %d, name used before: %v", n, p.Name, len(p.Endpoints), names[p.Name])
			}
			names[p.Name] = true
			for _, e := range p.Endpoints {
				seen[e.Address] = true
			}
		}
		if len(seen) != n {
			t.Errorf("%d endpoints: %d are left", n, len(seen))
		}
		if n <= 100 && (len(parts) != 1 || parts[0].Name != "web-1") {
			t.Errorf("%d endpoints: %d parts, first %q", n, len(parts), parts[0].Name)
		}
	}
}

func TestSplitOneEndpointLessChangesOnePart(t *testing.T) {
	whole, less := bigSlice(1000), bigSlice(1000)
	less.Endpoints = append(less.Endpoints[:123], less.Endpoints[124:]...)
	before, err := EndpointSlices(whole)
	after, err2 := EndpointSlices(less)
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	changed := 0
	for i := range before {
		if !cmp.Equal(before[i], after[i], cmpopts.EquateComparable(netip.Addr{})) {
			changed++
		}
	}
	if len(before) != len(after) || changed != 1 {
		t.Errorf("%d of %d parts changed, now %d parts", changed, len(before), len(after))
	}
}

func TestNode(t *testing.T) {
	run(t, Node, []row{
		{name: "internal addresses, CIDRs, zone", yaml: `
metadata: {name: n1, labels: {topology.kubernetes.io/zone: z1}}
spec: {podCIDR: 10.1.0.0/24, podCIDRs: [10.1.0.0/24, "fd00:1::/64"]}
status:
  addresses: [{type: Hostname, address: n1}, {type: InternalIP, address: 192.168.0.1}, {type: ExternalIP, address: 192.0.2.1}, {type: InternalIP, address: "fd00::1"}]
  nodeInfo: {bootID: b1}`,
			want: &clustermesh.Node{Name: "n1", Addresses: addrs("192.168.0.1 fd00::1"), PodCIDRs: prefixes("10.1.0.0/24 fd00:1::/64"),
				Zone: "z1", Labels: map[string]string{"topology.kubernetes.io/zone": "z1"}, BootID: "b1"}},
		{name: "one CIDR of the old field", yaml: "metadata: {name: n1}\nspec: {podCIDR: 10.1.0.0/24}",
			want: &clustermesh.Node{Name: "n1", PodCIDRs: prefixes("10.1.0.0/24")}},
		{name: "mistakes", yaml: `
metadata: {name: ""}
spec: {podCIDRs: [10.1.0.1/24, x]}
status: {addresses: [{type: InternalIP, address: 0.0.0.0}]}`,
			mistakes: `
metadata.name: is missing
spec.podCIDRs[0]: "10.1.0.1/24" has bits set behind its length; 10.1.0.0/24 was meant?
spec.podCIDRs[1]: "x" is not a CIDR such as 10.1.0.0/24 or fd00:1::/64
status.addresses[0].address: "0.0.0.0" is not the address of one host, such as 10.1.2.3 or fd00::1`},
	})
}

func TestPod(t *testing.T) {
	bare := &source.Workload{Namespace: "shop", Name: "web-0"}
	run(t, Pod, []row{
		{name: "runs", yaml: `
metadata: {name: web-0, namespace: shop, uid: u1, labels: {app: web}}
spec: {nodeName: n1, serviceAccountName: web}
status: {phase: Running, podIP: 10.1.0.1, podIPs: [{ip: 10.1.0.1}, {ip: "fd00:1::1"}]}`,
			want: &source.Workload{Namespace: "shop", Name: "web-0", UID: "u1", Node: "n1", ServiceAccount: "web",
				Addresses: addrs("10.1.0.1 fd00:1::1"), Labels: map[string]string{"app": "web"}}},
		{name: "has ended: its address may be another's", want: bare, yaml: `
metadata: {name: web-0, namespace: shop}
status: {phase: Succeeded, podIP: 10.1.0.1}`},
		{name: "in its node's network", want: bare, yaml: `
metadata: {name: web-0, namespace: shop}
spec: {hostNetwork: true}
status: {podIP: 192.168.0.1}`},
		{name: "mistake", yaml: "metadata: {name: web-0, namespace: shop}\nstatus: {podIP: ff02::1}",
			mistakes: `status.podIP: "ff02::1" is not the address of one host, such as 10.1.2.3 or fd00::1`},
	})
}

func TestNamespace(t *testing.T) {
	run(t, func(n *corev1.Namespace) (*source.Labels, error) { return Namespace(n) }, []row{
		{name: "labels", yaml: "metadata: {name: shop, labels: {team: a}}",
			want: &source.Labels{Namespace: "shop", Labels: map[string]string{"team": "a"}}},
	})
}

func TestClusterPeer(t *testing.T) {
	run(t, func(p *v1alpha1.ClusterPeer) (*clustermesh.Peer, error) { return ClusterPeer(p) }, []row{
		{name: "whole", yaml: `
metadata: {name: west}
spec: {endpoints: ["https://192.0.2.1:2379"], tls: {caFile: /a, certFile: /b, keyFile: /c}}`,
			want: &clustermesh.Peer{Name: "west", Endpoints: []string{"https://192.0.2.1:2379"}, TLS: clustermesh.TLSFiles{CA: "/a", Cert: "/b", Key: "/c"}}},
		{name: "mistakes", yaml: `
metadata: {name: west.example}
spec: {endpoints: ["https://192.0.2.1:2379", "192.0.2.1:2379"], tls: {caFile: ca.pem, certFile: /b}}`,
			mistakes: `
metadata.name: "west.example" is not a cluster's name: lower case letters, digits and '-', at most 63
spec.endpoints[1]: "192.0.2.1:2379" is not https://address:port
spec.tls.caFile: "ca.pem" is not an absolute path
spec.tls.keyFile: is missing`},
		{name: "nowhere", yaml: "metadata: {name: west}",
			mistakes: `
spec.endpoints: is empty; name at least one, such as https://192.0.2.1:2379
spec.tls.caFile: is missing
spec.tls.certFile: is missing
spec.tls.keyFile: is missing`},
	})
}

func TestBGPPeer(t *testing.T) {
	both := []clustermesh.Family{clustermesh.IPv4Unicast, clustermesh.IPv6Unicast}
	run(t, BGPPeer, []row{
		{name: "defaults", yaml: "metadata: {name: tor}\nspec: {address: 192.0.2.1, asn: 64512, localASN: 64513}",
			want: &clustermesh.BGPPeer{Name: "tor", Address: netip.MustParseAddr("192.0.2.1"), Port: 179, ASN: 64512, LocalASN: 64513,
				HoldTime: 9 * time.Second, Keepalive: 3 * time.Second, ConnectRetry: time.Second, RestartTime: 2 * time.Minute, Families: both}},
		{name: "everything", yaml: `
metadata: {name: tor}
spec:
  address: fe80::1
  interface: eth0
  port: 1179
  asn: 4200000000
  localASN: 1
  holdTime: 9s
  keepalive: 2s
  connectRetry: 1s
  restartTime: 4095s
  passwordFile: /etc/tombolo/tor.key
  multihop: 3
  families: [ipv6]
  nodeSelector: {matchLabels: {rack: a}, matchExpressions: [{key: bgp, operator: NotIn, values: ["off"]}]}`,
			want: &clustermesh.BGPPeer{Name: "tor", Address: netip.MustParseAddr("fe80::1"), Interface: "eth0", Port: 1179, ASN: 4200000000, LocalASN: 1,
				HoldTime: 9 * time.Second, Keepalive: 2 * time.Second, ConnectRetry: time.Second, RestartTime: 4095 * time.Second,
				PasswordFile: "/etc/tombolo/tor.key", Multihop: 3, Families: []clustermesh.Family{clustermesh.IPv6Unicast},
				NodeSelector: clustermesh.Selector{MatchLabels: map[string]string{"rack": "a"},
					MatchExpressions: []clustermesh.Requirement{{Key: "bgp", Operator: "NotIn", Values: []string{"off"}}}}}},
		{name: "mistakes", yaml: `
metadata: {name: tor}
spec:
  address: fe80::1
  port: 65536
  asn: 0
  localASN: 4294967296
  holdTime: 0s
  keepalive: 1500ms
  restartTime: 4096s
  multihop: 256
  families: [vpnv4]
  nodeSelector: {matchExpressions: [{key: a, operator: Near}]}`,
			mistakes: `
spec.interface: is missing; the link-local address fe80::1 needs it
spec.asn: 0 is not between 1 and 4294967295
spec.localASN: 4294967296 is not between 1 and 4294967295
spec.multihop: 256 is not between 0 and 255
spec.nodeSelector.matchExpressions[0].operator: "Near" is not In, NotIn, Exists or DoesNotExist
spec.families[0]: "vpnv4" is not ipv4 or ipv6
spec.port: 65536 is not between 1 and 65535
spec.holdTime: 0s is not between 3s and 65535s
spec.keepalive: "1500ms" is not a time of whole seconds, such as 9s or 1m30s
spec.restartTime: 4096s is not between 1s and 4095s`},
		{name: "a keepalive above a third of the hold time", yaml: "metadata: {name: tor}\nspec: {address: 192.0.2.1, asn: 1, localASN: 2, holdTime: 9s, keepalive: 4s}",
			mistakes: `spec.keepalive: 4s is more than a third of the hold time, 9s; shorten it, raise holdTime, or leave it out`},
	})
}

func TestBGPAdvertisement(t *testing.T) {
	run(t, BGPAdvertisement, []row{
		{name: "everything", yaml: `
metadata: {name: all}
spec:
  podCIDRs: true
  loadBalancerIPs: true
  serviceSelector: {matchLabels: {public: "yes"}}
  nodeSelector: {matchLabels: {rack: a}}
  peers: [tor]
  communities: ["65000:1", "65000:1:2", no-export]
  localPref: 200`,
			want: &clustermesh.BGPAdvertisement{Name: "all", PodCIDRs: true, LoadBalancerIPs: true,
				ServiceSelector: clustermesh.Selector{MatchLabels: map[string]string{"public": "yes"}},
				NodeSelector:    clustermesh.Selector{MatchLabels: map[string]string{"rack": "a"}},
				Peers:           []string{"tor"}, Communities: []string{"65000:1", "65000:1:2", "no-export"}, LocalPref: 200}},
		{name: "mistakes", yaml: "metadata: {name: all}\nspec: {peers: [A], localPref: -1}",
			mistakes: `
spec.localPref: -1 is not between 0 and 4294967295
spec: advertises nothing; set podCIDRs or loadBalancerIPs
spec.peers[0]: "A" is not the name of a BGPPeer`},
	})
}

func TestAddressPool(t *testing.T) {
	ranges := func(s ...string) (out []clustermesh.AddrRange) {
		for i := 0; i < len(s); i += 2 {
			out = append(out, clustermesh.AddrRange{First: netip.MustParseAddr(s[i]), Last: netip.MustParseAddr(s[i+1])})
		}
		return out
	}
	run(t, AddressPool, []row{
		{name: "everything", yaml: `
metadata: {name: public, creationTimestamp: "2026-01-02T03:04:05Z"}
spec:
  addresses: ["2001:db8::/126", 192.0.2.16/28, "192.0.2.10-192.0.2.15", 192.0.2.1/32]
  serviceSelector: {matchLabels: {tier: web}}
  namespaceSelector: {matchLabels: {team: a}}
  avoidBuggyIPs: true
  autoAssign: false`,
			want: &clustermesh.Pool{Name: "public", Created: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), AvoidBuggy: true,
				Ranges:            ranges("192.0.2.1", "192.0.2.1", "192.0.2.10", "192.0.2.31", "2001:db8::", "2001:db8::3"),
				ServiceSelector:   clustermesh.Selector{MatchLabels: map[string]string{"tier": "web"}},
				NamespaceSelector: clustermesh.Selector{MatchLabels: map[string]string{"team": "a"}}}},
		{name: "defaults", yaml: "metadata: {name: public}\nspec: {addresses: [192.0.2.0/31]}",
			want: &clustermesh.Pool{Name: "public", AutoAssign: true, Ranges: ranges("192.0.2.0", "192.0.2.1")}},
		{name: "of the mesh", yaml: "metadata: {name: public}\nspec: {addresses: [192.0.2.0/31], scope: mesh}",
			want: &clustermesh.Pool{Name: "public", Scope: clustermesh.PoolMesh, Ranges: ranges("192.0.2.0", "192.0.2.1")}},
		{name: "mistakes", yaml: `
metadata: {name: public}
spec: {addresses: [192.0.2.1/24, "192.0.2.9-192.0.2.1", "192.0.2.1-fd00::", nonsense], autoAssign: true, scope: mesh}`,
			mistakes: `
spec.autoAssign: cannot be true with scope mesh, where users name the addresses: remove it
spec.addresses[0]: "192.0.2.1/24" has bits set behind its length; 192.0.2.0/24 was meant?
spec.addresses[1]: "192.0.2.9-192.0.2.1" does not lead from a first to a last address of one /16 (IPv4) or /112 (IPv6): turn it round, or write larger blocks as CIDRs
spec.addresses[2]: "192.0.2.1-fd00::" is not a CIDR or a range, such as 192.0.2.0/24, 2001:db8::/112 or 192.0.2.10-192.0.2.20; one address is 192.0.2.1/32
spec.addresses[3]: "nonsense" is not a CIDR or a range, such as 192.0.2.0/24, 2001:db8::/112 or 192.0.2.10-192.0.2.20; one address is 192.0.2.1/32`},
		{name: "no addresses, and another scope", yaml: "metadata: {name: public}\nspec: {scope: world}",
			mistakes: `
spec.scope: "world" is not cluster or mesh
spec.addresses: is empty; name at least one CIDR or range, such as 192.0.2.0/24`},
		{name: "special addresses, and a range that is too long", yaml: "metadata: {name: public}\nspec: {addresses: [126.0.0.0/7, 224.0.0.1-224.0.0.9, 10.1.0.0-10.2.0.0]}",
			mistakes: `
spec.addresses[0]: "126.0.0.0/7" must not reach into loopback, link-local, multicast or reserved addresses
spec.addresses[1]: "224.0.0.1-224.0.0.9" must not reach into loopback, link-local, multicast or reserved addresses
spec.addresses[2]: "10.1.0.0-10.2.0.0" does not lead from a first to a last address of one /16 (IPv4) or /112 (IPv6): turn it round, or write larger blocks as CIDRs`},
	})
}

func TestFactors(t *testing.T) {
	for text, want := range map[string]uint16{
		"1": 100, "1.4": 140, " 1.05 ": 105, "1.": 100, "100": 10000, "100.00": 10000,
		"0": 0, "0.99": 0, "100.01": 0, "1.405": 0, "": 0, ".": 0, "-1.4": 0, "1.-4": 0, "1,4": 0, "1.4.0": 0, "+2": 0, "655.36": 0, "many": 0,
	} {
		c := &checker{}
		got := c.factor("key", text)
		if err := c.err(); (err == nil) != (want > 0) || want > 0 && got != want {
			t.Errorf("%q: got %d, %v; want %d", text, got, err, want)
		}
	}
}

func TestServiceExport(t *testing.T) {
	web := clustermesh.ServiceName{Namespace: "shop", Name: "web"}
	run(t, ServiceExport, []row{
		{name: "as most are", yaml: "metadata: {name: web, namespace: shop}", want: &source.Export{Service: web}},
		{name: "everything", yaml: `
metadata: {name: web, namespace: shop, creationTimestamp: "2026-01-02T03:04:05Z", labels: {not: exported}}
spec: {exportedLabels: {team: a}, exportedAnnotations: {example.com/note: "for all\nto read"}}
status: {conditions: [{type: Valid, status: "True", reason: Valid, message: "", lastTransitionTime: "2026-01-02T03:04:05Z"}]}`,
			want: &source.Export{Service: web, Created: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
				Labels: map[string]string{"team": "a"}, Annotations: map[string]string{"example.com/note": "for all\nto read"}}},
		{name: "mistakes", yaml: `
metadata: {namespace: shop}
spec: {exportedLabels: {team: a b}, exportedAnnotations: {-: x}}`,
			mistakes: `
metadata.name: is missing
spec.exportedLabels.team: "a b" is not a label's value: at most 63 letters, digits, '-', '_' and '.', a letter or digit at its ends
spec.exportedAnnotations.-: "-" is not a label's key, such as app or example.com/app`},
		{name: "a name that no service has", yaml: "metadata: {name: web.eu, namespace: shop}",
			mistakes: `service.name: "web.eu" must be an RFC 1123 label: 1 to 63 of a-z, 0-9 and -, no - at its ends`},
		{name: "too much", yaml: "metadata: {name: web, namespace: shop}\nspec: {exportedAnnotations: {a: " + strings.Repeat("x", 64<<10) + "}}",
			mistakes: `annotations: 65537 must be at most 65536 bytes in all`},
	})
}

func TestServiceImports(t *testing.T) {
	web := clustermesh.ServiceName{Namespace: "shop", Name: "web"}
	run(t, ServiceImports, []row{
		{name: "its addresses", yaml: `
metadata: {name: web, namespace: shop}
spec: {type: ClusterSetIP, ips: [10.96.9.9, "fd00:96::9"], ports: [{port: 80}]}`,
			want: []source.Object{&source.ImportAddress{Service: web, IPs: addrs("10.96.9.9 fd00:96::9")}}},
		{name: "headless", want: []source.Object(nil), yaml: "metadata: {name: web, namespace: shop}\nspec: {type: Headless}"},
		{name: "none", yaml: "metadata: {name: web, namespace: shop}\nspec: {type: ClusterSetIP}",
			mistakes: "spec.ips: is empty; name the addresses under which the service is to be reached in this cluster, one of a family"},
		{name: "headless with an address", yaml: "metadata: {name: web, namespace: shop}\nspec: {type: Headless, ips: [10.96.9.9]}",
			mistakes: "spec.ips: must be empty: a headless import has no address"},
		{name: "of one family, and of no type", yaml: "metadata: {name: web, namespace: shop}\nspec: {ips: [10.96.9.9, x]}",
			mistakes: "spec.type: \"\" is not ClusterSetIP or Headless\nspec.ips[1]: \"x\" is not the address of one host, such as 10.1.2.3 or fd00::1"},
		{name: "two of a family", yaml: "metadata: {name: web, namespace: shop}\nspec: {type: ClusterSetIP, ips: [10.96.9.9, 10.96.9.8]}",
			mistakes: "cluster IPs: \"10.96.9.8\" must be of another family than the first"},
	})
}

// A Service that was derived of an import is none of the cluster's own.
func TestDerivedServices(t *testing.T) {
	web := clustermesh.ServiceName{Namespace: "shop", Name: "web"}
	derived := func(name, spec string) string {
		return "metadata: {name: " + name + ", namespace: shop, labels: {tombolo.io/imported: \"true\", multicluster.kubernetes.io/service-name: web}}\nspec: " + spec
	}
	run(t, Services, []row{
		{name: "its addresses are the import's", yaml: derived(source.DerivedName(web), "{clusterIP: 10.96.3.4, clusterIPs: [10.96.3.4]}"),
			want: []source.Object{&source.ImportAddress{Service: web, IPs: addrs("10.96.3.4")}}},
		{name: "headless", yaml: derived(source.DerivedName(web), "{clusterIP: None}"), want: []source.Object(nil)},
		{name: "under another name", yaml: derived("web", "{clusterIP: 10.96.3.4}"), want: []source.Object(nil)},
		{name: "an ordinary one", yaml: "metadata: {name: web, namespace: shop}\nspec: {clusterIP: 10.96.3.4}",
			want: []source.Object{&clustermesh.Service{Name: web, Weight: 100, ClusterIPs: addrs("10.96.3.4")}}},
	})
}

// Which global Services wish to show the endpoints of others: headless ones, unless they
// say that they do not; others if they say so.
func TestSliceWish(t *testing.T) {
	for _, c := range []struct {
		annotations, spec string
		want              bool
	}{
		{`tombolo.io/global: "true"`, "{clusterIP: 10.96.3.4}", false},
		{`tombolo.io/global: "true", tombolo.io/global-sync-endpoint-slices: "true"`, "{clusterIP: 10.96.3.4}", true},
		{`service.cilium.io/global: "true", service.cilium.io/global-sync-endpoint-slices: "true"`, "{clusterIP: 10.96.3.4}", true},
		{`tombolo.io/global: "true", service.cilium.io/global-sync-endpoint-slices: "true", tombolo.io/global-sync-endpoint-slices: "false"`, "{clusterIP: 10.96.3.4}", false},
		{`tombolo.io/global-sync-endpoint-slices: "true"`, "{clusterIP: 10.96.3.4}", false},
		{`tombolo.io/global: "true"`, "{clusterIP: None}", true},
		{`tombolo.io/global: "true", service.cilium.io/global-sync-endpoint-slices: "false"`, "{clusterIP: None}", false},
		{"", "{clusterIP: None}", false},
	} {
		var s corev1.Service
		if err := yaml.Unmarshal([]byte("metadata: {name: web, namespace: shop, uid: u, annotations: {"+c.annotations+"}}\nspec: "+c.spec), &s); err != nil {
			t.Fatal(err)
		}
		got, err := Services(&s)
		if err != nil || len(got) == 0 {
			t.Fatalf("%s: %v, %v", c.annotations, got, err)
		}
		wish := len(got) == 2
		if wish && *got[1].(*source.SliceWish) != (source.SliceWish{Service: got[0].(*clustermesh.Service).Name, UID: "u"}) {
			t.Errorf("%s: it is %+v", c.annotations, got[1])
		}
		if wish != c.want {
			t.Errorf("%s, %s: wishes %v, want %v", c.annotations, c.spec, wish, c.want)
		}
		if all := Strays(source.Service, s.Annotations, nil); len(all) > 0 {
			t.Errorf("%s: %v", c.annotations, all)
		}
	}
	run(t, Services, []row{{name: "neither", yaml: `metadata: {name: web, namespace: shop, annotations: {tombolo.io/global: "true", tombolo.io/global-sync-endpoint-slices: maybe}}`,
		mistakes: `metadata.annotations["tombolo.io/global-sync-endpoint-slices"]: "maybe" is not "true" or "false"`}})
}
