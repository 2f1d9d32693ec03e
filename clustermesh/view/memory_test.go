package view

import (
	"fmt"
	"net/netip"
	"runtime"
	"testing"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/etcd"
)

// TestMemory puts 100,000 remote endpoints of 10,000 services, with the
// identity of each, into a view. The agent as a whole has 200 MiB for them; the
// view is to leave most of that to others.
func TestMemory(t *testing.T) {
	const services, each, limit = 10_000, 10, 90 << 20
	before := heap()
	v, decode := New("e1"), Table(clustermesh.Root).Decode
	put := func(kind clustermesh.Kind, name string, o clustermesh.Object) etcd.Event[clustermesh.Object] {
		key := clustermesh.Key{Area: clustermesh.Mirror, Cluster: "west", Kind: kind, Name: name}.String()
		value, err := clustermesh.Encode(o)
		if err != nil {
			t.Fatal(err)
		}
		decoded, err := decode(key, value)
		if err != nil {
			t.Fatal(err)
		}
		return etcd.Event[clustermesh.Object]{Op: etcd.Put, Key: key, Value: decoded, Revision: 1}
	}
	for i := range services {
		var b Batch
		name := clustermesh.ServiceName{Namespace: fmt.Sprintf("team-%d", i%100), Name: fmt.Sprintf("service-%d", i)}
		slice := &clustermesh.EndpointSlice{Service: name, Name: name.Name + "-abcde",
			Ports: []clustermesh.EndpointPort{{Name: "http", Protocol: clustermesh.TCP, Port: 8080}}}
		for j := range each {
			n := i*each + j
			a := netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})
			node, uid := fmt.Sprintf("node-%d.west.example.com", n%1000), fmt.Sprintf("%08d-90ab-cdef-1234-567890abcdef", n)
			slice.Endpoints = append(slice.Endpoints, clustermesh.Endpoint{Address: a, Node: node, Zone: fmt.Sprintf("zone-%d", n%3),
				PodUID: uid, Ready: true, Serving: true})
			b.Events = append(b.Events, put(clustermesh.KindEndpoints, a.String(), &clustermesh.EndpointIdentity{Address: a,
				Identity: clustermesh.NewIdentityID(2, uint16(i+1)), PodUID: uid, Node: node, Pod: fmt.Sprintf("%s/%s-%d", name.Namespace, name.Name, j)}))
		}
		b.Events = append(b.Events,
			put(clustermesh.KindServices, name.String(), &clustermesh.Service{Name: name, Global: true, Shared: true, Weight: 100,
				ClusterIPs: []netip.Addr{netip.AddrFrom4([4]byte{172, 20, byte(i >> 8), byte(i)})}, Labels: map[string]string{"app": name.Name},
				Ports: []clustermesh.ServicePort{{Name: "http", Protocol: clustermesh.TCP, Port: 80}}}),
			put(clustermesh.KindSlices, name.String()+"/"+slice.Name, slice))
		v.Apply(b)
	}
	used := heap() - before
	t.Logf("%d endpoints and their identities: %.1f MiB", services*each, float64(used)/(1<<20))
	if used > limit {
		t.Errorf("the view takes %d MiB, more than %d", used>>20, limit>>20)
	}
	runtime.KeepAlive(v)
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
