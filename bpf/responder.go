package bpf

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// probeLayout is the version of the responder's maps, as layout is that of the
// others'.
const probeLayout = "v1"

// ResponderConfig says where the responder lives and whom it answers how often.
type ResponderConfig struct {
	// BPFFS is a directory on a mounted bpffs.
	BPFFS string
	// Port is the UDP port of probes; 0 is DefaultProbePort.
	Port uint16
	// Rate is how many probes a second one asker is answered in the long run,
	// and Burst how many at once; 0 is DefaultProbeRate and DefaultProbeBurst.
	Rate  float64
	Burst uint32
	// Clsact attaches by a filter of a clsact qdisc also where the kernel has tcx.
	Clsact bool
}

// An asker watches both kinds of address in both families every 50 ms, which is
// 80 a second, and asks 80 within 0.3 s when it doubts. Several times that is
// still nothing to a machine.
const (
	DefaultProbeRate  = 1000 // probes a second
	DefaultProbeBurst = 1000
)

// Responder is the program that answers probes, and its maps, loaded by one
// process. It is not safe for concurrent use, except that Counters, Epoch,
// SetEpoch and SetClock may be called at any time before Close.
type Responder struct {
	cfg      ResponderConfig
	root     string // of its pins
	lock     *os.File
	boot     BootID
	restored bool
	maps     mapSet
	tap      *tap
	epoch    memory
	clock    memory
}

// LoadResponder loads the program, and takes over the maps that are pinned, or
// makes new ones. It attaches nothing. ErrInUse means that another process has
// them.
func LoadResponder(cfg ResponderConfig) (*Responder, error) {
	if err := checkBPFFS(cfg.BPFFS); err != nil {
		return nil, err
	}
	if cfg.Port == 0 {
		cfg.Port = DefaultProbePort
	}
	if cfg.Rate == 0 {
		cfg.Rate = DefaultProbeRate
	}
	if cfg.Burst == 0 {
		cfg.Burst = DefaultProbeBurst
	}
	r := &Responder{cfg: cfg, root: responderRoot(cfg.BPFFS)}
	r.tap = responderTap(r.root)
	r.tap.clsact = cfg.Clsact
	if err := r.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("loading the responder to probes: %w", err), r.Close())
	}
	return r, nil
}

func (r *Responder) load() (err error) {
	if r.boot, err = ThisBoot(); err != nil {
		return err
	}
	if r.lock, err = lockDir(r.root); err != nil {
		return err
	}
	spec, err := loadResponder()
	if err != nil {
		return err
	}
	for name, value := range map[string]any{
		responderVarProbePort:     networkOrder(r.cfg.Port),
		responderVarProbeInterval: uint64(float64(time.Second) / r.cfg.Rate),
		responderVarProbeBurst:    uint64(r.cfg.Burst),
		responderVarProbeBootId:   r.boot,
	} {
		if err := spec.Variables[name].Set(value); err != nil {
			return fmt.Errorf("setting %s: %w", name, err)
		}
	}
	if err := r.openMaps(namedMaps(spec)); err != nil {
		return err
	}
	loaded, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{MapReplacements: r.maps})
	if err != nil {
		return err
	}
	defer loaded.Close()
	r.tap.program = loaded.DetachProgram(responderProgAnswerProbe)
	return nil
}

// openMaps takes the pinned maps over, or makes new ones in their place: what is
// attached keeps its own until it is replaced.
func (r *Responder) openMaps(specs map[string]*ebpf.MapSpec) error {
	dir := filepath.Join(r.root, probeLayout)
	set, err := openMaps(dir, specs)
	restored := err == nil
	switch {
	case restored:
	case errors.Is(err, ebpf.ErrMapIncompatible), errors.Is(err, fs.ErrNotExist):
		if set, err = makeMaps(dir, specs, nil); err != nil {
			return err
		}
	default:
		return err
	}
	r.maps = set
	if r.epoch, err = mapMemory(set[responderMapProbeEpoch]); err != nil {
		return fmt.Errorf("map %q: %w", responderMapProbeEpoch, err)
	}
	if r.clock, err = mapMemory(set[responderMapProbeClock]); err != nil {
		return fmt.Errorf("map %q: %w", responderMapProbeClock, err)
	}
	if !restored {
		// What was here before is not known: the time is another number than
		// it ever had.
		r.SetEpoch(uint64(time.Now().UnixMilli()))
		return nil
	}
	r.restored, err = r.attachedTo(dir)
	return err
}

// attachedTo says whether the programs that are attached, if any are, use the
// maps of a folder.
func (r *Responder) attachedTo(dir string) (bool, error) {
	links, err := r.tap.links()
	if err != nil {
		return false, err
	}
	for _, path := range links {
		used, err := mapsOfLink(path)
		if err != nil {
			return false, err
		}
		if uses, err := holds(dir, used); !uses || err != nil {
			return false, err
		}
	}
	return true, nil
}

// Restored says whether the maps are those of the program that is attached. If
// not they are empty, and what is attached goes on with others until Attach.
func (r *Responder) Restored() bool { return r.restored }

// BootID is what replies carry: the running kernel's.
func (r *Responder) BootID() BootID { return r.boot }

// Epoch returns the endpoint epoch that replies carry.
func (r *Responder) Epoch() uint64 { return r.epoch.load(0) }

// SetEpoch stores the endpoint epoch.
func (r *Responder) SetEpoch(epoch uint64) { r.epoch.store(0, epoch) }

// SetClock tells the kernel what time it is, for replies that tell it.
func (r *Responder) SetClock() error {
	var boot unix.Timespec
	before := time.Now()
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot); err != nil {
		return fmt.Errorf("reading the time since boot: %w", err)
	}
	r.setClock(before.UnixNano() - boot.Nano())
	return nil
}

// setClock stores what to add to the time since boot, in nanoseconds.
func (r *Responder) setClock(offset int64) { r.clock.store(0, uint64(offset)) }

// SetAskers makes these addresses those that may ask.
func (r *Responder) SetAskers(addresses []netip.Addr) error {
	have, err := r.Askers()
	if err != nil {
		return err
	}
	// A new asker's bucket is full, and those that stay keep theirs.
	return difference(r.maps[responderMapProbes], askers(have), askers(addresses))
}

// Askers returns the addresses that may ask, in no order.
func (r *Responder) Askers() ([]netip.Addr, error) {
	var all []netip.Addr
	var key [4]uint32
	var value responderProbeAsker
	entries := r.maps[responderMapProbes].Iterate()
	for entries.Next(&key, &value) {
		all = append(all, addr(key))
	}
	if err := entries.Err(); err != nil {
		return nil, fmt.Errorf("reading who may ask: %w", err)
	}
	return all, nil
}

func askers(addresses []netip.Addr) map[[4]uint32]responderProbeAsker {
	all := make(map[[4]uint32]responderProbeAsker, len(addresses))
	for _, a := range addresses {
		all[words(a)] = responderProbeAsker{}
	}
	return all
}

// SetLocal makes these the addresses that are answered for: the node's own, and
// the prefixes of its pods. An own address within such a prefix is the node's.
func (r *Responder) SetLocal(own []netip.Addr, pods []netip.Prefix) error {
	want := make(map[responderProbeTarget]uint32)
	for _, p := range pods {
		want[targetOf(p)] = uint32(ProbePods)
	}
	for _, a := range own {
		want[targetOf(netip.PrefixFrom(a, a.BitLen()))] = uint32(ProbeNode)
	}
	have, err := r.targets()
	if err != nil {
		return err
	}
	return difference(r.maps[responderMapProbeTargets], have, want)
}

// Own returns the node's own addresses that are answered for, in no order.
func (r *Responder) Own() ([]netip.Addr, error) {
	all, err := r.targets()
	if err != nil {
		return nil, err
	}
	var own []netip.Addr
	for t, kind := range all {
		if kind == uint32(ProbeNode) {
			own = append(own, addr(t.Address.Word))
		}
	}
	return own, nil
}

func (r *Responder) targets() (map[responderProbeTarget]uint32, error) {
	all := make(map[responderProbeTarget]uint32)
	var key responderProbeTarget
	var value uint32
	entries := r.maps[responderMapProbeTargets].Iterate()
	for entries.Next(&key, &value) {
		all[key] = value
	}
	if err := entries.Err(); err != nil {
		return nil, fmt.Errorf("reading the addresses that are answered for: %w", err)
	}
	return all, nil
}

func targetOf(p netip.Prefix) responderProbeTarget {
	bits := p.Bits()
	if p.Addr().Is4() {
		bits += 96
	}
	t := responderProbeTarget{Prefix: uint32(bits)}
	t.Address.Word = words(p.Masked().Addr())
	return t
}

// difference makes a map hold what is wanted: first what is missing is added or
// changed, then the rest is removed.
func difference[K, V comparable](m *ebpf.Map, have, want map[K]V) error {
	for k, v := range want {
		if old, ok := have[k]; ok && old == v {
			continue
		}
		if err := m.Put(k, v); err != nil {
			return fmt.Errorf("adding to map %v: %w", m, err)
		}
	}
	for k := range have {
		if _, ok := want[k]; ok {
			continue
		}
		if err := m.Delete(k); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("removing from map %v: %w", m, err)
		}
	}
	return nil
}

// Close frees what this process holds. What is attached stays so.
func (r *Responder) Close() error {
	var errs []error
	if r.epoch.bytes != nil {
		errs = append(errs, r.epoch.close())
	}
	if r.clock.bytes != nil {
		errs = append(errs, r.clock.close())
	}
	if r.tap.program != nil {
		errs = append(errs, r.tap.program.Close())
	}
	errs = append(errs, r.maps.close())
	if r.lock != nil {
		errs = append(errs, r.lock.Close())
	}
	return errors.Join(errs...)
}

func responderRoot(bpffs string) string { return filepath.Join(pinsOf(bpffs).root, "probe") }

func responderTap(root string) *tap { return &tap{root: root, filter: filterProbe} }

// Attach makes this process's program the one that answers probes on these devices,
// and on no other, as tap.attachAll does.
func (r *Responder) Attach(devices []string) ([]Uplink, error) {
	uplinks, err := r.tap.attachAll(devices)
	r.restored = true
	return uplinks, err
}

// UninstallResponder detaches the program from every device and removes what is
// pinned. ErrInUse means that a process has it loaded.
func UninstallResponder(bpffs string) error {
	root := responderRoot(bpffs)
	if err := uninstall(bpffs, root, responderTap(root)); err != nil {
		return fmt.Errorf("removing the responder to probes: %w", err)
	}
	return nil
}
