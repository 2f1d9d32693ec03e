package main

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"tombolo.io/tombolo/bpf"
)

// packetFamily is the addresses of one family in the benchmark of packets.
type packetFamily struct {
	name                         string
	clients, node, router, other netip.Addr
	peer                         netip.Addr // the node on which the backends are
	services, backends           netip.Addr // the one before the first of each
	behind                       netip.Prefix
}

var packetFamilies = []packetFamily{{
	name: "ipv4", clients: netip.MustParseAddr("1.0.0.0"), node: netip.MustParseAddr("192.0.2.1"), router: netip.MustParseAddr("192.0.2.254"), peer: netip.MustParseAddr("192.0.2.2"),
	other: netip.MustParseAddr("198.51.100.9"), services: netip.MustParseAddr("203.0.0.0"), backends: netip.MustParseAddr("10.128.0.0"),
	behind: netip.MustParsePrefix("10.128.0.0/16"),
}, {
	name: "ipv6", clients: netip.MustParseAddr("2001:db8:51::100:0"), node: netip.MustParseAddr("2001:db8:2::1"), router: netip.MustParseAddr("2001:db8:2::fe"), peer: netip.MustParseAddr("2001:db8:2::2"),
	other: netip.MustParseAddr("2001:db8:9::9"), services: netip.MustParseAddr("2001:db8:113::"), backends: netip.MustParseAddr("fd00:10::"),
	behind: netip.MustParsePrefix("fd00:10::/64"),
}}

// What is measured of packets. A program that does nothing takes about as long as the
// clock's grain, so each round has many.
const (
	packetRounds = 7
	packetRuns   = 100_000
	packetFlows  = 100_000
	packetMemory = 1 << 19 // flows that are remembered; a fourth of it that are not answered
	// asked is how many backends the service has that all packets go to, so that none
	// runs out of ports.
	asked = 64
	// peerNumber is that of the node on which the backends are.
	peerNumber = 2
	// packetTries is how often a round may be run: the kernel begins it anew when a signal
	// comes, and XDP leaves packets to the kernel now and then, which is not what is measured.
	packetTries = 5
)

// benchPackets measures what the programs that lead packets cost, in nanoseconds and as
// multiples of an empty one.
func benchPackets(r *Report) error {
	for _, services := range []int{1, 1000, 10_000} {
		for _, f := range packetFamilies {
			for _, direct := range []bpf.Direct{0, bpf.DirectTCP} {
				if err := inNewNetns(func() error { return benchPacketFamily(r, f, services, direct) }); err != nil {
					return fmt.Errorf("%s with %d services: %w", f.name, services, err)
				}
			}
		}
	}
	return nil
}

// packetRoad makes a node's uplink: a device with a router behind it.
func packetRoad() error {
	veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "eth0"}, PeerName: "wire0"}
	if err := netlink.LinkAdd(veth); err != nil {
		return fmt.Errorf("making an uplink: %w", err)
	}
	peer, err := netlink.LinkByName("wire0")
	if err != nil {
		return err
	}
	eth0, err := netlink.LinkByName("eth0")
	if err == nil {
		err = errors.Join(netlink.LinkSetUp(eth0), netlink.LinkSetUp(peer))
	}
	for _, path := range []string{"/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding"} {
		err = errors.Join(err, os.WriteFile(path, []byte("1"), 0o644))
	}
	for _, f := range packetFamilies {
		err = errors.Join(err, packetRoute(eth0, peer.Attrs().HardwareAddr, f))
	}
	if err != nil {
		return fmt.Errorf("making an uplink: %w", err)
	}
	return nil
}

func packetRoute(eth0 netlink.Link, router net.HardwareAddr, f packetFamily) error {
	bits := 24
	if f.node.Is6() {
		bits = 64
	}
	ip := func(a netip.Addr, bits int) *net.IPNet {
		return &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(bits, a.BitLen())}
	}
	return errors.Join(
		netlink.AddrAdd(eth0, &netlink.Addr{IPNet: ip(f.node, bits), Flags: unix.IFA_F_NODAD}),
		netlink.NeighSet(&netlink.Neigh{LinkIndex: eth0.Attrs().Index, IP: f.router.AsSlice(), HardwareAddr: router, State: netlink.NUD_PERMANENT}),
		netlink.NeighSet(&netlink.Neigh{LinkIndex: eth0.Attrs().Index, IP: f.peer.AsSlice(), HardwareAddr: router, State: netlink.NUD_PERMANENT}),
		netlink.RouteAdd(&netlink.Route{LinkIndex: eth0.Attrs().Index, Dst: ip(f.behind.Addr(), f.behind.Bits()), Gw: f.router.AsSlice()}),
	)
}

// benchPacketFamily measures one family, in maps of its own.
func benchPacketFamily(r *Report, f packetFamily, services int, direct bpf.Direct) (err error) {
	if err := packetRoad(); err != nil {
		return err
	}
	at, err := newPlace(bpf.DefaultSizes())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, at.remove()) }()
	d, err := bpf.Load(at.config, quiet)
	if err != nil {
		return err
	}
	defer d.Close()
	packets, err := bpf.LoadPackets(bpf.PacketsConfig{BPFFS: at.config.BPFFS, Flows: packetMemory, Direct: direct, XDP: bpf.XDPNative}, d)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, packets.Close(), bpf.UninstallPackets(at.config.BPFFS)) }()
	if err := packetServices(d, packets, f, services); err != nil {
		return err
	}
	if direct != 0 {
		to := bpf.Tunnel{V4: packetFamilies[0].peer, V6: packetFamilies[1].peer, Open4: true, Open6: true}
		if err := packets.SetTunnel(peerNumber, to); err != nil {
			return err
		}
	}
	flows, err := bpf.OpenFlows(at.config.BPFFS)
	if err != nil {
		return err
	}
	defer flows.Close()
	return (&packetMeasure{Report: r, packets: packets, family: f, services: services, direct: direct != 0, flows: flows}).all()
}

// packetServices fills the maps: each service has one address, a table and backends of
// its own, which are all on other nodes, and at the same addresses: neither the maps nor
// the program mind.
func packetServices(d *bpf.Datapath, packets *bpf.Packets, f packetFamily, services int) error {
	const table = 1021
	number := uint32(0)
	owned := map[netip.Addr]bpf.Owned{f.node: bpf.NodeAddress}
	for i := range services {
		n := uint32(i) + 1
		slots := make([]uint32, table)
		have := backendsEach
		if i == 0 {
			have = asked
		}
		for b := range have {
			number++
			d.Backends.Write(number, bpf.Backend{
				Service: n, Address: netip.AddrPortFrom(nth(f.backends, b), 8080), Protocol: unix.IPPROTO_TCP, State: bpf.Active, Node: peerNumber,
			})
			for s := b; s < table; s += have {
				slots[s] = number
			}
		}
		at := bpf.Extent{Offset: uint32(i) * table, Size: table}
		d.Slots.Write(at.Offset, slots)
		d.Services.Write(n, bpf.Service{Primary: at})
		address := nth(f.services, i)
		owned[address] = bpf.ServiceAddress | bpf.Pinged
		frontend := bpf.Frontend{Address: netip.AddrPortFrom(address, 80), Protocol: unix.IPPROTO_TCP, Scope: bpf.ScopePacket}
		if err := d.Frontends.Put(map[bpf.Frontend]uint32{frontend: n}); err != nil {
			return err
		}
	}
	return errors.Join(packets.SetOwned(owned), packets.SetSources(packetFamilies[0].node, packetFamilies[1].node))
}

// packetMeasure measures on maps that are filled.
type packetMeasure struct {
	*Report
	packets  *bpf.Packets
	family   packetFamily
	services int
	direct   bool
	begun    uint32 // flows that there were
	room     bool   // flows without an answer are forgotten before others begin
	flows    *bpf.FlowTable

	// Packets that are led, and packets to nobody's address.
	tc, xdp, tcPassed, xdpPassed *bpf.Replay
}

// replays opens what runs packets.
func (m *packetMeasure) replays() (err error) {
	for _, r := range []struct {
		replay **bpf.Replay
		xdp    bool
		to     netip.Addr
	}{
		{&m.tc, false, nth(m.family.services, 0)}, {&m.tcPassed, false, m.family.other},
		{&m.xdp, true, nth(m.family.services, 0)}, {&m.xdpPassed, true, m.family.other},
	} {
		*r.replay, err = m.packets.NewReplay(bpf.ReplayConfig{Device: "eth0", From: m.family.clients, To: netip.AddrPortFrom(r.to, 80), XDP: r.xdp})
		if err != nil {
			return err
		}
	}
	return nil
}

func (m *packetMeasure) close() {
	for _, r := range []*bpf.Replay{m.tc, m.xdp, m.tcPassed, m.xdpPassed} {
		if r != nil {
			r.Close()
		}
	}
}

// Rounds of flows that go on.
var (
	packetsHot    = bpf.Round{Runs: packetRuns, Flows: 1}
	packetsInTurn = bpf.Round{Runs: packetFlows, Flows: packetFlows}
	packetsBegin  = bpf.Round{Runs: packetFlows, Flows: packetFlows, Begins: true}
)

func (m *packetMeasure) all() error {
	defer m.close()
	if err := m.replays(); err != nil {
		return err
	}
	if m.direct {
		return m.allDirect()
	}
	if err := m.one("no_frontend", m.tcPassed, packetsHot, 0, 3); err != nil {
		return err
	}
	if err := m.leads(m.tc, packetsBegin); err != nil {
		return err
	}
	m.begun = packetFlows
	if err := m.tc.Answer(); err != nil {
		return err
	}
	if err := m.leads(m.tc, packetsInTurn); err != nil { // they settle
		return err
	}
	if err := m.goesOn(m.tc); err != nil {
		return err
	}
	for _, full := range []bool{false, true} {
		m.room = !full
		if err := m.one(map[bool]string{false: "begun", true: "begun_full"}[full], m.tc, packetsBegin, packetFlows, 35); err != nil {
			return err
		}
	}
	if err := m.one("no_frontend", m.xdpPassed, packetsHot, 0, 3); err != nil {
		return err
	}
	return m.goesOn(m.xdp)
}

// allDirect measures packets in tunnels, by XDP alone: of tc the kernel would have to undo
// more of what puts them there than a program can ask it to.
func (m *packetMeasure) allDirect() error {
	for i := range uint32(packetFlows) {
		if err := m.leads(m.tc, bpf.Round{Runs: 1, First: i, Flows: 1, Begins: true}); err != nil {
			return err
		}
	}
	return m.goesOn(m.xdp)
}

// makeRoom forgets the flows that have no answer, if there is to be room for others.
func (m *packetMeasure) makeRoom() error {
	var all []bpf.Flow
	for f, err := range m.flows.All() {
		if err != nil {
			return err
		}
		if m.room && f.State == bpf.FlowSynSent {
			all = append(all, f)
		}
	}
	for _, f := range all {
		if err := m.flows.Forget(f); err != nil {
			return err
		}
	}
	return nil
}

// goesOn measures packets of flows that there are.
func (m *packetMeasure) goesOn(road *bpf.Replay) error {
	if err := m.one("established_hot", road, packetsHot, packetRuns, 6); err != nil {
		return err
	}
	return m.one("established_100000_in_turn", road, packetsInTurn, packetFlows, 20)
}

// leads runs a round once, of which every packet is to be led.
func (m *packetMeasure) leads(road *bpf.Replay, round bpf.Round) error {
	_, err := m.run(road, round, uint64(round.Runs))
	return err
}

// run runs a round of a program that leads packets, and holds that it led so many, and
// the last one as it should.
func (m *packetMeasure) run(road *bpf.Replay, round bpf.Round, want uint64) (time.Duration, error) {
	for range packetTries {
		if road == m.xdp { // one that the kernel sends, for its neighbours
			if err := m.leads(m.tc, bpf.Round{Runs: 1, Flows: 1}); err != nil {
				return 0, err
			}
		}
		before, err := m.packets.Counters()
		if err != nil {
			return 0, err
		}
		took, last, err := road.Run(bpf.Led, round)
		if err != nil {
			return 0, err
		}
		after, err := m.packets.Counters()
		if err != nil {
			return 0, err
		}
		switch got := after.Forwarded + after.Tunnelled - before.Forwarded - before.Tunnelled; {
		case got == want:
			return took, m.right(road, round, last, want)
		case got < want && (road != m.xdp || !maps.Equal(after.Dropped, before.Dropped)):
			return 0, fmt.Errorf("%d of %d packets were led; dropped: %v", got, want, after.Dropped)
		}
	}
	return 0, fmt.Errorf("the machine was too slow for a round, or interrupted it, %d times", packetTries)
}

// right says in what the last packet of a round is not what it should be.
func (m *packetMeasure) right(road *bpf.Replay, round bpf.Round, last []byte, led uint64) (wrong error) {
	if led == 0 {
		return nil
	}
	if m.direct {
		return road.Tunnelled(last, round, m.family.node, m.family.peer)
	}
	for b := range asked {
		if wrong = road.Translated(last, round, m.family.node, netip.AddrPortFrom(nth(m.family.backends, b), 8080)); wrong == nil {
			return nil
		}
	}
	return wrong
}

// one measures a kind of packets, in turn with a program that does nothing on the same
// ones. What puts the packets back is before both: it is not in the nanoseconds, and on
// both sides of the ratio.
func (m *packetMeasure) one(name string, road *bpf.Replay, round bpf.Round, want uint64, goal float64) error {
	var nothing, led []time.Duration
	for range packetRounds {
		if round.Begins {
			round.First = m.begun
			m.begun += round.Flows
			if err := m.makeRoom(); err != nil {
				return err
			}
		}
		took, err := m.run(road, round, want)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		led = append(led, took)
		if took, _, err = road.Run(bpf.Nothing, round); err != nil {
			return err
		}
		nothing = append(nothing, took)
	}
	hook, mode := "tc", "snat"
	if road == m.xdp || road == m.xdpPassed {
		hook = "xdp"
	}
	if m.direct {
		mode = "dsr"
	}
	name = fmt.Sprintf("packet_%s_%s_%s_%s_%d_services", hook, m.family.name, mode, name, m.services)
	m.State(name, float64(median(led)-median(nothing))/float64(round.Runs), "ns")
	m.Below(name+"_per_empty", float64(median(led))/float64(median(nothing)), "ratio", goal)
	return nil
}
