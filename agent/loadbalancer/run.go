package loadbalancer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/global"
	"tombolo.io/tombolo/clustermesh/view"
	"tombolo.io/tombolo/internal/reconcile"
)

// Config is what a LoadBalancer needs to know.
type Config struct {
	// Node is the name of the node whose maps these are.
	Node string
	// Backoff bounds the wait before a service is tried again that could not be
	// written; the zero value is DefaultBackoff.
	Backoff reconcile.Backoff
	// Down is called when a verdict that something is down was stored, before the
	// tables are built anew, and when backends were found to be gone; nil is nobody.
	// It must not wait.
	Down func()
	// StaleAfter is how old a mirror may be before its cluster's endpoints leave the
	// tables while others remain; zero is for ever.
	StaleAfter time.Duration
	// Packets: packets from outside are led to backends, not sockets alone.
	Packets bool
	// Direct: other nodes of the cluster send packets here as they came, for endpoints of
	// this node.
	Direct bool
	// NodePorts are where node ports are served: at those of the node's addresses that
	// they contain. None is nowhere.
	NodePorts []netip.Prefix
	// Every: services are balanced that are neither global nor of type LoadBalancer, too.
	Every bool
	// Outliers is what becomes of backends that fail. Tell is called with what is
	// new of that, by Run's goroutine, and must not block; it may be nil.
	Outliers Outliers
	Tell     func(News)
}

// DefaultBackoff suits failures of the kernel: a full map, no memory.
var DefaultBackoff = reconcile.Backoff{Min: 50 * time.Millisecond, Max: 30 * time.Second}

// key is what the queue holds: a service, or a port that lies in the maps and
// that no service has claimed, by its number.
type key struct {
	service clustermesh.ServiceName
	pinned  uint32
}

// LoadBalancer keeps the maps as the mesh wants them.
type LoadBalancer struct {
	config Config
	target Target
	log    *slog.Logger
	batch  int // see batchSize

	verdicts    chan Verdict
	withdrawals chan withdrawal
	places      chan []Place
	failures    chan []ConnectFailure
	graceDone   chan error
	snapshot    atomic.Pointer[Snapshot]
	filled      chan struct{}

	// What follows is owned by Run.

	view     *view.View
	state    *state
	queue    *reconcile.Queue[key]
	vouched  map[uint16]bool // clusters, by id
	known    map[uint16]bool // the clusters of the mesh, by id, as far as they said it
	complete bool            // known are all
	// ready is set once our own cluster's services and endpoints were all seen, and
	// this node, or all nodes. Until then nothing is written.
	ready bool
	// starving are keys that may succeed when a grace period has freed something.
	starving map[key]struct{}
	// cramped is set when a table found no run of free slots since the last
	// compaction.
	cramped bool
	// crowded is set when the number of a backend or node was not to be had since the
	// last settling.
	crowded    bool
	graceRetry time.Time // when to ask for a period again after one failed
	report     report

	// held are the verdicts that hold something down, and health the same for
	// merges; nil when it is to be made anew, never changed once it was handed out.
	held   map[nodeName]Health
	health *global.Health
	// withdrawn are pods that ended, says their node; never changed once it was
	// handed out.
	withdrawn map[global.Pod]string
	// early are the last withdrawals of clusters that go by batches not taken in yet.
	early map[string]withdrawal
	// leaving are the services with backends that are gone, and when something of
	// that changes; ended is set when the connections of some came to be ended.
	leaving map[clustermesh.ServiceName]time.Time
	ended   bool
	// outdated are the clusters whose mirror is too old, ages is when the next one
	// will be; zero is never.
	outdated map[string]bool
	ages     time.Time
	// heard counts what changed of verdicts, withdrawals and ejections.
	heard uint64
	// touched are those about whom a verdict changed since services were marked,
	// stirred the pods about whom a withdrawal did.
	touched map[nodeName]struct{}
	stirred map[global.Pod]struct{}
	// rising are those of whom something is up again and not yet stored so, with what
	// is known of them.
	rising map[nodeName]Health
	parted parted

	outliers outliers

	// inside is from where sockets come; nil until it is known. nodePorts are those of
	// the node's addresses that have node ports.
	inside    *inside
	nodePorts []netip.Addr
}

// New returns a LoadBalancer that does nothing until Run.
func New(c Config, t Target, log *slog.Logger) *LoadBalancer {
	if c.Backoff == (reconcile.Backoff{}) {
		c.Backoff = DefaultBackoff
	}
	l := &LoadBalancer{
		config: c, target: t, log: log, batch: batchSize,
		verdicts:    make(chan Verdict),
		withdrawals: make(chan withdrawal),
		places:      make(chan []Place),
		failures:    make(chan []ConnectFailure),
		graceDone:   make(chan error, 1),
		filled:      make(chan struct{}),
		view:        view.New(c.Node),
		queue:       reconcile.New[key](c.Backoff),
		vouched:     map[uint16]bool{},
		known:       map[uint16]bool{},
		starving:    map[key]struct{}{},
		report:      newReport(),
		held:        map[nodeName]Health{},
		early:       map[string]withdrawal{},
		leaving:     map[clustermesh.ServiceName]time.Time{},
		touched:     map[nodeName]struct{}{},
		stirred:     map[global.Pod]struct{}{},
		rising:      map[nodeName]Health{},
		parted:      parted{from: map[nodeName]string{}},
		outliers:    newOutliers(),
	}
	l.snapshot.Store(&Snapshot{})
	return l
}

// Run takes the maps over and keeps them until ctx is done; they stay as they
// are then. An error means that the maps could not be read.
func (l *LoadBalancer) Run(ctx context.Context, batches <-chan view.Batch) error {
	if err := l.restore(); err != nil {
		return fmt.Errorf("taking the maps over: %w", err)
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	defer l.awaitGrace()
	for {
		l.settle(time.Now())
		timer.Reset(l.nextWake(time.Now()))
		select {
		case <-ctx.Done():
			return nil
		case b := <-batches:
			l.take(b)
		case v := <-l.verdicts:
			l.judge(v)
		case w := <-l.withdrawals:
			l.withdraw(w)
		case all := <-l.places:
			l.state.recognize(all)
		case f := <-l.failures:
			l.fail(f, time.Now())
		case err := <-l.graceDone:
			l.graceEnded(err, time.Now())
		case <-timer.C:
		}
	}
}

func (l *LoadBalancer) restore() error {
	s, oddities, err := restore(l.target)
	if err != nil {
		return err
	}
	l.state = s
	for _, o := range oddities {
		l.log.Warn("the maps contradict themselves; what is wrong is written anew", "error", o)
	}
	l.log.Info("took the maps over", "services", len(s.pinned), "frontends", len(s.owners), "backends", s.backends.used())
	l.report.dirty = true
	return nil
}

// take takes a batch in and marks what it touches.
func (l *LoadBalancer) take(b view.Batch) {
	c := l.view.Apply(b)
	for name := range c.Services {
		l.queue.Mark(key{service: name})
	}
	if len(c.Clusters)+len(c.Peers) > 0 {
		l.health = nil
		l.vouch()
		for name, ports := range l.state.byName {
			if slices.ContainsFunc(ports, func(p *port) bool { return p.restored }) {
				l.queue.Mark(key{service: name})
			}
		}
	}
	if len(c.Clusters)+len(c.Nodes) > 0 {
		l.look()
	}
	if self := l.view.Self(); self != nil {
		l.state.nodes.setSelf(nodeName{self.ID, l.config.Node})
	}
	if self := l.view.Self(); !l.ready && self != nil && l.vouched[self.ID] && l.inside != nil {
		l.ready = true
		for number := range l.state.pinned {
			l.queue.Mark(key{pinned: number})
		}
	}
	l.parted.due = l.parted.due || len(c.Services)+len(c.Clusters)+len(c.Peers) > 0
	l.report.dirty = true
	l.withdrawLate()
}

// settle brings every key that is due to what it should be.
func (l *LoadBalancer) settle(now time.Time) {
	l.expire(now)
	l.age(now)
	l.markLeaving(now)
	for l.ready {
		l.markTouched(now)
		due := l.queue.Take(now)
		if len(due) == 0 {
			break
		}
		if !l.isFilled() {
			l.eldestFirst(due)
		}
		l.settleKeys(due, now)
	}
	l.forgetParted(now)
	l.rise()
	if l.ended && l.config.Down != nil {
		l.config.Down()
	}
	l.ended = false
	if l.crowded {
		l.crowded = false
		l.state.evict()
	}
	l.startGrace(now)
	first := l.ready && !l.isFilled()
	if first {
		l.report.published = time.Time{} // whoever waits for it looks at once
	}
	l.publish(now)
	if first {
		close(l.filled)
	}
}

// eldestFirst orders services by their age. What lies in the maps before the
// first round belongs to nobody yet, and so goes back to whom it belonged,
// instead of to a younger one that wants it too for as long as the older waits.
func (l *LoadBalancer) eldestFirst(due []key) {
	ages := make(map[key]clustermesh.Age, len(due))
	for _, k := range due {
		if s := l.view.Definition(k.service); s != nil {
			ages[k] = s.Age()
		}
	}
	slices.SortFunc(due, func(a, b key) int {
		return cmp.Or(cmp.Compare(a.pinned, b.pinned), ages[a].Compare(ages[b]))
	})
}

// Filled is closed once all that this cluster wants was written, or tried, for
// the first time since Run began.
func (l *LoadBalancer) Filled() <-chan struct{} { return l.filled }

func (l *LoadBalancer) isFilled() bool {
	select {
	case <-l.filled:
		return true
	default:
		return false
	}
}

// reconcile makes the maps of one key what was decided.
func (l *LoadBalancer) reconcile(j *job, now time.Time) error {
	k, want := j.key, j.want
	if k.pinned != 0 {
		if p := l.state.pinned[k.pinned]; p != nil {
			return l.state.remove(p)
		}
		return nil
	}
	if j.in == nil {
		return nil // marked again when our cluster says who it is
	}
	var errs []error
	delete(l.leaving, k.service)
	claimed := l.state.quit(k.service)
	// What packets alone find, and what is guarded, takes over before another port lets go.
	slices.SortStableFunc(want, func(a, b desired) int { return narrowFirst(a.id, b.id) })
	for i := range want {
		l.seeOff(k, j.in, &want[i], now)
		if err := l.state.apply(k.service, &want[i], l.missing); err != nil {
			errs = append(errs, err)
		}
	}
	for _, p := range slices.Clone(l.state.byName[k.service]) {
		if slices.ContainsFunc(want, func(d desired) bool { return d.id == p.id }) {
			continue
		}
		if err := l.state.remove(p); err != nil {
			errs = append(errs, err)
		}
	}
	l.state.released(k.service, claimed)
	l.muster(j.merged, now)
	l.report.service(j.in, j.merged, l.state.byName[k.service], l.outliers.ejections[k.service])
	return errors.Join(errs...)
}

// narrowFirst orders ports by how few find them: guarded ones before the others, and
// of both those that only packets find first.
func narrowFirst(a, b portID) int { return cmp.Compare(b.narrow(), a.narrow()) }

func (id portID) narrow() (n int) {
	if id.guarded {
		n += 2
	}
	if id.here {
		n++
	}
	return n
}

// settled notes how a key went.
func (l *LoadBalancer) settled(k key, err error, now time.Time) {
	l.queue.Done(k, err, now)
	delete(l.starving, k)
	full := fullMaps(err)
	if len(full) > 0 || errors.Is(err, errSettling) {
		l.starving[k] = struct{}{}
	}
	l.crowded = l.crowded || slices.Contains(full, "backends") || slices.Contains(full, "nodes")
	l.cramped = l.cramped || slices.Contains(full, "slots")
	l.report.dirty = l.report.dirty || err != nil
	for _, name := range l.state.wake {
		l.queue.Mark(key{service: name})
	}
	l.state.wake = l.state.wake[:0]
}

// nextWake returns how long Run may sleep.
func (l *LoadBalancer) nextWake(now time.Time) time.Duration {
	wake := now.Add(time.Hour)
	earlier := func(t time.Time, ok bool) {
		if ok && t.Before(wake) {
			wake = t
		}
	}
	earlier(now, l.ready && len(l.touched)+len(l.stirred) > 0)
	earlier(l.queue.Next())
	earlier(l.nextReturn())
	earlier(l.nextLeaving())
	earlier(l.graceRetry, !l.graceRetry.IsZero())
	earlier(l.ages, !l.ages.IsZero())
	earlier(l.nextParted())
	earlier(l.report.due())
	return wake.Sub(now)
}
