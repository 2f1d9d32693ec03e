package bpf

import (
	"encoding/binary"
	"net/netip"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// runOn returns how to run a program on a frame that comes in by a device.
func runOn(device netlink.Link, frame []byte) *ebpf.RunOptions {
	index := uint32(device.Attrs().Index)
	// struct __sk_buff as far as ifindex.
	ctx := make([]byte, 44)
	binary.NativeEndian.PutUint32(ctx[36:], index) // ingress_ifindex
	binary.NativeEndian.PutUint32(ctx[40:], index)
	return &ebpf.RunOptions{Data: frame, DataOut: make([]byte, len(frame)+256), Context: ctx}
}

// madeFrame returns an Ethernet frame with a segment of TCP (RFC 9293, section 3.1), which
// begins a connection or acknowledges something, or an empty datagram.
func madeFrame(device []byte, protocol uint8, from, to netip.AddrPort, begins bool) []byte {
	transport := madeTransport(protocol, from, to, begins)
	frame := make([]byte, 14, 14+40+len(transport))
	copy(frame, device) // or it would be another host's
	if from.Addr().Is4() {
		binary.BigEndian.PutUint16(frame[12:], unix.ETH_P_IP)
		ip := []byte{0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, protocol, 0, 0}
		binary.BigEndian.PutUint16(ip[2:], uint16(20+len(transport)))
		ip = append(append(ip, from.Addr().AsSlice()...), to.Addr().AsSlice()...)
		binary.BigEndian.PutUint16(ip[10:], ^onesSum(ip))
		return append(append(frame, ip...), transport...)
	}
	binary.BigEndian.PutUint16(frame[12:], unix.ETH_P_IPV6)
	ip := []byte{0x60, 0, 0, 0, 0, byte(len(transport)), protocol, 64}
	ip = append(append(ip, from.Addr().AsSlice()...), to.Addr().AsSlice()...)
	return append(append(frame, ip...), transport...)
}

func madeTransport(protocol uint8, from, to netip.AddrPort, begins bool) []byte {
	b := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, from.Port()), to.Port())
	at := 6
	if protocol == unix.IPPROTO_TCP {
		flags := byte(0x10) // ACK
		if begins {
			flags = 2 // SYN
		}
		b = append(b, 0, 0, 0, 1, 0, 0, 0, 0, 5<<4, flags, 0xff, 0xff, 0, 0, 0, 0)
		at = 16
	} else {
		b = append(b, 0, 8, 0, 0)
	}
	pseudo := append(from.Addr().AsSlice(), to.Addr().AsSlice()...)
	pseudo = append(pseudo, 0, protocol, 0, byte(len(b)))
	check := ^onesSum(append(pseudo, b...))
	if check == 0 {
		check = 0xffff // of UDP 0 is none; of TCP it means the same
	}
	binary.BigEndian.PutUint16(b[at:], check)
	return b
}

// onesSum is the sum of the Internet checksum (RFC 1071).
func onesSum(b []byte) uint16 {
	sum := uint32(0)
	for i, v := range b {
		if i%2 == 0 {
			sum += uint32(v) << 8
		} else {
			sum += uint32(v)
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}
