package agent

import (
	"fmt"
	"maps"
	"net/netip"
	"testing"

	"tombolo.io/tombolo/agent/loadbalancer"
	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/global"
)

func TestServiceOfUnservedProtocol(t *testing.T) {
	tcp := clustermesh.ServicePort{Name: "http", Protocol: clustermesh.TCP, Port: 80}
	sctp := clustermesh.ServicePort{Name: "sig", Protocol: clustermesh.SCTP, Port: 9}
	for _, c := range []struct {
		name          string
		ports         []clustermesh.ServicePort
		state, reason string
	}{
		{"all are balanced", []clustermesh.ServicePort{tcp}, StateOK, ""},
		{"one is not", []clustermesh.ServicePort{sctp, tcp}, StatePartial, "1 of 2 ports are not served: SCTP is not balanced"},
		{"none is", []clustermesh.ServicePort{sctp}, StateUnused, "has only SCTP ports, which are not balanced"},
	} {
		t.Run(c.name, func(t *testing.T) {
			def := &clustermesh.Service{
				Name: clustermesh.ServiceName{Namespace: "demo", Name: "echo"}, Type: clustermesh.LoadBalancer,
				Ports: c.ports, LoadBalancerIPs: []netip.Addr{netip.MustParseAddr("192.0.2.1")},
			}
			slice := &clustermesh.EndpointSlice{Service: def.Name, Name: "a", Endpoints: []clustermesh.Endpoint{
				{Address: netip.MustParseAddr("10.1.0.1"), Ready: true, Serving: true}}}
			for _, p := range c.ports {
				slice.Ports = append(slice.Ports, clustermesh.EndpointPort{Name: p.Name, Protocol: p.Protocol, Port: p.Port})
			}
			merged := global.Merge(global.Input{Name: def.Name, Self: "east", Exports: []global.Export{
				{Cluster: "east", ClusterID: 1, Service: def, Slices: []*clustermesh.EndpointSlice{slice}}}})
			got := serviceOf(&loadbalancer.ServiceStatus{Name: def.Name, Merged: &merged}, loadbalancer.Failure{})
			if got.State != c.state || got.Reason != c.reason {
				t.Errorf("got %s (%s), want %s (%s)", got.State, got.Reason, c.state, c.reason)
			}
			if c.state == StatePartial && got.Ports[len(got.Ports)-1].Unserved == "" {
				t.Error("the port that is not served does not say so")
			}
		})
	}
}

func TestUnusedEndpointsAreShown(t *testing.T) {
	def := &clustermesh.Service{
		Name: clustermesh.ServiceName{Namespace: "demo", Name: "echo"}, Type: clustermesh.LoadBalancer, Global: true, Shared: true, Weight: 100,
		Ports:           []clustermesh.ServicePort{{Name: "http", Protocol: clustermesh.TCP, Port: 80}, {Name: "sig", Protocol: clustermesh.SCTP, Port: 9}},
		LoadBalancerIPs: []netip.Addr{netip.MustParseAddr("192.0.2.1")},
	}
	export := func(cluster string, id uint16, endpoints ...clustermesh.Endpoint) global.Export {
		return global.Export{Cluster: cluster, ClusterID: id, Service: def, Slices: []*clustermesh.EndpointSlice{{
			Service: def.Name, Name: cluster, Endpoints: endpoints,
			Ports: []clustermesh.EndpointPort{{Name: "http", Protocol: clustermesh.TCP, Port: 8080}},
		}}}
	}
	endpoint := func(address, node string) clustermesh.Endpoint {
		return clustermesh.Endpoint{Address: netip.MustParseAddr(address), Node: node, Ready: true, Serving: true}
	}
	ejected := global.Target{Port: 80, Cluster: "west", Address: netip.MustParseAddrPort("10.2.0.3:8080")}
	in := global.Input{
		Name: def.Name, Self: "west",
		Exports: []global.Export{
			export("west", 2, endpoint("10.2.0.1", "w1"), endpoint("10.2.0.2", "w2"), endpoint("10.2.0.3", "w1"), endpoint("10.2.0.4", "w1"),
				clustermesh.Endpoint{Address: netip.MustParseAddr("10.2.0.5")}),
			export("east", 1, endpoint("10.1.0.1", "e1")),
		},
		Health:    global.Health{Clusters: map[string]clustermesh.Families{"east": clustermesh.IPv4 | clustermesh.IPv6}},
		Drains:    global.Drains{Nodes: map[global.NodeName]global.Share{{Cluster: "west", Node: "w2"}: global.Whole}},
		Withdrawn: map[global.Pod]string{{Cluster: "west", Address: netip.MustParseAddr("10.2.0.4")}: "its node says so"},
		Ejected:   map[global.Target]string{ejected: "refused"},
	}
	merged := global.Merge(in)
	st := &loadbalancer.ServiceStatus{Name: def.Name, Merged: &merged, Input: &in, Ejections: []loadbalancer.Ejection{{Service: def.Name, Target: ejected}}}
	s := serviceOf(st, loadbalancer.Failure{})
	if s.Ports[0].Unused != nil {
		t.Error("nobody asked for who is not used")
	}
	s.explain(st, loadbalancer.Failure{})
	got := map[string]string{}
	for _, o := range s.Ports[0].Unused {
		got[o.Address.String()] = o.Reason
	}
	want := map[string]string{
		"10.1.0.1": "down by verdict: cluster east", "10.2.0.2": "drained: node w2",
		"10.2.0.4": "withdrawn: its node says so", "10.2.0.5": "not ready",
	}
	if !maps.Equal(got, want) || len(s.Ports[0].Unused) != len(want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if len(s.Ports[0].Ejected) != 1 || len(s.Ports[0].Backends) != 1 || s.Ports[1].Unused != nil {
		t.Errorf("got %+v", s.Ports)
	}
}

// Who is left out because a map is full is shown as not used, and why; so is all of a port
// that has no room itself. An ejection that is only observed hides no reason.
func TestLeftOutIsNotShownAsUsed(t *testing.T) {
	def := &clustermesh.Service{
		Name: clustermesh.ServiceName{Namespace: "demo", Name: "echo"}, Type: clustermesh.LoadBalancer, Weight: 100,
		Ports:           []clustermesh.ServicePort{{Name: "http", Protocol: clustermesh.TCP, Port: 80}},
		LoadBalancerIPs: []netip.Addr{netip.MustParseAddr("192.0.2.1")},
	}
	slice := &clustermesh.EndpointSlice{Service: def.Name, Name: "a", Ports: []clustermesh.EndpointPort{{Name: "http", Protocol: clustermesh.TCP, Port: 8080}}}
	for _, a := range []string{"10.1.0.1", "10.1.0.2", "10.1.0.3"} {
		slice.Endpoints = append(slice.Endpoints, clustermesh.Endpoint{Address: netip.MustParseAddr(a), Node: a, Ready: a != "10.1.0.3", Serving: a != "10.1.0.3"})
	}
	in := global.Input{Name: def.Name, Self: "east", Exports: []global.Export{{Cluster: "east", ClusterID: 1, Service: def, Slices: []*clustermesh.EndpointSlice{slice}}}}
	merged := global.Merge(in)
	observed := global.Target{Port: 80, Cluster: "east", Address: netip.MustParseAddrPort("10.1.0.3:8080")}
	st := &loadbalancer.ServiceStatus{Name: def.Name, Merged: &merged, Input: &in, Ejections: []loadbalancer.Ejection{{Service: def.Name, Target: observed}},
		Ports: []loadbalancer.PortStatus{{Protocol: clustermesh.TCP, Port: 80, External: merged.Ports[0].Frontends[0].Scope == global.External, Number: 1,
			LeftOut: []loadbalancer.LeftOut{{Cluster: 1, Address: netip.MustParseAddrPort("10.1.0.2:8080"), Tier: loadbalancer.Primary, Full: "backends"}}}}}
	full := loadbalancer.Failure{Service: def.Name, Full: []string{"backends"}}
	shown := func() (used, unused map[string]string) {
		s := serviceOf(st, full)
		s.explain(st, full)
		used, unused = map[string]string{}, map[string]string{}
		for _, b := range s.Ports[0].Backends {
			used[b.Address.Addr().String()] = fmt.Sprint(b.Share)
		}
		for _, o := range s.Ports[0].Unused {
			unused[o.Address.String()] = string(o.Step) + o.Table + ": " + o.Reason
		}
		return used, unused
	}
	used, unused := shown()
	if !maps.Equal(used, map[string]string{"10.1.0.1": "100"}) ||
		!maps.Equal(unused, map[string]string{"10.1.0.2": "room: the map of backends has no room for it", "10.1.0.3": "serving: not ready"}) {
		t.Errorf("used %v, unused %v", used, unused)
	}
	st.Ports = nil
	used, unused = shown()
	if len(used) != 0 || len(unused) != 3 || unused["10.1.0.1"] != "room: the map of backends has no room for it" {
		t.Errorf("without the port: used %v, unused %v", used, unused)
	}
}
