package session

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// trafficClass is CS6, network control (RFC 4594): what routers give BGP too.
const trafficClass = 0xc0

// dial connects to the router.
func dial(ctx context.Context, c Config) (net.Conn, error) {
	d := net.Dialer{Timeout: c.ConnectRetry, KeepAlive: -1, Control: func(_, _ string, raw syscall.RawConn) error {
		return control(raw, func(fd int) error {
			return errors.Join(
				setPath(fd, c),
				setKey(fd, c.Router.Addr(), c.Password))
		})
	}}
	if c.Source.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(c.Source, 0))
	}
	return d.DialContext(ctx, network(c.Router.Addr()), c.Router.String())
}

// dialServer connects to the peer's GoBGP server.
func dialServer(ctx context.Context, s Server) (net.Conn, error) {
	d := net.Dialer{
		LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(s.Source, 0)),
		Control: func(_, _ string, raw syscall.RawConn) error {
			return control(raw, func(fd int) error { return setKey(fd, s.Addr.Addr(), s.Password) })
		},
	}
	return d.DialContext(ctx, network(s.Addr.Addr()), s.Addr.String())
}

func network(a netip.Addr) string {
	if a.Is4() {
		return "tcp4"
	}
	return "tcp6"
}

func control(raw syscall.RawConn, set func(fd int) error) error {
	var err error
	return errors.Join(raw.Control(func(fd uintptr) { err = set(int(fd)) }), err)
}

// setPath sets what decides how packets to and from the router travel.
func setPath(fd int, c Config) error {
	if c.Device != "" {
		if err := unix.BindToDevice(fd, c.Device); err != nil {
			return fmt.Errorf("binding to device %s: %w", c.Device, err)
		}
	}
	level, ttl, minTTL, class := unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, unix.IPV6_MINHOPCOUNT, unix.IPV6_TCLASS
	if c.Router.Addr().Is4() {
		level, ttl, minTTL, class = unix.IPPROTO_IP, unix.IP_TTL, unix.IP_MINTTL, unix.IP_TOS
	}
	if c.TTL != 0 {
		if err := unix.SetsockoptInt(fd, level, ttl, int(c.TTL)); err != nil {
			return fmt.Errorf("setting the TTL: %w", err)
		}
	}
	if c.MinTTL != 0 {
		if err := unix.SetsockoptInt(fd, level, minTTL, int(c.MinTTL)); err != nil {
			return fmt.Errorf("setting the least TTL: %w", err)
		}
	}
	if err := unix.SetsockoptInt(fd, level, class, trafficClass); err != nil {
		return fmt.Errorf("setting the traffic class: %w", err)
	}
	return nil
}

// setKey sets the key of TCP MD5 for connections with an address; an empty one
// on a listener removes it.
func setKey(fd int, a netip.Addr, password string) error {
	if password == "" {
		return nil
	}
	return tcpMD5(fd, a, password)
}

func tcpMD5(fd int, a netip.Addr, password string) error {
	sig := unix.TCPMD5Sig{Keylen: uint16(len(password))}
	copy(sig.Key[:], password)
	// The address is a sockaddr, of which the kernel looks at family and address.
	sig.Addr.Family = unix.AF_INET6
	if a.Is4() {
		sig.Addr.Family = unix.AF_INET
		b := a.As4()
		copy(sig.Addr.Data[2:], b[:]) // after the port
	} else {
		b := a.As16()
		copy(sig.Addr.Data[6:], b[:]) // after port and flow
	}
	if err := unix.SetsockoptTCPMD5Sig(fd, unix.IPPROTO_TCP, unix.TCP_MD5SIG, &sig); err != nil {
		return fmt.Errorf("setting the TCP MD5 key for %s: %w", a, err)
	}
	return nil
}

// setPatience bounds how long sent data may stay without acknowledgement. The
// keepalives of both sides fill the connection, so a router that is gone is
// noticed in this time even if it still had sent us something (compare RFC
// 9687).
func setPatience(conn net.Conn, d time.Duration) error {
	t, ok := conn.(*net.TCPConn)
	if !ok {
		return nil
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return fmt.Errorf("reaching the socket: %w", err)
	}
	return control(raw, func(fd int) error {
		return unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(d.Milliseconds()))
	})
}
