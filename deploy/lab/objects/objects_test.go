package objects

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"sigs.k8s.io/yaml"

	"tombolo.io/tombolo/api/v1alpha1"
	"tombolo.io/tombolo/deploy/lab/pki"
	"tombolo.io/tombolo/deploy/lab/plan"
)

func lab(t *testing.T) plan.Plan {
	t.Helper()
	p, err := plan.New(plan.Config{Lab: "lab", Dir: "/run/tombolo-lab/lab", Clusters: 3, Nodes: 2, Pods: 2, Router: "builtin"})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func certs(cluster string) pki.Dir { return pki.Dir("/pki/" + cluster) }

// kinds are what a document may be, each with a value to read it into.
var kinds = map[string]func() any{
	"v1 Node":                              func() any { return &corev1.Node{} },
	"v1 Namespace":                         func() any { return &corev1.Namespace{} },
	"v1 Pod":                               func() any { return &corev1.Pod{} },
	"v1 Service":                           func() any { return &corev1.Service{} },
	"discovery.k8s.io/v1 EndpointSlice":    func() any { return &discoveryv1.EndpointSlice{} },
	"tombolo.io/v1alpha1 ClusterPeer":      func() any { return &v1alpha1.ClusterPeer{} },
	"tombolo.io/v1alpha1 BGPPeer":          func() any { return &v1alpha1.BGPPeer{} },
	"tombolo.io/v1alpha1 BGPAdvertisement": func() any { return &v1alpha1.BGPAdvertisement{} },
}

// decode reads every document strictly as its kind.
func decode(t *testing.T, raw []byte) map[string]any {
	t.Helper()
	all, err := Split(raw)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]any{}
	for _, o := range all {
		var head struct {
			APIVersion string `json:"apiVersion"`
		}
		if err := yaml.Unmarshal(o.YAML, &head); err != nil {
			t.Fatal(err)
		}
		make := kinds[head.APIVersion+" "+o.Kind]
		if make == nil {
			t.Fatalf("%s %s is of no known kind", head.APIVersion, o.Kind)
		}
		value := make()
		if err := yaml.UnmarshalStrict(o.YAML, value); err != nil {
			t.Errorf("%s %s: %v", o.Kind, o.Name, err)
		}
		if _, twice := out[o.File()]; twice {
			t.Errorf("%s is there twice", o.File())
		}
		out[o.File()] = value
	}
	return out
}

// The nodes are given the password that their router has.
func TestBaseWithPassword(t *testing.T) {
	p := lab(t)
	p.Password = "secret"
	raw, err := Base(p, p.Clusters[0], certs, "b1")
	if err != nil {
		t.Fatal(err)
	}
	router := decode(t, raw)["bgppeer_router-east.yaml"].(*v1alpha1.BGPPeer)
	if got := router.Spec.PasswordFile; got != "/run/tombolo-lab/lab/clusters/east/bgp.key" {
		t.Errorf("password file %q", got)
	}
}

func TestBase(t *testing.T) {
	p := lab(t)
	raw, err := Base(p, p.Clusters[0], certs, "b1")
	if err != nil {
		t.Fatal(err)
	}
	all := decode(t, raw)
	var names []string
	for name := range all {
		names = append(names, strings.TrimSuffix(name, ".yaml"))
	}
	slices.Sort(names)
	want := "bgpadvertisement_all bgppeer_router-east clusterpeer_north clusterpeer_west endpointslice_demo_echo-ipv4 endpointslice_demo_echo-ipv6 " +
		"namespace_demo node_east-1 node_east-2 pod_demo_east-1-a pod_demo_east-1-b pod_demo_east-2-a pod_demo_east-2-b service_demo_echo"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	node := all["node_east-2.yaml"].(*corev1.Node)
	if got := fmt.Sprintln(node.Spec.PodCIDRs, node.Status.Addresses[0].Address, node.Status.Addresses[1].Address, node.Status.NodeInfo.BootID); got != "[10.1.2.0/24 fd00:10:1:2::/64] 172.20.1.2 fd00:20:1::2 b1\n" {
		t.Errorf("node: %s", got)
	}
	peer := all["clusterpeer_west.yaml"].(*v1alpha1.ClusterPeer)
	if peer.Spec.Endpoints[0] != "https://172.20.2.1:2379" || peer.Spec.TLS.CAFile != "/pki/west/ca.crt" || peer.Spec.TLS.KeyFile != "/pki/west/peer.key" {
		t.Errorf("peer: %+v", peer.Spec)
	}
	bgp := all["bgppeer_router-east.yaml"].(*v1alpha1.BGPPeer)
	if bgp.Spec.Address != "172.20.1.254" || bgp.Spec.ASN != 65001 || bgp.Spec.LocalASN != 64513 {
		t.Errorf("BGP peer: %+v", bgp.Spec)
	}
	service := all["service_demo_echo.yaml"].(*corev1.Service)
	if service.Spec.Type != corev1.ServiceTypeClusterIP || service.Annotations["tombolo.io/affinity"] != "" || service.Annotations["tombolo.io/global"] != "true" {
		t.Errorf("service: %+v", service)
	}
}

// Each pod is the same object in its own manifest and behind its service.
func TestSlicesNameTheirPods(t *testing.T) {
	p := lab(t)
	raw, err := Base(p, p.Clusters[1], certs, "b1")
	if err != nil {
		t.Fatal(err)
	}
	all := decode(t, raw)
	for i, family := range []string{"ipv4", "ipv6"} {
		slice := all["endpointslice_demo_echo-"+family+".yaml"].(*discoveryv1.EndpointSlice)
		if len(slice.Endpoints) != 4 {
			t.Errorf("%s: %d endpoints", family, len(slice.Endpoints))
		}
		for _, e := range slice.Endpoints {
			pod := all["pod_demo_"+e.TargetRef.Name+".yaml"].(*corev1.Pod)
			if e.TargetRef.UID != pod.UID || e.Addresses[0] != pod.Status.PodIPs[i].IP || *e.NodeName != pod.Spec.NodeName || !*e.Conditions.Ready {
				t.Errorf("endpoint %+v of pod %+v", e, pod)
			}
		}
	}
}

// With a control plane a cluster is told what users tell it: nodes, addresses,
// UIDs and slices come by themselves.
func TestKubernetes(t *testing.T) {
	p := lab(t)
	p.Kubernetes = "/bin"
	raw, err := Kubernetes(p, p.Clusters[0], certs)
	if err != nil {
		t.Fatal(err)
	}
	all := decode(t, raw)
	names := slices.Sorted(maps.Keys(all))
	want := []string{"bgpadvertisement_all.yaml", "bgppeer_router-east.yaml", "clusterpeer_north.yaml", "clusterpeer_west.yaml",
		"pod_demo_east-1-a.yaml", "pod_demo_east-1-b.yaml", "pod_demo_east-2-a.yaml", "pod_demo_east-2-b.yaml", "service_demo_echo.yaml"}
	if !slices.Equal(names, want) {
		t.Errorf("got  %v\nwant %v", names, want)
	}
	pod := all["pod_demo_east-2-b.yaml"].(*corev1.Pod)
	if pod.UID != "" || pod.Status.PodIP != "" || pod.Spec.NodeName != "east-2" || pod.Labels["app"] != "echo" {
		t.Errorf("pod: %+v", pod)
	}
}

func TestService(t *testing.T) {
	p := lab(t)
	c := p.Clusters[0]
	raw, err := Service{Name: "web", Addresses: c.ServiceCIDR.Addr(90), LoadBalancer: c.LoadBalancerCIDR.Addr(1),
		Affinity: "remote", NotReady: []string{"east-2-a"}}.YAML(c)
	if err != nil {
		t.Fatal(err)
	}
	all := decode(t, raw)
	service := all["service_demo_web.yaml"].(*corev1.Service)
	if service.Spec.Type != corev1.ServiceTypeLoadBalancer || service.Status.LoadBalancer.Ingress[1].IP != "2001:db8:113:1::1" || service.Annotations["tombolo.io/affinity"] != "remote" {
		t.Errorf("service: %+v", service)
	}
	if got := ready(all["endpointslice_demo_web-ipv4.yaml"]); got != "east-1-a east-1-b east-2-b" {
		t.Errorf("ready: %s", got)
	}
	raw, err = Service{Name: "web", Addresses: c.ServiceCIDR.Addr(90), AllNotReady: true}.YAML(c)
	if err != nil {
		t.Fatal(err)
	}
	if got := ready(decode(t, raw)["endpointslice_demo_web-ipv6.yaml"]); got != "" {
		t.Errorf("ready: %s", got)
	}
}

// Where controllers write statuses a service asks the pool of its cluster.
func TestServiceAlone(t *testing.T) {
	p := lab(t)
	c := p.Clusters[0]
	pool, err := Pool(c)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(pool), c.LoadBalancerCIDR.IPv4.String()) || !strings.Contains(string(pool), "autoAssign: false") {
		t.Errorf("the pool is %s", pool)
	}
	notes := map[string]string{"tombolo.io/weight": "7"}
	raw, err := Service{Name: "web", Addresses: c.ServiceCIDR.Addr(90), LoadBalancer: c.LoadBalancerCIDR.Addr(1), Annotations: notes}.Alone(c)
	if err != nil {
		t.Fatal(err)
	}
	service := decode(t, raw)["service_demo_web.yaml"].(*corev1.Service)
	if len(service.Status.LoadBalancer.Ingress) > 0 || service.Annotations["tombolo.io/load-balancer-ips"] != "203.0.113.17,2001:db8:113:1::1" || len(notes) != 1 {
		t.Errorf("service: %+v", service)
	}
}

func ready(slice any) string {
	var out []string
	for _, e := range slice.(*discoveryv1.EndpointSlice).Endpoints {
		if *e.Conditions.Ready {
			out = append(out, e.TargetRef.Name)
		}
	}
	return strings.Join(out, " ")
}

func TestSplit(t *testing.T) {
	raw := "# nothing\n---\nkind: A\nmetadata: {name: a}\n--- \r\nkind: B\nmetadata: {name: b, namespace: ns}\ndata: |\n  --- not a border\n---\n"
	all, err := Split([]byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, o := range all {
		got = append(got, o.File()+" "+o.FullName())
	}
	if want := []string{"a_a.yaml a", "b_ns_b.yaml ns/b"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if !strings.Contains(string(all[1].YAML), "not a border") {
		t.Errorf("the second is cut: %q", all[1].YAML)
	}
}

func TestSplitNamesEveryMistake(t *testing.T) {
	raw := "kind: A\nmetadata: {name: a}\n---\nkind: [\n---\nmetadata: {name: c}\n---\nkind: D\nmetadata: {name: ../../etc}\n---\nroot:x:0:0\n---\nkind: [a]\n"
	all, err := Split([]byte(raw))
	if err == nil || len(all) != 1 {
		t.Fatalf("%d objects, %v", len(all), err)
	}
	for _, want := range []string{"line 4: ", "line 6: want kind and metadata.name", "line 8: D /../../etc",
		"line 11: want kind and metadata.name", "line 13: want kind and metadata.name"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %v", want, err)
		}
	}
}
