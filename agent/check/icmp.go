package check

import (
	"encoding/binary"
	"net/netip"
)

// message is what came by ICMP.
type message struct {
	// echoed is set for the reply to an echo request of this identifier.
	echoed     bool
	identifier uint16
	// Else it speaks of a datagram of ours to this address: it was refused, or is
	// longer than mtu.
	to      netip.Addr
	refused RefusalKind
	tooBig  bool
	mtu     int
}

// readICMP reads an ICMP message; false for one that we have no use for.
func (f *family) readICMP(packet []byte) (message, bool) {
	if f == ipv4 { // the kernel hands the header out only here
		if len(packet) < f.header || len(packet) < int(packet[0]&0xf)*4 {
			return message{}, false
		}
		packet = packet[int(packet[0]&0xf)*4:]
	}
	if len(packet) < 8 {
		return message{}, false
	}
	kind, code, rest := packet[0], packet[1], packet[4:8]
	if kind == f.reply {
		return message{echoed: true, identifier: binary.BigEndian.Uint16(rest)}, true
	}
	var m message
	var ok bool
	if m.to, ok = f.quoted(packet[8:]); !ok {
		return m, false
	}
	if f == ipv4 {
		m.refused = refusal4(kind, code)
		m.tooBig, m.mtu = kind == 3 && code == 4, int(binary.BigEndian.Uint16(rest[2:]))
	} else {
		m.refused = refusal6(kind, code)
		m.tooBig, m.mtu = kind == 2, int(binary.BigEndian.Uint32(rest))
	}
	return m, m.tooBig || m.refused != NotRefused
}

// quoted returns where the UDP datagram was sent to that a message quotes.
func (f *family) quoted(packet []byte) (netip.Addr, bool) {
	if len(packet) < f.header || packet[f.protocol] != 17 {
		return netip.Addr{}, false
	}
	at, size := 16, 4
	if f == ipv6 {
		at, size = 24, 16
	}
	return netip.AddrFromSlice(packet[at : at+size])
}

// refusal4 is what RFC 792 and RFC 1812 (5.2.7.1) say.
func refusal4(kind, code byte) RefusalKind {
	switch {
	case kind == 11:
		return Loop
	case kind != 3 || code == 4:
		return NotRefused
	case code == 3:
		return NoPort
	case code == 9 || code == 10 || code == 13:
		return Prohibited
	}
	return NoRoute
}

// refusal6 is what RFC 4443 (3.1, 3.3) says.
func refusal6(kind, code byte) RefusalKind {
	switch {
	case kind == 3:
		return Loop
	case kind != 1:
		return NotRefused
	case code == 4:
		return NoPort
	case code == 1 || code == 5:
		return Prohibited
	}
	return NoRoute
}

// echoRequest returns an echo request. The kernel adds the checksum of IPv6.
func (f *family) echoRequest(identifier uint16) []byte {
	b := binary.BigEndian.AppendUint16([]byte{f.echo, 0, 0, 0}, identifier)
	b = append(b, 0, 1)
	if f == ipv4 {
		sum := uint32(b[0])<<8 + uint32(identifier) + 1
		binary.BigEndian.PutUint16(b[2:], ^uint16(sum>>16+sum&0xffff))
	}
	return b
}
