package packets

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"tombolo.io/tombolo/agent/loadbalancer"
	"tombolo.io/tombolo/agent/uplink"
	"tombolo.io/tombolo/bpf"
	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/view"
)

// Config says for which node, and where.
type Config struct {
	// Node is the name of this node.
	Node string
	// Devices are those to attach to; the uplinks that are found when empty.
	Devices []string
	// Outdated: what an earlier process attached has maps that nobody writes once the
	// balancer has filled those of this one.
	Outdated bool
	// XDP: it is a problem where XDP cannot lead packets.
	XDP bool
	// Ask opens what asks other nodes whether they take tunnels, from one of this node's
	// addresses of each family. Without it packets go to no node as they came, and come
	// from none.
	Ask func(sources []netip.Addr) (Asker, error)
}

// Balancer is what writes services and backends.
type Balancer interface {
	// Filled is closed once all was written for the first time.
	Filled() <-chan struct{}
	Snapshot() *loadbalancer.Snapshot
}

// Kernel is the programs and their maps: a bpf.Packets.
type Kernel interface {
	SetOwned(map[netip.Addr]bpf.Owned) error
	SetSources(v4, v6 netip.Addr) error
	SetTunnel(node uint32, t bpf.Tunnel) error
	// RenewWays is called every second or so.
	RenewWays(now time.Time) error
	Attach(devices []string) ([]bpf.Uplink, error)
	// Ports returns the first of the ports that flows have, and how many.
	Ports() (first, count uint16)
}

// Snapshot is what the packet path is like. It is immutable.
type Snapshot struct {
	Uplinks []bpf.Uplink
	// Addresses are those that only services have.
	Addresses int
	// Tunnels are where other nodes take tunnels, if they are used; nil before they were
	// asked.
	Tunnels []Tunnel
	// Problem says why it is not as it should be; nil when it is.
	Problem error
}

// Packets keeps a Kernel.
type Packets struct {
	config   Config
	kernel   Kernel
	balancer Balancer
	log      *slog.Logger
	snapshot atomic.Pointer[Snapshot]

	// What follows is owned by Run.

	view *view.View
	// node is this node as it was known last; it is needed for as long as we run.
	node *clustermesh.Node
	// due is when to look at devices and settings again, and renew when at the ways that
	// flows remember.
	due, renew time.Time
	// left is set once nothing is attached any more that is outdated.
	left bool
	// failed is what went wrong last, by what was done.
	failed map[string]error
	// seen is the balancer's snapshot of which the kernel was told, and told what.
	seen    *loadbalancer.Snapshot
	told    map[netip.Addr]bpf.Owned
	names   []string // of the devices, as attached last
	uplinks []bpf.Uplink
	// tunnels is nil where there are none; others are the other nodes of the cluster, by
	// name, led what the kernel was told of them, and ways what was published.
	tunnels *tunnels
	others  []*clustermesh.Node
	led     map[uint32]led
	ways    []Tunnel
}

const (
	// followEvery is how soon what the balancer wrote is looked at.
	followEvery = 50 * time.Millisecond
	// lookAgain is how often devices and settings are looked at unasked, and
	// retryAfter when something is not as it should be.
	lookAgain  = 30 * time.Second
	retryAfter = time.Second
	// renewEvery is how often it is looked whether ways have numbers.
	renewEvery = time.Second
)

var (
	errUnknown = errors.New("the node's services are not known yet")
)

// New returns Packets that do nothing until Run.
func New(c Config, kernel Kernel, b Balancer, log *slog.Logger) *Packets {
	p := &Packets{config: c, kernel: kernel, balancer: b, log: log, view: view.New(c.Node), failed: map[string]error{}}
	p.snapshot.Store(&Snapshot{Problem: fmt.Errorf("leading packets: %w", errUnknown)})
	if c.Ask != nil {
		p.tunnels, p.led = newTunnels(c.Ask), map[uint32]led{}
	}
	return p
}

// Snapshot returns what the packet path is like.
func (p *Packets) Snapshot() *Snapshot { return p.snapshot.Load() }

// Leads says whether a program leads packets on some device.
func (p *Packets) Leads() bool {
	return slices.ContainsFunc(p.Snapshot().Uplinks, func(u bpf.Uplink) bool { return u.Hook != "" })
}

// Run keeps the packet path until ctx ends, and leaves it as it is then. It looks at
// the devices of the network namespace of the goroutine's thread.
func (p *Packets) Run(ctx context.Context, batches <-chan view.Batch) error {
	changed, err := uplink.Watch(ctx)
	if err != nil {
		return err
	}
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	if p.tunnels != nil {
		defer p.tunnels.close()
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case b := <-batches:
			p.take(b)
		case <-changed:
			p.due = time.Time{}
		case <-tick.C:
			p.step(time.Now())
		}
	}
}

// take takes a batch in.
func (p *Packets) take(b view.Batch) {
	if c := p.view.Apply(view.Only(b, clustermesh.KindNodes)); len(c.Nodes) == 0 {
		return
	}
	if n := p.view.Node(view.Ours, p.config.Node); n != nil {
		p.node = n
	}
	if p.tunnels != nil {
		p.followTunnels(time.Now())
	}
	p.due, p.seen = time.Time{}, nil
}

// step does what is due. Nothing is while it is not known what the balancer wrote, and
// which addresses the node has: answers come to these, and what an earlier process
// attached knows them.
func (p *Packets) step(now time.Time) {
	select {
	case <-p.balancer.Filled():
	default:
		return
	}
	if p.node == nil {
		p.miss()
		return
	}
	if p.tend(now) {
		return
	}
	look := !now.Before(p.due)
	if !now.Before(p.renew) {
		before := p.failed["ways"]
		p.try("ways", p.kernel.RenewWays(now))
		p.renew = now.Add(renewEvery)
		look = look || (before == nil) != (p.failed["ways"] == nil)
	}
	if p.follow() || look {
		p.settle(look, now)
	}
}

// follow reports whether the balancer has written something since.
func (p *Packets) follow() bool { return p.balancer.Snapshot() != p.seen }

// miss publishes that the cluster lacks this node, which matters where there are
// services that packets may come to.
func (p *Packets) miss() {
	var err error
	if p.view.Synced(view.Ours, clustermesh.KindNodes) {
		err = p.leaveOutdated()
	}
	if !p.follow() && err == nil {
		return
	}
	p.seen = p.balancer.Snapshot()
	s := &Snapshot{Addresses: len(owned(&clustermesh.Node{}, p.config.Node, p.seen.All()))}
	if s.Addresses > 0 {
		s.Problem = fmt.Errorf("leading packets: the cluster has no node %s, and so no address to which answers come: see --node-name", p.config.Node)
	}
	s.Problem = errors.Join(s.Problem, err)
	p.snapshot.Store(s)
}

// leaveOutdated detaches what an earlier process attached, where that is outdated and
// nothing takes its place: it would lead packets to backends of long ago.
func (p *Packets) leaveOutdated() error {
	if !p.config.Outdated || p.left {
		return nil
	}
	if _, err := p.kernel.Attach(nil); err != nil {
		return fmt.Errorf("leaving the devices of an earlier process: %w", err)
	}
	p.left = true
	return nil
}

// settle makes the kernel hold what is wanted, looks at the devices too if asked, and
// notes when to look again.
func (p *Packets) settle(look bool, now time.Time) {
	p.try("addresses", p.setAddresses())
	p.try("sources", p.kernel.SetSources(sources(p.node)))
	if look {
		p.try("system", p.checkSystem())
		p.try("devices", p.attach())
		p.try("xdp", p.checkXDP())
		p.due = now.Add(lookAgain)
	}
	p.publish()
	if again := now.Add(retryAfter); p.retries() && again.Before(p.due) {
		p.due = again
	}
}

// retries says whether something failed that is tried again at once. XDP is not: tc leads
// all packets, and a device fails for as long as somebody else has it.
func (p *Packets) retries() bool {
	for what := range p.failed {
		if what != "xdp" {
			return true
		}
	}
	return false
}

// checkXDP says where XDP cannot lead packets and was asked to.
func (p *Packets) checkXDP() (err error) {
	if !p.config.XDP {
		return nil
	}
	for _, u := range p.uplinks {
		err = errors.Join(err, u.XDPErr)
	}
	return err
}

// checkSystem looks at the kernel's settings, where they matter: a host that no packet
// for a service comes to need not forward, nor one that none of a family comes to.
func (p *Packets) checkSystem() error {
	var v4, v6 bool
	for a, o := range p.told {
		v4, v6 = v4 || a.Is4() && o&bpf.ServiceAddress != 0, v6 || a.Is6() && o&bpf.ServiceAddress != 0
	}
	if !v4 && !v6 {
		return nil
	}
	first, count := p.kernel.Ports()
	return errors.Join(checkForwarding(sysctls, v4, v6), checkPorts(sysctls, first, count))
}

// services counts the addresses that services have.
func (p *Packets) services() (n int) {
	for _, o := range p.told {
		if o&bpf.ServiceAddress != 0 {
			n++
		}
	}
	return n
}

func (p *Packets) setAddresses() error {
	s := p.balancer.Snapshot()
	p.seen = s
	want := owned(p.node, p.config.Node, s.All())
	if p.tunnels != nil {
		for _, n := range p.others {
			for _, a := range n.Addresses {
				want[a] |= bpf.PeerAddress
			}
		}
	}
	if p.told == nil || !maps.Equal(want, p.told) {
		if err := p.kernel.SetOwned(want); err != nil {
			return err
		}
		p.told = want
	}
	return nil
}

// attach attaches to the devices that are uplinks now, and to those that were and
// still exist: a default route that is gone for a moment is no reason to stop.
func (p *Packets) attach() error {
	names, err := uplink.Devices(p.config.Devices, p.node.Addresses, p.names)
	if err != nil {
		if errors.Is(err, uplink.ErrNone) {
			p.uplinks = nil
		}
		return errors.Join(fmt.Errorf("%w: give --packet-devices", err), p.leaveOutdated())
	}
	uplinks, err := p.kernel.Attach(names)
	p.left = p.left || err == nil
	p.tell(uplinks)
	p.names, p.uplinks = names, uplinks
	for _, u := range uplinks {
		err = errors.Join(err, u.Err)
	}
	return err
}

// tell logs what is new about the uplinks.
func (p *Packets) tell(now []bpf.Uplink) {
	for _, u := range now {
		same := func(old bpf.Uplink) bool { return old.Device == u.Device && old.Hook == u.Hook && old.XDP == u.XDP }
		if slices.ContainsFunc(p.uplinks, same) {
			continue
		}
		if u.Err != nil {
			p.log.Warn("packets are not led to backends on an uplink", "device", u.Device, "error", u.Err)
		} else {
			p.log.Info("packets are led to backends on an uplink", "device", u.Device, "hook", u.Hook, "xdp", cmp.Or(u.XDP, "no"))
		}
	}
}

func (p *Packets) try(what string, err error) {
	if err == nil {
		delete(p.failed, what)
	} else {
		p.failed[what] = err
	}
}

func (p *Packets) publish() {
	s := &Snapshot{Uplinks: p.uplinks, Addresses: p.services(), Tunnels: p.ways}
	for _, what := range []string{"addresses", "sources", "system", "devices", "xdp", "tunnels", "ways"} {
		if err := p.failed[what]; err != nil {
			s.Problem = errors.Join(s.Problem, fmt.Errorf("leading packets: %w", err))
		}
	}
	p.snapshot.Store(s)
}
