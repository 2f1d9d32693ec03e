package census

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"tombolo.io/tombolo/agent/health"
	"tombolo.io/tombolo/agent/loadbalancer"
	"tombolo.io/tombolo/agent/pods"
	"tombolo.io/tombolo/clustermesh/global"
	"tombolo.io/tombolo/clustermesh/view"
	"tombolo.io/tombolo/internal/kept"
)

// Config says for which node, and how.
type Config struct {
	// Node is the name of this node, RunDir where it keeps who may ask.
	Node, RunDir string
	// Port is the TCP port of questions in the whole mesh.
	Port uint16
	// Observe: what would be withdrawn is told, and nothing done.
	Observe bool
}

// Deps are what a Census works with.
type Deps struct {
	// Life and Pods are what runs on this node.
	Life func() health.Life
	Pods func() *pods.Set
	// Balanced is what this node balances.
	Balanced func() *loadbalancer.Snapshot
	Balancer interface {
		// SetWithdrawn says which pods of a cluster are withdrawn, as of so many batches.
		SetWithdrawn(ctx context.Context, cluster string, pods map[global.Pod]string, taken uint64) error
	}
	Judge interface {
		Confirm(ctx context.Context, who health.Name, life health.Life) error
		// Spread has others look at a node whose pods are not those of the mirror.
		Spread(ctx context.Context, who health.Name) error
		Tell(health.Event)
	}
	Log *slog.Logger
}

// Census asks and answers.
type Census struct {
	config   Config
	deps     Deps
	server   server
	snapshot atomic.Pointer[Snapshot]

	// sightings may come at any time and from a goroutine that must not wait, which
	// is why they lie behind a mutex; awake has a value when there are some.
	mu        sync.Mutex
	sightings []health.Sighting
	awake     chan struct{}

	// What follows is owned by Run.

	view    *view.View
	desk    *desk
	own     health.Name
	sources []netip.Addr
	// addresses are those of nodes, by their names.
	addresses map[health.Name][]netip.Addr
	results   chan result
	asking    int
	questions sync.WaitGroup
	// pairs are the endpoints of each node as of a snapshot of what is balanced.
	pairs   map[health.Name][]Pair
	indexed *loadbalancer.Snapshot
	asked   Asked
	problem map[string]error
	// began is when Run did.
	began time.Time

	// recalled: addresses and pairs are those of before a restart, and used until the
	// store has named the endpoints.
	recalled bool
	// kept is what lies on disk, made of rememberedOf; moved: nodes or addresses may be
	// others since. It is looked at again at rememberAt.
	kept         *memory
	rememberedOf *loadbalancer.Snapshot
	moved        bool
	rememberAt   time.Time

	// withdrawnKept is what lies on disk of what is withdrawn; withdrawnMoved: that may be
	// another since. It is written again at withdrawnAt.
	withdrawnKept  []withdrawnOf
	withdrawnMoved bool
	withdrawnAt    time.Time
}

// result is what became of a question.
type result struct {
	who    health.Name
	pairs  []Pair
	answer Answer
	err    error
}

const (
	// atOnce bounds the questions that are under way.
	atOnce = 16
	// lookEvery is how often the own pods are looked at, and who may be asked again;
	// listening is when a port is tried again that was not to be had.
	lookEvery = 100 * time.Millisecond
	listening = time.Second
)

// rosterFile has who may ask, below the run directory.
const rosterFile = "census.json"

// New returns a Census that does nothing before Run.
func New(c Config, d Deps) *Census {
	s := &Census{config: c, deps: d, awake: make(chan struct{}, 1), view: view.New(c.Node), desk: newDesk(),
		results: make(chan result), problem: map[string]error{}}
	s.server = server{life: d.Life, set: d.Pods, askers: map[netip.Addr]*bucket{}}
	s.snapshot.Store(&Snapshot{Withdrawn: []Withdrawn{}})
	return s
}

// Sighted takes in that a node lives another life; it never blocks.
func (c *Census) Sighted(s health.Sighting) {
	c.mu.Lock()
	c.sightings = append(c.sightings, s)
	c.mu.Unlock()
	select {
	case c.awake <- struct{}{}:
	default:
	}
}

func (c *Census) sighted() (out []health.Sighting) {
	c.mu.Lock()
	defer c.mu.Unlock()
	out, c.sightings = c.sightings, nil
	return out
}

// Run asks and answers until ctx ends, in the network namespace of its thread.
func (c *Census) Run(ctx context.Context, batches <-chan view.Batch) error {
	ctx, cancel := context.WithCancel(ctx)
	served := make(chan error)
	go c.listen(ctx, served)
	defer func() {
		cancel()
		for range served { // until it is closed
		}
		c.questions.Wait()
	}()
	c.recall()
	if err := c.recollect(); err != nil {
		c.deps.Log.Warn("which pods other nodes ran before is not known", "error", err)
	}
	c.began = time.Now()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case b := <-batches:
			c.take(ctx, b)
		case <-c.awake:
			for _, s := range c.sighted() {
				c.desk.sighted(s.Name, s.Life, time.Now())
			}
		case r := <-c.results:
			c.asking--
			c.settle(ctx, r)
		case err := <-served:
			c.fault("port", err)
		case <-look.C:
		}
		if c.own.Node != "" && !c.desk.cluster(c.own.Cluster).fresh {
			c.desk.sighted(c.own, c.deps.Life(), time.Now())
		}
		for _, name := range c.desk.expire(time.Now()) {
			c.withdraw(ctx, name)
			c.note(health.Event{What: name, From: Withdrew, To: "used", Reason: "its mirror is fresh, and rules"})
		}
		c.inquire(ctx)
		c.remember(time.Now())
		c.keepWithdrawn(time.Now())
		if !c.desk.anyStale() { // an answer that failed, or came late, is missed by nobody
			c.fault("ask", nil)
		}
		c.publish()
	}
}

// listen keeps a server, and sends what goes wrong with it, or nil.
func (c *Census) listen(ctx context.Context, out chan<- error) {
	defer close(out)
	for ctx.Err() == nil {
		var config net.ListenConfig
		l, err := config.Listen(ctx, "tcp", fmt.Sprintf(":%d", c.config.Port))
		if err != nil {
			err = fmt.Errorf("other nodes cannot ask which pods run here: %w", err)
		}
		select {
		case out <- err:
		case <-ctx.Done():
		}
		if err == nil {
			if err = c.server.serve(ctx, l); err != nil {
				c.deps.Log.Warn("questions about this node's pods", "error", err)
			}
		}
		select {
		case <-time.After(listening):
		case <-ctx.Done():
		}
	}
}

// fault notes what went wrong with something, or that it did not.
func (c *Census) fault(what string, err error) {
	if err == nil {
		delete(c.problem, what)
		return
	}
	if old := c.problem[what]; old == nil || old.Error() != err.Error() {
		c.deps.Log.Warn("census", "problem", err)
	}
	c.problem[what] = err
}

// recall takes in who might ask before a restart.
func (c *Census) recall() {
	k, ok, err := kept.Read[keptRoster](c.path())
	if err == nil && ok {
		var r *roster
		if r, err = newRoster(k.Seed, k.Keys); err == nil {
			c.server.roster.Store(r)
		}
	}
	if err != nil {
		c.deps.Log.Warn("who may ask about this node's pods is not known until the store says it", "error", err)
	}
}

func (c *Census) path() string { return filepath.Join(c.config.RunDir, rosterFile) }

// Withdrew is the state, in events, of an endpoint that was withdrawn.
const Withdrew = "withdrawn"

// errUnnamed is of an agent that started while its store is away, settling ago or more.
var errUnnamed = errors.New("etcd has not named the endpoints' pods since the agent started, and what was kept of them is missing: no node is asked which of its pods live, and what ends meanwhile stays in use")

const settling = 5 * time.Second

// errNoWay is of a node with which we have no family of addresses in common.
var errNoWay = errors.New("it has no address of a family that this node has")

// withdraw hands on what of a cluster is withdrawn.
func (c *Census) withdraw(ctx context.Context, name string) {
	if c.config.Observe {
		return
	}
	gone := c.desk.withdrawn(name)
	if c.recalled {
		c.spare(gone)
	}
	c.withdrawnMoved = true
	_ = c.deps.Balancer.SetWithdrawn(ctx, name, gone, c.view.Taken()) // only ctx ends it
}

// maxTold bounds how many pods of one answer have an event of their own.
const maxTold = 10

// tell tells whom an answer withdrew, and who is back.
func (c *Census) tell(who health.Name, gone map[global.Pod]string, back []global.Pod) {
	told := 0
	for _, p := range slices.SortedFunc(maps.Keys(gone), comparePods) {
		if told++; told > maxTold {
			c.note(health.Event{What: who.String(), From: "used", To: Withdrew, Reason: fmt.Sprintf("and %d more of its pods", len(gone)-maxTold)})
			break
		}
		c.note(health.Event{What: nameOf(p), From: "used", To: Withdrew, Reason: gone[p] + ", and the mirror of its cluster does not"})
	}
	if len(back) > 0 {
		c.note(health.Event{What: who.String(), From: Withdrew, To: "used", Reason: fmt.Sprintf("it says that %d of its pods live after all", len(back))})
	}
}

// nameOf writes cluster/address of a pod.
func nameOf(p global.Pod) string { return p.Cluster + "/" + p.Address.String() }

func comparePods(a, b global.Pod) int {
	return cmp.Or(cmp.Compare(a.Cluster, b.Cluster), a.Address.Compare(b.Address), cmp.Compare(a.UID, b.UID))
}

func (c *Census) note(e health.Event) {
	e.Time, e.Observed = time.Now(), c.config.Observe
	c.deps.Judge.Tell(e)
}
