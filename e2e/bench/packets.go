package main

import (
	"errors"
	"fmt"
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
	services, backends           netip.Addr // the one before the first of each
	behind                       netip.Prefix
}

var packetFamilies = []packetFamily{{
	name: "ipv4", clients: netip.MustParseAddr("1.0.0.0"), node: netip.MustParseAddr("192.0.2.1"), router: netip.MustParseAddr("192.0.2.254"),
	other: netip.MustParseAddr("198.51.100.9"), services: netip.MustParseAddr("203.0.0.0"), backends: netip.MustParseAddr("10.128.0.0"),
	behind: netip.MustParsePrefix("10.128.0.0/16"),
}, {
	name: "ipv6", clients: netip.MustParseAddr("2001:db8:51::100:0"), node: netip.MustParseAddr("2001:db8:2::1"), router: netip.MustParseAddr("2001:db8:2::fe"),
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
)

// benchPackets measures what the program that leads packets costs, in nanoseconds and
// as multiples of an empty one.
func benchPackets(r *Report) error {
	for _, services := range []int{1, 1000, 10_000} {
		for _, f := range packetFamilies {
			if err := inNewNetns(func() error { return benchPacketFamily(r, f, services) }); err != nil {
				return fmt.Errorf("%s with %d services: %w", f.name, services, err)
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
		netlink.RouteAdd(&netlink.Route{LinkIndex: eth0.Attrs().Index, Dst: ip(f.behind.Addr(), f.behind.Bits()), Gw: f.router.AsSlice()}),
	)
}

// benchPacketFamily measures one family, in maps of its own.
func benchPacketFamily(r *Report, f packetFamily, services int) (err error) {
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
	packets, err := bpf.LoadPackets(bpf.PacketsConfig{BPFFS: at.config.BPFFS, Flows: packetMemory}, d)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, packets.Close(), bpf.UninstallPackets(at.config.BPFFS)) }()
	if err := packetServices(d, packets, f, services); err != nil {
		return err
	}
	road := bpf.ReplayConfig{Device: "eth0", From: f.clients, To: netip.AddrPortFrom(nth(f.services, 0), 80)}
	led, err := packets.NewReplay(road)
	if err != nil {
		return err
	}
	defer led.Close()
	road.To = netip.AddrPortFrom(f.other, 80)
	passed, err := packets.NewReplay(road)
	if err != nil {
		return err
	}
	defer passed.Close()
	m := &packetMeasure{Report: r, packets: packets, family: f, services: services}
	return m.all(led, passed)
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
				Service: n, Address: netip.AddrPortFrom(nth(f.backends, b), 8080), Protocol: unix.IPPROTO_TCP, State: bpf.Active, Node: 2,
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
	begun    uint32 // flows that there were
}

func (m *packetMeasure) all(led, passed *bpf.Replay) error {
	if err := m.one("no_frontend", passed, bpf.Round{Runs: packetRuns, Flows: 1}, 0, 3); err != nil {
		return err
	}
	begin := bpf.Round{Runs: packetFlows, Flows: packetFlows, Begins: true}
	if err := m.forwards(led, begin); err != nil {
		return err
	}
	m.begun = packetFlows
	if err := led.Answer(); err != nil {
		return err
	}
	if err := m.forwards(led, bpf.Round{Runs: packetFlows, Flows: packetFlows}); err != nil {
		return err
	}
	if err := m.one("established_hot", led, bpf.Round{Runs: packetRuns, Flows: 1}, packetRuns, 6); err != nil {
		return err
	}
	if err := m.one("established_100000_in_turn", led, bpf.Round{Runs: packetFlows, Flows: packetFlows}, packetFlows, 20); err != nil {
		return err
	}
	return m.one("begun", led, begin, packetFlows, 35)
}

// forwards runs a round once, of which every packet is to be forwarded.
func (m *packetMeasure) forwards(road *bpf.Replay, round bpf.Round) error {
	_, err := m.run(road, round, uint64(round.Runs))
	return err
}

// run runs a round of the program that leads packets, and holds that it forwarded so many,
// and the last one as it should.
func (m *packetMeasure) run(road *bpf.Replay, round bpf.Round, want uint64) (time.Duration, error) {
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
	if got := after.Forwarded - before.Forwarded; got != want {
		return 0, fmt.Errorf("%d of %d packets were forwarded; dropped: %v", got, want, after.Dropped)
	}
	if want == 0 {
		return took, nil
	}
	var wrong error
	for b := range asked {
		if wrong = road.Translated(last, round, m.family.node, netip.AddrPortFrom(nth(m.family.backends, b), 8080)); wrong == nil {
			return took, nil
		}
	}
	return 0, wrong
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
	name = fmt.Sprintf("packet_%s_snat_%s_%d_services", m.family.name, name, m.services)
	m.State(name, float64(median(led)-median(nothing))/float64(round.Runs), "ns")
	m.Below(name+"_per_empty", float64(median(led))/float64(median(nothing)), "ratio", goal)
	return nil
}
