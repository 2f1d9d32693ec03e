package main

import (
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/global"
	"tombolo.io/tombolo/internal/control"
)

// explained is what merging some clusters says of itself.
func explained() global.Explanation {
	ports := []clustermesh.ServicePort{{Name: "http", Protocol: clustermesh.TCP, Port: 80}}
	export := func(cluster string, id uint16, s clustermesh.Service, endpoints ...clustermesh.Endpoint) global.Export {
		s.Global, s.Weight, s.Ports = true, 100, ports
		return global.Export{Cluster: cluster, ClusterID: id, Service: &s, Slices: []*clustermesh.EndpointSlice{{
			Name: "a", Ports: []clustermesh.EndpointPort{{Name: "http", Protocol: clustermesh.TCP, Port: 8080}}, Endpoints: endpoints,
		}}}
	}
	at := func(a, node string, ready bool) clustermesh.Endpoint {
		return clustermesh.Endpoint{Address: netip.MustParseAddr(a), Node: node, Zone: "z1", Ready: ready}
	}
	_, e := global.Explain(global.Input{
		Name: clustermesh.ServiceName{Namespace: "shop", Name: "cart"}, Self: "east", Node: "e1", Zone: "z1",
		Exports: []global.Export{
			export("east", 1, clustermesh.Service{ClusterIPs: []netip.Addr{netip.MustParseAddr("10.96.0.10"), netip.MustParseAddr("fd96::10")}},
				at("10.1.0.1", "e1", true), at("10.1.0.2", "e2", false)),
			export("west", 2, clustermesh.Service{Shared: true, Priority: 1}, at("10.2.0.1", "w1", true)),
			export("north", 3, clustermesh.Service{}, at("10.3.0.1", "", true), at("10.3.0.2", "", true)),
		},
	})
	return e
}

const whyCart = `shop/cart, for clients on node e1 of cluster east in zone z1
affinity none, traffic distribution Anywhere, internal traffic policy Cluster, over-provisioning factor 1.4

Port http:80/TCP at 10.96.0.10:80 (internal)

STEP                      LEFT  OUT
all that clusters name    5     -
its cluster takes part    3     2 of north: not shared
it serves                 2     1 of east: not ready

TIER  CLUSTERS  PRIORITY  SERVE  HEALTH  LOAD  BACKUP
1     east      0         1/2    70%     70%   0%
2     west      1         1/1    100%    30%   0%

CLUSTER  ENDPOINT       NODE  ZONE  TIER  TABLE    SHARE  WHY
east     10.1.0.1:8080  e1    z1    1     primary  70%    -
west     10.2.0.1:8080  w1    z1    2     primary  30%    -
north    10.3.0.1       -     z1    -     -        -      not shared
north    10.3.0.2       -     z1    -     -        -      not shared
east     10.1.0.2:8080  e2    z1    1     -        -      not ready

Port http:80/TCP at [fd96::10]:80 (internal)

STEP                      LEFT  OUT
all that clusters name    0     -

Nobody is left: the port refuses.
`

func TestServicesWhy(t *testing.T) {
	dir := agentIn(t)
	out, err := run(t, "services", "why", "shop/cart", "--run-dir", dir)
	if diff := cmp.Diff(fields(whyCart), fields(out)); err != nil || diff != "" {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
	out, err = run(t, "services", "why", "shop/far", "--run-dir", dir)
	if want := "shop/far, for clients on cluster east\nIt has no ports here: not defined in this cluster.\n"; err != nil || out != want {
		t.Errorf("got %v\n%s", err, out)
	}
	out, err = run(t, "services", "why", "shop/cart", "-o", "json", "--run-dir", dir)
	var e global.Explanation
	if err := errors.Join(err, json.Unmarshal([]byte(out), &e)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(explained(), e, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("JSON loses something (-want +got)\n%s", diff)
	}
	if _, err := run(t, "services", "why", "shop/none", "--run-dir", dir); !errors.Is(err, control.ErrNotFound) || !strings.Contains(err.Error(), "tombolo services lists") {
		t.Errorf("got %v", err)
	}
	if _, err := run(t, "services", "why", "cart", "--run-dir", dir); err == nil || !strings.Contains(err.Error(), "want namespace/name") {
		t.Errorf("got %v", err)
	}
}
