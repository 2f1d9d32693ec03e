package packets

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"tombolo.io/tombolo/agent/health/probe"
	"tombolo.io/tombolo/bpf"
	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/view"
)

// Asker sends probes within packets between nodes: a probe.Prober.
type Asker interface {
	Send(probe.Target) (nonce uint64, err error)
	Drain() (probe.Batch, error)
	Close() error
}

const (
	// askEvery is how often a node is asked whether tunnels come through, and openFor how
	// long an answer holds: until the third question without one.
	askEvery   = 5 * time.Second
	askAtFirst = time.Second
	openFor    = 16 * time.Second
	// hearEvery is how often answers are taken in.
	hearEvery = 250 * time.Millisecond
	// answerWithin is how long the first answers are waited for before packets are led.
	answerWithin = time.Second
)

// tunnels finds out which nodes take tunnels: those from which a probe in one came back.
// An agent of an earlier version takes none, and a network may let none through.
type tunnels struct {
	open    func(sources []netip.Addr) (Asker, error)
	asker   Asker
	sources []netip.Addr
	began   time.Time
	due     time.Time
	ends    map[netip.Addr]*end
}

// end is an address at which a node may take tunnels: since when it is asked, and when it
// was and answered last.
type end struct{ since, asked, heard time.Time }

// every is how often it is asked: at first more often, for it may have begun just now too.
func (e *end) every(now time.Time) time.Duration {
	if e.heard.IsZero() && now.Sub(e.since) < 2*askEvery {
		return askAtFirst
	}
	return askEvery
}

func newTunnels(open func(sources []netip.Addr) (Asker, error)) *tunnels {
	return &tunnels{open: open, ends: map[netip.Addr]*end{}}
}

// lead says at which addresses nodes may take tunnels now.
func (t *tunnels) lead(now time.Time, addresses []netip.Addr) {
	old := t.ends
	t.ends, t.due = make(map[netip.Addr]*end, len(addresses)), now
	for _, a := range addresses {
		if t.ends[a] = old[a]; old[a] == nil {
			t.ends[a] = &end{since: now}
		}
	}
}

// step asks, from one of the node's addresses of each family, those who are due, and takes
// in what they answered.
func (t *tunnels) step(now time.Time, sources []netip.Addr) error {
	if t.began.IsZero() {
		t.began = now
	}
	t.due = now.Add(hearEvery)
	if !slices.Equal(sources, t.sources) || t.asker == nil {
		if err := t.reopen(sources); err != nil {
			return fmt.Errorf("asking which nodes take tunnels: %w", err)
		}
	}
	answers, err := t.asker.Drain()
	if err != nil {
		return fmt.Errorf("hearing which nodes take tunnels: %w", err)
	}
	for _, r := range answers.Replies {
		if e := t.ends[r.Target.Address]; e != nil {
			e.heard = r.Arrived
		}
	}
	for a, e := range t.ends {
		if e.asked.IsZero() || now.Sub(e.asked) >= e.every(now) {
			e.asked = now
			_, _ = t.asker.Send(probe.Target{Address: a, Kind: bpf.ProbeNode}) // what is not sent is not answered
		}
	}
	return nil
}

func (t *tunnels) reopen(sources []netip.Addr) error {
	t.close()
	asker, err := t.open(sources)
	if err != nil {
		return err
	}
	t.asker, t.sources = asker, slices.Clone(sources)
	for _, e := range t.ends {
		e.asked = time.Time{}
	}
	return nil
}

func (t *tunnels) close() {
	if t.asker != nil {
		t.asker.Close()
		t.asker = nil
	}
}

// takes reports whether tunnels to an address come through.
func (t *tunnels) takes(a netip.Addr, now time.Time) bool {
	e := t.ends[a]
	return e != nil && now.Sub(e.heard) < openFor
}

// awaits reports whether answers are waited for that tell which nodes take tunnels: what an
// earlier process attached knows, and goes on until then.
func (t *tunnels) awaits(now time.Time) bool {
	if now.Sub(t.began) >= answerWithin {
		return false
	}
	for _, e := range t.ends {
		if e.heard.IsZero() {
			return true
		}
	}
	return false
}

// ends returns where nodes take tunnels: at the first address of each family.
func ends(nodes []*clustermesh.Node) (all []netip.Addr) {
	for _, n := range nodes {
		all = append(all, addressesOf(n)...)
	}
	return all
}

func addressesOf(n *clustermesh.Node) (all []netip.Addr) {
	v4, v6 := sources(n)
	return slices.DeleteFunc([]netip.Addr{v4, v6}, func(a netip.Addr) bool { return !a.IsValid() })
}

// led is what the kernel was told of where a node takes tunnels.
type led struct {
	node   string
	tunnel bpf.Tunnel
}

// followTunnels takes in which nodes there are besides this one.
func (p *Packets) followTunnels(now time.Time) {
	p.others = p.others[:0]
	for n := range p.view.Nodes(view.Ours) {
		if n.Name != p.config.Node {
			p.others = append(p.others, n)
		}
	}
	slices.SortFunc(p.others, func(a, b *clustermesh.Node) int { return strings.Compare(a.Name, b.Name) })
	p.tunnels.lead(now, ends(p.others))
}

// setTunnels has the kernel know where the nodes of the cluster that backends are on take
// tunnels, by their numbers in the maps, and which are open: also while nobody can be
// asked, for then they close.
func (p *Packets) setTunnels(now time.Time) error {
	err := p.tunnels.step(now, addressesOf(p.node))
	open := func(n *clustermesh.Node) bpf.Tunnel {
		v4, v6 := sources(n)
		return bpf.Tunnel{V4: v4, V6: v6, Open4: p.tunnels.takes(v4, now), Open6: p.tunnels.takes(v6, now)}
	}
	return errors.Join(err, p.tellTunnels(tunnelsTo(p.balancer.Snapshot().Numbered(), p.others, open, p.led)))
}

// tend keeps tunnels, and reports whether packets are not to be led before more is known
// of them.
func (p *Packets) tend(now time.Time) (early bool) {
	if p.tunnels == nil {
		return false
	}
	if !now.Before(p.tunnels.due) {
		p.try("tunnels", p.setTunnels(now))
		ways := p.waysNow(now)
		changed := !slices.Equal(ways, p.ways)
		if p.ways = ways; changed && p.told != nil {
			p.publish()
		}
	}
	return p.told == nil && p.tunnels.awaits(now)
}

// tunnelsTo returns where the nodes that have numbers take tunnels. One that the store does
// not name any more may have flows still: they keep the way that was told.
func tunnelsTo(numbered map[uint32]string, others []*clustermesh.Node, open func(*clustermesh.Node) bpf.Tunnel, told map[uint32]led) map[uint32]led {
	by := make(map[string]*clustermesh.Node, len(others))
	for _, n := range others {
		by[n.Name] = n
	}
	want := map[uint32]led{}
	for number, name := range numbered {
		if n := by[name]; n != nil {
			want[number] = led{name, open(n)}
		} else if old, ok := told[number]; ok && old.node == name {
			old.tunnel.Open4, old.tunnel.Open6 = false, false
			want[number] = old
		}
	}
	return want
}

// tellTunnels tells the kernel what is another than it was told.
func (p *Packets) tellTunnels(want map[uint32]led) error {
	for number := range p.led {
		if _, still := want[number]; !still {
			if err := p.kernel.SetTunnel(number, bpf.Tunnel{}); err != nil {
				return err
			}
			delete(p.led, number)
		}
	}
	for number, l := range want {
		if p.led[number] == l {
			continue
		}
		if err := p.kernel.SetTunnel(number, l.tunnel); err != nil {
			return err
		}
		p.led[number] = l
	}
	return nil
}

// Tunnel is an address at which another node may take tunnels.
type Tunnel struct {
	Node    string     `json:"node"`
	Address netip.Addr `json:"address"`
	// Open: probes in tunnels come back from there.
	Open bool `json:"open"`
	// Since is when it was asked first.
	Since time.Time `json:"since"`
}

// State is a word for whether it is open.
func (t Tunnel) State() string {
	if t.Open {
		return "open"
	}
	return "closed"
}

// waysNow returns all addresses at which nodes may take tunnels.
func (p *Packets) waysNow(now time.Time) (all []Tunnel) {
	for _, n := range p.others {
		for _, a := range addressesOf(n) {
			if e := p.tunnels.ends[a]; e != nil {
				all = append(all, Tunnel{n.Name, a, p.tunnels.takes(a, now), e.since})
			}
		}
	}
	return all
}
