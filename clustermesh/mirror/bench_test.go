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
// and all of the changes by a request a key.
func BenchmarkMirror(b *testing.B) {
	const services = 10_000
	for b.Loop() {
		a := newAuthority(b)
		west := &busy{store: newStore(a)}
		west.Writer = west.writer()
		for i := range services {
			west.stage(i, 0)
		}
		a.must(west.Flush(b.Context()))
		west.export(cluster("west", 2, "fd02::/16"))
		b.ReportMetric(10*keyByKey(west.store, newStore(a), services/10).Seconds(), "s/key-by-key")

		arrive, stop := follow(west.store, newStore(a))
		together, single := west.change(1, func(first, last, _ int) { arrive(last - first + 1) })
		stop()
		b.ReportMetric(together.Seconds(), "s/burst-key-by-key")
		b.ReportMetric(single[len(single)/2].Seconds()*1000, "ms/change-key-by-key")

		r := newRig(a)
		start := time.Now()
		r.lead(a.peerAt("west", west.address()))
		r.until("the first copy", func() bool {
			return r.view.Synced("west", clustermesh.KindSlices) && r.view.Synced("west", clustermesh.KindServices)
		})
		b.ReportMetric(time.Since(start).Seconds(), "s/copy")

		together, single = west.change(3, func(_, last, generation int) {
			r.until("a change", func() bool { return r.generation(last) == generation })
		})
		b.ReportMetric(together.Seconds(), "s/burst")
		b.ReportMetric(single[len(single)/2].Seconds()*1000, "ms/change")
		b.ReportMetric(single[len(single)*99/100].Seconds()*1000, "ms/change-p99")
		r.end()
	}
}

// busy is a peer whose endpoints change.
type busy struct {
	*store
	*etcd.Writer
}

// stage stages a generation of the i-th service.
func (s *busy) stage(i, generation int) {
	for _, o := range bigService(i, generation) {
		value, err := clustermesh.Encode(o)
		s.must(err)
		s.Put(clustermesh.KeyOf(clustermesh.Export, o).String(), value)
	}
}

// change makes 1,000 changes together, and then 200 one by one in the next generation.
// It returns how long they took until they had arrived, those of the latter sorted.
func (s *busy) change(generation int, arrived func(first, last, generation int)) (together time.Duration, single []time.Duration) {
	took := func(first, last, generation int) time.Duration {
		start := time.Now()
		for i := first; i <= last; i++ {
			s.stage(i, generation)
		}
		s.must(s.Flush(s.Context()))
		arrived(first, last, generation)
		return time.Since(start)
	}
	together = took(0, 999, generation)
	for i := range 200 {
		single = append(single, took(i, i, generation+1))
	}
	slices.Sort(single)
	return together, single
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

// follow is the peer for changes: it writes each as it comes, with a request of its own.
// The first function that it returns returns when a reader has so many more.
func follow(from, to *store) (arrive func(n int), stop func()) {
	ctx, cancel := context.WithCancel(from.Context())
	changes := from.Client.Raw().Watch(ctx, exported, clientv3.WithPrefix())
	seen := to.Client.Raw().Watch(ctx, exported, clientv3.WithPrefix())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for r := range changes {
			for _, e := range r.Events {
				if err := to.Client.Put(ctx, string(e.Kv.Key), e.Kv.Value); err != nil && ctx.Err() == nil {
					from.Error(err)
				}
			}
		}
	}()
	return func(n int) {
			for n > 0 {
				r, open := <-seen
				if !open {
					from.Fatal("the peer's reader ended")
				}
				n -= len(r.Events)
			}
		}, func() {
			cancel()
			<-ended
		}
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
