// Package packet makes packets, headers and checksums: those that a program is tried on,
// and probes that go in tunnels.
package packet

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// hops is the time to live of what is made.
const hops = 64

// Flags of TCP, of a segment that begins a connection or acknowledges something.
const (
	syn = 2
	ack = 16
)

// Segment returns an IP packet with a segment of TCP that is its header alone (RFC 9293,
// section 3.1): one that begins a connection, or acknowledges something.
func Segment(from, to netip.AddrPort, begins bool) []byte {
	flags := byte(ack)
	if begins {
		flags = syn
	}
	b := append(ports(from, to), 0, 0, 0, 1, 0, 0, 0, 0, 5<<4, flags, 0xff, 0xff, 0, 0, 0, 0)
	return Packet(unix.IPPROTO_TCP, from.Addr(), to.Addr(), summed(b, 16, unix.IPPROTO_TCP, from.Addr(), to.Addr()))
}

// Datagram returns an IP packet with a datagram of UDP (RFC 768).
func Datagram(from, to netip.AddrPort, payload []byte) []byte {
	b := binary.BigEndian.AppendUint16(ports(from, to), uint16(8+len(payload)))
	b = append(append(b, 0, 0), payload...)
	return Packet(unix.IPPROTO_UDP, from.Addr(), to.Addr(), summed(b, 6, unix.IPPROTO_UDP, from.Addr(), to.Addr()))
}

func ports(from, to netip.AddrPort) []byte {
	return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, from.Port()), to.Port())
}

// summed completes a transport's checksum, which lies at a place.
func summed(b []byte, at int, protocol uint8, from, to netip.Addr) []byte {
	pseudo := append(from.AsSlice(), to.AsSlice()...)
	pseudo = binary.BigEndian.AppendUint32(pseudo, uint32(len(b)))
	pseudo = append(pseudo, 0, 0, 0, protocol)
	check := ^Sum(append(pseudo, b...))
	if check == 0 {
		check = 0xffff // of UDP 0 is none; of TCP it means the same
	}
	binary.BigEndian.PutUint16(b[at:], check)
	return b
}

// Packet returns an IP packet of a protocol, which must not be fragmented. Both addresses
// are of one family.
func Packet(protocol uint8, from, to netip.Addr, payload []byte) []byte {
	if from.Is4() {
		b := []byte{0x45, 0, 0, 0, 0, 0, 0x40, 0, hops, protocol, 0, 0}
		binary.BigEndian.PutUint16(b[2:], uint16(20+len(payload)))
		b = append(append(b, from.AsSlice()...), to.AsSlice()...)
		binary.BigEndian.PutUint16(b[10:], ^Sum(b))
		return append(b, payload...)
	}
	b := []byte{0x60, 0, 0, 0, 0, 0, protocol, hops}
	binary.BigEndian.PutUint16(b[4:], uint16(len(payload)))
	b = append(append(b, from.AsSlice()...), to.AsSlice()...)
	return append(b, payload...)
}

// Ethernet returns a packet in a frame to a device.
func Ethernet(device []byte, ip []byte) []byte {
	frame := make([]byte, 14, 14+len(ip))
	copy(frame, device)
	kind := uint16(unix.ETH_P_IP)
	if ip[0]>>4 == 6 {
		kind = unix.ETH_P_IPV6
	}
	binary.BigEndian.PutUint16(frame[12:], kind)
	return append(frame, ip...)
}

// Sum is the sum of the Internet checksum (RFC 1071).
func Sum(b []byte) uint16 {
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
