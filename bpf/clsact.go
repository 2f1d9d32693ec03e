package bpf

import (
	"errors"
	"fmt"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// A kernel before 6.6 has no tcx. There a filter of a clsact qdisc runs the
// program; the qdisc holds it, so nothing is pinned.

// The names tell our filters from others' and from each other, and the handles let them
// stand beside others of the same priority.
const (
	filterProbe  = "tombolo-probe"
	filterPacket = "tombolo-packet"
)

var filterHandles = map[string]uint32{filterProbe: 0x746d626f, filterPacket: 0x746d6270}

// parent is the side of the qdisc.
func (t *tap) parent() uint32 {
	if t.egress {
		return netlink.HANDLE_MIN_EGRESS
	}
	return netlink.HANDLE_MIN_INGRESS
}

// attachFilter makes our filter on a device run this process's program. The
// kernel replaces a filter at once.
func (t *tap) attachFilter(index int) error {
	if err := t.findFilters(); err != nil {
		return err
	}
	qdisc := netlink.QdiscAttrs{LinkIndex: index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT}
	if err := netlink.QdiscAdd(&netlink.Clsact{QdiscAttrs: qdisc}); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("adding a clsact qdisc: %w", err)
	}
	filter := t.ourFilter(index)
	filter.Fd = t.program.FD()
	if err := netlink.FilterReplace(filter); err != nil {
		return fmt.Errorf("adding a filter: %w", err)
	}
	t.filtered[index] = true
	return nil
}

func (t *tap) ourFilter(index int) *netlink.BpfFilter {
	return &netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{
			LinkIndex: index,
			Parent:    t.parent(),
			Handle:    filterHandles[t.filter],
			// First: another filter may keep what it takes for its own.
			Priority: 1,
			Protocol: unix.ETH_P_ALL,
		},
		Fd:           -1,
		Name:         t.filter,
		DirectAction: true,
	}
}

// leaveFilters removes our filters from all devices but those that are kept by
// one, and their qdiscs where nobody else has a filter.
func (t *tap) leaveFilters(keep map[int]string) error {
	if err := t.findFilters(); err != nil {
		return err
	}
	var errs []error
	for index := range t.filtered {
		if keep[index] == hookClsact {
			continue
		}
		if err := t.leaveFilter(index); err != nil {
			errs = append(errs, fmt.Errorf("detaching from device %d: %w", index, err))
			continue
		}
		delete(t.filtered, index)
	}
	return errors.Join(errs...)
}

func (t *tap) leaveFilter(index int) error {
	device := &netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: index}}
	err := netlink.FilterDel(t.ourFilter(index))
	if gone(err) {
		return nil // with its device, or its qdisc
	}
	if err != nil {
		return err
	}
	for _, parent := range []uint32{netlink.HANDLE_MIN_INGRESS, netlink.HANDLE_MIN_EGRESS} {
		others, err := netlink.FilterList(device, parent)
		if len(others) > 0 || err != nil {
			return err
		}
	}
	err = netlink.QdiscDel(&netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{
		LinkIndex: index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT,
	}})
	if gone(err) {
		return nil
	}
	return err
}

func gone(err error) bool {
	return errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EINVAL)
}

// findFilters looks once for the devices that have a filter of ours.
func (t *tap) findFilters() error {
	if t.filtered != nil {
		return nil
	}
	devices, err := netlink.LinkList()
	if err != nil {
		return fmt.Errorf("listing devices: %w", err)
	}
	found := make(map[int]bool)
	for _, d := range devices {
		filters, err := netlink.FilterList(d, t.parent())
		if err != nil && !gone(err) {
			return fmt.Errorf("listing the filters of %s: %w", d.Attrs().Name, err)
		}
		if slices.ContainsFunc(filters, t.isOurs) {
			found[d.Attrs().Index] = true
		}
	}
	t.filtered = found
	return nil
}

func (t *tap) isOurs(f netlink.Filter) bool {
	b, ok := f.(*netlink.BpfFilter)
	return ok && b.Name == t.filter && b.Handle == filterHandles[t.filter]
}
