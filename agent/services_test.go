package agent

import (
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
