package bpf

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"runtime"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Tracer runs made packets through the program that leads packets from outside: the one
// that is attached to a device, with the maps that it has. The kernel runs it as it would
// for a client's (BPF_PROG_TEST_RUN), and sends nothing.
type Tracer struct {
	device   netlink.Link
	program  *ebpf.Program
	maps     mapSet
	datapath *Datapath
	flows    *FlowTable
}

// Trace is what becomes of a packet, and why.
type Trace struct {
	// Device is where it comes in, From and To its ends.
	Device   string
	Protocol uint8
	From, To netip.AddrPort
	// Owned is what the address is to the packet path; 0 is nothing.
	Owned Owned
	// Service is the number of who has the port, 0 nobody, and Entry what the maps hold
	// of it. InRange says that the client may come to it.
	Service uint32
	Entry   Service
	InRange bool
	// Known is the flow that was remembered beforehand, nil for none.
	Known *Flow
	// Choices are what the packet's hash leads to, up to the first that is ready: by
	// that the program chooses, where there is no flow.
	Choices []Choice
	// Outcome is what the program did with it, in the words of its counters, or Passed.
	Outcome string
	// Led is the flow by which it went, nil where it went by none.
	Led *Flow
	// Tunnel is the address of the node to which it goes in a tunnel; else the zero Addr.
	Tunnel netip.Addr
}

// Passed is the outcome of a packet that is left to the kernel.
const Passed = "passed"

// Choice is a slot of a table and the backend in it.
type Choice struct {
	// Backup: it is one of the backup table.
	Backup bool
	Slot   uint32
	Number uint32
	Backend
	// Standing is "ready", or why a new flow does not go there.
	Standing string
}

// OpenTracer opens the programs and maps in use below a bpffs, on a device or, without a
// name, on the first that has the program. An error that is fs.ErrNotExist says that
// there is none.
func OpenTracer(bpffs, device string) (*Tracer, error) {
	if err := checkBPFFS(bpffs); err != nil {
		return nil, err
	}
	t := &Tracer{}
	err := t.open(bpffs, device)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening the packet path: %w", err), t.Close())
	}
	return t, nil
}

func (t *Tracer) open(bpffs, device string) (err error) {
	in, _, _ := packetsTaps(packetsRoot(bpffs))
	for index, err := range in.devices() {
		if err != nil {
			return err
		}
		d, err := netlink.LinkByIndex(index)
		if err != nil {
			return fmt.Errorf("finding device %d: %w", index, err)
		}
		if device == "" || d.Attrs().Name == device {
			t.device = d
			break
		}
	}
	if t.device == nil {
		return fmt.Errorf("no program leads packets on %s: %w", device, fs.ErrNotExist)
	}
	if t.program, err = in.running(t.device.Attrs().Index); err != nil {
		return err
	}
	if t.maps, err = mapsOf(t.program, packetMapOwned, packetMapTunnels, packetMapPacketCounters); err != nil {
		return err
	}
	if t.datapath, err = Look(bpffs); err != nil {
		return err
	}
	t.flows, err = OpenFlows(bpffs)
	return err
}

// Close frees what OpenTracer opened.
func (t *Tracer) Close() error {
	errs := []error{t.maps.close()}
	if t.program != nil {
		errs = append(errs, t.program.Close())
	}
	if t.datapath != nil {
		errs = append(errs, t.datapath.Close())
	}
	if t.flows != nil {
		errs = append(errs, t.flows.Close())
	}
	return errors.Join(errs...)
}

// Device returns where packets come in.
func (t *Tracer) Device() netlink.Link { return t.device }

// attempts bounds how often a packet is traced until no other comes between on its CPU.
const attempts = 20

// Trace runs a SYN of TCP, or a datagram; of a TCP flow that is known a segment without
// SYN, which changes nothing of it. A client without a port gets one of which no flow is
// known. What the program remembers of the packet is forgotten again; its counters count
// it.
func (t *Tracer) Trace(protocol uint8, from, to netip.AddrPort) (Trace, error) {
	tr := Trace{Device: t.device.Attrs().Name, Protocol: protocol, To: to}
	tr.From, tr.Known = t.client(protocol, from, to)
	var flags uint32
	switch err := t.maps[packetMapOwned].Lookup(words(to.Addr()), &flags); {
	case err == nil:
		tr.Owned = Owned(flags)
	case !errors.Is(err, ebpf.ErrKeyNotExist):
		return tr, fmt.Errorf("looking the address up: %w", err)
	}
	if err := t.explain(&tr); err != nil {
		return tr, err
	}
	for range attempts {
		tr.Led = nil
		switch outcomes, err := t.run(tr); {
		case err != nil:
			return tr, err
		case len(outcomes) > 1:
			if err := t.forget(&tr); err != nil {
				return tr, err
			}
		default:
			tr.Outcome = slices.Concat(outcomes, []string{Passed})[0]
			return tr, t.forget(&tr)
		}
	}
	return tr, fmt.Errorf("tracing %v to %v: other packets came between %d times: try it again", tr.From, to, attempts)
}

// client returns the client's end, and the flow that it has already.
func (t *Tracer) client(protocol uint8, from, to netip.AddrPort) (netip.AddrPort, *Flow) {
	if from.Port() != 0 {
		if f, ok := t.flows.find(protocol, from, to); ok {
			return from, &f
		}
		return from, nil
	}
	at := netip.AddrPort{}
	for port := uint16(60999); port > 32768; port-- {
		at = netip.AddrPortFrom(from.Addr(), port)
		if _, known := t.flows.find(protocol, at, to); !known {
			break
		}
	}
	return at, nil
}

// explain finds out who has the port, and whom the hash leads to.
func (t *Tracer) explain(tr *Trace) (err error) {
	if tr.Service, err = t.datapath.Frontends.service(Frontend{tr.To, tr.Protocol, ScopePacket}); tr.Service == 0 {
		return err
	}
	d := t.datapath
	tr.Entry = d.Services.Read(tr.Service)
	tr.InRange = !tr.Entry.Guard.Packets
	if !tr.InRange {
		if tr.InRange, err = d.Ranges.has(tr.Service, tr.From.Addr()); err != nil {
			return err
		}
	}
	tr.Choices = d.choices(tr.Service, tr.Entry, clientHash(*tr), tr.To.Addr().Is4())
	return nil
}

// run runs the program once, and returns which outcomes were counted on the CPU where it
// ran: more than one when another packet came between.
func (t *Tracer) run(tr Trace) (outcomes []string, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cpu, release, err := stay()
	if err != nil {
		return nil, err
	}
	defer release()
	before, err := t.counted(cpu)
	if err != nil {
		return nil, err
	}
	frame := madeFrame(t.device.Attrs().HardwareAddr, tr.Protocol, tr.From, tr.To, tr.Known == nil)
	if _, err := t.program.Run(runOn(t.device, frame)); err != nil {
		return nil, fmt.Errorf("running the program: %w", err)
	}
	after, err := t.counted(cpu)
	for outcome, n := range after {
		for range min(n-before[outcome], 2) {
			outcomes = append(outcomes, outcome)
		}
	}
	return outcomes, err
}

// counted returns what became of packets on a CPU.
func (t *Tracer) counted(cpu int) (map[string]uint64, error) {
	out := map[string]uint64{}
	for which, word := range outcomeWords() {
		var perCPU []uint64
		if err := t.maps[packetMapPacketCounters].Lookup(uint32(which), &perCPU); err != nil {
			return nil, fmt.Errorf("reading what became of packets: %w", err)
		}
		out[word] = perCPU[cpu]
	}
	return out, nil
}

// forget notes the flow by which the packet went, and forgets it if it is the packet's.
func (t *Tracer) forget(tr *Trace) error {
	f, ok := t.flows.find(tr.Protocol, tr.From, tr.To)
	if !ok {
		return nil
	}
	tr.Led, tr.Tunnel = &f, t.tunnel(f)
	if tr.Known != nil {
		return nil
	}
	return t.flows.Forget(f)
}

// tunnel returns where the backend's node takes a flow's packets, if they go in a tunnel.
func (t *Tracer) tunnel(f Flow) netip.Addr {
	var to packetTunnel
	node := t.datapath.Backends.Read(f.number).Node
	if !f.Tunnelled || t.maps[packetMapTunnels].Lookup(node, &to) != nil {
		return netip.Addr{}
	}
	if f.Client.Addr().Is4() {
		return addr(to.V4.Word)
	}
	return addr(to.V6.Word)
}

// outcomeWords are the words for what becomes of packets.
func outcomeWords() map[packetPacketOutcome]string {
	all := maps.Clone(dropReasons)
	maps.Copy(all, map[packetPacketOutcome]string{
		packetPacketOutcomePACKET_TUNNELLED: "tunnelled", packetPacketOutcomePACKET_FORWARDED: "forwarded", packetPacketOutcomePACKET_DELIVERED: "delivered",
		packetPacketOutcomePACKET_ANSWERED: "answered", packetPacketOutcomePACKET_RETURNED: "returned",
		packetPacketOutcomePACKET_PINGED: "pinged", packetPacketOutcomePACKET_REFUSED: "refused", packetPacketOutcomePACKET_RESET: "reset",
	})
	return all
}

// running opens the program that runs on a device, of whichever process.
func (t *tap) running(index int) (*ebpf.Program, error) {
	l, err := link.LoadPinnedLink(t.link(index), nil)
	if err == nil {
		defer l.Close()
		info, err := l.Info()
		if err != nil {
			return nil, err
		}
		return ebpf.NewProgramFromID(info.Program)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	filters, err := netlink.FilterList(&netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: index}}, t.parent())
	if err != nil {
		return nil, err
	}
	for _, f := range filters {
		if t.isOurs(f) {
			return ebpf.NewProgramFromID(ebpf.ProgramID(f.(*netlink.BpfFilter).Id))
		}
	}
	return nil, fmt.Errorf("device %d has no program any more: %w", index, fs.ErrNotExist)
}

// maxMapName is how much of a map's name the kernel keeps.
const maxMapName = unix.BPF_OBJ_NAME_LEN - 1

// mapsOf opens maps of a program by their names.
func mapsOf(p *ebpf.Program, names ...string) (mapSet, error) {
	info, err := p.Info()
	if err != nil {
		return nil, err
	}
	ids, _ := info.MapIDs()
	set := mapSet{}
	for _, id := range ids {
		m, err := ebpf.NewMapFromID(id)
		if err != nil {
			return set, fmt.Errorf("opening map %d: %w", id, err)
		}
		is, err := m.Info()
		at := -1
		if err == nil {
			at = slices.IndexFunc(names, func(n string) bool { return n[:min(len(n), maxMapName)] == is.Name })
		}
		if at < 0 {
			if err := errors.Join(err, m.Close()); err != nil {
				return set, err
			}
			continue
		}
		set[names[at]] = m
	}
	if len(set) < len(names) {
		return set, fmt.Errorf("the program has %d of the maps %v: it is of another version", len(set), names)
	}
	return set, nil
}

// stay keeps the thread on the CPU where it is, until release.
func stay() (cpu int, release func(), err error) {
	var before, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return 0, nil, fmt.Errorf("reading the thread's CPUs: %w", err)
	}
	for cpu = 0; !before.IsSet(cpu); cpu++ {
	}
	one.Set(cpu)
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		return 0, nil, fmt.Errorf("keeping the thread on a CPU: %w", err)
	}
	return cpu, func() { unix.SchedSetaffinity(0, &before) }, nil
}
