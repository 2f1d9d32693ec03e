package bpf

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/cilium/ebpf"
)

// flowLayout is the version of the maps of flows, as layout is that of the others. It
// changes only where what is remembered cannot be read any more.
const flowLayout = "v1"

// PacketsConfig says where the packet path lives, and how much it remembers.
type PacketsConfig struct {
	// BPFFS is a directory on a mounted bpffs.
	BPFFS string
	// Flows is how many flows are remembered; of more, those longest unused are
	// forgotten. 0 is DefaultFlows.
	Flows uint32
	// FirstPort and Ports are the ports that flows to backends elsewhere have at this
	// node's address; 0 is DefaultFirstPort and DefaultPorts. The kernel must not give
	// them to sockets by itself.
	FirstPort, Ports uint16
	// Direct is which protocols' packets go to the nodes of backends as they came, in
	// tunnels, where these take them.
	Direct Direct
	// ProbePort is that of probes between nodes, which may come in tunnels too.
	ProbePort uint16
	// XDP says where packets of flows that go on are led earlier; empty is XDPOff.
	XDP XDP
	// Clsact attaches by filters of a clsact qdisc also where the kernel has tcx.
	Clsact bool
}

// The ports lie below those of NodePorts, and below those that
// the kernel gives to sockets, of this node and of pods that it masquerades.
const (
	DefaultFlows     = 1 << 16 // 27 MiB
	LeastFlows       = 1 << 10
	MostFlows        = 1 << 24
	DefaultFirstPort = 10000
	DefaultPorts     = 20000
)

// FlowMemory returns how many bytes the maps of so many flows take, about, with those of
// flows that are not answered: an entry by the client's packets and one by the backend's,
// and their buckets. The kernel takes them when the maps are made.
func FlowMemory(flows uint32) uint64 {
	const bucket, lru, tuple, conntrack, nat = 16, 48, 40, 80, 56
	return (2*(bucket+lru+tuple) + conntrack + nat) * uint64(flows+unanswered(flows))
}

// complete returns the configuration with what was left out.
func (c PacketsConfig) complete() PacketsConfig {
	if c.Flows == 0 {
		c.Flows = DefaultFlows
	}
	if c.FirstPort == 0 {
		c.FirstPort = DefaultFirstPort
	}
	if c.Ports == 0 {
		c.Ports = DefaultPorts
	}
	c.XDP = cmp.Or(c.XDP, XDPOff)
	return c
}

// Packets is the programs that lead packets from outside to backends, and their maps,
// loaded by one process. Services and backends are those of a Datapath. It is not safe
// for concurrent use, except that Counters may be called at any time before Close.
type Packets struct {
	cfg  PacketsConfig
	root string // of its pins
	lock *os.File
	// flows are pinned, and outlive the process; maps are all that are ours.
	flows, maps mapSet
	in, out     *tap
	wires       *wireTap
	renewal     wayRenewal
}

// LoadPackets loads the programs, to use the maps of a data path, and takes over the
// flows that are pinned. It attaches nothing; what is attached goes on until Attach.
// ErrInUse means that another process has them.
func LoadPackets(cfg PacketsConfig, d *Datapath) (*Packets, error) {
	if err := checkBPFFS(cfg.BPFFS); err != nil {
		return nil, err
	}
	p := &Packets{cfg: cfg.complete(), root: packetsRoot(cfg.BPFFS)}
	p.in, p.out, p.wires = packetsTaps(p.root)
	p.wires.mode = p.cfg.XDP
	p.in.clsact, p.out.clsact = cfg.Clsact, cfg.Clsact
	if err := p.load(d); err != nil {
		return nil, errors.Join(fmt.Errorf("loading the packet path: %w", err), p.Close())
	}
	return p, nil
}

func (p *Packets) load(d *Datapath) (err error) {
	if p.lock, err = lockDir(p.root); err != nil {
		return err
	}
	if p.cfg.XDP == XDPOff { // nothing waits for it, and it may be what harms the device
		if err := p.wires.leave(nil); err != nil {
			return fmt.Errorf("leaving XDP: %w", err)
		}
	}
	spec, err := loadPacket()
	if err != nil {
		return err
	}
	for name, value := range map[string]any{
		packetVarNatPortFirst:    p.cfg.FirstPort,
		packetVarNatPortCount:    p.cfg.Ports,
		packetVarDirect:          uint8(p.cfg.Direct),
		packetVarTunnelProbePort: p.cfg.ProbePort,
	} {
		if err := spec.Variables[name].Set(value); err != nil {
			return fmt.Errorf("setting %s: %w", name, err)
		}
	}
	setEntries(spec.Maps, d.cfg.sizes())
	// A frontend for packets is one for sockets too, so that there is room for the node's.
	spec.Maps[packetMapOwned].MaxEntries = d.cfg.sizes().Frontends
	spec.Maps[packetMapTunnels].MaxEntries = d.cfg.sizes().Nodes
	for _, name := range []string{packetMapConntrack, packetMapNat} {
		spec.Maps[name].MaxEntries = p.cfg.Flows
	}
	for _, name := range []string{packetMapUnanswered, packetMapUnansweredNat} {
		spec.Maps[name].MaxEntries = unanswered(p.cfg.Flows)
	}
	if err := p.openFlows(spec.Maps); err != nil {
		return err
	}
	return p.loadPrograms(spec, d)
}

// unanswered is how many flows may wait for an answer, of so many that are remembered.
func unanswered(flows uint32) uint32 { return max(flows/4, 1<<10) }

// openFlows takes the pinned flows over, as far as there are some that fit, and makes what
// is missing beside them.
func (p *Packets) openFlows(all map[string]*ebpf.MapSpec) error {
	p.flows = mapSet{}
	dir := filepath.Join(p.root, flowLayout)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("making a folder for maps: %w", err)
	}
	for _, names := range [][]string{
		{packetMapConntrack}, {packetMapNat}, {packetMapUnanswered}, {packetMapUnansweredNat}, {packetMapFragments},
		{packetMapWays, packetMapWayNumbers, packetMapWaysGiven},
	} {
		these := map[string]*ebpf.MapSpec{}
		for _, name := range names {
			these[name] = all[name]
		}
		opened, err := openMaps(dir, these)
		if errors.Is(err, ebpf.ErrMapIncompatible) || errors.Is(err, fs.ErrNotExist) {
			if err := replaceMaps(dir, these); err != nil {
				return err
			}
			opened, err = openMaps(dir, these)
		}
		if err != nil {
			return err
		}
		maps.Copy(p.flows, opened)
	}
	return nil
}

// replaceMaps pins new maps in a folder in place of those that are there.
func replaceMaps(dir string, specs map[string]*ebpf.MapSpec) error {
	for name, spec := range specs {
		path := filepath.Join(dir, name)
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("removing map %s: %w", path, err)
		}
		if err := addMap(path, spec); err != nil {
			return err
		}
	}
	return nil
}

// loadPrograms loads them to use the maps of the data path, and those of flows.
func (p *Packets) loadPrograms(spec *ebpf.CollectionSpec, d *Datapath) error {
	have := maps.Clone(p.flows)
	maps.Copy(have, d.maps)
	loaded, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{MapReplacements: have.of(spec)})
	if err != nil {
		return err
	}
	defer loaded.Close()
	p.in.program, p.out.program = loaded.DetachProgram(packetProgFromUplink), loaded.DetachProgram(packetProgToUplink)
	p.maps = mapSet{}
	for _, name := range []string{packetMapOwned, packetMapSources, packetMapTunnels, packetMapPacketCounters} {
		p.maps[name] = loaded.DetachMap(name)
	}
	maps.Copy(have, p.maps)
	if p.cfg.XDP != XDPOff {
		p.wires.load(have)
	}
	return nil
}

// Ports returns the first of the ports that flows have at this node's address, and how
// many there are.
func (p *Packets) Ports() (first, count uint16) { return p.cfg.FirstPort, p.cfg.Ports }

// Owned is what an address is to the packet path.
type Owned uint32

// What an address is, one or several of these.
const (
	// NodeAddress is the node's own, to which answers come.
	NodeAddress = Owned(packetOwnedFlagsOWNED_NODE)
	// ServiceAddress is one that only services have: what comes to a port that none
	// of them has is dropped.
	ServiceAddress = Owned(packetOwnedFlagsOWNED_SERVICE)
	// Pinged answers an echo request, as a service that has a backend does.
	Pinged = Owned(packetOwnedFlagsOWNED_PINGED)
	// SharedAddress is one that others may have too, beside ServiceAddress: what comes
	// to a port that no service has is theirs, and so are echo requests.
	SharedAddress = Owned(packetOwnedFlagsOWNED_SHARED)
	// PeerAddress is of another node, which may send clients' packets here in tunnels.
	PeerAddress = Owned(packetOwnedFlagsOWNED_PEER)
)

// SetOwned makes these the addresses that the programs look at.
func (p *Packets) SetOwned(addresses map[netip.Addr]Owned) error {
	want := make(map[[4]uint32]uint32, len(addresses))
	for a, o := range addresses {
		want[words(a)] = uint32(o)
	}
	m := p.maps[packetMapOwned]
	have := make(map[[4]uint32]uint32)
	var key [4]uint32
	var value uint32
	entries := m.Iterate()
	for entries.Next(&key, &value) {
		have[key] = value
	}
	if err := entries.Err(); err != nil {
		return fmt.Errorf("reading the addresses of services: %w", err)
	}
	return difference(m, have, want)
}

// SetSources says from which of the node's addresses packets to backends elsewhere
// come, in each family; of the zero Addr it has none.
func (p *Packets) SetSources(v4, v6 netip.Addr) error {
	for i, a := range []netip.Addr{v4, v6} {
		var w [4]uint32
		if a.IsValid() {
			w = words(a)
		}
		if err := p.maps[packetMapSources].Put(uint32(i), w); err != nil {
			return fmt.Errorf("setting the source of packets to backends: %w", err)
		}
	}
	return nil
}

// Attach makes this process's programs the ones that lead packets on these devices,
// and on no other, as tap.attachAll does: answers are translated before the first
// packet is led; XDP, where that is wanted, comes last. Of a device on which one of the two
// is not attached it says why.
func (p *Packets) Attach(devices []string) ([]Uplink, error) {
	uplinks, errOut := p.out.attachAll(devices)
	in, errIn := p.in.attachAll(attached(uplinks))
	for _, u := range in {
		for i := range uplinks {
			if uplinks[i].Device == u.Device {
				uplinks[i] = u
			}
		}
	}
	return uplinks, errors.Join(errIn, errOut, p.wires.attachAll(uplinks))
}

// PacketsAttached says whether packets are led on some device of this network namespace,
// whichever process attached the program.
func PacketsAttached(bpffs string) (bool, error) {
	in, _, _ := packetsTaps(packetsRoot(bpffs))
	is, err := in.isAttached()
	if err != nil {
		return false, fmt.Errorf("looking where packets are led: %w", err)
	}
	return is, nil
}

// attached returns the devices that have a hook.
func attached(uplinks []Uplink) []string {
	var names []string
	for _, u := range uplinks {
		if u.Err == nil {
			names = append(names, u.Device)
		}
	}
	return names
}

// Close frees what this process holds. What is attached stays so.
func (p *Packets) Close() error {
	var errs []error
	for _, program := range []*ebpf.Program{p.in.program, p.out.program} {
		if program != nil {
			errs = append(errs, program.Close())
		}
	}
	errs = append(errs, p.wires.close(), p.flows.close(), p.maps.close())
	if p.lock != nil {
		errs = append(errs, p.lock.Close())
	}
	return errors.Join(errs...)
}

func packetsRoot(bpffs string) string { return filepath.Join(pinsOf(bpffs).root, "packet") }

func packetsTaps(root string) (in, out *tap, wires *wireTap) {
	in = &tap{root: filepath.Join(root, "in"), filter: filterPacket}
	out = &tap{root: filepath.Join(root, "out"), filter: filterPacket, egress: true}
	return in, out, &wireTap{root: filepath.Join(root, "xdp")}
}

// UninstallPackets detaches the programs from every device and removes what is pinned.
// ErrInUse means that a process has them loaded.
func UninstallPackets(bpffs string) error {
	root := packetsRoot(bpffs)
	in, out, wires := packetsTaps(root)
	if err := uninstall(bpffs, root, wires, in, out); err != nil {
		return fmt.Errorf("removing the packet path: %w", err)
	}
	return nil
}
