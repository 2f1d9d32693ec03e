//go:build vm

package bpftest

import (
	"testing"
	"time"

	"github.com/vishvananda/netlink"
)

// What the kernel of a developer's machine may lack is for tests with the tag vm:
// `make test-vm` runs them.

// VLAN makes the device of a VLAN on another one, up.
func (n *Net) VLAN(t testing.TB, trunk, device string, id int) {
	t.Helper()
	n.device(t, trunk, func(l netlink.Link) error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.ParentIndex = device, l.Attrs().Index
		return netlink.LinkAdd(&netlink.Vlan{LinkAttrs: attrs, VlanId: id, VlanProtocol: netlink.VLAN_PROTOCOL_8021Q})
	})
	n.Up(t, device)
}

// Weather is what becomes of frames that leave by a device.
type Weather struct {
	// Loss is in percent.
	Loss float32
	// Delay differs by up to Jitter, and frames overtake each other.
	Delay, Jitter time.Duration
}

// Impair lets a device have a weather.
func (n *Net) Impair(t testing.TB, device string, w Weather) {
	t.Helper()
	n.device(t, device, func(l netlink.Link) error {
		root := netlink.QdiscAttrs{LinkIndex: l.Attrs().Index, Handle: netlink.MakeHandle(1, 0), Parent: netlink.HANDLE_ROOT}
		return netlink.QdiscReplace(netlink.NewNetem(root, netlink.NetemQdiscAttrs{
			Loss: w.Loss, Latency: uint32(w.Delay.Microseconds()), Jitter: uint32(w.Jitter.Microseconds()), Limit: 10_000,
		}))
	})
}
