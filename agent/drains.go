package agent

import (
	"context"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"tombolo.io/tombolo/agent/loadbalancer"
	"tombolo.io/tombolo/bpf"
	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/view"
	"tombolo.io/tombolo/etcd"
)

// drains counts the connections of this node that are left to what clusters drain.
// While nobody drains anything it does nothing.
type drains struct {
	balanced func() *loadbalancer.Snapshot
	datapath *bpf.Datapath
	// count counts; a test has its own.
	count  func() []clustermesh.DrainCount
	latest atomic.Pointer[[]clustermesh.DrainCount]
	// report is how many bytes the node's last report had; the watcher says it.
	report atomic.Int64

	// clusters are those of the mesh, by the place of what they share: their own
	// names in mirror/, and the empty name.
	clusters map[string]*clustermesh.Cluster
	// drains are what they drain, without what comes back, by key.
	drains map[string]ofCluster
	// nodes are those of our own cluster, by name.
	nodes map[string]bool
}

// ofCluster is a drain, and the place of the cluster whose it is.
type ofCluster struct {
	place string
	drain *clustermesh.Drain
}

func newDrains(balanced func() *loadbalancer.Snapshot, d *bpf.Datapath) *drains {
	out := &drains{balanced: balanced, datapath: d,
		clusters: map[string]*clustermesh.Cluster{}, drains: map[string]ofCluster{}, nodes: map[string]bool{}}
	out.count = out.tally
	out.latest.Store(new([]clustermesh.DrainCount))
	return out
}

// counted returns what was counted last, by cluster, kind and name. It is never
// changed; any goroutine may ask.
func (d *drains) counted() []clustermesh.DrainCount { return *d.latest.Load() }

// What all agents of a cluster together write at most because counts change.
const (
	writesASecond = 100
	bytesASecond  = 400 << 10 // the store keeps every one for ten minutes
)

// pace is how long a count stands at least: each that is another writes the node's
// whole report, of so many bytes.
func pace(nodes, report int) time.Duration {
	each := max(time.Second/writesASecond, time.Duration(report)*time.Second/bytesASecond)
	return max(time.Second, time.Duration(nodes)*each)
}

func (d *drains) run(ctx context.Context, batches <-chan view.Batch) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var next time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case b := <-batches:
			if !d.take(b) {
				continue
			}
		case <-timer.C:
		}
		now := time.Now()
		if wait := next.Sub(now); wait > 0 {
			timer.Reset(wait)
			continue
		}
		if len(d.drains) == 0 {
			d.publish(nil)
			continue
		}
		d.publish(d.count())
		next = now.Add(pace(len(d.nodes), int(d.report.Load())))
		timer.Reset(next.Sub(now))
	}
}

// publish stores a count if it is another.
func (d *drains) publish(now []clustermesh.DrainCount) {
	if !slices.Equal(now, d.counted()) {
		d.latest.Store(&now)
	}
}

// take takes a batch in, and reports whether it says something of drains.
func (d *drains) take(b view.Batch) (told bool) {
	for _, e := range b.Events {
		if k, err := clustermesh.ParseKey(e.Key); err == nil && d.see(k, e) {
			told = true
		}
	}
	return told
}

func (d *drains) see(k clustermesh.Key, e etcd.Event[clustermesh.Object]) (told bool) {
	if e.Op != etcd.Put && e.Op != etcd.Delete {
		return false
	}
	switch k.Kind {
	case clustermesh.KindCluster:
		if c, ok := e.Value.(*clustermesh.Cluster); ok {
			d.clusters[k.Cluster] = c
		} else if e.Op == etcd.Delete {
			delete(d.clusters, k.Cluster)
		}
		return true
	case clustermesh.KindDrains:
		delete(d.drains, e.Key)
		if o, ok := e.Value.(*clustermesh.Drain); ok && o.Returning.IsZero() {
			d.drains[e.Key] = ofCluster{k.Cluster, o}
		}
		return true
	case clustermesh.KindNodes:
		if k.Area == clustermesh.Mirror {
			return false
		}
		if delete(d.nodes, k.Name); e.Op == etcd.Put {
			d.nodes[k.Name] = true
		}
	}
	return false
}

// tally counts the connections to what is drained, as the maps are now.
func (d *drains) tally() []clustermesh.DrainCount {
	counts := map[clustermesh.DrainRef]uint32{}
	for _, o := range d.drains {
		if c := d.clusters[o.place]; c != nil {
			counts[clustermesh.DrainRef{Cluster: c.Name, What: o.drain.What, Name: o.drain.Name}] = 0
		}
	}
	snap, names := d.balanced(), map[uint16]string{}
	for _, c := range d.clusters {
		names[c.ID] = c.Name
	}
	services := snap.Numbers()
	sockets, _ := d.datapath.Sockets.All() // the disconnector says why some cannot be seen
	for s := range sockets {
		b, ok := d.datapath.Backends.Of(s)
		if !ok {
			continue
		}
		cluster := names[b.Cluster]
		for _, ref := range []clustermesh.DrainRef{
			{Cluster: cluster, What: clustermesh.DrainCluster, Name: cluster},
			{Cluster: cluster, What: clustermesh.DrainNode, Name: snap.Node(b.Node)},
			{Cluster: cluster, What: clustermesh.DrainService, Name: services[b.Service].String()},
		} {
			if n, drained := counts[ref]; drained {
				counts[ref] = n + 1
			}
		}
	}
	refs := slices.SortedFunc(maps.Keys(counts), clustermesh.DrainRef.Compare)
	var out []clustermesh.DrainCount
	for _, ref := range refs[:min(len(refs), clustermesh.MaxReportedDrains)] {
		out = append(out, clustermesh.DrainCount{DrainRef: ref, Connections: counts[ref]})
	}
	return out
}
