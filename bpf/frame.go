package bpf

import (
	"encoding/binary"
	"net/netip"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"tombolo.io/tombolo/bpf/packet"
)

// runOn returns how to run a program on a frame that comes in by a device.
func runOn(device netlink.Link, data []byte) *ebpf.RunOptions {
	index := uint32(device.Attrs().Index)
	// struct __sk_buff as far as ifindex.
	ctx := make([]byte, 44)
	binary.NativeEndian.PutUint32(ctx[36:], index) // ingress_ifindex
	binary.NativeEndian.PutUint32(ctx[40:], index)
	return &ebpf.RunOptions{Data: data, DataOut: make([]byte, len(data)+256), Context: ctx}
}

// wireRunOn is runOn for a program of XDP.
func wireRunOn(device netlink.Link, data []byte) *ebpf.RunOptions {
	ctx := make([]byte, 24) // struct xdp_md
	binary.NativeEndian.PutUint32(ctx[4:], uint32(len(data)))
	binary.NativeEndian.PutUint32(ctx[12:], uint32(device.Attrs().Index))
	return &ebpf.RunOptions{Data: data, DataOut: make([]byte, len(data)+256), Context: ctx}
}

// madeFrame returns a frame with a segment of TCP, which begins a connection or
// acknowledges something, or an empty datagram.
func madeFrame(device []byte, protocol uint8, from, to netip.AddrPort, begins bool) []byte {
	if protocol == unix.IPPROTO_TCP {
		return packet.Ethernet(device, packet.Segment(from, to, begins))
	}
	return packet.Ethernet(device, packet.Datagram(from, to, nil))
}
