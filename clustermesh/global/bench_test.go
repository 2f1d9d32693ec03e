package global

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"tombolo.io/tombolo/clustermesh"
)

// BenchmarkMerge is one service of two clusters with five endpoints each: what
// an agent merges for each of 10,000 services when it starts.
func BenchmarkMerge(b *testing.B) {
	in := Input{Self: "east"}
	for name, id := range map[string]uint16{"east": 1, "west": 2} {
		slice := &clustermesh.EndpointSlice{Name: "s", Ports: []clustermesh.EndpointPort{{Name: "http", Protocol: clustermesh.TCP, Port: 8080}}}
		for i := range 5 {
			slice.Endpoints = append(slice.Endpoints, clustermesh.Endpoint{
				Address: netip.AddrFrom4([4]byte{10, byte(id), 0, byte(i)}), PodUID: fmt.Sprint(i), Node: "n", Ready: true, Serving: true})
		}
		in.Exports = append(in.Exports, Export{Cluster: name, ClusterID: id, Slices: []*clustermesh.EndpointSlice{slice},
			Service: &clustermesh.Service{Global: true, Shared: true, Weight: 100, Created: time.Unix(1, 0),
				ClusterIPs: []netip.Addr{netip.MustParseAddr("172.20.0.1")},
				Ports:      []clustermesh.ServicePort{{Name: "http", Protocol: clustermesh.TCP, Port: 80}}}})
	}
	b.ReportAllocs()
	for b.Loop() {
		if got := len(Merge(in).Ports[0].Primary); got != 10 {
			b.Fatalf("%d backends", got)
		}
	}
}
