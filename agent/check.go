package agent

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"tombolo.io/tombolo/agent/check"
	"tombolo.io/tombolo/agent/health/gossip"
	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/view"
	"tombolo.io/tombolo/etcd"
)

// checker answers requests to check this node and its paths.
type checker struct {
	config Config
	log    *slog.Logger
	client *etcd.Client
	// problem says why other nodes do not notice this one's death, or this one theirs.
	problem func() error
	// deaf says why this agent does not listen where it should.
	deaf func() []string
	pool *gossip.Pool // nil where this agent does not gossip
	// judged says what failover thinks of the nodes.
	judged func() *Failover

	// What follows is owned by run.

	view *view.View
	// open are the requests that are there, true for those that were answered.
	open map[string]bool
	// done is closed when the check that runs has ended; nil while none does.
	done chan struct{}
}

// answerTTL is how long an answer stays: whoever asked waits no longer.
const answerTTL = time.Minute

func newChecker(c Config, log *slog.Logger, p *parts, pool *gossip.Pool) *checker {
	return &checker{
		pool: pool, judged: p.judge.Snapshot,
		deaf: func() []string {
			out := slices.Clone(p.census.Snapshot().Problems)
			if pool != nil && pool.Snapshot().Problem != "" {
				out = append(out, "no gossip: "+pool.Snapshot().Problem)
			}
			return out
		},
		config: c, log: log, client: p.client, view: view.New(c.Node), open: map[string]bool{},
		problem: func() error {
			err := p.responder.Snapshot().Problem
			if s := p.judge.Snapshot(); s.Problem != "" {
				err = errors.Join(err, errors.New(s.Problem))
			}
			return err
		},
	}
}

// asked are the requests of the cluster.
func asked() etcd.Table[*clustermesh.CheckRequest] {
	return etcd.Table[*clustermesh.CheckRequest]{
		Prefix: clustermesh.Key{Area: clustermesh.Status, Kind: clustermesh.KindAsked}.Prefix(),
		Decode: func(key string, value []byte) (*clustermesh.CheckRequest, error) {
			o, err := clustermesh.DecodeAt(key, value)
			if err != nil {
				return nil, err
			}
			return o.(*clustermesh.CheckRequest), nil
		},
	}
}

// run answers until ctx ends. One check runs at a time; what is asked meanwhile has
// the next.
func (c *checker) run(ctx context.Context, batches <-chan view.Batch, requests <-chan etcd.Batch[*clustermesh.CheckRequest]) error {
	for {
		select {
		case <-ctx.Done():
			if c.done != nil {
				<-c.done
			}
			return nil
		case b := <-batches:
			c.view.Apply(view.Only(b, check.Kinds...))
		case b := <-requests:
			c.take(b)
		case <-c.done:
			c.done = nil
		}
		c.begin(ctx)
	}
}

func (c *checker) take(b etcd.Batch[*clustermesh.CheckRequest]) {
	for _, e := range b.Events {
		k, err := clustermesh.ParseKey(e.Key)
		switch {
		case err != nil:
		case e.Op == etcd.Delete:
			delete(c.open, k.Name)
		case e.Op == etcd.Put && !c.open[k.Name]:
			c.open[k.Name] = false
		}
	}
}

// begin starts a check if one is asked for and none runs. Before the store said who
// this node is there is nothing to answer.
func (c *checker) begin(ctx context.Context) {
	var ids []string
	for id, answered := range c.open {
		if !answered && len(ids) < clustermesh.MaxCheckRequests {
			ids = append(ids, id)
		}
	}
	if c.done != nil || len(ids) == 0 {
		return
	}
	mesh, ok := check.Look(c.view, c.config.Node)
	if !ok {
		return
	}
	for _, id := range ids {
		c.open[id] = true
	}
	facts := check.Survey(c.config.DataPath.BPFFS, c.config.DataPath.Cgroup)
	facts.Failover, facts.Problem = string(c.config.Failover), c.problem()
	facts.Deaf = c.deaf()
	done := make(chan struct{})
	c.done = done
	go func() {
		defer close(done)
		if err := c.answer(ctx, ids, facts, mesh); err != nil && ctx.Err() == nil {
			c.log.Warn("a check of this node's paths is not answered", "err", err)
		}
	}()
}

// answer measures, and stores what came of it.
func (c *checker) answer(ctx context.Context, ids []string, facts check.Facts, mesh check.Mesh) error {
	paths, err := c.measure(ctx, mesh)
	if ctx.Err() != nil {
		return err
	}
	facts.Problem = errors.Join(facts.Problem, err)
	doors := c.knock(ctx, paths)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	a := check.Answer(c.config.Node, facts, mesh, paths, doors, c.config.ProbePort)
	a.Requests, a.Version = ids, c.config.Version
	value, err := clustermesh.Encode(a)
	if err != nil {
		return err
	}
	return c.client.PutFor(ctx, clustermesh.KeyOf(clustermesh.Status, a).String(), value, answerTTL)
}

func (c *checker) measure(ctx context.Context, mesh check.Mesh) ([]*check.Path, error) {
	m, err := check.Prepare(check.Config{Port: c.config.ProbePort, Addresses: mesh.Addresses, Pods: mesh.Pods, Peers: mesh.Peers})
	if err != nil {
		return nil, err
	}
	paths, err := m.Run(ctx)
	heard(paths, c.judged())
	return paths, err
}

// heard notes on which paths failover heard a node once.
func heard(paths []*check.Path, s *Failover) {
	in := map[[2]string]clustermesh.Families{}
	for _, v := range s.Verdicts {
		in[[2]string{v.Cluster, v.Node}] = v.HeardIn
	}
	for _, p := range paths {
		family := clustermesh.IPv6
		if p.Family() == clustermesh.IPv4.String() {
			family = clustermesh.IPv4
		}
		p.Heard = in[[2]string{p.Cluster, p.Node}].Has(family)
	}
}

// atOnce bounds the doors that are tried at a time.
const atOnce = 64

// knock tries where the agents of those nodes listen whose kernels answer.
func (c *checker) knock(ctx context.Context, paths []*check.Path) []check.Door {
	var doors []check.Door
	from := map[netip.AddrPort]netip.Addr{}
	for _, p := range paths {
		l := p.Legs[check.AddressToAddress]
		if !l.Answered {
			continue
		}
		d := check.Door{Cluster: p.Cluster, Node: p.Node, At: netip.AddrPortFrom(p.Address, c.config.ProbePort), Use: check.Census}
		doors, from[d.At] = append(doors, d), l.Sent
		if c.pool == nil {
			continue
		}
		if at := c.pool.Where(p.Cluster, p.Node); at.Addr() == p.Address {
			d.At, d.Use = at, check.Gossip
			doors, from[at] = append(doors, d), l.Sent
		}
	}
	var all sync.WaitGroup
	room := make(chan struct{}, atOnce)
	for i := range doors {
		room <- struct{}{}
		all.Go(func() {
			defer func() { <-room }()
			d := &doors[i]
			if d.Use == check.Census {
				d.TCP = check.Knock(ctx, from[d.At], d.At, nil)
				return
			}
			d.TCP = check.Knock(ctx, from[d.At], d.At, gossip.Greeting(d.Cluster))
			if !errors.Is(d.TCP, unix.ECONNREFUSED) && !c.pool.Answers(ctx, d.Node) {
				d.UDP = check.ErrSilent
			}
		})
	}
	all.Wait()
	return doors
}
