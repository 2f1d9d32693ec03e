package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"tombolo.io/tombolo/agent/census"
	"tombolo.io/tombolo/agent/disconnect"
	"tombolo.io/tombolo/agent/health"
	"tombolo.io/tombolo/agent/health/gossip"
	"tombolo.io/tombolo/agent/health/probe"
	"tombolo.io/tombolo/agent/loadbalancer"
	"tombolo.io/tombolo/agent/pods"
	"tombolo.io/tombolo/agent/responder"
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
	if err := bpf.UninstallResponder(c.BPFFS); err != nil {
		return err
	}
	return bpf.Uninstall(c)
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
	if a.config.Failover != health.On { // an agent before this one may have set them
		datapath.Clusters.Clear()
		datapath.Nodes.Clear()
	}
	disconnector := disconnect.New(disconnect.Config{Proc: "/proc"}, datapath, a.log)
	balancer := loadbalancer.New(a.loadbalancer(disconnector.Wake), loadbalancer.Kernel(datapath), a.log)
	a.balancer.Store(balancer)
	node := pods.New(a.config.pods(kernel.BootID()), kernel, a.log)
	var counts *census.Census
	deps := health.Deps{
		Sighted:  func(s health.Sighting) { counts.Sighted(s) },
		Open:     func(c probe.Config) (health.Prober, error) { return probe.Open(c) },
		Balancer: balancer, Log: a.log,
	}
	if a.config.gossips() {
		pool := gossip.New(gossip.Config{Node: a.config.Node, RunDir: a.config.RunDir, Port: a.config.GossipPort}, a.log)
		a.pool.Store(pool)
		deps.Pool = pool
	}
	judge := health.New(a.config.health(), deps)
	a.judge.Store(judge)
	counts = census.New(a.config.census(), census.Deps{
		Life:     func() health.Life { return health.Life{BootID: kernel.BootID(), Epoch: kernel.Epoch()} },
		Pods:     func() *pods.Set { return node.Snapshot().Set },
		Balanced: balancer.Snapshot, Balancer: balancer, Judge: judge, Log: a.log,
	})
	p := &parts{
		client: client, datapath: datapath, balancer: balancer, kernel: kernel, judge: judge, disconnector: disconnector,
		pods: node, census: counts,
		responder: responder.New(responder.Config{Node: a.config.Node, Uplinks: a.config.Uplinks}, kernel, a.log),
	}
	return a.serve(ctx, socket, p)
}

// parts are what an agent wires together.
type parts struct {
	client       *etcd.Client
	datapath     *bpf.Datapath
	balancer     *loadbalancer.LoadBalancer
	disconnector *disconnect.Disconnector
	kernel       *bpf.Responder
	responder    *responder.Responder
	judge        *health.Health
	pods         *pods.Node
	census       *census.Census
}

// serve runs the parts until ctx ends or one of them fails. All have ended when
// it returns, so that the maps may be closed.
func (a *Agent) serve(ctx context.Context, socket *control.Socket, p *parts) error {
	g, ctx := errgroup.WithContext(ctx)
	batches, toBalancer := make(chan view.Batch), make(chan view.Batch)
	toResponder, toIdentities, toJudge := make(chan view.Batch), make(chan view.Batch), make(chan view.Batch)
	toCensus := make(chan view.Batch)
	toChecker, requests := make(chan view.Batch), make(chan etcd.Batch[*clustermesh.CheckRequest])
	ids := newIdentities(a.config, a.log)
	w := &watcher{agent: a, parts: p, identities: ids, reports: make(chan []byte, 1)}
	g.Go(func() error { return socket.Serve(ctx, a.surface(p.client), a.log) })
	g.Go(func() error { return ended(ctx, view.Watch(ctx, p.client, a.log, batches)) })
	readers := []chan<- view.Batch{toBalancer, toJudge, toResponder, toIdentities, toCensus, toChecker}
	if pool := a.pool.Load(); pool != nil {
		toPool := make(chan view.Batch)
		readers = append(readers, toPool)
		g.Go(func() error { return pool.Run(ctx, toPool) })
	}
	g.Go(func() error { view.Share(ctx, batches, readers...); return nil })
	g.Go(func() error { return p.balancer.Run(ctx, toBalancer) })
	g.Go(func() error { return p.disconnector.Run(ctx) })
	g.Go(func() error { return p.responder.Run(ctx, toResponder) })
	g.Go(func() error { return p.judge.Run(ctx, toJudge) })
	g.Go(func() error { return p.pods.Run(ctx) })
	g.Go(func() error { return p.census.Run(ctx, toCensus) })
	g.Go(func() error { return ids.run(ctx, toIdentities) })
	g.Go(func() error { return a.failures(ctx, p.datapath, p.balancer) })
	g.Go(func() error { return ended(ctx, asked().Watch(ctx, p.client, a.log, requests)) })
	g.Go(func() error { return newChecker(a.config, a.log, p).run(ctx, toChecker, requests) })
	attached := make(chan struct{})
	g.Go(func() error { return a.attach(ctx, p.datapath, p.balancer, attached) })
	g.Go(func() error { return a.speak(ctx, p.balancer, attached) })
	g.Go(func() error {
		key := clustermesh.KeyOf(clustermesh.Status, &clustermesh.ProcessStatus{Role: Role, Node: a.config.Node})
		return ended(ctx, election.Keep(ctx, p.client, a.log, key.String(), leaseTTL, w.reports))
	})
	g.Go(func() error { return w.run(ctx) })
	return g.Wait()
}

// attach makes this process's programs the ones that run: at once where they
// run on the same maps, and else when the maps are filled, so that programs on
// older maps serve until then.
func (a *Agent) attach(ctx context.Context, datapath *bpf.Datapath, balancer *loadbalancer.LoadBalancer, done chan<- struct{}) error {
	if !datapath.Restored() {
		select {
		case <-balancer.Filled():
		case <-ctx.Done():
			return nil
		}
	}
	if err := datapath.Attach(); err != nil {
		return fmt.Errorf("attaching the programs: %w", err)
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
