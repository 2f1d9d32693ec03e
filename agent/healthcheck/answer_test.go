package healthcheck

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tombolo.io/tombolo/agent/loadbalancer"
	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/global"
)

var (
	node4, node6 = netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1")
)

// service returns one under an external policy Local, with endpoints on the nodes.
func service(name string, port uint16, change func(*clustermesh.Service), nodes ...string) *loadbalancer.ServiceStatus {
	d := &clustermesh.Service{
		Name: clustermesh.ServiceName{Namespace: "shop", Name: name}, Type: clustermesh.LoadBalancer,
		ExternalPolicy: clustermesh.TrafficLocal, HealthCheckNodePort: port, Weight: 100,
		ClusterIPs: []netip.Addr{netip.MustParseAddr("10.96.0.1")}, LoadBalancerIPs: []netip.Addr{netip.MustParseAddr("192.0.2.1")},
		Ports: []clustermesh.ServicePort{{Name: "a", Protocol: clustermesh.TCP, Port: 80}, {Name: "b", Protocol: clustermesh.TCP, Port: 81}},
	}
	if change != nil {
		change(d)
	}
	slice := &clustermesh.EndpointSlice{Ports: []clustermesh.EndpointPort{{Name: "a", Protocol: clustermesh.TCP, Port: 80}, {Name: "b", Protocol: clustermesh.TCP, Port: 81}}}
	for i, node := range nodes {
		slice.Endpoints = append(slice.Endpoints, clustermesh.Endpoint{Address: netip.AddrFrom4([4]byte{10, 1, 0, byte(i + 1)}), Node: node, Ready: true, Serving: true})
	}
	in := global.Input{Name: d.Name, Self: "east", Node: "n1", NodeAddresses: []netip.Addr{node4, node6},
		Exports: []global.Export{{Cluster: "east", ClusterID: 1, Service: d, Slices: []*clustermesh.EndpointSlice{slice}}}}
	merged := global.Merge(in)
	return &loadbalancer.ServiceStatus{Name: d.Name, Merged: &merged, Input: &in}
}

func TestAnswers(t *testing.T) {
	older := func(s *clustermesh.Service) { s.Created = time.Unix(1, 0) }
	younger := func(s *clustermesh.Service) { s.Created = time.Unix(2, 0) }
	for _, c := range []struct {
		name     string
		services []*loadbalancer.ServiceStatus
		want     map[string]string
	}{
		{"none", nil, map[string]string{}},
		{"two endpoints here, of two ports each", []*loadbalancer.ServiceStatus{service("web", 32100, nil, "n1", "n2", "n1")},
			map[string]string{"127.0.0.1:32100": "shop/web 2", "[::1]:32100": "shop/web 2"}},
		{"none here", []*loadbalancer.ServiceStatus{service("web", 32100, nil, "n2")},
			map[string]string{"127.0.0.1:32100": "shop/web 0", "[::1]:32100": "shop/web 0"}},
		{"no port", []*loadbalancer.ServiceStatus{service("web", 0, nil, "n1")}, map[string]string{}},
		{"of policy Cluster", []*loadbalancer.ServiceStatus{service("web", 32100, func(s *clustermesh.Service) { s.ExternalPolicy = clustermesh.TrafficCluster }, "n1")}, map[string]string{}},
		{"of another class", []*loadbalancer.ServiceStatus{service("web", 32100, func(s *clustermesh.Service) { s.LoadBalancerClass = "example.com/lb" }, "n1")}, map[string]string{}},
		{"claimed by two", []*loadbalancer.ServiceStatus{service("a", 32100, younger, "n1"), service("b", 32100, older), service("c", 32101, nil, "n1")},
			map[string]string{"127.0.0.1:32100": "shop/b 0", "[::1]:32100": "shop/b 0", "127.0.0.1:32101": "shop/c 1", "[::1]:32101": "shop/c 1"}},
	} {
		got := map[string]string{}
		for at, a := range answersOf("n1", c.services, true) {
			got[at.String()] = fmt.Sprint(a.Service, " ", a.Local)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", c.name, diff)
		}
	}
}

// One that only ends takes packets while nobody else is there, and is no reason to send more.
func TestEndingIsNotHealthy(t *testing.T) {
	st := service("web", 32100, nil, "n1")
	st.Input.Exports[0].Slices[0].Endpoints[0].Ready, st.Input.Exports[0].Slices[0].Endpoints[0].Terminating = false, true
	merged := global.Merge(*st.Input)
	if n := local(&merged, "n1"); n != 0 || len(merged.Ports[0].Here) != 1 {
		t.Errorf("%d are counted; here are %v", n, merged.Ports[0].Here)
	}
}

func TestAnswerAsKubeProxy(t *testing.T) {
	for _, c := range []struct {
		local  int
		led    bool
		status int
	}{{0, true, 503}, {1, true, 200}, {2, true, 200}, {2, false, 503}} {
		w := httptest.NewRecorder()
		answer{clustermesh.ServiceName{Namespace: "shop", Name: "web"}, c.local, c.led}.ServeHTTP(w, nil)
		var got map[string]any
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		want := map[string]any{"service": map[string]any{"namespace": "shop", "name": "web"}, "localEndpoints": float64(c.local), "serviceProxyHealthy": c.led}
		if diff := cmp.Diff(want, got); diff != "" || w.Code != c.status || w.Header().Get("X-Load-Balancing-Endpoint-Weight") != fmt.Sprint(c.local) {
			t.Errorf("%+v: %d %v\n%s", c, w.Code, w.Header(), diff)
		}
	}
}
