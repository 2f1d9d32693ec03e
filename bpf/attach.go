package bpf

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// Attach makes the programs of this process the ones that run, one hook after
// the other; no call goes unserved meanwhile. Then it removes the maps that
// older programs used. Doing it again changes nothing. What an earlier process
// heard is heard on, until Hear says that nobody asks for it.
func (d *Datapath) Attach() error {
	if err := os.MkdirAll(d.pins.links(), 0o700); err != nil {
		return fmt.Errorf("making a folder for links: %w", err)
	}
	cgroup, err := cgroupID(d.cfg.Cgroup)
	if err != nil {
		return fmt.Errorf("looking at the cgroup: %w", err)
	}
	for _, h := range hooks {
		if h.onDemand && !exists(d.pins.link(h)) {
			continue
		}
		if err := d.attach(h, cgroup); err != nil {
			return fmt.Errorf("attaching %s to %s: %w", h.name, d.cfg.Cgroup, err)
		}
	}
	d.restored = true
	return d.pins.keepOnly(d.dir)
}

// Hear says whether any service has Outliers. While none has, connections are
// opened without the program that looks on. Attach comes first.
func (d *Datapath) Hear(openings bool) error {
	cgroup, err := cgroupID(d.cfg.Cgroup)
	if err != nil {
		return fmt.Errorf("looking at the cgroup: %w", err)
	}
	for _, h := range hooks {
		if !h.onDemand {
			continue
		}
		if openings {
			err = d.attach(h, cgroup)
		} else if err = detach(d.pins.link(h)); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		if err != nil {
			return fmt.Errorf("attaching %s to %s, or detaching it: %w", h.name, d.cfg.Cgroup, err)
		}
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func (d *Datapath) attach(h hook, cgroup uint64) error {
	path := d.pins.link(h)
	switch at, err := linkCgroup(path); {
	case err == nil && at == cgroup:
		return updateLink(path, d.programs[h.name])
	case err == nil:
		// The cgroup was made anew, or another one was configured.
		if err := detach(path); err != nil {
			return err
		}
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	l, err := link.AttachCgroup(link.CgroupOptions{Path: d.cfg.Cgroup, Attach: h.attach, Program: d.programs[h.name]})
	if err != nil {
		return err
	}
	defer l.Close()
	return l.Pin(path)
}

// linkCgroup returns the id of the cgroup that a pinned link is attached to; 0
// if that is gone.
func linkCgroup(path string) (uint64, error) {
	l, err := link.LoadPinnedLink(path, nil)
	if err != nil {
		return 0, err
	}
	defer l.Close()
	info, err := l.Info()
	if err != nil {
		return 0, err
	}
	return info.Cgroup().CgroupId, nil
}

func updateLink(path string, prog *ebpf.Program) error {
	l, err := link.LoadPinnedLink(path, nil)
	if err != nil {
		return err
	}
	defer l.Close()
	return l.Update(prog)
}

// detach detaches a pinned link at once, whoever else has it open, and removes
// the pin.
func detach(path string) error {
	l, err := link.LoadPinnedLink(path, nil)
	if err != nil {
		return err
	}
	defer l.Close()
	if err := l.Detach(); err != nil {
		return err
	}
	return l.Unpin()
}

// cgroupID returns a cgroup's id, which is its inode.
func cgroupID(path string) (uint64, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return 0, err
	}
	return st.Ino, nil
}

// Uninstall detaches the programs and removes everything that is pinned, of any
// version. Sockets that are connected stay connected. ErrInUse means that a
// process has it loaded; stop that first.
func Uninstall(cfg Config) error {
	if err := checkMounts(cfg); err != nil {
		return err
	}
	p := pinsOf(cfg.BPFFS)
	if _, err := os.Stat(p.root); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	lock, err := p.lock()
	if err != nil {
		return err
	}
	defer lock.Close()
	for i := len(hooks) - 1; i >= 0; i-- {
		if err := detach(p.link(hooks[i])); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("detaching %s: %w", hooks[i].name, err)
		}
	}
	if err := os.RemoveAll(p.root); err != nil {
		return fmt.Errorf("removing pins: %w", err)
	}
	return nil
}
