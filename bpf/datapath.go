package bpf

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// Datapath is the maps and programs of one node, loaded by one process. It is
// not safe for concurrent use, except that Counters, Foreign and the methods of
// Sockets may be called, and the arrays read, at any time before Close.
type Datapath struct {
	Frontends *Frontends
	Ranges    *Ranges
	Services  *Services
	Slots     *Slots
	Backends  *Backends
	// Clusters and Nodes are our own verdicts.
	Clusters, Nodes *Health
	// Sockets are written by the programs.
	Sockets *Sockets

	cfg      Config
	log      *slog.Logger
	pins     pins
	lock     *os.File
	dir      string // where the maps are pinned
	restored bool
	maps     mapSet
	programs programs
	spill    *spill
	memory   []memory
	grace    *grace
}

// Load loads the programs, and takes over the maps of those that are attached
// already, or makes new ones. It attaches nothing. ErrInUse means that another
// process has them.
func Load(cfg Config, log *slog.Logger) (*Datapath, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("configuration of the data path: %w", err)
	}
	if err := checkMounts(cfg); err != nil {
		return nil, err
	}
	d := &Datapath{cfg: cfg, log: log, pins: pinsOf(cfg.BPFFS)}
	if err := d.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("loading the data path: %w", err), d.Close())
	}
	return d, nil
}

func (d *Datapath) load() (err error) {
	if d.lock, err = d.pins.lock(); err != nil {
		return err
	}
	specs, err := mapSpecs(d.cfg.sizes())
	if err != nil {
		return err
	}
	if err := d.chooseMaps(specs); err != nil {
		return err
	}
	retval, err := canSetRetval()
	if err != nil {
		return err
	}
	if d.programs, err = loadPrograms(d.maps, d.cfg.sizes(), retval); err != nil {
		return err
	}
	d.spill = openSpill(d.maps, d.cfg.sizes())
	if d.grace, err = newGrace(); err != nil {
		return err
	}
	return d.makeViews()
}

// chooseMaps takes over the maps in use, or makes new ones beside them.
func (d *Datapath) chooseMaps(specs map[string]*ebpf.MapSpec) error {
	live, err := d.pins.live()
	if err != nil {
		return err
	}
	if live != "" {
		d.maps, err = openInstance(live, specs)
		if err == nil {
			d.dir, d.restored = live, true
			return nil
		}
		if !errors.Is(err, ebpf.ErrMapIncompatible) && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		d.log.Info("the maps in use have another layout, making new ones beside them", "maps", live, "reason", err)
	}
	d.dir = d.pins.instance("a")
	if live == d.dir {
		d.dir = d.pins.instance("b")
	}
	kept, err := inherit(live, specs)
	if err != nil {
		return err
	}
	d.maps, err = makeMaps(d.dir, specs, kept)
	return err
}

// makeViews maps the arrays into memory.
func (d *Datapath) makeViews() error {
	mapped := make(map[string]memory)
	for _, name := range []string{mapsMapServices, mapsMapSlots, mapsMapBackends, mapsMapClusterHealth, mapsMapNodeHealth, mapsMapSockets, mapsMapSocketSets} {
		mem, err := mapMemory(d.maps[name])
		if err != nil {
			return fmt.Errorf("map %q: %w", name, err)
		}
		mapped[name] = mem
		d.memory = append(d.memory, mem)
	}
	// What the process before us removed last may still be read.
	d.Frontends = &Frontends{m: d.maps[mapsMapFrontends], grace: d.Grace, freed: d.restored}
	d.Ranges = &Ranges{d.maps[mapsMapRanges]}
	d.Services = &Services{mapped[mapsMapServices]}
	d.Slots = &Slots{mapped[mapsMapSlots].halves()}
	d.Backends = &Backends{mapped[mapsMapBackends]}
	d.Clusters = &Health{mapped[mapsMapClusterHealth]}
	d.Nodes = &Health{mapped[mapsMapNodeHealth]}
	d.Sockets = &Sockets{sets: mapped[mapsMapSocketSets], places: mapped[mapsMapSockets], spill: d.spill}
	return nil
}

// Restored says whether the maps are those that the attached programs use, with
// all they hold. If not they are empty, and whatever is attached goes on with
// others until Attach: so fill them first.
func (d *Datapath) Restored() bool { return d.restored }

// Grace returns after every program has ended that ran when it was called.
func (d *Datapath) Grace() error { return d.grace.wait() }

// Counters returns what the programs counted.
func (d *Datapath) Counters() (Counters, error) { return readCounters(d.maps[mapsMapCounters]) }

// Close frees what this process holds. Programs that are attached stay so, and
// the views must not be used any more.
func (d *Datapath) Close() error {
	var errs []error
	for _, m := range d.memory {
		errs = append(errs, m.close())
	}
	if d.grace != nil {
		errs = append(errs, d.grace.close())
	}
	errs = append(errs, d.spill.close(), d.programs.close(), d.maps.close())
	if d.lock != nil {
		errs = append(errs, d.lock.Close())
	}
	return errors.Join(errs...)
}

// checkMounts says what is missing, and how to mend it.
func checkMounts(cfg Config) error {
	return errors.Join(
		checkBPFFS(cfg.BPFFS),
		checkMount(cfg.Cgroup, "a cgroup2 directory", "find the mount with: findmnt -t cgroup2", unix.CGROUP2_SUPER_MAGIC),
	)
}

func checkBPFFS(path string) error {
	return checkMount(path, "a bpffs", "mount -t bpf bpf "+path, unix.BPF_FS_MAGIC)
}

func checkMount(path, what, mend string, magic int64) error {
	var fs unix.Statfs_t
	if err := unix.Statfs(path, &fs); err != nil {
		return fmt.Errorf("looking at %s: %w", path, err)
	}
	if int64(fs.Type) != magic {
		return fmt.Errorf("%s is not %s (%s)", path, what, mend)
	}
	return nil
}
