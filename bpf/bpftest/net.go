package bpftest

import (
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Net is a network namespace of the test's own, which is gone with it. Unlike a
// Place it has no process in it: the test's own threads go in.
type Net struct {
	ns netns.NsHandle
}

// NewNet makes a namespace whose lo is up.
func NewNet(t testing.TB) *Net {
	t.Helper()
	n := &Net{ns: netns.None()}
	err := onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("making a network namespace: %w", err)
		}
		var err error
		if n.ns, err = netns.Get(); err != nil {
			return err
		}
		return loopbackUp()
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.ns.Close() })
	return n
}

// Do runs a function on a thread in the namespace, and returns its error. What
// is opened there stays there.
func (n *Net) Do(f func() error) error {
	return onThread(func() error {
		if err := netns.Set(n.ns); err != nil {
			return fmt.Errorf("entering a network namespace: %w", err)
		}
		return f()
	})
}

// onThread runs a function on a thread that ends with it, so that nobody else
// runs in the namespace that it leaves behind.
func onThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		done <- f()
	}()
	return <-done
}

// Wire makes a pair of devices, one here and its peer there, both up.
func (n *Net) Wire(t testing.TB, device string, there *Net, peer string) {
	t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = device
	veth := netlink.NewVeth(attrs)
	veth.PeerName, veth.PeerNamespace = peer, netlink.NsFd(there.ns)
	if err := n.Do(func() error { return netlink.LinkAdd(veth) }); err != nil {
		t.Fatalf("making a wire from %s to %s: %v", device, peer, err)
	}
	n.Up(t, device)
	there.Up(t, peer)
}

// Up sets a device up.
func (n *Net) Up(t testing.TB, device string) {
	t.Helper()
	n.device(t, device, netlink.LinkSetUp)
}

// Remove removes a device.
func (n *Net) Remove(t testing.TB, device string) {
	t.Helper()
	n.device(t, device, netlink.LinkDel)
}

// Address gives a device an address, usable at once.
func (n *Net) Address(t testing.TB, device string, p netip.Prefix) {
	t.Helper()
	n.device(t, device, func(l netlink.Link) error {
		a := &netlink.Addr{IPNet: ipNet(p)}
		if p.Addr().Is6() {
			a.Flags = unix.IFA_F_NODAD
		}
		return netlink.AddrAdd(l, a)
	})
}

// Route leads to a prefix by way of an address.
func (n *Net) Route(t testing.TB, to netip.Prefix, via netip.Addr) {
	t.Helper()
	n.route(t, netlink.RouteAdd, to, via)
}

// Unroute removes what Route made.
func (n *Net) Unroute(t testing.TB, to netip.Prefix, via netip.Addr) {
	t.Helper()
	n.route(t, netlink.RouteDel, to, via)
}

func (n *Net) route(t testing.TB, do func(*netlink.Route) error, to netip.Prefix, via netip.Addr) {
	t.Helper()
	r := &netlink.Route{Dst: ipNet(to), Gw: via.AsSlice()}
	if err := n.Do(func() error { return do(r) }); err != nil {
		t.Fatalf("the route to %v by %v: %v", to, via, err)
	}
}

// Neighbour says who has an address on a device, for good.
func (n *Net) Neighbour(t testing.TB, device string, a netip.Addr, at net.HardwareAddr) {
	t.Helper()
	n.device(t, device, func(l netlink.Link) error {
		return netlink.NeighSet(&netlink.Neigh{LinkIndex: l.Attrs().Index, IP: a.AsSlice(), HardwareAddr: at, State: netlink.NUD_PERMANENT})
	})
}

func (n *Net) device(t testing.TB, name string, do func(netlink.Link) error) {
	t.Helper()
	err := n.Do(func() error {
		l, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		return do(l)
	})
	if err != nil {
		t.Fatalf("device %s: %v", name, err)
	}
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
