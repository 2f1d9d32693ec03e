package bpf

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
)

// Uplink is a device at which a program of ours is attached, or is not.
type Uplink struct {
	Device string
	// Hook is tcx or clsact; empty where it is not attached, and Err says why.
	Hook string
	Err  error
	// XDP is XDPNative or XDPGeneric; empty where nothing is attached there, and XDPErr
	// says why, if that was wanted.
	XDP    string
	XDPErr error
}

const (
	hookTCX    = "tcx"
	hookClsact = "clsact"
)

// ErrNoEthernet is the error of an uplink whose frames have no Ethernet header:
// nothing is attached there.
var ErrNoEthernet = errors.New("not an Ethernet device")

// tap is a program at one side of devices, whatever the kernel has for that.
type tap struct {
	// root is where the links are pinned, in a folder of their own.
	root    string
	program *ebpf.Program
	// egress is the side.
	egress bool
	// filter names it among the filters of a clsact qdisc.
	filter string
	// clsact: by a filter also where the kernel has tcx.
	clsact bool
	// filtered are the devices that have, or may have, a filter of this name; nil
	// until they were looked for.
	filtered map[int]bool
}

func (t *tap) hook() ebpf.AttachType {
	if t.egress {
		return ebpf.AttachTCXEgress
	}
	return ebpf.AttachTCXIngress
}

// attachAll makes the tap's program the one that runs on these devices, and on no
// other; programs of others are left alone. Doing it again attaches to what came back,
// and changes nothing else. The error is about the devices that were to be left, those
// of uplinks are in each.
func (t *tap) attachAll(devices []string) ([]Uplink, error) {
	uplinks := make([]Uplink, 0, len(devices))
	keep := make(map[int]string)
	for _, name := range devices {
		u := Uplink{Device: name}
		var index int
		if index, u.Err = etherIndex(name); u.Err == nil {
			u.Hook, u.Err = t.attach(index)
			keep[index] = u.Hook
		}
		uplinks = append(uplinks, u)
	}
	return uplinks, t.leave(keep)
}

// devices returns those that have the tap's program, of whichever process, as long as
// there is no error. Filters are looked for last: that takes a question for each device.
func (t *tap) devices() iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		links, err := t.links()
		if err != nil {
			yield(0, err)
			return
		}
		for _, index := range slices.Sorted(maps.Keys(links)) {
			at, err := linkDevice(links[index])
			if errors.Is(err, fs.ErrNotExist) || err == nil && at != index {
				continue // detached just now, or its device is gone
			}
			if !yield(index, err) || err != nil {
				return
			}
		}
		if err := t.findFilters(); err != nil {
			yield(0, err)
			return
		}
		for _, index := range slices.Sorted(maps.Keys(t.filtered)) {
			if !yield(index, nil) {
				return
			}
		}
	}
}

// isAttached says whether a device has the tap's program, of whichever process.
func (t *tap) isAttached() (bool, error) {
	for _, err := range t.devices() {
		return err == nil, err
	}
	return false, nil
}

// leave detaches from all devices but those that are kept, by which hook.
func (t *tap) leave(keep map[int]string) error {
	return errors.Join(t.leaveLinks(keep), t.leaveFilters(keep))
}

// leaver is what is attached to devices.
type leaver interface {
	// leave detaches from all devices but those that are kept, by which hook.
	leave(keep map[int]string) error
}

// uninstall detaches from every device, in this order, and removes what is pinned below
// root, if anything is.
func uninstall(bpffs, root string, taps ...leaver) error {
	if err := checkBPFFS(bpffs); err != nil {
		return err
	}
	if _, err := os.Stat(root); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	lock, err := lockDir(root)
	if err != nil {
		return err
	}
	defer lock.Close()
	var errs []error
	for _, t := range taps {
		errs = append(errs, t.leave(nil))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("detaching from devices: %w", err)
	}
	if err := os.RemoveAll(root); err != nil {
		return fmt.Errorf("removing pins: %w", err)
	}
	return nil
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
func (t *tap) attach(index int) (hook string, err error) {
	if !t.clsact {
		err := t.attachLink(index)
		if err == nil {
			return hookTCX, nil
		}
		if !errors.Is(err, ebpf.ErrNotSupported) {
			return "", err
		}
	}
	if err := t.attachFilter(index); err != nil {
		return "", err
	}
	return hookClsact, nil
}

func (t *tap) attachLink(index int) error {
	path := t.link(index)
	switch at, err := linkDevice(path); {
	case err == nil && at == index:
		return updateLink(path, t.program)
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
		Interface: index, Program: t.program, Attach: t.hook(), Anchor: link.Head(),
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
func (t *tap) leaveLinks(keep map[int]string) error {
	links, err := t.links()
	if err != nil {
		return err
	}
	var errs []error
	for index, path := range links {
		if keep[index] == hookTCX {
			continue
		}
		// Without the pin the kernel would detach it, but after a while.
		if err := detach(path); err != nil {
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
	if xdp := info.XDP(); xdp != nil {
		return int(xdp.Ifindex), nil
	}
	if info.TCX() == nil {
		return 0, fmt.Errorf("%s is not a link of tcx or XDP", path)
	}
	return int(info.TCX().Ifindex), nil
}

func (t *tap) link(index int) string {
	return filepath.Join(t.root, "links", strconv.Itoa(index))
}

// links returns the pinned links by the index of their device.
func (t *tap) links() (map[int]string, error) {
	return linksBelow(t.root)
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
