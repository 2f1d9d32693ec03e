package check

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sync/errgroup"

	"tombolo.io/tombolo/bpf"
)

// Config says from where to measure, and what.
type Config struct {
	// Port is that of probes.
	Port uint16
	// Addresses are this node's own, of each family one at most; Pods are addresses
	// of its pods' prefixes, likewise.
	Addresses, Pods []netip.Addr
	Peers           []Peer
}

// How often and how patiently is asked. With 30 % loss each way a question that is
// asked tries times is not answered by chance in 3 of 100 cases. Kernels send an ICMP
// error a second to each address, and the agent's own probes ask for them too: all
// tries take longer than that.
const (
	tries   = 5
	gap     = 300 * time.Millisecond
	pings   = 3
	sizings = 4
	// shortGap is that of sizes, which are asked once it is known how long replies take.
	shortGap = 60 * time.Millisecond
)

// Measurement is what was prepared by Prepare.
type Measurement struct {
	runs []*run
}

// run is the measurement of one family.
type run struct {
	wire          *wire
	address, pods netip.Addr
	paths         []*Path
}

// Prepare opens what is needed, in the network namespace of the thread. Run
// closes it.
func Prepare(c Config) (*Measurement, error) {
	m := &Measurement{}
	for _, a := range c.Addresses {
		r := &run{address: a, pods: sameFamily(a, c.Pods)}
		for _, p := range c.Peers {
			if p.Address.IsValid() && p.Address.Is4() == a.Is4() {
				r.paths = append(r.paths, &Path{Peer: p, Size: Size{Device: deviceMTU(p.Address)}})
			}
		}
		var err error
		if r.wire, err = openWire(a, r.pods, c.Port); err != nil {
			return nil, errors.Join(err, m.close())
		}
		m.runs = append(m.runs, r)
	}
	return m, nil
}

func sameFamily(a netip.Addr, all []netip.Addr) netip.Addr {
	for _, o := range all {
		if o.Is4() == a.Is4() {
			return o
		}
	}
	return netip.Addr{}
}

// deviceMTU returns what the device takes by which an address is reached, 0 if
// there is none.
func deviceMTU(to netip.Addr) int {
	routes, err := netlink.RouteGet(to.AsSlice())
	if err != nil || len(routes) == 0 {
		return 0
	}
	link, err := netlink.LinkByIndex(routes[0].LinkIndex)
	if err != nil {
		return 0
	}
	return link.Attrs().MTU
}

func (m *Measurement) close() error {
	var errs []error
	for _, r := range m.runs {
		errs = append(errs, r.wire.close())
	}
	return errors.Join(errs...)
}

// Run measures, within some 10 s at most, and returns a path for each peer and
// family.
func (m *Measurement) Run(ctx context.Context) ([]*Path, error) {
	g, ctx := errgroup.WithContext(ctx)
	var all []*Path
	for _, r := range m.runs {
		all = append(all, r.paths...)
		g.Go(func() error { return r.measure(ctx) })
	}
	return all, errors.Join(g.Wait(), m.close())
}

func (r *run) measure(ctx context.Context) error {
	for _, step := range []func(context.Context) error{r.fromAddress, r.fromPods, r.ping, r.sizes} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// asking is a question for a path.
type asking struct {
	*question
	path *Path
}

// askAll asks, and notes what became of the legs.
func (r *run) askAll(ctx context.Context, all []asking, times int, gap time.Duration) error {
	questions := make([]*question, len(all))
	for i, a := range all {
		questions[i] = a.question
	}
	return r.wire.ask(ctx, questions, times, gap)
}

// fromAddress asks from this node's address.
func (r *run) fromAddress(ctx context.Context) error {
	var all []asking
	for _, p := range r.paths {
		all = append(all, asking{&question{way: AddressToAddress, from: r.address, to: p.Address, bootID: p.BootID}, p})
		if p.Pods.IsValid() {
			all = append(all, asking{&question{way: AddressToPods, from: r.address, to: p.Pods, bootID: p.BootID}, p})
		}
	}
	err := r.askAll(ctx, all, tries, gap)
	for _, a := range all {
		a.path.Legs[a.way] = a.leg
		if a.leg.Answered {
			a.path.BootID = a.boot
		}
		if a.way == AddressToAddress {
			a.path.RTT, a.path.Clock, a.path.Timed = a.rtt, a.clock, a.timed
		}
	}
	return err
}

// fromPods asks from an address of this node's pods, those whose boot id is known.
func (r *run) fromPods(ctx context.Context) error {
	if !r.pods.IsValid() {
		return nil
	}
	var all []asking
	for _, p := range r.paths {
		if p.BootID == (bpf.BootID{}) {
			continue
		}
		all = append(all, asking{&question{way: PodsToAddress, from: r.pods, to: p.Address, bootID: p.BootID}, p})
		if p.Pods.IsValid() {
			all = append(all, asking{&question{way: PodsToPods, from: r.pods, to: p.Pods, bootID: p.BootID}, p})
		}
	}
	err := r.askAll(ctx, all, tries, gap)
	for _, a := range all {
		a.path.Legs[a.way] = a.leg
	}
	return err
}

// ping asks those by ICMP that are silent.
func (r *run) ping(ctx context.Context) error {
	var all []asking
	for _, p := range r.paths {
		if l := p.Legs[AddressToAddress]; !l.Answered && l.Unsent == nil {
			all = append(all, asking{&question{echo: true, from: r.address, to: p.Address}, p})
		}
	}
	err := r.askAll(ctx, all, pings, gap)
	for _, a := range all {
		a.path.Pinged = a.leg.Answered
	}
	return err
}
