package bpf

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
)

// Uplink is a device at whose ingress probes are answered, or are not.
type Uplink struct {
	Device string
	// Hook is tcx or clsact; empty where it is not attached, and Err says why.
	Hook string
	Err  error
}

const (
	hookTCX    = "tcx"
	hookClsact = "clsact"
)

// ErrNoEthernet is the error of an uplink whose frames have no Ethernet header:
// nothing is attached there.
var ErrNoEthernet = errors.New("not an Ethernet device")

// Attach makes this process's program the one that answers probes on these
// devices, and on no other; programs of others are left alone. Doing it again
// attaches to what came back, and changes nothing else. The error is about the
// devices that were to be left, those of uplinks are in each.
func (r *Responder) Attach(devices []string) ([]Uplink, error) {
	uplinks := make([]Uplink, 0, len(devices))
	keep := make(map[int]string)
	for _, name := range devices {
		u := Uplink{Device: name}
		var index int
		if index, u.Err = etherIndex(name); u.Err == nil {
			u.Hook, u.Err = r.attach(index)
			keep[index] = u.Hook
		}
		uplinks = append(uplinks, u)
	}
	r.restored = true
	return uplinks, errors.Join(r.leaveLinks(keep), r.leaveFilters(keep))
}

func etherIndex(name string) (int, error) {
	l, err := netlink.LinkByName(name)
	if err != nil {
		return 0, fmt.Errorf("finding device %s: %w", name, err)
	}
	if l.Attrs().EncapType != "ether" {
		return 0, fmt.Errorf("device %s is of type %s: %w", name, l.Attrs().EncapType, ErrNoEthernet)
	}
	return l.Attrs().Index, nil
}

// attach attaches to one device by whatever the kernel has.
func (r *Responder) attach(index int) (hook string, err error) {
	if !r.cfg.Clsact {
		err := r.attachLink(index)
		if err == nil {
			return hookTCX, nil
		}
		if !errors.Is(err, ebpf.ErrNotSupported) {
			return "", err
		}
	}
	if err := r.attachFilter(index); err != nil {
		return "", err
	}
	return hookClsact, nil
}

func (r *Responder) attachLink(index int) error {
	path := r.link(index)
	switch at, err := linkDevice(path); {
	case err == nil && at == index:
		return updateLink(path, r.program)
	case err == nil:
		// The device is gone; another one has its number.
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("removing a link: %w", err)
		}
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("looking at a link: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("making a folder for links: %w", err)
	}
	// Before all others: one of them may keep what it takes for its own.
	l, err := link.AttachTCX(link.TCXOptions{
		Interface: index, Program: r.program, Attach: ebpf.AttachTCXIngress, Anchor: link.Head(),
	})
	if err != nil {
		return err
	}
	defer l.Close()
	if err := l.Pin(path); err != nil {
		return fmt.Errorf("pinning a link: %w", err)
	}
	return nil
}

// leaveLinks detaches from all devices but those that are kept by a link.
func (r *Responder) leaveLinks(keep map[int]string) error {
	links, err := r.links()
	if err != nil {
		return err
	}
	var errs []error
	for index, path := range links {
		if keep[index] == hookTCX {
			continue
		}
		// The last reference: the kernel detaches it.
		if err := os.Remove(path); err != nil {
			errs = append(errs, fmt.Errorf("detaching from device %d: %w", index, err))
		}
	}
	return errors.Join(errs...)
}

// linkDevice returns the index of the device that a pinned link is attached to;
// 0 if that is gone.
func linkDevice(path string) (int, error) {
	l, err := link.LoadPinnedLink(path, nil)
	if err != nil {
		return 0, err
	}
	defer l.Close()
	info, err := l.Info()
	if err != nil {
		return 0, err
	}
	if info.TCX() == nil {
		return 0, fmt.Errorf("%s is not a link of tcx", path)
	}
	return int(info.TCX().Ifindex), nil
}

func responderRoot(bpffs string) string { return filepath.Join(pinsOf(bpffs).root, "probe") }
func (r *Responder) link(index int) string {
	return filepath.Join(r.root, "links", strconv.Itoa(index))
}

// links returns the pinned links by the index of their device.
func (r *Responder) links() (map[int]string, error) {
	return linksBelow(r.root)
}

func linksBelow(root string) (map[int]string, error) {
	entries, err := os.ReadDir(filepath.Join(root, "links"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("looking for links: %w", err)
	}
	all := make(map[int]string)
	for _, e := range entries {
		index, err := strconv.Atoi(e.Name())
		if err != nil {
			return nil, fmt.Errorf("looking for links: %s is not one of ours", e.Name())
		}
		all[index] = filepath.Join(root, "links", e.Name())
	}
	return all, nil
}

// UninstallResponder detaches the program from every device and removes what is
// pinned. ErrInUse means that a process has it loaded.
func UninstallResponder(bpffs string) error {
	if err := checkBPFFS(bpffs); err != nil {
		return err
	}
	r := &Responder{root: responderRoot(bpffs)}
	if _, err := os.Stat(r.root); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	lock, err := lockDir(r.root)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := errors.Join(r.leaveLinks(nil), r.leaveFilters(nil)); err != nil {
		return fmt.Errorf("detaching the responder to probes: %w", err)
	}
	if err := os.RemoveAll(r.root); err != nil {
		return fmt.Errorf("removing pins: %w", err)
	}
	return nil
}
