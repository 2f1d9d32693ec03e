package bpf

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"time"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"tombolo.io/tombolo/bpf/packet"
)

// Replay runs a program that leads packets on made packets, many times, to measure it.
// The kernel runs a program again on what it made of a packet; so another one comes
// before it and puts each packet back as it came in. Nothing is sent.
type Replay struct {
	cfg     ReplayConfig
	device  netlink.Link
	packets *Packets
	restore *ebpf.Collection
}

// ReplayConfig says of which packets.
type ReplayConfig struct {
	// Device is where they come in, in the network namespace of the caller's thread.
	Device string
	// Segments of TCP come from From and what follows it, and all go To.
	From netip.Addr
	To   netip.AddrPort
	// XDP runs the program of XDP, which the Packets must have; else it is that of tc. For
	// that nothing undoes all of what puts a packet into a tunnel: there is no more than one
	// run of such a round.
	XDP bool
}

// What flows are told apart by counts up from these and down to where it would end at
// about 20 million.
const (
	replayPort = 0xf000
	replayID   = 0xf000
	replayHops = 64
	// replayLow is LOW_BITS of replay.c: so many bits of a flow's number are in one part
	// of the address, the others in another.
	replayLow = 9
)

// NewReplay prepares packets.
func (p *Packets) NewReplay(cfg ReplayConfig) (_ *Replay, err error) {
	r := &Replay{cfg: cfg, packets: p}
	if r.device, err = netlink.LinkByName(cfg.Device); err != nil {
		return nil, fmt.Errorf("finding device %s: %w", cfg.Device, err)
	}
	if cfg.XDP && p.wires.program == nil {
		return nil, errors.Join(errors.New("the program of XDP is not loaded"), p.wires.broken)
	}
	if err := r.load(); err != nil {
		return nil, fmt.Errorf("loading what restores packets: %w", err)
	}
	return r, nil
}

func (r *Replay) load() error {
	spec, err := loadReplay()
	if err != nil {
		return err
	}
	if err := spec.Variables[replayVarV4].Set(r.cfg.From.Is4()); err != nil {
		return fmt.Errorf("setting %s: %w", replayVarV4, err)
	}
	r.restore, err = ebpf.NewCollection(spec)
	return err
}

// frame is the first packet.
func (r *Replay) frame(begins bool) []byte {
	return stamped(madeFrame(r.device.Attrs().HardwareAddr, unix.IPPROTO_TCP, netip.AddrPortFrom(r.cfg.From, replayPort), r.cfg.To, begins), replayID, replayHops)
}

// stamped gives a frame an identification, if it is of IPv4, and a time to live.
func stamped(b []byte, id uint16, hops uint8) []byte {
	ip := b[14:]
	if ip[0]>>4 == 6 {
		ip[7] = hops
		return b
	}
	binary.BigEndian.PutUint16(ip[4:], id)
	ip[8], ip[10], ip[11] = hops, 0, 0
	binary.BigEndian.PutUint16(ip[10:], ^packet.Sum(ip[:20]))
	return b
}

// Measured is which program runs.
type Measured int

// The program that leads packets, and one that does nothing.
const (
	Led Measured = iota
	Nothing
)

// Round is how often a program runs, and on which flows: their numbers begin with First,
// and each comes in its turn. The packets begin connections, or are of some.
type Round struct {
	Runs, First, Flows uint32
	Begins             bool
}

// Run runs a round. It returns for how long this thread ran, which is without the time
// that others had the core, and the last packet as it left.
func (r *Replay) Run(which Measured, round Round) (took time.Duration, last []byte, err error) {
	frame := r.frame(round.Begins)
	plan := replayPlan{First: uint64(round.First), Flows: uint64(round.Flows), Size: uint64(len(frame))}
	copy(plan.Head[:], frame)
	led, nothing, restore, measured := r.packets.in.program, replayProgEmpty, replayProgRestore, replayMapMeasured
	options := runOn(r.device, frame)
	if r.cfg.XDP {
		led, nothing, restore, measured = r.packets.wires.program, replayProgEmptyWire, replayProgRestoreWire, replayMapMeasuredWire
		options = wireRunOn(r.device, frame)
	}
	if which == Nothing {
		led = r.restore.Programs[nothing]
	}
	err = errors.Join(r.restore.Maps[replayMapPlans].Put(uint32(0), &plan), r.restore.Maps[measured].Put(uint32(0), led))
	if err != nil {
		return 0, nil, fmt.Errorf("preparing packets: %w", err)
	}
	options.Repeat = round.Runs
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	start := threadTime()
	if _, err = r.restore.Programs[restore].Run(options); err != nil {
		return 0, nil, fmt.Errorf("running a program on packets: %w", err)
	}
	return threadTime() - start, options.DataOut, nil
}

// Answer has every flow that began be answered, as its backend would.
func (r *Replay) Answer() error {
	m := r.packets.flows[packetMapUnanswered]
	begun := map[packetTuple]packetConntrack{}
	var key packetTuple
	var value packetConntrack
	entries := m.Iterate()
	for entries.Next(&key, &value) {
		value.Flags |= uint32(packetFlowFlagsFLOW_ANSWERED)
		begun[key] = value
	}
	err := entries.Err()
	for key, value := range begun {
		err = errors.Join(err, m.Update(key, value, ebpf.UpdateExist))
	}
	if err != nil {
		return fmt.Errorf("answering flows: %w", err)
	}
	return nil
}

// threadTime is how long this thread ran.
func threadTime() time.Duration {
	var at unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &at) // the kernel has it
	return time.Duration(at.Nano())
}

// behindMACs is where what is compared begins: the addresses of an Ethernet header are the
// kernel's business.
const behindMACs = 12

// Translated says in what the last packet of a round is not what a client's packet of
// the flow is to become: from one address of ours, at any port that flows have, to a
// backend.
func (r *Replay) Translated(last []byte, round Round, from netip.Addr, to netip.AddrPort) error {
	at := 14 + 20
	if r.cfg.From.Is6() {
		at = 14 + 40
	}
	if len(last) < at+4 {
		return fmt.Errorf("the last packet has %d bytes", len(last))
	}
	first, count := r.packets.Ports()
	port := binary.BigEndian.Uint16(last[at:])
	if port < first || int(port) >= int(first)+int(count) {
		return fmt.Errorf("the last packet has port %d", port)
	}
	return same(last, r.became(round, netip.AddrPortFrom(from, port), to))
}

// Tunnelled says in what the last packet of a round is not the client's within one from
// one node to another.
func (r *Replay) Tunnelled(last []byte, round Round, from, to netip.Addr) error {
	flow, client := round.number(), r.cfg.From.As16()
	for at, part := range map[int]uint32{12: flow >> replayLow, 14: flow & (1<<replayLow - 1)} {
		binary.BigEndian.PutUint16(client[at:], binary.BigEndian.Uint16(client[at:])+uint16(part))
	}
	protocol := uint8(unix.IPPROTO_IPIP)
	if r.cfg.From.Is6() {
		protocol = unix.IPPROTO_IPV6
	}
	inner := r.became(round, netip.AddrPortFrom(netip.AddrFrom16(client).Unmap(), replayPort-round.differs()), r.cfg.To)
	return same(last, packet.Ethernet(r.device.Attrs().HardwareAddr, packet.Packet(protocol, from, to, inner[14:])))
}

// number is that of the last packet's flow.
func (r Round) number() uint32 { return r.First + (r.Runs-1)%r.Flows }

// differs is by how much fields of the last packet differ from those of the first flow's.
func (r Round) differs() uint16 {
	flow := r.number()
	return uint16(flow&(1<<replayLow-1) + flow>>replayLow)
}

// became is the last packet of a round between two ends, one hop on.
func (r *Replay) became(round Round, from, to netip.AddrPort) []byte {
	b := madeFrame(r.device.Attrs().HardwareAddr, unix.IPPROTO_TCP, from, to, round.Begins)
	return stamped(b, replayID-round.differs(), replayHops-1)
}

func same(last, want []byte) error {
	if len(last) != len(want) || !bytes.Equal(last[behindMACs:], want[behindMACs:]) {
		return fmt.Errorf("the last packet is\n% x, want\n% x", last, want)
	}
	return nil
}

// Close frees what restores packets.
func (r *Replay) Close() { r.restore.Close() }
