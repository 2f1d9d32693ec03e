package loadbalancer

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"runtime"
	"runtime/debug"
	"slices"
	"testing"
	"time"

	"tombolo.io/tombolo/agent/maglev"
	"tombolo.io/tombolo/bpf"
	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/view"
	"tombolo.io/tombolo/etcd"
	"tombolo.io/tombolo/internal/etcdtest"
)

// The mesh of the benchmarks: our own definitions, and the endpoints of all in
// another cluster.
const (
	benchServices = 10_000
	benchBackends = 10
)

// benchObjects returns what our etcd holds, by key, with the markers.
func benchObjects() map[string]clustermesh.Object {
	out := map[string]clustermesh.Object{}
	put := func(area clustermesh.Area, cluster string, o clustermesh.Object) {
		k := clustermesh.KeyOf(area, o)
		k.Cluster = cluster
		out[k.String()] = o
	}
	for id, name := range []string{"east", "west"} {
		c := &clustermesh.Cluster{Name: name, ID: uint16(id + 1),
			PodCIDRs:  []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(10 + id)}), 8)},
			NodeCIDRs: []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 168, byte(id)}), 24)}}
		if id == 0 {
			put(clustermesh.Export, "", c)
		} else {
			put(clustermesh.Mirror, name, c)
			put(clustermesh.Private, "", &clustermesh.Peer{Name: name, Endpoints: []string{"https://west:2379"}, TLS: clustermesh.TLSFiles{CA: "/ca", Cert: "/cert", Key: "/key"}})
		}
	}
	for i := range benchServices {
		s, slice := benchService(i, 0)
		put(clustermesh.Export, "", s)
		put(clustermesh.Mirror, "west", s)
		put(clustermesh.Mirror, "west", slice)
	}
	for area, cluster := range map[clustermesh.Area]string{clustermesh.Export: "", clustermesh.Private: "", clustermesh.Mirror: "west"} {
		for _, e := range synced(area, cluster) {
			out[e.Key] = &clustermesh.Synced{Source: "a-pass", Epoch: "one"}
		}
	}
	return out
}

// benchService returns a service and its slice; other makes one endpoint another.
func benchService(i, other int) (*clustermesh.Service, *clustermesh.EndpointSlice) {
	name := clustermesh.ServiceName{Namespace: fmt.Sprintf("team-%d", i%100), Name: fmt.Sprintf("service-%d", i)}
	slice := &clustermesh.EndpointSlice{Service: name, Name: name.Name + "-abcde",
		Ports: []clustermesh.EndpointPort{{Name: "http", Protocol: clustermesh.TCP, Port: 8080}}}
	for e := range benchBackends {
		n := i*benchBackends + e
		slice.Endpoints = append(slice.Endpoints, clustermesh.Endpoint{
			Address: netip.AddrFrom4([4]byte{11, byte(n >> 16), byte(n >> 8), byte(n)}), PodUID: fmt.Sprintf("%08d-90ab-cdef-1234-567890abcdef", n),
			Node: fmt.Sprintf("node-%d", n%1000), Zone: fmt.Sprintf("zone-%d", n%3), Ready: true, Serving: true,
		})
	}
	slice.Endpoints[0].Address = netip.AddrFrom4([4]byte{11, 200 + byte(other), byte(i >> 8), byte(i)})
	return &clustermesh.Service{
		Name: name, Global: true, Shared: true, Weight: 100, TableSize: 1021,
		ClusterIPs: []netip.Addr{netip.AddrFrom4([4]byte{172, 20, byte(i >> 8), byte(i)})},
		Ports:      []clustermesh.ServicePort{{Name: "http", Protocol: clustermesh.TCP, Port: 80}},
	}, slice
}

// benchShared is benchObjects with half of each service's endpoints in our own
// cluster.
func benchShared() map[string]clustermesh.Object {
	out := benchObjects()
	for _, o := range slices.Collect(maps.Values(out)) {
		theirs, ok := o.(*clustermesh.EndpointSlice)
		if !ok {
			continue
		}
		ours := *theirs
		ours.Endpoints, theirs.Endpoints = nil, theirs.Endpoints[:benchBackends/2]
		for _, e := range theirs.Endpoints {
			a := e.Address.As4()
			a[0] = 10
			e.Address = netip.AddrFrom4(a)
			ours.Endpoints = append(ours.Endpoints, e)
		}
		out[clustermesh.KeyOf(clustermesh.Export, &ours).String()] = &ours
	}
	return out
}

// finishAll settles until nothing waits for room, and ends grace periods.
func finishAll(l *LoadBalancer) {
	l.settle(time.Now())
	for len(l.starving) > 0 {
		finish(l)
		l.settle(time.Now())
	}
	finish(l)
}

// benchBatch is the objects as one batch.
func benchBatch(objects map[string]clustermesh.Object) view.Batch {
	b := view.Batch{Revision: 1}
	for k, o := range objects {
		if o.Kind() == clustermesh.KindSynced {
			continue // after what they vouch for
		}
		b.Events = append(b.Events, etcd.Event[clustermesh.Object]{Op: etcd.Put, Key: k, Value: o, Revision: 1})
	}
	for k, o := range objects {
		if o.Kind() == clustermesh.KindSynced {
			b.Events = append(b.Events, etcd.Event[clustermesh.Object]{Op: etcd.Synced, Key: k})
		}
	}
	return b
}

// BenchmarkWriteTables writes the tables of all services, which are computed
// already, to the kernel.
func BenchmarkWriteTables(b *testing.B) {
	k := loadKernelMaps(b, bpf.DefaultSizes())
	in := make([]maglev.Backend, benchBackends)
	for i := range in {
		in[i] = maglev.Backend{Cluster: 1, Address: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), 80), Weight: 1}
	}
	table := maglev.Table(in, 1021)
	offset := uint32(0)
	for b.Loop() {
		for n := range uint32(benchServices) {
			k.PutSlots(offset, table)
			k.PutService(1+n, Service{Tables: [tiers]Extent{{offset, 1021}}})
			if offset += 1021; offset+1021 > k.Limits().Slots {
				offset = 0
			}
		}
	}
}

// BenchmarkComputeAndWriteTables computes the tables of all services, each of
// other backends, and writes them to the kernel.
func BenchmarkComputeAndWriteTables(b *testing.B) {
	l := fresh(b)
	shares := make([]share, benchBackends)
	members := make([]member, benchBackends)
	for b.Loop() {
		for n := range uint32(benchServices) {
			for i := range shares {
				a := netip.AddrFrom4([4]byte{10, byte(n >> 8), byte(n), byte(i)})
				shares[i] = share{endpoint{cluster: 2, address: netip.AddrPortFrom(a, 8080)}, 100}
				members[i] = member{n*benchBackends + uint32(i), 100}
			}
			want := table{Extent{n * 1021, 1021}, members}
			l.target.PutSlots(n*1021, l.state.table(&desired{tiers: [tiers][]share{shares}, size: 1021}, Primary, want))
			l.target.PutService(1+n, Service{Tables: [tiers]Extent{{n * 1021, 1021}}})
		}
	}
}

// fresh returns a LoadBalancer over maps that are empty.
func fresh(b *testing.B) *LoadBalancer {
	before := debug.SetGCPercent(GCPercent)
	b.Cleanup(func() { debug.SetGCPercent(before) })
	l := New(Config{Node: "n"}, loadKernelMaps(b, bpf.DefaultSizes()), slog.New(slog.DiscardHandler))
	if err := l.restore(); err != nil {
		b.Fatal(err)
	}
	return l
}

// finish ends the grace period that runs, if one does.
func finish(l *LoadBalancer) {
	if l.state.limbo.running {
		l.graceEnded(<-l.graceDone, time.Now())
	}
}

// BenchmarkFill merges, computes and writes all services; the frontends, which
// are calls into the kernel, included.
func BenchmarkFill(b *testing.B) {
	batch := benchBatch(benchObjects())
	for b.Loop() {
		b.StopTimer()
		l := fresh(b)
		l.take(batch)
		runtime.GC()
		b.StartTimer()
		l.settle(time.Now())
		b.StopTimer()
		if f := l.queue.Failures(); len(f) > 0 || len(l.state.owners) != benchServices {
			b.Fatalf("%d frontends, %d failures", len(l.state.owners), len(f))
		}
		finish(l)
		b.StartTimer()
	}
}

// BenchmarkRebuild computes and writes the tables of all services anew, as when
// a cluster comes or goes.
func BenchmarkRebuild(b *testing.B) {
	l := fresh(b)
	l.take(benchBatch(benchObjects()))
	l.settle(time.Now())
	other := 0
	for b.Loop() {
		b.StopTimer()
		finish(l)
		other = 1 - other
		batch := view.Batch{Revision: 2}
		for i := range benchServices {
			_, slice := benchService(i, other)
			k := clustermesh.KeyOf(clustermesh.Mirror, slice)
			k.Cluster = "west"
			batch.Events = append(batch.Events, etcd.Event[clustermesh.Object]{Op: etcd.Put, Key: k.String(), Value: slice, Revision: 2})
		}
		l.take(batch)
		runtime.GC()
		b.StartTimer()
		l.settle(time.Now())
		for len(l.starving) > 0 { // two tables each are more than there are slots
			finish(l)
			l.settle(time.Now())
		}
	}
	b.StopTimer()
	finish(l)
	if f := l.queue.Failures(); len(f) > 0 {
		b.Fatalf("%d services failed, first with %v", len(f), f[0].Err)
	}
}

// BenchmarkEndpointChange takes one slice in, of one of all services, and
// writes what it changes.
func BenchmarkEndpointChange(b *testing.B) {
	l := fresh(b)
	l.take(benchBatch(benchObjects()))
	l.settle(time.Now())
	finish(l)
	n := 0
	for b.Loop() {
		n++
		_, slice := benchService(n%benchServices, n/benchServices%2)
		slice.Endpoints[1].Ready = n%2 == 0
		k := clustermesh.KeyOf(clustermesh.Mirror, slice)
		k.Cluster = "west"
		l.take(view.Batch{Revision: int64(n), Events: []etcd.Event[clustermesh.Object]{{Op: etcd.Put, Key: k.String(), Value: slice, Revision: int64(n)}}})
		l.settle(time.Now())
		select {
		case err := <-l.graceDone:
			l.graceEnded(err, time.Now())
		default:
		}
	}
	b.StopTimer()
	finish(l)
}

// BenchmarkFromStore starts an agent's loadbalancer over empty maps and waits
// until all that lies in a real etcd is in them. It also says what memory that
// takes besides the maps.
func BenchmarkFromStore(b *testing.B) {
	client := etcdtest.New(b).Dial()
	fillStore(b, client)
	for b.Loop() {
		b.StopTimer()
		k := loadKernelMaps(b, bpf.DefaultSizes())
		l := New(Config{Node: "n"}, k, slog.New(slog.DiscardHandler))
		before := heapInUse()
		ctx, cancel := context.WithCancel(b.Context())
		batches := make(chan view.Batch)
		done := make(chan error, 2)
		b.StartTimer()
		go func() { done <- view.Watch(ctx, client, slog.New(slog.DiscardHandler), batches) }()
		go func() { done <- l.Run(ctx, batches) }()
		for len(l.Snapshot().services) < benchServices {
			time.Sleep(time.Millisecond)
		}
		b.StopTimer()
		b.ReportMetric(float64(heapInUse()-before)/(1<<20), "MiB")
		cancel()
		<-done
		<-done
		b.StartTimer()
	}
}

func fillStore(b *testing.B, c *etcd.Client) {
	b.Helper()
	const leader = "tombolo/leader"
	etcdtest.Put(b, c, clustermesh.EpochKey, "one", leader, "")
	kv, _, err := c.Get(b.Context(), leader)
	if err != nil {
		b.Fatal(err)
	}
	w, err := etcd.NewWriter(b.Context(), c, etcd.Fence{Key: leader, Revision: kv.Created, Ledger: "tombolo/ledger/"}, clustermesh.Root)
	if err != nil {
		b.Fatal(err)
	}
	for k, o := range benchObjects() {
		value, err := clustermesh.Encode(o)
		if err != nil {
			b.Fatal(err)
		}
		if o.Kind() == clustermesh.KindSynced {
			w.Mark(k, value)
		} else {
			w.Put(k, value)
		}
	}
	if err := w.Flush(b.Context()); err != nil {
		b.Fatal(err)
	}
}

func heapInUse() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
