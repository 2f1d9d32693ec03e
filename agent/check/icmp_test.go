package check

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"
)

// icmp4 and icmp6 are a message, with the 4 bytes that follow its checksum, that
// quotes a datagram to an address.
func icmp4(kind, code byte, rest uint32, to netip.Addr, protocol byte) []byte {
	quoted := make([]byte, 28)
	quoted[0], quoted[9] = 0x45, protocol
	copy(quoted[16:], to.AsSlice())
	head := make([]byte, 24) // with an option
	head[0] = 0x46
	return slices.Concat(head, []byte{kind, code, 0, 0}, binary.BigEndian.AppendUint32(nil, rest), quoted)
}

func icmp6(kind, code byte, rest uint32, to netip.Addr, protocol byte) []byte {
	quoted := make([]byte, 48)
	quoted[0], quoted[6] = 0x60, protocol
	copy(quoted[24:], to.AsSlice())
	return slices.Concat([]byte{kind, code, 0, 0}, binary.BigEndian.AppendUint32(nil, rest), quoted)
}

func TestReadICMP(t *testing.T) {
	to4, to6 := netip.MustParseAddr("172.20.2.1"), netip.MustParseAddr("fd00::2")
	const udp = 17
	for _, c := range []struct {
		what   string
		f      *family
		packet []byte
		want   message
		ok     bool
	}{
		{"an echo", ipv4, icmp4(0, 0, 7<<16|1, to4, udp), message{echoed: true, identifier: 7}, true},
		{"an echo", ipv6, icmp6(129, 0, 7<<16|1, to6, udp), message{echoed: true, identifier: 7}, true},
		{"an echo request", ipv4, icmp4(8, 0, 7<<16|1, to4, udp), message{to: to4}, false},
		{"no port", ipv4, icmp4(3, 3, 0, to4, udp), message{to: to4, refused: NoPort}, true},
		{"no port", ipv6, icmp6(1, 4, 0, to6, udp), message{to: to6, refused: NoPort}, true},
		{"no host", ipv4, icmp4(3, 1, 0, to4, udp), message{to: to4, refused: NoRoute}, true},
		{"no route", ipv6, icmp6(1, 0, 0, to6, udp), message{to: to6, refused: NoRoute}, true},
		{"prohibited", ipv4, icmp4(3, 13, 0, to4, udp), message{to: to4, refused: Prohibited}, true},
		{"prohibited", ipv6, icmp6(1, 1, 0, to6, udp), message{to: to6, refused: Prohibited}, true},
		{"a loop", ipv4, icmp4(11, 0, 0, to4, udp), message{to: to4, refused: Loop}, true},
		{"a loop", ipv6, icmp6(3, 0, 0, to6, udp), message{to: to6, refused: Loop}, true},
		{"too big", ipv4, icmp4(3, 4, 1400, to4, udp), message{to: to4, tooBig: true, mtu: 1400}, true},
		{"too big", ipv6, icmp6(2, 0, 1400, to6, udp), message{to: to6, tooBig: true, mtu: 1400}, true},
		{"about TCP", ipv4, icmp4(3, 3, 0, to4, 6), message{}, false},
		{"about TCP", ipv6, icmp6(1, 4, 0, to6, 6), message{}, false},
		{"cut", ipv4, icmp4(3, 3, 0, to4, udp)[:50], message{}, false},
		{"cut", ipv6, icmp6(1, 4, 0, to6, udp)[:40], message{}, false},
		{"nothing", ipv4, nil, message{}, false},
		{"nothing", ipv6, nil, message{}, false},
	} {
		got, ok := c.f.readICMP(c.packet)
		if ok != c.ok || ok && (got.echoed != c.want.echoed || got.refused != c.want.refused || got.tooBig != c.want.tooBig) {
			t.Errorf("%s: %+v, %v, want %+v, %v", c.what, got, ok, c.want, c.ok)
		}
		if ok && (got.to != c.want.to || got.identifier != c.want.identifier || got.tooBig && got.mtu != c.want.mtu) {
			t.Errorf("%s: %+v, want %+v", c.what, got, c.want)
		}
	}
}

func FuzzReadICMP(f *testing.F) {
	f.Add(icmp4(3, 3, 0, netip.MustParseAddr("172.20.2.1"), 17))
	f.Add(icmp6(1, 4, 0, netip.MustParseAddr("fd00::2"), 17))
	f.Fuzz(func(t *testing.T, packet []byte) {
		for _, family := range []*family{ipv4, ipv6} {
			family.payload(packet)
			if m, ok := family.readICMP(packet); ok && !m.echoed && !m.tooBig && m.refused == NotRefused {
				t.Errorf("%x says %+v", packet, m)
			}
		}
	})
}
