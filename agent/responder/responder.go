package responder

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"tombolo.io/tombolo/agent/uplink"
	"tombolo.io/tombolo/bpf"
	"tombolo.io/tombolo/clustermesh/view"
)

// Config says for which node, and where.
type Config struct {
	// Node is the name of this node.
	Node string
	// Uplinks are the devices to attach to; those that are found when empty.
	Uplinks []string
}

// Snapshot is what the responder is like. It is immutable.
type Snapshot struct {
	Uplinks []bpf.Uplink
	// Askers is how many addresses may ask.
	Askers int
	// Problem says why it is not as it should be; nil when it is.
	Problem error
}

// Responder keeps a bpf.Responder.
type Responder struct {
	config   Config
	kernel   *bpf.Responder
	log      *slog.Logger
	snapshot atomic.Pointer[Snapshot]

	// What follows is owned by Run.

	view    *view.View
	want    desired
	sources sources
	// failed is what went wrong last, by what was done.
	failed map[string]error
	// uplinks are those that were attached to last, and names are their names.
	uplinks []bpf.Uplink
	names   []string
	askers  int
}

// What happens is gathered for a moment, for devices and nodes come in crowds.
// What changes silently, and what failed, is looked at again now and then.
const (
	gather     = 20 * time.Millisecond
	lookAgain  = 10 * time.Second
	retryAfter = time.Second
)

// errUnknown is the reason while nothing is attached yet.
var errUnknown = errors.New("not attached: the nodes of the mesh are not all known yet")

// New returns a Responder that does nothing until Run.
func New(c Config, kernel *bpf.Responder, log *slog.Logger) *Responder {
	r := &Responder{config: c, kernel: kernel, log: log, view: view.New(c.Node), sources: sources{}, failed: map[string]error{}}
	r.snapshot.Store(&Snapshot{Problem: errUnknown})
	return r
}

// Snapshot returns what the responder is like.
func (r *Responder) Snapshot() *Snapshot { return r.snapshot.Load() }

// Run keeps the responder until ctx ends, and leaves it as it is then. It looks
// at the devices of the network namespace of the goroutine's thread.
func (r *Responder) Run(ctx context.Context, batches <-chan view.Batch) error {
	changed, err := uplink.Watch(ctx)
	if err != nil {
		return err
	}
	due := time.NewTimer(0)
	defer due.Stop()
	gathering := true
	for {
		soon := false
		select {
		case <-ctx.Done():
			return nil
		case b := <-batches:
			c := r.view.Apply(view.Only(b, kinds...))
			soon = len(c.Nodes)+len(c.Peers)+len(c.Clusters) > 0
		case <-changed:
			soon = true
		case <-due.C:
			due.Reset(r.settle())
			gathering = false
		}
		if soon && !gathering {
			due.Reset(gather)
			gathering = true
		}
	}
}

// settle makes the kernel hold what the mesh wants, and returns when to look
// again.
func (r *Responder) settle() time.Duration {
	r.want = desire(r.view, r.config.Node)
	r.sources.note(r.view)
	r.try("clock", r.kernel.SetClock())
	r.try("askers", r.setAskers())
	if n := r.want.node; n != nil {
		r.try("local", r.kernel.SetLocal(n.Addresses, n.PodCIDRs))
	}
	// What is attached serves the older maps until these are filled.
	if r.kernel.Restored() || r.want.enough && r.want.node != nil {
		r.try("uplinks", r.attach())
	} else {
		r.try("uplinks", errUnknown)
	}
	r.publish()
	if len(r.failed) > 0 {
		return retryAfter
	}
	return lookAgain
}

func (r *Responder) setAskers() error {
	already, err := r.kernel.Askers()
	if err != nil {
		return err
	}
	allowed := r.want.allowed(already, r.sources, r.view)
	r.askers = len(allowed)
	slices.SortFunc(already, netip.Addr.Compare)
	if slices.Equal(already, allowed) {
		return nil
	}
	return r.kernel.SetAskers(allowed)
}

// attach attaches to the devices that are uplinks now.
func (r *Responder) attach() error {
	own, err := r.kernel.Own() // also what the process before this one was told
	if err != nil {
		return err
	}
	names, err := uplink.Devices(r.config.Uplinks, own, r.names)
	if err != nil {
		if errors.Is(err, uplink.ErrNone) {
			r.uplinks = nil
		}
		return fmt.Errorf("probes to this node are not answered: %w: give --uplinks", err)
	}
	uplinks, err := r.kernel.Attach(names)
	r.tell(uplinks)
	r.names, r.uplinks = names, uplinks
	for _, u := range uplinks {
		err = errors.Join(err, u.Err)
	}
	return err
}

// tell logs what is new about the uplinks.
func (r *Responder) tell(now []bpf.Uplink) {
	for _, u := range now {
		same := func(old bpf.Uplink) bool { return old.Device == u.Device && old.Hook == u.Hook }
		if slices.ContainsFunc(r.uplinks, same) {
			continue
		}
		if u.Err != nil {
			r.log.Warn("probes are not answered on an uplink", "device", u.Device, "error", u.Err)
		} else {
			r.log.Info("the kernel answers probes on an uplink", "device", u.Device, "hook", u.Hook)
		}
	}
}

func (r *Responder) try(what string, err error) {
	if err == nil {
		delete(r.failed, what)
	} else {
		r.failed[what] = err
	}
}

func (r *Responder) publish() {
	s := &Snapshot{Uplinks: r.uplinks, Askers: r.askers}
	for _, what := range []string{"askers", "local", "clock", "uplinks"} {
		if err := r.failed[what]; err != nil {
			s.Problem = errors.Join(s.Problem, fmt.Errorf("answering probes: %w", err))
		}
	}
	if r.want.node == nil && s.Problem == nil && r.want.enough {
		s.Problem = fmt.Errorf("answering probes: the cluster has no node %s: give --node-name, or add the Node", r.config.Node)
	}
	r.snapshot.Store(s)
}
