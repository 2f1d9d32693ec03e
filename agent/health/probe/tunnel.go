package probe

import (
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"

	"tombolo.io/tombolo/bpf/packet"
)

// tunnel sends what goes between nodes within packets between them, as package bpf sends
// clients' packets. What comes back does not.
type tunnel struct{ file *os.File }

// openTunnel opens the way out of a family. It takes none in.
func openTunnel(v6 bool) (*tunnel, error) {
	family := unix.AF_INET
	if v6 {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		return nil, fmt.Errorf("opening a socket for tunnels: %w", err)
	}
	return &tunnel{os.NewFile(uintptr(fd), "tunnels")}, nil
}

// send sends a datagram between two nodes in a packet between them.
func (t *tunnel) send(b []byte, from, to netip.AddrPort) error {
	protocol := uint8(unix.IPPROTO_IPIP)
	if to.Addr().Is6() {
		protocol = unix.IPPROTO_IPV6
	}
	outer := packet.Packet(protocol, from.Addr(), to.Addr(), packet.Datagram(from, to, b))
	raw, err := t.file.SyscallConn()
	if err != nil {
		return err
	}
	if control := raw.Control(func(fd uintptr) {
		err = unix.Sendto(int(fd), outer, unix.MSG_DONTWAIT, sockaddr(netip.AddrPortFrom(to.Addr(), 0)))
	}); control != nil {
		return control
	}
	return err
}

func (t *tunnel) close() error { return t.file.Close() }
