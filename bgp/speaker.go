package bgp

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/view"
	"tombolo.io/tombolo/etcd"
	"tombolo.io/tombolo/etcd/election"
	"tombolo.io/tombolo/internal/control"
)

// Speaker keeps the sessions of one node with its routers.
type Speaker struct {
	cfg     Config
	log     *slog.Logger
	started time.Time
	status  atomic.Pointer[Status]
}

// Role names this process in its status and its socket.
const Role = clustermesh.RoleSpeaker

// leaseTTL is how long the status of a dead speaker stays in the store.
const leaseTTL = 5 * time.Second

// New returns a speaker that does nothing before Run.
func New(cfg Config, log *slog.Logger) *Speaker {
	s := &Speaker{cfg: cfg, log: log}
	s.status.Store(&Status{Node: cfg.Node, Health: clustermesh.HealthStopped, Reasons: []string{"it has not started yet"}})
	return s
}

// Status returns what the speaker says of itself, its sessions as they are now.
func (s *Speaker) Status() *Status { return s.status.Load().now() }

// Run speaks until ctx ends. It begins with what it kept on disk, so that the
// routers see the sessions of before whether the store answers or not.
func (s *Speaker) Run(ctx context.Context) error {
	s.started = time.Now()
	socket, err := control.Open(s.cfg.RunDir, Role)
	if err != nil {
		return err
	}
	defer socket.Close()
	client, err := etcd.Dial(s.cfg.Store)
	if err != nil {
		return err
	}
	defer client.Close()
	routes, err := openUnreachable()
	if err != nil {
		return err
	}
	defer routes.close()

	group, ctx := errgroup.WithContext(ctx)
	l := newLoop(s, routes)
	group.Go(func() error { return socket.Serve(ctx, s.Surface(), s.log) })
	group.Go(func() error { return ended(ctx, view.Watch(ctx, client, s.log, l.batches)) })
	group.Go(func() error { return follow(ctx, s.cfg.RunDir, l.heard) })
	group.Go(func() error {
		key := clustermesh.KeyOf(clustermesh.Status, &clustermesh.ProcessStatus{Role: Role, Node: s.cfg.Node})
		return ended(ctx, election.Keep(ctx, client, s.log, key.String(), leaseTTL, l.reports))
	})
	group.Go(func() error { return l.run(ctx) })
	return group.Wait()
}

// ended forgets an error that only says that ctx ended.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}
