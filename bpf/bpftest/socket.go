package bpftest

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Sockaddr returns an address as the socket calls take it; IPv4 on an AF_INET6
// socket when v6 is set.
func Sockaddr(a netip.AddrPort, v6 bool) unix.Sockaddr {
	if a.Addr().Is4() && !v6 {
		return &unix.SockaddrInet4{Addr: a.Addr().As4(), Port: int(a.Port())}
	}
	return &unix.SockaddrInet6{Addr: a.Addr().As16(), Port: int(a.Port())}
}

// AddrPort is the reverse of Sockaddr; IPv4 comes out unmapped.
func AddrPort(sa unix.Sockaddr) netip.AddrPort {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr).Unmap(), uint16(sa.Port))
	}
	return netip.AddrPort{}
}

// family returns the family of sockets for an address.
func family(a netip.AddrPort) int {
	if a.Addr().Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// Connect returns a new TCP socket that is connected to an address, or what
// connect() said.
func (p *Place) Connect(t testing.TB, to netip.AddrPort) (int, error) {
	t.Helper()
	fd := p.Socket(t, family(to), unix.SOCK_STREAM, 0)
	return fd, unix.Connect(fd, Sockaddr(to, to.Addr().Is6()))
}

// Serve answers on an address with a name, over TCP (the name, then the end)
// and UDP (the name for each datagram), until the test ends. With port 0 it
// takes a free one. It returns the address.
func (p *Place) Serve(t testing.TB, at netip.AddrPort, name string) netip.AddrPort {
	t.Helper()
	fd := p.bound(t, at, unix.SOCK_STREAM)
	at = localAddress(t, fd)
	if err := unix.Listen(fd, 128); err != nil {
		t.Fatalf("listening on %s: %v", at, err)
	}
	l := fromFile(t, fd, net.FileListener)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte(name))
			conn.Close()
		}
	}()
	packets := fromFile(t, p.bound(t, at, unix.SOCK_DGRAM), net.FilePacketConn)
	t.Cleanup(func() { packets.Close() })
	go func() {
		var b [1500]byte
		for {
			_, from, err := packets.ReadFrom(b[:])
			if err != nil {
				return
			}
			_, _ = packets.WriteTo([]byte(name), from)
		}
	}()
	return at
}

func (p *Place) bound(t testing.TB, at netip.AddrPort, typ int) int {
	t.Helper()
	fd := p.Socket(t, family(at), typ, 0)
	if err := unix.Bind(fd, Sockaddr(at, at.Addr().Is6())); err != nil {
		t.Fatalf("binding to %s: %v", at, err)
	}
	return fd
}

func localAddress(t testing.TB, fd int) netip.AddrPort {
	t.Helper()
	sa, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatalf("asking for a socket's address: %v", err)
	}
	return AddrPort(sa)
}

// fromFile makes a listener or connection of a copy of the socket.
func fromFile[T any](t testing.TB, fd int, make func(*os.File) (T, error)) T {
	t.Helper()
	own, err := unix.Dup(fd)
	if err != nil {
		t.Fatalf("copying a socket: %v", err)
	}
	f := os.NewFile(uintptr(own), "socket")
	defer f.Close()
	conn, err := make(f)
	if err != nil {
		t.Fatalf("using a socket: %v", err)
	}
	return conn
}

// Dissolve ends what a datagram socket is connected to (connect(2): AF_UNSPEC).
func Dissolve(t testing.TB, fd int) {
	t.Helper()
	sa := unix.RawSockaddr{Family: unix.AF_UNSPEC}
	if _, _, errno := unix.Syscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&sa)), unsafe.Sizeof(sa)); errno != 0 {
		t.Fatalf("dissolving a connection: %v", errno)
	}
}

// Receive returns what a socket receives next and from where, which is the zero
// value where the socket does not say.
func Receive(fd int) (string, netip.AddrPort, error) {
	var b [256]byte
	for {
		n, from, err := unix.Recvfrom(fd, b[:], 0)
		// A wait with a limit is not taken up again after a signal.
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return "", netip.AddrPort{}, fmt.Errorf("waiting for an answer: %w", err)
		}
		return string(b[:n]), AddrPort(from), nil
	}
}

// Read returns the name that a connected socket, or the next datagram, gives.
func Read(t testing.TB, fd int) string {
	t.Helper()
	name, _, err := Receive(fd)
	if err != nil {
		t.Fatal(err)
	}
	return name
}
