package bgp

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"tombolo.io/tombolo/bgp/advertise"
	"tombolo.io/tombolo/clustermesh/view"
	"tombolo.io/tombolo/internal/reconcile"
)

// loop is the one goroutine that owns what a speaker knows and does.
type loop struct {
	s         *Speaker
	collector *collector
	// wanted is what each router should have, as was decided last; fromStore is
	// set once that was decided from a complete picture.
	wanted    []router
	held      map[string][]advertise.Held
	fromStore bool
	local     local
	// leaving is since when the node is being drained, zero while it is not.
	leaving  time.Time
	id       netip.Addr // the BGP identifier, once it is known
	peerings map[string]*peering
	numbers  int  // peerings made so far
	unsaved  bool // what is wanted is not on disk yet
	queue    *reconcile.Queue[string]
	routes   *unreachable
	batches  chan view.Batch
	heard    chan heard
	moved    chan struct{} // a session changed its state
	reports  chan []byte   // for the store, what is reported of this process
	reported []byte
	problems map[string]error
}

// What is retried is a call into the library or the kernel of this machine.
var backoff = reconcile.Backoff{Min: 100 * time.Millisecond, Max: 10 * time.Second}

func newLoop(s *Speaker, routes *unreachable) *loop {
	return &loop{
		s: s, collector: newCollector(s.cfg.Node), peerings: map[string]*peering{},
		queue: reconcile.New[string](backoff), routes: routes,
		batches: make(chan view.Batch), heard: make(chan heard), moved: make(chan struct{}, 1), reports: make(chan []byte, 1),
		problems: map[string]error{},
	}
}

func (l *loop) run(ctx context.Context) error {
	defer l.close()
	before, err := load(l.s.cfg.savedPath(), l.s.cfg.Node)
	l.problem("saved paths", err)
	l.id = before.ID
	l.local, err = openLocal(l.s.cfg.localPath(), before.Routers)
	l.problem("agent's last word", err)
	l.want(before.Routers, nil)
	wake := time.NewTimer(0)
	defer wake.Stop()
	for {
		if at, ok := l.sooner(l.apply(ctx)); ok {
			wake.Reset(time.Until(at))
		}
		l.save()
		l.publish()
		select {
		case <-ctx.Done():
			return nil
		case b := <-l.batches:
			l.collector.take(b)
			l.drain()
			l.decide()
		case h := <-l.heard:
			l.hear(h)
		case <-l.moved:
			l.rekey()
		case <-wake.C:
			if l.left(time.Now()) {
				l.decide()
			}
		}
	}
}

// drain takes in what else has come, so that a burst is decided once.
func (l *loop) drain() {
	for range 64 {
		select {
		case b := <-l.batches:
			l.collector.take(b)
		default:
			return
		}
	}
}

// decide computes what the routers should have from the store's picture.
func (l *loop) decide() {
	p := l.collector.picture()
	p.complete = p.complete && l.local.asked
	p.local, p.drain = l.local.input(), l.drainOf(p.drained, time.Now())
	routers, held := decide(p, l.wanted)
	if !p.complete {
		return
	}
	if p.node == nil {
		l.problem("node", fmt.Errorf("the store has no node %s: what was advertised before stays", l.s.cfg.Node))
		return
	}
	l.problem("node", nil)
	if !l.id.IsValid() {
		l.id = routerID(p.node)
	}
	l.unsaved = l.unsaved || !l.fromStore || !slices.EqualFunc(routers, l.wanted, sameRouter)
	l.logWithdrawals(routers, held)
	l.fromStore = true
	l.want(routers, held)
}

// save keeps on disk what the store's picture made of the routers, once they
// have it: a withdrawal does not wait for a disk.
func (l *loop) save() {
	if !l.unsaved {
		return
	}
	err := saved{Node: l.s.cfg.Node, ID: l.id, Routers: l.wanted}.store(l.s.cfg.savedPath())
	l.problem("saved paths", err)
	l.unsaved = err != nil // tried again with whatever happens next
}

// want notes what the routers should have, and marks those that differ.
func (l *loop) want(routers []router, held map[string][]advertise.Held) {
	old := byPeer(l.wanted)
	now := byPeer(routers)
	for name, r := range now {
		if had, ok := old[name]; !ok || !sameRouter(had, r) {
			l.queue.Mark(name)
		}
	}
	for name := range old {
		if _, ok := now[name]; !ok {
			l.queue.Mark(name)
		}
	}
	l.wanted, l.held = routers, held
}

// apply brings every router that is due to what it should have, and returns
// when something is due again. A host route that leads nowhere stands before its
// address is advertised and goes when no router can have the address any more.
func (l *loop) apply(ctx context.Context) (next time.Time, again bool) {
	hosts := hostRoutes(l.wanted)
	err := l.routes.hold(hosts)
	wanted := byPeer(l.wanted)
	for _, name := range l.queue.Take(time.Now()) {
		r, ok := wanted[name]
		l.queue.Done(name, l.applyRouter(ctx, name, r, ok), time.Now())
	}
	next, again = l.queue.Next()
	if l.fromStore {
		due, removal := l.routes.release(hosts, time.Now(), l.linger())
		if !due.IsZero() && (!again || due.Before(next)) {
			next, again = due, true
		}
		err = errors.Join(err, removal)
	}
	l.problem("unreachable routes", err)
	return next, again
}

// withdrawing is the time a router may take from our withdrawal to the moment
// when it sends no packet here any more.
const withdrawing = 2 * time.Second

// linger returns how long a router may send packets here after a withdrawal: a
// router that is not there keeps our routes for the restart time.
func (l *loop) linger() time.Duration {
	d := withdrawing
	for _, r := range l.wanted {
		if p := l.peerings[r.Peer.Name]; p == nil || !p.told() {
			d = max(d, timersOf(&r.Peer).restart)
		}
	}
	return d
}

func (l *loop) applyRouter(ctx context.Context, name string, r router, wanted bool) error {
	p := l.peerings[name]
	if !wanted {
		if p != nil {
			p.close(true)
			delete(l.peerings, name)
			l.s.log.Info("router removed", "peer", name)
		}
		return nil
	}
	if p == nil {
		l.numbers++
		p = newPeering(l.s.log.With("peer", name), l.numbers, !l.fromStore, l.moved)
		l.peerings[name] = p
	}
	before := p.refused
	err := p.set(ctx, l.id, r)
	if err != nil && !errors.Is(err, errSettling) && (before == nil || before.Error() != err.Error()) {
		l.s.log.Error("router refused", "peer", name, "error", err)
	}
	return err
}

// rekey marks routers whose key was replaced while they do not answer.
func (l *loop) rekey() {
	for name, p := range l.peerings {
		if p.rekeyed() {
			l.queue.Mark(name)
		}
	}
}

// close ends all sessions: as before a restart, or for good.
func (l *loop) close() {
	if !l.s.cfg.Final {
		l.settle()
	}
	var all sync.WaitGroup
	for _, p := range l.peerings {
		all.Go(func() { p.close(l.s.cfg.Final) })
	}
	all.Wait()
}

// settle waits until no session is settling: one that was established a moment
// ago and ends now costs the routes that it was to keep.
func (l *loop) settle() {
	limit := time.After(settleTime)
	for slices.ContainsFunc(slices.Collect(maps.Values(l.peerings)), (*peering).settling) {
		select {
		case <-l.moved:
		case <-limit:
			return
		}
	}
}

func byPeer(routers []router) map[string]router {
	out := make(map[string]router, len(routers))
	for _, r := range routers {
		out[r.Peer.Name] = r
	}
	return out
}

func sameRouter(a, b router) bool {
	return changeOf(&a.Peer, &b.Peer) == nothing && a.Peer.Name == b.Peer.Name &&
		slices.EqualFunc(a.Paths, b.Paths, advertise.Path.Equal)
}
