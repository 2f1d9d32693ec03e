package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"tombolo.io/tombolo/agent/health"
	"tombolo.io/tombolo/agent/health/gossip"
	"tombolo.io/tombolo/agent/loadbalancer"
	"tombolo.io/tombolo/agent/pods"
	"tombolo.io/tombolo/bpf"
	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/view"
	"tombolo.io/tombolo/etcd"
	"tombolo.io/tombolo/etcd/election"
	"tombolo.io/tombolo/internal/control"
)

// Role names this process in its status and its socket.
const Role = clustermesh.RoleAgent

// leaseTTL is how long the status of a dead agent stays in the store.
const leaseTTL = 5 * time.Second

// Agent keeps the data path of one node.
type Agent struct {
	config  Config
	log     *slog.Logger
	started time.Time
	status  atomic.Pointer[Status]
	// balancer is set once the maps are open.
	balancer atomic.Pointer[loadbalancer.LoadBalancer]
	// judge is set with it.
	judge atomic.Pointer[health.Health]
	// pool is set with it, where this agent gossips.
	pool atomic.Pointer[gossip.Pool]
	// pods is set with it.
	pods atomic.Pointer[pods.Node]
	// word is what it says of its readiness, nil before it says anything.
	word atomic.Pointer[word]
}

// New returns an agent that does nothing before Run.
func New(c Config, log *slog.Logger) *Agent {
	a := &Agent{config: c, log: log}
	a.status.Store(&Status{Health: clustermesh.HealthStopped, Reasons: []string{"it has not started yet"}})
	return a
}

// Status returns what the agent last said of itself.
func (a *Agent) Status() *Status { return a.status.Load() }

// Uninstall detaches the programs of a node and removes all that is pinned. The
// node's agent must not run. It looks at the devices of this network namespace.
func Uninstall(c bpf.Config) error {
	err := bpf.UninstallResponder(c.BPFFS)
	if err == nil {
		err = bpf.UninstallPackets(c.BPFFS)
	}
	if err == nil {
		err = bpf.Uninstall(c)
	}
	if errors.Is(err, bpf.ErrInUse) {
		return fmt.Errorf("%w; stop this node's tombolo agent first", err)
	}
	return err
}

// Run keeps the data path until ctx ends, and leaves it as it is then. An error
// says that the agent cannot go on: another process has the role or the maps, or
// the kernel refuses a program.
func (a *Agent) Run(ctx context.Context) (err error) {
	a.started = time.Now()
	socket, err := control.Open(a.config.RunDir, Role)
	if err != nil {
		return err
	}
	defer socket.Close()
	client, err := etcd.Dial(a.config.Store)
	if err != nil {
		return err
	}
	defer client.Close()
	datapath, err := bpf.Load(a.config.DataPath, a.log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, datapath.Close()) }()
	kernel, err := bpf.LoadResponder(bpf.ResponderConfig{BPFFS: a.config.DataPath.BPFFS, Port: a.config.ProbePort})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, kernel.Close()) }()
	// Sockets are balanced where the kernel takes no program for packets.
	leads, noPackets := a.loadPackets(datapath)
	if noPackets != nil {
		a.log.Error("packets from outside are not led to backends", "error", noPackets)
	}
	if leads != nil {
		defer func() { err = errors.Join(err, leads.Close()) }()
	}
	if a.config.Failover != health.On { // an agent before this one may have set them
		datapath.Clusters.Clear()
		datapath.Nodes.Clear()
	}
	p := a.assemble(client, datapath, kernel, leads)
	p.noPackets = noPackets
	return a.serve(ctx, socket, p)
}

// serve runs the parts until ctx ends or one of them fails. All have ended when
// it returns, so that the maps may be closed.
func (a *Agent) serve(ctx context.Context, socket *control.Socket, p *parts) error {
	g, ctx := errgroup.WithContext(ctx)
	run := func(part func(context.Context) error) {
		g.Go(func() error { return part(ctx) })
	}
	// What looks at the mesh gets every batch of the one watch.
	var readers []chan<- view.Batch
	look := func(part func(context.Context, <-chan view.Batch) error) {
		batches := make(chan view.Batch)
		readers = append(readers, batches)
		g.Go(func() error { return part(ctx, batches) })
	}
	ids, left := newIdentities(a.config, a.log), newDrains(p.balancer.Snapshot, p.datapath)
	requests, attached := make(chan etcd.Batch[*clustermesh.CheckRequest]), make(chan struct{})
	w := &watcher{agent: a, parts: p, identities: ids, drains: left, reports: make(chan []byte, 1)}

	look(p.balancer.Run)
	look(p.judge.Run)
	look(p.responder.Run)
	if p.packets != nil {
		look(p.packets.Run)
	}
	look(p.census.Run)
	look(ids.run)
	look(left.run)
	look(func(ctx context.Context, batches <-chan view.Batch) error {
		return newChecker(a.config, a.log, p, a.pool.Load()).run(ctx, batches, requests)
	})
	if pool := a.pool.Load(); pool != nil {
		look(pool.Run)
	}
	if p.checks != nil {
		run(p.checks.Run)
	}
	run(p.disconnector.Run)
	run(p.pods.Run)
	run(w.run)
	run(func(ctx context.Context) error { return socket.Serve(ctx, a.surface(p.client), a.log) })
	run(func(ctx context.Context) error { return a.failures(ctx, p.datapath, p.balancer) })
	run(func(ctx context.Context) error { return a.attach(ctx, p, attached) })
	run(func(ctx context.Context) error { return a.speak(ctx, p, attached) })
	run(func(ctx context.Context) error { return a.hear(ctx, p.datapath, p.balancer, attached) })
	run(func(ctx context.Context) error { return ended(ctx, asked().Watch(ctx, p.client, a.log, requests)) })
	run(func(ctx context.Context) error {
		key := clustermesh.KeyOf(clustermesh.Status, &clustermesh.ProcessStatus{Role: Role, Node: a.config.Node})
		return ended(ctx, election.Keep(ctx, p.client, a.log, key.String(), leaseTTL, w.reports))
	})
	batches := make(chan view.Batch)
	run(func(ctx context.Context) error { return ended(ctx, view.Watch(ctx, p.client, a.log, batches)) })
	run(func(ctx context.Context) error { view.Share(ctx, batches, readers...); return nil })
	return g.Wait()
}

// attach makes this process's programs the ones that run: at once where they
// run on the same maps, and else when the maps are filled, so that programs on
// older maps serve until then.
func (a *Agent) attach(ctx context.Context, p *parts, done chan<- struct{}) error {
	outdated := !p.datapath.Restored()
	if outdated {
		select {
		case <-p.balancer.Filled():
		case <-ctx.Done():
			return nil
		}
	}
	if err := p.datapath.Attach(); err != nil {
		return fmt.Errorf("attaching the programs: %w", err)
	}
	if outdated && p.leads == nil {
		a.leaveOutdated()
	}
	close(done)
	a.log.Info("the programs are attached", "cgroup", a.config.DataPath.Cgroup)
	return nil
}

// ended forgets an error that only says that ctx ended.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}
