package apiserver

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/source"
	"tombolo.io/tombolo/clustermesh/view"
	"tombolo.io/tombolo/etcd"
	"tombolo.io/tombolo/etcd/election"
	"tombolo.io/tombolo/etcd/embedded"
)

// Where the leader's claim and its writers' accounts lie, outside of the
// layout that readers know.
const (
	electionPrefix = "tombolo/election/apiserver/"
	ledgerPrefix   = "tombolo/ledger/"
)

// leaseTTL is how long a dead leader blocks the next, and how long the status
// of a dead process stays.
const leaseTTL = 5 * time.Second

// Role names this process in its status.
const Role = "apiserver"

// APIServer writes the objects of a cluster to its store while it leads.
type APIServer struct {
	config  Config
	source  source.Source
	log     *slog.Logger
	started time.Time
	status  atomic.Pointer[Status]
	// requests are orders for the loop.
	requests chan request
}

// New returns an API server that does nothing before Run.
func New(c Config, s source.Source, log *slog.Logger) *APIServer {
	a := &APIServer{config: c, source: s, log: log, requests: make(chan request)}
	a.status.Store(&Status{Cluster: c.Cluster, Health: clustermesh.HealthStopped, Reasons: []string{"it has not started yet"}})
	return a
}

// Status returns what people should know; it may be called at any time.
func (a *APIServer) Status() Status { return *a.status.Load() }

// Run serves until ctx ends. It returns an error when it cannot go on: the
// embedded store does not start, or the source gives up.
func (a *APIServer) Run(ctx context.Context) error {
	a.started = time.Now()
	ids, err := a.config.identity()
	if err != nil {
		return err
	}
	g, inner := errgroup.WithContext(ctx)
	store, err := a.openStore(inner, g)
	if err != nil {
		return ended(ctx, err)
	}
	defer store.close()
	l := newLoop(a, store.client, ids)
	if file := a.config.Addresses.File; file != "" {
		if l.memory, err = loadKept(file); err != nil {
			a.log.Warn("if the store was lost, services get other addresses", "err", err)
		}
	}
	a.start(inner, g, l)
	return g.Wait()
}

// opening is what is wrong with the embedded store until it serves, which of
// several members each does once a majority is there.
const opening = "it does not serve yet; of several members it waits for a majority, a new one for all"

// store is the cluster's etcd: the server, if it is ours, and a client.
type store struct {
	server *embedded.Server
	client *etcd.Client
}

// openStore starts the embedded store, if the store is that, and connects.
func (a *APIServer) openStore(ctx context.Context, g *errgroup.Group) (s store, err error) {
	cfg, err := a.config.Store.client()
	if err != nil {
		return s, err
	}
	if s.client, err = etcd.Dial(cfg); err != nil || !a.config.Store.Embedded() {
		return s, err
	}
	a.status.Store(&Status{
		Cluster: a.config.Cluster, Health: clustermesh.HealthDegraded, StoreErr: opening, StoreSince: time.Now(),
		Reasons: []string{"the store: " + opening},
	})
	if s.server, err = embedded.Start(ctx, a.config.Store.server(), a.log.With("part", "etcd")); err != nil {
		s.close()
		return s, err
	}
	g.Go(func() error {
		select {
		case err := <-s.server.Err():
			return fmt.Errorf("serving etcd: %w", err)
		case <-ctx.Done():
			return nil
		}
	})
	return s, nil
}

func (s store) close() {
	s.client.Close()
	if s.server != nil {
		s.server.Stop()
	}
}

// start starts what runs beside the loop, and the loop.
func (a *APIServer) start(ctx context.Context, g *errgroup.Group, l *loop) {
	client := l.client
	g.Go(func() error { return ended(ctx, a.source.Run(ctx, l.updates)) })
	g.Go(func() error { return campaign(ctx, client, a.log, a.config.Node, l.turns) })
	g.Go(func() error {
		table := view.Table(clustermesh.Root + string(clustermesh.Mirror) + "/")
		return ended(ctx, table.Watch(ctx, client, a.log, l.mirrored))
	})
	g.Go(func() error {
		key := clustermesh.KeyOf(clustermesh.Status, &clustermesh.ProcessStatus{Role: Role, Node: a.config.Node})
		return ended(ctx, election.Keep(ctx, client, a.log, key.String(), leaseTTL, l.reports))
	})
	g.Go(func() error { a.tell(ctx, client); return nil })
	g.Go(func() error { return ended(ctx, l.run(ctx)) })
}

// ended forgets an error that only says that ctx ended.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// turn is a term of ours, as the campaign hands it to the loop.
type turn struct {
	fence etcd.Fence
	lost  <-chan struct{}
	// giveUp ends the term, so that another can lead at once.
	giveUp context.CancelFunc
	// reign is that of the store in which our lease was renewed last, and reigns has
	// the next.
	reigns <-chan uint64
	reign  uint64
}

// campaign stands for election again and again. The role is claimed on this
// node, so a candidate of our name is what a dead process left.
func campaign(ctx context.Context, c *etcd.Client, log *slog.Logger, name string, out chan<- turn) error {
	cfg := election.Config{Prefix: electionPrefix, Ledger: ledgerPrefix, Name: name, TTL: leaseTTL}
	if err := election.Supersede(ctx, c, cfg); err != nil && ctx.Err() == nil {
		log.Warn("a dead candidate of this node, if there is one, has to time out", "err", err)
	}
	for {
		lead, err := election.Campaign(ctx, c, log, cfg)
		if err != nil {
			return ended(ctx, err)
		}
		log.Info("leading", "node", name)
		serve(ctx, lead, out)
		log.Info("no longer leading", "node", name)
	}
}

// serve hands a term out and waits for its end.
func serve(ctx context.Context, lead *election.Leader, out chan<- turn) {
	defer lead.Resign()
	ctx, giveUp := context.WithCancel(ctx)
	defer giveUp()
	select {
	case out <- turn{fence: lead.Fence, lost: lead.Lost(), giveUp: giveUp, reigns: lead.Reigns(), reign: <-lead.Reigns()}:
	case <-lead.Lost():
		return
	case <-ctx.Done():
		return
	}
	select {
	case <-lead.Lost():
	case <-ctx.Done():
	}
}
