package probe

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"tombolo.io/tombolo/bpf"
)

// receiveBuffer holds some thousand replies while nobody reads, in bytes.
const receiveBuffer = 4 << 20

// msgProbe is MSG_PROBE of Linux, which package unix lacks: with MSG_CONFIRM and no data
// the kernel looks for the way and sends nothing.
const msgProbe = 0x10

// socket is a UDP socket of one family that never blocks.
type socket struct {
	file *os.File
	raw  syscall.RawConn
	v6   bool
	// source is the address that it is bound to.
	source netip.Addr
	// tunnel is how it sends, nil for directly; port is its own, for that.
	tunnel *tunnel
	port   uint16
}

// open opens a socket that is bound to an address, whether a device has that
// already or not, and stamps what arrives.
func open(source netip.Addr, inTunnel bool) (*socket, error) {
	s := &socket{v6: source.Is6(), source: source}
	family := unix.AF_INET
	if s.v6 {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_UDP)
	if err != nil {
		return nil, fmt.Errorf("opening a socket for probes: %w", err)
	}
	if err := s.prepare(fd, source); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("opening a socket for probes from %v: %w", source, err)
	}
	s.file = os.NewFile(uintptr(fd), "probes from "+source.String())
	if s.raw, err = s.file.SyscallConn(); err == nil && inTunnel {
		err = s.openTunnel(fd)
	}
	if err != nil {
		s.file.Close()
		return nil, fmt.Errorf("using a socket for probes: %w", err)
	}
	return s, nil
}

func (s *socket) openTunnel(fd int) error {
	own, err := unix.Getsockname(fd)
	if err != nil {
		return err
	}
	s.port = addrPort(own).Port()
	s.tunnel, err = openTunnel(s.v6)
	return err
}

func (s *socket) prepare(fd int, source netip.Addr) error {
	level, freebind := unix.IPPROTO_IP, unix.IP_FREEBIND
	if s.v6 {
		level, freebind = unix.IPPROTO_IPV6, unix.IPV6_FREEBIND
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1); err != nil {
			return err
		}
	}
	if err := unix.SetsockoptInt(fd, level, freebind, 1); err != nil {
		return err
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1); err != nil {
		return err
	}
	// Beyond the machine's limit only the privileged may.
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer) != nil {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer); err != nil {
			return err
		}
	}
	return unix.Bind(fd, sockaddr(netip.AddrPortFrom(source, 0)))
}

// send sends a datagram or says why it could not at once.
func (s *socket) send(b []byte, to netip.AddrPort) error {
	if s.tunnel != nil {
		return s.tunnel.send(b, netip.AddrPortFrom(s.source, s.port), to)
	}
	var err error
	if control := s.raw.Control(func(fd uintptr) {
		err = unix.Sendto(int(fd), b, unix.MSG_DONTWAIT, sockaddr(to))
		if (errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EACCES)) && !s.reachesItself(int(fd)) {
			err = fmt.Errorf("%w (%v: %v)", ErrMute, s.source, err)
		}
	}); control != nil {
		return control
	}
	return err
}

// reachesItself tells errors of routes that lead nowhere from those that are about this
// node: while no device has the source (EINVAL), or where a security module forbids to
// send (EACCES), not even its own address can be reached. Nothing is sent.
func (s *socket) reachesItself(fd int) bool {
	return unix.Sendto(fd, nil, unix.MSG_DONTWAIT|unix.MSG_CONFIRM|msgProbe, sockaddr(netip.AddrPortFrom(s.source, bpf.DefaultProbePort))) == nil
}

// received is a datagram and when it arrived, as nanoseconds of CLOCK_REALTIME;
// 0 when the kernel does not say.
type received struct {
	data  []byte
	from  netip.AddrPort
	stamp int64
}

// drain gives each datagram that is there to take, which must not keep its data.
func (s *socket) drain(take func(received)) error {
	var err error
	if control := s.raw.Control(func(fd uintptr) {
		var data [2048]byte
		var oob [64]byte
		for {
			n, oobn, _, from, failed := unix.Recvmsg(int(fd), data[:], oob[:], unix.MSG_DONTWAIT)
			switch {
			case errors.Is(failed, unix.EAGAIN):
				return
			case errors.Is(failed, unix.EINTR):
				continue
			case failed != nil:
				err = failed
				return
			}
			take(received{data[:n], addrPort(from), stampOf(oob[:oobn])})
		}
	}); control != nil {
		return control
	}
	return err
}

// await returns when there is something to drain, or the socket is closed.
func (s *socket) await() error {
	return s.raw.Read(func(fd uintptr) bool {
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(poll, 0)
		return n > 0 || err != nil && !errors.Is(err, unix.EINTR)
	})
}

func (s *socket) close() error {
	if s.tunnel != nil {
		return errors.Join(s.tunnel.close(), s.file.Close())
	}
	return s.file.Close()
}

// stampOf finds the kernel's stamp among what came with a datagram.
func stampOf(oob []byte) int64 {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return 0
	}
	for _, m := range messages {
		if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SO_TIMESTAMPNS && len(m.Data) >= int(unsafe.Sizeof(unix.Timespec{})) {
			return (*unix.Timespec)(unsafe.Pointer(unsafe.SliceData(m.Data))).Nano()
		}
	}
	return 0
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Addr: a.Addr().As4(), Port: int(a.Port())}
	}
	return &unix.SockaddrInet6{Addr: a.Addr().As16(), Port: int(a.Port())}
}

func addrPort(sa unix.Sockaddr) netip.AddrPort {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr), uint16(sa.Port))
	}
	return netip.AddrPort{}
}
