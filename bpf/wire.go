package bpf

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// XDP says where packets of flows that go on are led before the kernel makes anything of
// them. The other programs lead all the rest, and these too where it is not done.
type XDP string

const (
	// XDPOff: nowhere.
	XDPOff XDP = "off"
	// XDPAuto: on devices whose driver is one of those of which it is known that this works.
	XDPAuto XDP = "auto"
	// XDPNative: by the drivers of all devices. Frames must come with their checksums, and
	// without VLAN tags that were taken off; every device must send what another received.
	// The other end of a veth needs a program of XDP of its own, without which the kernel
	// keeps what is sent there.
	XDPNative XDP = "native"
	// XDPGeneric: by the kernel, for any device, under the same conditions. It saves little.
	XDPGeneric XDP = "generic"
)

// XDPModes are all of them.
var XDPModes = []XDP{XDPOff, XDPAuto, XDPNative, XDPGeneric}

// wireDrivers send back what they received, by XDP, and hand on frames whose checksums are
// complete: not so those of pairs (veth, netkit), tap and Xen, over which frames of the same
// machine come. Of a bond its members run the program, which knows the bond alone.
var wireDrivers = []string{
	"bnxt_en", "ena", "i40e", "ice", "igb", "igc", "ixgbe", "ixgbevf", "mlx4_en", "mlx5_core", "nfp", "qede", "sfc", "nicvf", "virtio_net",
}

// ErrXDPRefused is why a device is left alone on which XDP may do harm, or nothing.
var ErrXDPRefused = errors.New("--packet-xdp leaves the device alone")

// wireRetry is how long a device is left alone on which it failed: some drivers reset the
// device each time.
const wireRetry = time.Minute

// wireTap is from_wire on devices.
type wireTap struct {
	root    string // where the links are pinned, in a folder of their own
	mode    XDP
	program *ebpf.Program
	wires   *ebpf.Map // devices that have it; nil where nothing is loaded
	// broken says why nothing is loaded, and failed which devices failed, when, and why.
	broken error
	failed map[int]wireFailure
}

type wireFailure struct {
	at  time.Time
	why error
}

// load loads the program, to use the maps of the others. Without it packets are led all
// the same: why it failed is told of each device.
func (w *wireTap) load(have mapSet) {
	w.failed = map[int]wireFailure{}
	spec, err := loadWire()
	if err != nil {
		w.broken = err
		return
	}
	with := have.of(spec)
	for name, m := range with {
		spec.Maps[name].MaxEntries = m.MaxEntries()
	}
	loaded, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{MapReplacements: with})
	if err != nil {
		w.broken = fmt.Errorf("loading %s: %w", wireProgFromWire, err)
		return
	}
	defer loaded.Close()
	w.program, w.wires = loaded.DetachProgram(wireProgFromWire), loaded.DetachMap(wireMapWires)
}

func (w *wireTap) close() error {
	if w.program == nil {
		return nil
	}
	return errors.Join(w.program.Close(), w.wires.Close())
}

// attachAll attaches to the devices that have the other programs, and to no other, and
// notes in uplinks where that is done, or why not.
func (w *wireTap) attachAll(uplinks []Uplink) error {
	keep, wires := map[int]string{}, map[uint32]wireAddress{}
	for i := range uplinks {
		u := &uplinks[i]
		if u.Hook == "" || w.mode == XDPOff {
			continue
		}
		device, err := netlink.LinkByName(u.Device)
		if err == nil {
			u.XDP, err = w.attachTo(device, keep)
		}
		if err != nil {
			u.XDPErr = fmt.Errorf("XDP on %s: %w", u.Device, err)
		} else if w.mode != XDPAuto { // of those it is not known that they send what others received
			wires[uint32(device.Attrs().Index)] = wireOf(device.Attrs().HardwareAddr)
		}
	}
	return errors.Join(w.setWires(wires), w.leave(keep))
}

// wireAddress is struct wire of wire.c: an address of Ethernet, padded.
type wireAddress [8]byte

func wireOf(mac net.HardwareAddr) (w wireAddress) {
	copy(w[:], mac)
	return w
}

// setWires makes these the devices to which packets may go from another.
func (w *wireTap) setWires(want map[uint32]wireAddress) error {
	if w.wires == nil {
		return nil
	}
	have := map[uint32]wireAddress{}
	var index uint32
	var address wireAddress
	entries := w.wires.Iterate()
	for entries.Next(&index, &address) {
		have[index] = address
	}
	if err := entries.Err(); err != nil {
		return fmt.Errorf("reading the devices that XDP sends to: %w", err)
	}
	return difference(w.wires, have, want)
}

// attachTo attaches to a device unless that is refused, or failed a moment ago, and notes
// what is to be kept. Where it cannot be asked what the device is like, what is attached
// stays, as this process's program.
func (w *wireTap) attachTo(device netlink.Link, keep map[int]string) (mode string, err error) {
	index := device.Attrs().Index
	if w.broken != nil {
		return "", w.broken
	}
	if f, ok := w.failed[index]; ok && time.Since(f.at) < wireRetry {
		return "", f.why
	}
	if err := w.refuses(device); err != nil && (errors.Is(err, ErrXDPRefused) || !w.has(device)) {
		return "", err
	}
	if mode, err = w.attach(device); err != nil {
		w.failed[index] = wireFailure{time.Now(), err}
		return "", err
	}
	delete(w.failed, index)
	keep[index] = mode
	return mode, nil
}

// refuses says why a device is left alone, or why that is not known.
func (w *wireTap) refuses(device netlink.Link) error {
	name := device.Attrs().Name
	if device.Type() == "bond" {
		return fmt.Errorf("%w: it is a bond, whose members run the program and do not know each other as it", ErrXDPRefused)
	}
	if w.mode != XDPAuto {
		return nil
	}
	driver, err := driverOf(name)
	if err != nil {
		return fmt.Errorf("asking for its driver: %w", err)
	}
	if !slices.Contains(wireDrivers, driver) {
		return fmt.Errorf("%w: auto does not know its driver, %s; native would try it", ErrXDPRefused, driver)
	}
	vlans, err := hasVLANs(device)
	if err == nil && vlans {
		err = fmt.Errorf("%w: it has VLANs, whose tags it may take off before; see ethtool -K %s rxvlan off, and native", ErrXDPRefused, name)
	}
	return err
}

func driverOf(device string) (string, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	info, err := unix.IoctlGetEthtoolDrvinfo(fd, device)
	if errors.Is(err, unix.EOPNOTSUPP) {
		return "unknown", nil
	}
	if err != nil {
		return "", err
	}
	return unix.ByteSliceToString(info.Driver[:]), nil
}

// wireHow is how to attach.
type wireHow struct {
	mode  XDP
	flags link.XDPAttachFlags
	is    uint32 // the kernel's word for it
}

func (w *wireTap) how() wireHow {
	if w.mode == XDPGeneric {
		return wireHow{XDPGeneric, link.XDPGenericMode, nl.XDP_ATTACHED_SKB}
	}
	return wireHow{XDPNative, link.XDPDriverMode, nl.XDP_ATTACHED_DRV}
}

// has says whether a program of ours is attached to a device as it is to be now.
func (w *wireTap) has(device netlink.Link) bool {
	at, err := linkDevice(w.link(device.Attrs().Index))
	xdp := device.Attrs().Xdp
	return err == nil && at == device.Attrs().Index && xdp != nil && xdp.AttachMode == w.how().is
}

// attach attaches to one device, and returns how.
func (w *wireTap) attach(device netlink.Link) (mode string, err error) {
	how, index := w.how(), device.Attrs().Index
	path := w.link(index)
	if w.has(device) {
		return string(how.mode), updateLink(path, w.program)
	}
	switch _, err := linkDevice(path); {
	case err == nil:
		// Its device is gone, or it is attached another way.
		if err := detach(path); err != nil {
			return "", err
		}
	case !errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("looking at a link: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", fmt.Errorf("making a folder for links: %w", err)
	}
	l, err := link.AttachXDP(link.XDPOptions{Program: w.program, Interface: index, Flags: how.flags})
	if err != nil {
		return "", w.explain(index, err)
	}
	defer l.Close()
	if err := l.Pin(path); err != nil {
		return "", fmt.Errorf("pinning a link: %w", err)
	}
	return string(how.mode), nil
}

// explain names who has a device's XDP, if somebody has.
func (w *wireTap) explain(index int, err error) error {
	if !errors.Is(err, unix.EBUSY) && !errors.Is(err, unix.EEXIST) {
		return err
	}
	device, lookErr := netlink.LinkByIndex(index)
	if lookErr != nil || device.Attrs().Xdp == nil || !device.Attrs().Xdp.Attached {
		return err
	}
	id := device.Attrs().Xdp.ProgId
	name := "?"
	if p, err := ebpf.NewProgramFromID(ebpf.ProgramID(id)); err == nil {
		if info, err := p.Info(); err == nil {
			name = info.Name
		}
		p.Close()
	}
	return fmt.Errorf("it has another program: %s, number %d (bpftool net shows it): %w", name, id, err)
}

// hasVLANs looks for VLANs on a device in this network namespace. Devices that come or go
// interrupt the list.
func hasVLANs(device netlink.Link) (bool, error) {
	var all []netlink.Link
	var err error
	for range 3 {
		if all, err = netlink.LinkList(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	if err != nil {
		return false, fmt.Errorf("listing devices: %w", err)
	}
	return slices.ContainsFunc(all, func(l netlink.Link) bool {
		return l.Type() == "vlan" && l.Attrs().ParentIndex == device.Attrs().Index
	}), nil
}

// leave detaches from all devices but those that are kept.
func (w *wireTap) leave(keep map[int]string) error {
	links, err := linksBelow(w.root)
	if err != nil {
		return err
	}
	var errs []error
	for index, path := range links {
		if keep[index] != "" {
			continue
		}
		if err := detach(path); err != nil {
			errs = append(errs, fmt.Errorf("detaching from device %d: %w", index, err))
		}
	}
	return errors.Join(errs...)
}

func (w *wireTap) link(index int) string {
	return filepath.Join(w.root, "links", strconv.Itoa(index))
}
