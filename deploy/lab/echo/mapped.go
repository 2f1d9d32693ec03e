package echo

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// dialMapped connects to an IPv4 address through a socket of AF_INET6, which
// package net avoids. It blocks its thread, at most until the
// deadline of ctx.
func dialMapped(ctx context.Context, target netip.AddrPort) (net.Conn, error) {
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("opening a socket: %w", err)
	}
	f := os.NewFile(uintptr(fd), "mapped")
	defer f.Close() // FileConn has one of its own
	if deadline, ok := ctx.Deadline(); ok {
		t := unix.NsecToTimeval(max(1000, time.Until(deadline).Nanoseconds()))
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &t); err != nil {
			return nil, fmt.Errorf("bounding a connect: %w", err)
		}
	}
	if err := unix.Connect(fd, &unix.SockaddrInet6{Port: int(target.Port()), Addr: target.Addr().As16()}); err != nil {
		if err == unix.EINPROGRESS { // the bound was reached
			return nil, context.DeadlineExceeded
		}
		return nil, os.NewSyscallError("connect", err)
	}
	return net.FileConn(f)
}
