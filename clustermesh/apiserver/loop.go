package apiserver

import (
	"context"
	"log/slog"
	"net/netip"
	"strings"
	"time"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/identity"
	"tombolo.io/tombolo/clustermesh/source"
	"tombolo.io/tombolo/clustermesh/view"
	"tombolo.io/tombolo/etcd"
	"tombolo.io/tombolo/etcd/election"
)

// Times of the loop.
const (
	// refresh is how often the markers are written again; the first time in a
	// term comes early, for readers of a store whose files were exchanged under
	// its epoch wait for it.
	refresh      = 30 * time.Second
	firstRefresh = 5 * time.Second
	// patience bounds one attempt to write, so that the loop goes on listening
	// while the store is away; again is the wait before the next.
	patience = 5 * time.Second
	again    = 500 * time.Millisecond
	// ask is how often one that stands by asks who leads.
	ask = time.Second
)

// loop owns the state of an API server.
type loop struct {
	server *APIServer
	client *etcd.Client
	log    *slog.Logger

	updates  chan source.Update
	turns    chan turn
	mirrored chan view.Batch
	reports  chan []byte

	catalog  *catalog
	identity identity.Config
	// turn is ours while we lead, term its work once the store was read.
	turn      *turn
	term      *term
	mirroring *mirroring
	memory    memory
	// pending are orders that are staged and not stored yet.
	pending []request
	// leader is who leads while we do not, as was asked at asked.
	leader string
	asked  time.Time
	// renew: the store went back, so its epoch has to be renewed.
	renew bool
	// remote: the endpoints of other clusters were listed.
	remote bool
	// failed is why the store cannot be written, since when, and when to try again.
	failed       error
	since, retry time.Time
	// away is why the store is out of reach, since when.
	away      error
	awaySince time.Time
	// revision is the store's, as it was last seen.
	revision int64
	// keepAt is when what addresses were given out may be kept again.
	keepAt  time.Time
	keepErr error
	// refresh is when the markers are written again, zero for at once.
	refresh time.Time
}

func newLoop(a *APIServer, client *etcd.Client, ids identity.Config) *loop {
	c := newCatalog()
	c.cordonDrains = a.config.CordonDrains
	return &loop{
		server: a, identity: ids, client: client, log: a.log, catalog: c,
		updates: make(chan source.Update), turns: make(chan turn),
		mirrored: make(chan view.Batch), reports: make(chan []byte, 1),
	}
}

// run takes in, decides and writes until ctx ends.
func (l *loop) run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	defer func() { l.mirroring.stop() }()
	defer func() { l.keepAt = time.Time{}; l.keep(time.Now()) }()
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case u := <-l.updates:
			touched := l.catalog.apply(u)
			if l.term != nil {
				err = l.term.take(touched, u.Full, time.Now())
			}
		case r := <-l.server.requests:
			l.order(r, time.Now())
		case b := <-l.mirrored:
			err = l.count(b)
		case t := <-l.turns:
			l.turn, l.retry = &t, time.Time{}
		case r := <-l.reigns():
			l.turn.reign = r
		case <-l.lost():
			l.depose("its lease is lost")
		case <-l.mirroring.changed(): // for the status, and to hold the lease
		case err := <-l.mirroring.ended():
			l.mirroring = nil
			l.result(ctx, err)
		case <-timer.C:
			err = l.tick(ctx, time.Now())
		}
		if err != nil {
			return err
		}
		l.lead(ctx)
		l.answer()
		l.keep(time.Now())
		l.publish()
		timer.Reset(time.Until(l.due()))
	}
}

func (l *loop) lost() <-chan struct{} {
	if l.turn == nil {
		return nil
	}
	return l.turn.lost
}

func (l *loop) reigns() <-chan uint64 {
	if l.turn == nil {
		return nil
	}
	return l.turn.reigns
}

// tick does what is due by time alone.
func (l *loop) tick(ctx context.Context, now time.Time) error {
	if l.turn == nil {
		l.look(ctx, now)
	}
	if l.term == nil {
		return nil
	}
	l.term.advance(now)
	if err := l.term.relearn(ctx, l.client, now); err != nil {
		return err
	}
	if !now.Before(l.refresh) {
		l.refresh = now.Add(refresh)
		if err := l.term.refresh(now); err != nil {
			return err
		}
	}
	l.term.rotateStep(ctx, l.client, now)
	return l.term.tidy(now)
}

// look asks who leads. We may stand first and not know it yet: then nobody does.
func (l *loop) look(ctx context.Context, now time.Time) {
	if now.Sub(l.asked) < ask {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, ask)
	defer cancel()
	name, err := election.Who(ctx, l.client, electionPrefix)
	if l.asked = time.Now(); err != nil || name == l.server.config.Node {
		name = "" // that the store is out of reach is known from elsewhere
	}
	l.leader = name
}

// due returns when tick or another attempt to write is.
func (l *loop) due() time.Time {
	at := time.Now().Add(refresh)
	if l.term != nil && l.refresh.Before(at) {
		at = l.refresh
	}
	times := []time.Time{l.retry, l.sweepAt(), l.drainAt(), l.addressesAt()}
	if l.term != nil && l.term.rotating() {
		times = append(times, latest(l.term.rotation.next, time.Now().Add(time.Millisecond)))
	}
	if l.term != nil && l.term.relearning != nil && l.catalog.synced() {
		times = append(times, latest(l.term.relearning.next, time.Now().Add(time.Millisecond)))
	}
	if l.turn == nil {
		times = append(times, l.asked.Add(ask))
	}
	for _, t := range times {
		if !t.IsZero() && t.Before(at) {
			at = t
		}
	}
	return at
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func (l *loop) drainAt() time.Time {
	if l.term == nil {
		return time.Time{}
	}
	return l.term.drainAt
}

// addressesAt returns when an address has rested, or the file is to be written.
func (l *loop) addressesAt() time.Time {
	if l.term == nil {
		return time.Time{}
	}
	a := l.term.addresses
	if a.unsaved && a.config.File != "" && l.term.writer.Staged() == 0 && (a.next.IsZero() || l.keepAt.Before(a.next)) {
		return latest(l.keepAt, time.Now().Add(time.Millisecond))
	}
	return a.next
}

func (l *loop) sweepAt() time.Time {
	if l.term == nil {
		return time.Time{}
	}
	return l.term.sweep.at
}

// claim takes in what another cluster claims of an address.
func (l *loop) claim(e etcd.Event[clustermesh.Object]) {
	if !strings.Contains(e.Key, "/"+string(clustermesh.KindAddresses)+"/") || e.Op != etcd.Put && e.Op != etcd.Delete {
		return
	}
	key, err := clustermesh.ParseKey(e.Key)
	if err != nil {
		return
	}
	addr, err := netip.ParseAddr(key.Name)
	if err != nil {
		return
	}
	theirs, _ := e.Value.(*clustermesh.Address)
	l.catalog.setClaims(key.Cluster, addr, theirs)
	if l.term != nil {
		l.term.addresses.alloc.SetOther(key.Cluster, addr, theirs)
	}
}

// count takes in what other clusters' mirrors have.
func (l *loop) count(b view.Batch) error {
	var names []clustermesh.ServiceName
	for _, e := range b.Events {
		l.claim(e)
		l.catalog.others.hear(e)
		l.catalog.offers.hear(e)
		if !strings.Contains(e.Key, "/"+string(clustermesh.KindSlices)+"/") || e.Op != etcd.Put && e.Op != etcd.Delete {
			continue
		}
		if old, ok := l.catalog.remote.slices[e.Key]; ok {
			names = append(names, old.service)
		}
		s, _ := e.Value.(*clustermesh.EndpointSlice)
		l.catalog.remote.set(e.Key, s)
		if s != nil {
			names = append(names, s.Service)
		}
	}
	if back := l.away != nil && b.Stale.IsZero(); back || b.Revision < l.revision {
		l.refresh = time.Time{} // write something, to see whether the store is what it was
	}
	l.away, l.awaySince, l.revision = b.Err, b.Stale, b.Revision
	l.remote = l.remote || b.Stale.IsZero()
	if l.term == nil {
		return nil
	}
	l.term.remote = l.remote
	return l.term.recount(names, time.Now())
}
