package check

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// family is what differs between IPv4 and IPv6.
type family struct {
	domain, icmp int
	level        int
	ethernet     uint16
	echo, reply  byte // ICMP types
	header       int  // of IP, without options
	options      [][2]int
	protocol     uint32 // where the protocol is
}

// Datagrams leave whole or not at all, however small a path was found to be; and
// with a source that no device has.
var (
	ipv4 = &family{
		domain: unix.AF_INET, icmp: unix.IPPROTO_ICMP, level: unix.IPPROTO_IP, ethernet: unix.ETH_P_IP, echo: 8, reply: 0, header: 20,
		options:  [][2]int{{unix.IP_TRANSPARENT, 1}, {unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE}},
		protocol: 9,
	}
	ipv6 = &family{
		domain: unix.AF_INET6, icmp: unix.IPPROTO_ICMPV6, level: unix.IPPROTO_IPV6, ethernet: unix.ETH_P_IPV6, echo: 128, reply: 129, header: 40,
		options:  [][2]int{{unix.IPV6_V6ONLY, 1}, {unix.IPV6_TRANSPARENT, 1}, {unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_PROBE}, {unix.IPV6_DONTFRAG, 1}},
		protocol: 6,
	}
)

func familyOf(a netip.Addr) *family {
	if a.Is4() {
		return ipv4
	}
	return ipv6
}

// openUDP opens a socket that sends from an address, whether it is this node's or
// one of its pods'.
func (f *family) openUDP(from netip.Addr) (int, error) {
	fd, err := unix.Socket(f.domain, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_UDP)
	if err != nil {
		return -1, fmt.Errorf("opening a socket for probes: %w", err)
	}
	for _, o := range f.options {
		if err = unix.SetsockoptInt(fd, f.level, o[0], o[1]); err != nil {
			break
		}
	}
	if err == nil {
		err = unix.Bind(fd, sockaddr(netip.AddrPortFrom(from, 0)))
	}
	if err != nil {
		return -1, errors.Join(fmt.Errorf("opening a socket for probes from %v: %w", from, err), unix.Close(fd))
	}
	return fd, nil
}

// openICMP opens a socket for echo requests, which also gets what ICMP says of our
// probes.
func (f *family) openICMP(from netip.Addr) (int, error) {
	fd, err := unix.Socket(f.domain, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, f.icmp)
	if err != nil {
		return -1, fmt.Errorf("opening a socket for ICMP: %w", err)
	}
	if err := unix.Bind(fd, sockaddr(netip.AddrPortFrom(from, 0))); err != nil {
		return -1, errors.Join(fmt.Errorf("opening a socket for ICMP from %v: %w", from, err), unix.Close(fd))
	}
	return fd, nil
}

// openTap opens a socket that gets all datagrams from the port of probes, as they
// come in on any device.
func (f *family) openTap(port uint16) (int, error) {
	network := binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, f.ethernet))
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, int(network))
	if err != nil {
		return -1, fmt.Errorf("opening a socket for passing replies: %w", err)
	}
	program, err := f.filter(port)
	if err == nil {
		err = unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]})
	}
	if err != nil {
		return -1, errors.Join(fmt.Errorf("filtering passing replies: %w", err), unix.Close(fd))
	}
	return fd, nil
}

// filter takes UDP from a port.
func (f *family) filter(port uint16) ([]unix.SockFilter, error) {
	program := []bpf.Instruction{
		bpf.LoadAbsolute{Off: f.protocol, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.IPPROTO_UDP, SkipTrue: 4},
		bpf.LoadConstant{Dst: bpf.RegX, Val: uint32(f.header)},
		bpf.LoadIndirect{Off: 0, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: uint32(port), SkipTrue: 1},
		bpf.RetConstant{Val: 1 << 16},
		bpf.RetConstant{Val: 0},
	}
	if f == ipv4 {
		program[2] = bpf.LoadMemShift{Off: 0} // with options
	}
	raw, err := bpf.Assemble(program)
	if err != nil {
		return nil, err
	}
	out := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		out[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	return out, nil
}

// payload returns what is in the UDP datagram of an IP packet, nil if it is none.
func (f *family) payload(packet []byte) []byte {
	at := f.header
	if f == ipv4 && len(packet) > 0 {
		at = int(packet[0]&0xf) * 4
	}
	if len(packet) < at+8 {
		return nil
	}
	return packet[at+8:]
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Addr: a.Addr().As4(), Port: int(a.Port())}
	}
	return &unix.SockaddrInet6{Addr: a.Addr().As16(), Port: int(a.Port())}
}

// addrOf returns the address of who sent; that of another family is invalid.
func addrOf(sa unix.Sockaddr) netip.Addr {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrFrom4(sa.Addr)
	case *unix.SockaddrInet6:
		return netip.AddrFrom16(sa.Addr)
	}
	return netip.Addr{}
}
