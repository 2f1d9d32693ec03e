package mirror

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/etcd"
	"tombolo.io/tombolo/etcd/election"
	"tombolo.io/tombolo/internal/etcdtest"
)

// BenchmarkMirror is 10,000 services of 10 endpoints from one etcd to another:
// the first copy, a burst of 1,000 changes, and changes one by one, each from
// before the peer writes it to when a reader of our store has it. Goals: 2 s,
// 0.3 s, and a median under 3 ms. Beside it, in the same run, a tenth of the first copy
// by a request a key.
func BenchmarkMirror(b *testing.B) {
	const services, burst, single = 10_000, 1_000, 200
	for b.Loop() {
		a := newAuthority(b)
		west := newStore(a)
		writer := west.writer()
		stage := func(i, generation int) {
			for _, o := range bigService(i, generation) {
				value, err := clustermesh.Encode(o)
				a.must(err)
				writer.Put(clustermesh.KeyOf(clustermesh.Export, o).String(), value)
			}
		}
		for i := range services {
			stage(i, 0)
		}
		a.must(writer.Flush(b.Context()))
		west.export(cluster("west", 2, "fd02::/16"))
		b.ReportMetric(10*keyByKey(west, newStore(a), services/10).Seconds(), "s/key-by-key")

		r := newRig(a)
		start := time.Now()
		r.lead(a.peerAt("west", west.address()))
		r.until("the first copy", func() bool {
			return r.view.Synced("west", clustermesh.KindSlices) && r.view.Synced("west", clustermesh.KindServices)
		})
		b.ReportMetric(time.Since(start).Seconds(), "s/copy")

		start = time.Now()
		for i := range burst {
			stage(i, 1)
		}
		a.must(writer.Flush(b.Context()))
		r.until("the burst", func() bool { return r.generation(burst-1) == 1 })
		b.ReportMetric(time.Since(start).Seconds(), "s/burst")

		var took []time.Duration
		for i := range single {
			start = time.Now()
			stage(i, 2)
			a.must(writer.Flush(b.Context()))
			r.until("a change", func() bool { return r.generation(i) == 2 })
			took = append(took, time.Since(start))
		}
		slices.Sort(took)
		b.ReportMetric(took[single/2].Seconds()*1000, "ms/change")
		b.ReportMetric(took[single*99/100].Seconds()*1000, "ms/change-p99")
		r.end()
	}
}

// keyByKey is the peer: it copies as many services with a request a key, as Cilium's
// kvstoremesh does where it is not limited, and returns how long that takes.
func keyByKey(from, to *store, services int) time.Duration {
	from.Helper()
	kept, err := from.Client.Raw().Get(from.Context(), clustermesh.Root+"export/", clientv3.WithPrefix(), clientv3.WithLimit(int64(2*services)))
	from.must(err)
	start := time.Now()
	for _, kv := range kept.Kvs {
		from.must(to.Client.Put(from.Context(), string(kv.Key), kv.Value))
	}
	return time.Since(start)
}

// writer returns a fenced writer of the peer's export/.
func (s *store) writer() *etcd.Writer {
	s.Helper()
	leader, err := election.Campaign(s.Context(), s.Client, etcdtest.Log(), election.Config{
		Prefix: clustermesh.Root + "election/", Ledger: clustermesh.Root + "ledger/", Name: "bench", TTL: 5 * time.Second,
	})
	s.must(err)
	w, err := etcd.NewWriter(context.Background(), s.Client, leader.Fence, exported)
	s.must(err)
	return w
}

// bigService is the i-th service and its ten endpoints, whose UIDs tell the
// generation.
func bigService(i, generation int) []clustermesh.Object {
	s := service(fmt.Sprintf("service-%d", i))
	e := &clustermesh.EndpointSlice{Service: s.Name, Name: "a", Ports: []clustermesh.EndpointPort{{Name: "http", Protocol: clustermesh.TCP, Port: 8080}}}
	for j := range 10 {
		n := i*10 + j
		e.Endpoints = append(e.Endpoints, clustermesh.Endpoint{
			Address: netip.AddrFrom16([16]byte{0xfd, 2, 13: byte(n >> 16), 14: byte(n >> 8), 15: byte(n)}),
			Node:    fmt.Sprintf("node-%d", n%100), Zone: "zone-a", PodUID: fmt.Sprintf("%d-90ab-cdef-%d", n, generation),
			Ready: true, Serving: true})
	}
	return []clustermesh.Object{s, e}
}

// generation returns that of the i-th service as the reader has it.
func (r *rig) generation(i int) int {
	for _, e := range r.view.Service(service(fmt.Sprintf("service-%d", i)).Name).Exports {
		var n, generation int
		if len(e.Slices) == 1 {
			fmt.Sscanf(e.Slices[0].Endpoints[0].PodUID, "%d-90ab-cdef-%d", &n, &generation)
			return generation
		}
	}
	return -1
}
