package view

import (
	"context"
	"fmt"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/etcd"
	"tombolo.io/tombolo/internal/etcdtest"
)

// Of the figures below an agent is to bear 100,000 remote endpoints.
const services, each = 10_000, 10

// TestMemory puts the endpoints of 10,000 services, with the identity of each,
// into a view. The agent as a whole has 200 MiB for them; the view is to leave
// most of that to others.
func TestMemory(t *testing.T) {
	const limit = 90 << 20
	before := heap()
	v, decode := New("e1"), Table(clustermesh.Root).Decode
	for i := range services {
		var b Batch
		for _, o := range remote(i) {
			key, value := mirrored(t, o)
			decoded, err := decode(key, value)
			if err != nil {
				t.Fatal(err)
			}
			b.Events = append(b.Events, etcd.Event[clustermesh.Object]{Op: etcd.Put, Key: key, Value: decoded, Revision: 1})
		}
		v.Apply(b)
	}
	used := heap() - before
	t.Logf("%d endpoints and their identities: %.1f MiB", services*each, float64(used)/(1<<20))
	if used > limit {
		t.Errorf("the view takes %d MiB, more than %d", used>>20, limit>>20)
	}
	runtime.KeepAlive(v)
}

// BenchmarkWatch is how long a fresh reader needs for the same from a real
// etcd, and what it holds afterwards, the watch included. The etcd is in this
// process too, so that what it holds for the listing counts until it lets go.
func BenchmarkWatch(b *testing.B) {
	s := etcdtest.New(b)
	c := s.Dial()
	etcdtest.Put(b, c, clustermesh.EpochKey, "one")
	fill(b, c)
	for b.Loop() {
		before := heap()
		v, batches := New("e1"), make(chan Batch)
		ctx, cancel := context.WithCancel(b.Context())
		done := make(chan error, 1)
		start := time.Now()
		go func() { done <- Watch(ctx, c, etcdtest.Log(), batches) }()
		for !v.Synced("west", clustermesh.KindServices, clustermesh.KindSlices, clustermesh.KindEndpoints) {
			v.Apply(<-batches)
		}
		b.ReportMetric(time.Since(start).Seconds(), "s/list")
		b.ReportMetric(float64(heap()-before)/(1<<20), "MiB")
		runtime.KeepAlive(v)
		cancel()
		<-done
	}
}

// fill stores the mirror of a cluster, with its markers.
func fill(b *testing.B, c *etcd.Client) {
	b.Helper()
	const leader = "tombolo/leader"
	etcdtest.Put(b, c, leader, "")
	kv, _, err := c.Get(b.Context(), leader)
	if err != nil {
		b.Fatal(err)
	}
	w, err := etcd.NewWriter(b.Context(), c, etcd.Fence{Key: leader, Revision: kv.Created, Ledger: "tombolo/ledger/"}, clustermesh.Root)
	if err != nil {
		b.Fatal(err)
	}
	for i := range services {
		for _, o := range remote(i) {
			w.Put(mirrored(b, o))
		}
	}
	for _, k := range clustermesh.Tables(clustermesh.Mirror) {
		value, err := clustermesh.Encode(&clustermesh.Synced{Source: "a-pass", Epoch: "one"})
		if err != nil {
			b.Fatal(err)
		}
		w.Mark(clustermesh.Key{Area: clustermesh.Mirror, Cluster: "west", Kind: clustermesh.KindSynced, Name: string(k)}.String(), value)
	}
	if err := w.Flush(b.Context()); err != nil {
		b.Fatal(err)
	}
}

// remote returns the i-th service, its slice, and the identities of its endpoints.
func remote(i int) []clustermesh.Object {
	name := clustermesh.ServiceName{Namespace: fmt.Sprintf("team-%d", i%100), Name: fmt.Sprintf("service-%d", i)}
	slice := &clustermesh.EndpointSlice{Service: name, Name: name.Name + "-abcde",
		Ports: []clustermesh.EndpointPort{{Name: "http", Protocol: clustermesh.TCP, Port: 8080}}}
	out := []clustermesh.Object{slice, &clustermesh.Service{
		Name: name, Global: true, Shared: true, Weight: 100, Labels: map[string]string{"app": name.Name},
		ClusterIPs: []netip.Addr{netip.AddrFrom4([4]byte{172, 20, byte(i >> 8), byte(i)})},
		Ports:      []clustermesh.ServicePort{{Name: "http", Protocol: clustermesh.TCP, Port: 80}},
	}}
	for j := range each {
		n := i*each + j
		e := clustermesh.Endpoint{
			Address: netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}), PodUID: fmt.Sprintf("%08d-90ab-cdef-1234-567890abcdef", n),
			Node: fmt.Sprintf("node-%d.west.example.com", n%1000), Zone: fmt.Sprintf("zone-%d", n%3), Ready: true, Serving: true,
		}
		slice.Endpoints = append(slice.Endpoints, e)
		out = append(out, &clustermesh.EndpointIdentity{Address: e.Address, Identity: clustermesh.NewIdentityID(2, uint16(i+1)),
			PodUID: e.PodUID, Node: e.Node, Pod: fmt.Sprintf("%s/%s-%d", name.Namespace, name.Name, j)})
	}
	return out
}

// mirrored returns the key and the value of an object in west's mirror.
func mirrored(t testing.TB, o clustermesh.Object) (key string, value []byte) {
	t.Helper()
	k := clustermesh.KeyOf(clustermesh.Mirror, o)
	k.Cluster = "west"
	value, err := clustermesh.Encode(o)
	if err != nil {
		t.Fatal(err)
	}
	return k.String(), value
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
