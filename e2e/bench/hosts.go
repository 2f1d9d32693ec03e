package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// host is a network namespace, in which functions run until it is closed.
type host struct {
	name string
	todo chan func()
	fd   int
}

func newHost(name string) (*host, error) {
	h := &host{name: name, todo: make(chan func())}
	ready := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the namespace ends with the thread and the descriptor
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			h.fd, err = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		}
		ready <- err
		if err != nil {
			return
		}
		for f := range h.todo {
			f()
		}
	}()
	if err := <-ready; err != nil {
		return nil, fmt.Errorf("making host %s: %w", name, err)
	}
	return h, h.up("lo")
}

func (h *host) close() error {
	close(h.todo)
	return unix.Close(h.fd)
}

// do runs a function there. What it starts runs elsewhere.
func (h *host) do(f func() error) error {
	done := make(chan error, 1)
	h.todo <- func() { done <- f() }
	if err := <-done; err != nil {
		return fmt.Errorf("on %s: %w", h.name, err)
	}
	return nil
}

// aside is do for a function that may take long: others run meanwhile.
func (h *host) aside(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the function
		err := unix.Setns(h.fd, unix.CLONE_NEWNET)
		if err == nil {
			err = f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		return fmt.Errorf("on %s: %w", h.name, err)
	}
	return nil
}

func (h *host) up(device string) error {
	return h.do(func() error {
		l, err := netlink.LinkByName(device)
		if err != nil {
			return fmt.Errorf("finding %s: %w", device, err)
		}
		return netlink.LinkSetUp(l)
	})
}

// wire makes a pair of devices between two hosts, with addresses.
func (h *host) wire(device string, at netip.Prefix, there *host, peer string, with netip.Prefix) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = device
	veth := netlink.NewVeth(attrs)
	veth.PeerName, veth.PeerNamespace = peer, netlink.NsFd(there.fd)
	return errors.Join(
		h.do(func() error { return netlink.LinkAdd(veth) }),
		h.address(device, at), there.address(peer, with), h.up(device), there.up(peer))
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

func (h *host) address(device string, p netip.Prefix) error {
	return h.do(func() error {
		l, err := netlink.LinkByName(device)
		if err != nil {
			return err
		}
		return netlink.AddrAdd(l, &netlink.Addr{IPNet: ipNet(p)})
	})
}

// route leads to a prefix by way of an address.
func (h *host) route(to netip.Prefix, via netip.Addr) error {
	return h.do(func() error {
		return netlink.RouteAdd(&netlink.Route{Dst: ipNet(to), Gw: via.AsSlice()})
	})
}

// forwards has it forward packets of IPv4.
func (h *host) forwards() error {
	return h.do(func() error { return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644) })
}

// received is how many packets came in by a device.
func (h *host) received(device string) (n uint64, err error) {
	err = h.do(func() error {
		l, err := netlink.LinkByName(device)
		if err == nil {
			n = l.Attrs().Statistics.RxPackets
		}
		return err
	})
	return n, err
}
