package bgp

import (
	"context"
	"net/netip"
	"slices"
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
	id        netip.Addr // the BGP identifier, once it is known
	peerings  map[string]*peering
	numbers   int // peerings made so far
	queue     *reconcile.Queue[string]
	routes    *unreachable
	batches   chan view.Batch
	moved     chan struct{} // a session changed its state
	reports   chan []byte   // for the store, what is reported of this process
	reported  []byte
	problems  map[string]error
}

// What is retried is a call into the library or the kernel of this machine.
var backoff = reconcile.Backoff{Min: 100 * time.Millisecond, Max: 10 * time.Second}

func newLoop(s *Speaker, routes *unreachable) *loop {
	return &loop{
		s: s, collector: newCollector(s.cfg.Node), peerings: map[string]*peering{},
		queue: reconcile.New[string](backoff), routes: routes,
		batches: make(chan view.Batch), moved: make(chan struct{}, 1), reports: make(chan []byte, 1),
		problems: map[string]error{},
	}
}

func (l *loop) run(ctx context.Context) error {
	defer l.close()
	before, err := load(l.s.cfg.savedPath(), l.s.cfg.Node)
	l.problem("saved paths", err)
	l.id = before.ID
	l.want(before.Routers, nil)
	retry := time.NewTimer(0)
	defer retry.Stop()
	for {
		l.apply(ctx)
		l.publish()
		if at, ok := l.queue.Next(); ok {
			retry.Reset(time.Until(at))
		}
		select {
		case <-ctx.Done():
			return nil
		case b := <-l.batches:
			l.collector.take(b)
			l.drain()
			l.decide()
		case <-l.moved:
		case <-retry.C:
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

// decide computes what the routers should have from the store's picture, and
// keeps it on disk when it is another one.
func (l *loop) decide() {
	p := l.collector.picture()
	routers, held := decide(p, l.wanted)
	if !p.complete || p.node == nil {
		return
	}
	if !l.id.IsValid() {
		l.id = routerID(p.node)
	}
	changed := !l.fromStore || !slices.EqualFunc(routers, l.wanted, sameRouter)
	l.logWithdrawals(routers, held)
	l.fromStore = true
	l.want(routers, held)
	if changed {
		l.problem("saving", saved{Node: l.s.cfg.Node, ID: l.id, Routers: routers}.store(l.s.cfg.savedPath()))
	}
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

// apply brings every router that is due to what it should have. A host route
// that leads nowhere stands before its address is advertised and goes after
// the address is withdrawn.
func (l *loop) apply(ctx context.Context) {
	now := time.Now()
	hosts := hostRoutes(l.wanted)
	l.problem("unreachable routes", l.routes.hold(hosts))
	wanted := byPeer(l.wanted)
	for _, name := range l.queue.Take(now) {
		r, ok := wanted[name]
		l.queue.Done(name, l.applyRouter(ctx, name, r, ok), time.Now())
	}
	if len(l.queue.Failures()) == 0 {
		l.problem("unreachable routes", l.routes.release(hosts))
	}
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
		p = newPeering(l.s.log.With("peer", name), l.numbers, l.moved)
		l.peerings[name] = p
	}
	return p.set(ctx, l.id, r)
}

// close ends all sessions: as before a restart, or for good.
func (l *loop) close() {
	for _, p := range l.peerings {
		p.close(l.s.cfg.Final)
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
