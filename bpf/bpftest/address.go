package bpftest

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// Own makes all addresses of an IPv4 prefix the place's: its lo answers to the
// whole network of an address that it has.
func (p *Place) Own(t testing.TB, prefix netip.Prefix) {
	t.Helper()
	fd := p.Socket(t, unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE)
	const lo = 1
	m := binary.NativeEndian.AppendUint32(nil, 40) // the whole message
	m = binary.NativeEndian.AppendUint16(m, unix.RTM_NEWADDR)
	m = binary.NativeEndian.AppendUint16(m, unix.NLM_F_REQUEST|unix.NLM_F_ACK|unix.NLM_F_CREATE)
	m = append(m, make([]byte, 8)...) // sequence, port
	m = append(m, unix.AF_INET, byte(prefix.Bits()), 0, unix.RT_SCOPE_HOST)
	m = binary.NativeEndian.AppendUint32(m, lo)
	for _, attribute := range []uint16{unix.IFA_LOCAL, unix.IFA_ADDRESS} {
		m = binary.NativeEndian.AppendUint16(m, 8)
		m = binary.NativeEndian.AppendUint16(m, attribute)
		m = append(m, prefix.Addr().AsSlice()...)
	}
	if err := unix.Sendto(fd, m, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		t.Fatalf("giving lo the address %v: %v", prefix, err)
	}
	answer := make([]byte, 64)
	n, err := unix.Read(fd, answer)
	if err != nil || n < 20 || binary.NativeEndian.Uint32(answer[16:]) != 0 {
		t.Fatalf("giving lo the address %v: %v, %x", prefix, err, answer[:n])
	}
}
