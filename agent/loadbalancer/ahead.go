package loadbalancer

import (
	"runtime"
	"slices"
	"sync"
	"time"

	"tombolo.io/tombolo/agent/maglev"
	"tombolo.io/tombolo/clustermesh/global"
)

// job is what is pure of the work on a key: from what the mesh knows of a service
// to the tables that it should have. Whoever works on it touches nothing else.
type job struct {
	key key
	// in is nil where there is nothing to merge, before what it came to the last
	// time, nil for never.
	in     *global.Input
	before *global.Service
	wish   wish
	// heard is LoadBalancer.heard when in was taken.
	heard uint64

	merged *global.Service
	want   []desired
	slots  []uint32 // the memory of tables that were built ahead
}

// decide merges the service and says what should lie in the maps.
func (j *job) decide() {
	if j.in == nil {
		return
	}
	merged := global.Merge(*j.in)
	j.merged, j.want = &merged, desire(&merged, j.wish)
}

// build builds the tables that are not as they were: those that will most
// likely be written. Of the others it is found out when they are applied.
func (j *job) build(b *builder) {
	j.slots = j.slots[:0]
	for i := range j.want {
		if i == len(j.merged.Ports) {
			return // what is wanted beside them is seldom written
		}
		d, p := &j.want[i], &j.merged.Ports[i]
		var was global.Port
		if j.before != nil && len(j.before.Ports) == len(j.merged.Ports) {
			was = j.before.Ports[i]
		}
		d.built[Primary] = j.table(b, d, Primary, sameTable(was.Primary, p.Primary))
		d.built[Backup] = j.table(b, d, Backup, sameTable(was.Backup, p.Backup))
	}
}

func (j *job) table(b *builder, d *desired, t Tier, same bool) []uint32 {
	if same {
		return nil
	}
	from := len(j.slots)
	j.slots = b.table(j.slots, d.tiers[t], d.size)
	return j.slots[from:]
}

// sameTable reports whether two lists of backends give the same table, as far as
// it is as large.
func sameTable(a, b []global.Backend) bool {
	return slices.EqualFunc(a, b, func(x, y global.Backend) bool {
		return x.ClusterID == y.ClusterID && x.Address == y.Address && x.Port == y.Port && x.Weight == y.Weight
	})
}

// builder builds tables one after the other.
type builder struct {
	maglev maglev.Builder
	inputs []maglev.Backend
}

// table appends a table to dst, the slots of which are indices into shares.
func (b *builder) table(dst []uint32, shares []share, size uint32) []uint32 {
	b.inputs = b.inputs[:0]
	for _, sh := range shares {
		b.inputs = append(b.inputs, maglev.Backend{Cluster: sh.cluster, Address: sh.address, Weight: sh.weight})
	}
	return b.maglev.Table(dst, b.inputs, size)
}

const (
	// batchSize is how many keys are handed over at once, and fewer are not worth to be.
	batchSize = 16
	// aheadOf is how many batches are decided ahead of the one that is applied.
	aheadOf = 8
)

// batch is a run of jobs, in memory that the next one reuses.
type batch struct {
	jobs []job
	done chan struct{}
}

// run does the jobs, and calls between after each.
func (t *batch) run(b *builder, between func()) {
	for i := range t.jobs {
		t.jobs[i].decide()
		t.jobs[i].build(b)
		between()
	}
	t.done <- struct{}{}
}

// ahead decides batches on all cores, while their owner applies them in their
// order.
type ahead struct {
	ring    [aheadOf]batch
	todo    chan *batch
	builder builder // the owner's
	workers sync.WaitGroup
}

// newAhead starts a worker for each core beside the owner's; end ends them.
func newAhead() *ahead {
	a := &ahead{todo: make(chan *batch, aheadOf)} // has room for the whole ring
	for i := range a.ring {
		a.ring[i].done = make(chan struct{}, 1)
	}
	for range max(1, runtime.GOMAXPROCS(0)-1) {
		a.workers.Go(a.work)
	}
	return a
}

// work lets others in after each job: with all cores at work whoever has a verdict
// would wait for one until the runtime takes it away, which is after 10 ms.
func (a *ahead) work() {
	var b builder
	for t := range a.todo {
		t.run(&b, runtime.Gosched)
	}
}

func (a *ahead) end() {
	close(a.todo)
	a.workers.Wait()
}

// settleKeys brings keys to what they should be, in their order. Between any two
// it looks for verdicts: they do not wait for a thousand services.
func (l *LoadBalancer) settleKeys(keys []key, now time.Time) {
	if len(keys) > l.batch {
		l.settleMany(keys, now)
		return
	}
	for _, k := range keys {
		l.judgeWaiting(now)
		var j job
		l.prepare(&j, k)
		j.decide()
		l.settled(k, l.reconcile(&j, now), now)
	}
}

func (l *LoadBalancer) settleMany(keys []key, now time.Time) {
	a := newAhead()
	defer a.end()
	batches := slices.Collect(slices.Chunk(keys, l.batch))
	next := 0
	for i := range batches {
		for ; next < min(len(batches), i+aheadOf); next++ {
			t := &a.ring[next%aheadOf]
			t.jobs = slices.Grow(t.jobs[:0], l.batch)[:len(batches[next])]
			for n, k := range batches[next] {
				l.prepare(&t.jobs[n], k)
			}
			a.todo <- t
		}
		t := &a.ring[i%aheadOf]
		l.await(a, t, now)
		l.apply(t, now)
		l.graceBetween(now)
	}
}

// prepare makes the job of a key, of what is known of it now.
func (l *LoadBalancer) prepare(j *job, k key) {
	*j = job{key: k, heard: l.heard, slots: j.slots}
	j.wish = wish{outliers: l.config.Outliers != IgnoreOutliers, packets: l.config.Packets, direct: l.config.Direct, node: l.config.Node, inside: l.inside}
	if k.pinned != 0 || l.view.Self() == nil {
		return
	}
	in := l.input(k)
	j.in, j.wish.cluster = &in, in.Self
	if i, known := l.report.at[k.service]; known {
		j.before = l.report.services[i].Merged
	}
}

// await returns when a batch is decided, and decides others meanwhile. It never
// sleeps, and leaves the workers what they have to do as soon as it can go on: on a
// virtual machine a core that sleeps wakes after 0.1 to 4 ms, in which it would have
// decided ten batches.
func (l *LoadBalancer) await(a *ahead, t *batch, now time.Time) {
	for {
		select {
		case <-t.done:
			return
		default:
		}
		select {
		case <-t.done:
			return
		case other := <-a.todo:
			other.run(&a.builder, func() { l.judgeWaiting(now) })
		default:
			runtime.Gosched()
		}
		l.judgeWaiting(now)
	}
}

// apply applies a batch. What was decided was decided of what was known then: what
// was heard since is not in it, and so it is decided anew.
func (l *LoadBalancer) apply(t *batch, now time.Time) {
	for i := range t.jobs {
		l.judgeWaiting(now)
		j := &t.jobs[i]
		if j.heard != l.heard {
			l.prepare(j, j.key)
			j.decide()
		}
		l.settled(j.key, l.reconcile(j, now), now)
	}
}
