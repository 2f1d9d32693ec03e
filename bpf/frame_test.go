package bpf

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// frame is an Ethernet frame as a test thinks of it: bytes puts it together, and
// parseFrame takes it apart and looks at all of its checksums.
type frame struct {
	to           [6]byte
	from, dst    netip.AddrPort // ports are of TCP and UDP
	protocol     uint8
	ttl          uint8
	flags        uint8 // of TCP
	seq, ack     uint32
	options      []byte // of IPv4, a multiple of 4 bytes
	tcpOptions   []byte // the same; parseFrame leaves them in the payload
	extensions   []byte // of IPv6: a hop-by-hop header of a multiple of 8 bytes
	id           uint32
	offset       uint16 // of a fragment, in bytes
	more         bool
	noSum        bool   // UDP without a checksum
	payload      []byte // behind the transport's header; of other protocols all
	wholePayload []byte // of a fragmented packet, for its checksum
}

func (f frame) v4() bool { return f.from.Addr().Is4() }

// transport returns what follows the IP header.
func (f frame) transport() []byte {
	if f.offset > 0 {
		return f.payload
	}
	var b []byte
	at := -1
	ports := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, f.from.Port()), f.dst.Port())
	whole := f.payload
	if f.wholePayload != nil {
		whole = f.wholePayload
	}
	switch f.protocol {
	case unix.IPPROTO_TCP:
		b = binary.BigEndian.AppendUint32(ports, f.seq)
		b = binary.BigEndian.AppendUint32(b, f.ack)
		b = append(b, byte(5+len(f.tcpOptions)/4)<<4, f.flags, 0xff, 0xff, 0, 0, 0, 0)
		b = append(b, f.tcpOptions...)
		at = 16
	case unix.IPPROTO_UDP:
		b = binary.BigEndian.AppendUint16(ports, uint16(8+len(whole)))
		b = append(b, 0, 0)
		at = 6
	case unix.IPPROTO_ICMP, unix.IPPROTO_ICMPV6:
		at = 2 // the payload begins with the header
	}
	header := len(b)
	b = append(b, whole...)
	if at >= 0 && !f.noSum {
		check := f.sum(b)
		if f.protocol == unix.IPPROTO_UDP && check == 0 {
			check = 0xffff
		}
		binary.BigEndian.PutUint16(b[at:], check)
	}
	return b[:header+len(f.payload)]
}

// sum returns the checksum of the transport's bytes.
func (f frame) sum(b []byte) uint16 {
	if f.protocol == unix.IPPROTO_ICMP {
		return ^sum(b)
	}
	pseudo := append(f.from.Addr().AsSlice(), f.dst.Addr().AsSlice()...)
	pseudo = binary.BigEndian.AppendUint32(pseudo, uint32(len(b)))
	pseudo = append(pseudo, 0, 0, 0, f.protocol)
	return ^sum(append(pseudo, b...))
}

// ip returns the frame without its Ethernet header.
func (f frame) ip() []byte {
	t := f.transport()
	if f.v4() {
		fragment := f.offset / 8
		if f.more {
			fragment |= 0x2000
		}
		b := []byte{4<<4 | byte(5+len(f.options)/4), 0}
		b = binary.BigEndian.AppendUint16(b, uint16(20+len(f.options)+len(t)))
		b = binary.BigEndian.AppendUint16(b, uint16(f.id))
		b = binary.BigEndian.AppendUint16(b, fragment)
		b = append(b, f.ttl, f.protocol, 0, 0)
		b = append(b, f.from.Addr().AsSlice()...)
		b = append(append(b, f.dst.Addr().AsSlice()...), f.options...)
		binary.BigEndian.PutUint16(b[10:], ^sum(b))
		return append(b, t...)
	}
	next, ext := f.protocol, []byte{}
	if f.more || f.offset > 0 {
		offset := f.offset
		if f.more {
			offset |= 1
		}
		ext = append(binary.BigEndian.AppendUint16([]byte{next, 0}, offset), ext...)
		ext = binary.BigEndian.AppendUint32(ext, f.id)
		next = unix.IPPROTO_FRAGMENT
	}
	if len(f.extensions) > 0 {
		ext = append(append([]byte{next, byte(len(f.extensions)/8 - 1)}, f.extensions[2:]...), ext...)
		next = unix.IPPROTO_HOPOPTS
	}
	b := []byte{6 << 4, 0, 0, 0}
	b = binary.BigEndian.AppendUint16(b, uint16(len(ext)+len(t)))
	b = append(b, next, f.ttl)
	b = append(b, f.from.Addr().AsSlice()...)
	b = append(b, f.dst.Addr().AsSlice()...)
	return append(append(b, ext...), t...)
}

func (f frame) bytes() []byte {
	b := append(f.to[:], 2, 0, 0, 0, 0, 9)
	if f.v4() {
		return append(append(b, 8, 0), f.ip()...)
	}
	return append(append(b, 0x86, 0xdd), f.ip()...)
}

// parseFrame takes a frame apart; the test fails where a length or a checksum is wrong.
func parseFrame(t testing.TB, b []byte) frame {
	t.Helper()
	if len(b) < 34 {
		t.Fatalf("a frame of %d bytes", len(b))
	}
	f := frame{to: [6]byte(b[:6])}
	var src, dst netip.Addr
	ip := b[14:]
	if b[12] == 8 {
		header := int(ip[0]&15) * 4
		if sum(ip[:header]) != 0xffff {
			t.Errorf("the checksum of the IPv4 header is wrong: % x", ip[:header])
		}
		if n := int(binary.BigEndian.Uint16(ip[2:])); n != len(ip) {
			t.Fatalf("an IPv4 packet of %d bytes says %d", len(ip), n)
		}
		fragment := binary.BigEndian.Uint16(ip[6:])
		f.id, f.more, f.offset = uint32(binary.BigEndian.Uint16(ip[4:])), fragment&0x2000 != 0, fragment<<3
		f.ttl, f.protocol, f.options = ip[8], ip[9], ip[20:header]
		src, dst = netip.AddrFrom4([4]byte(ip[12:16])), netip.AddrFrom4([4]byte(ip[16:20]))
		ip = ip[header:]
	} else {
		if n := int(binary.BigEndian.Uint16(ip[4:])); n != len(ip)-40 {
			t.Fatalf("an IPv6 packet of %d bytes says %d", len(ip), n+40)
		}
		f.protocol, f.ttl = ip[6], ip[7]
		src, dst = netip.AddrFrom16([16]byte(ip[8:24])), netip.AddrFrom16([16]byte(ip[24:40]))
		ip = ip[40:]
		if f.protocol == unix.IPPROTO_HOPOPTS {
			n := int(ip[1]+1) * 8
			f.protocol, f.extensions, ip = ip[0], ip[:n], ip[n:]
		}
		if f.protocol == unix.IPPROTO_FRAGMENT {
			fragment := binary.BigEndian.Uint16(ip[2:])
			f.offset, f.more, f.id = fragment&^7, fragment&1 != 0, binary.BigEndian.Uint32(ip[4:])
			f.protocol, ip = ip[0], ip[8:]
		}
	}
	f.from, f.dst = netip.AddrPortFrom(src, 0), netip.AddrPortFrom(dst, 0)
	f.parseTransport(t, ip)
	return f
}

func (f *frame) parseTransport(t testing.TB, b []byte) {
	t.Helper()
	f.payload = b
	if f.offset > 0 {
		return
	}
	switch f.protocol {
	case unix.IPPROTO_TCP, unix.IPPROTO_UDP:
		f.from = netip.AddrPortFrom(f.from.Addr(), binary.BigEndian.Uint16(b))
		f.dst = netip.AddrPortFrom(f.dst.Addr(), binary.BigEndian.Uint16(b[2:]))
		f.payload = b[8:]
		if f.protocol == unix.IPPROTO_TCP {
			f.seq, f.ack, f.flags = binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[8:]), b[13]
			f.payload = b[20:]
		} else {
			f.noSum = b[6] == 0 && b[7] == 0
		}
	}
	if !f.more && !f.noSum && f.protocol != unix.IPPROTO_GRE && f.sum(b) != 0 {
		t.Errorf("the checksum of protocol %d is wrong: % x", f.protocol, b)
	}
}
