package sandbox

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Two namespaces, a wire and a bridge carry a packet of each family.
func TestWire(t *testing.T) {
	a := place(t).Namespace
	b := a + "-far"
	if err := CreateNamespace(b); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { DeleteNamespace(b) })
	near, far := openNet(t, a), openNet(t, b)
	address := func(n *Net, device, p string) {
		t.Helper()
		if err := n.Address(device, netip.MustParsePrefix(p)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(near.Sysctl("net.ipv4.ip_forward=1"), near.Bridge("br"), near.Wire("here", far, "there"),
		near.Enslave("here", "br"), near.Up("here"), far.Up("there")); err != nil {
		t.Fatal(err)
	}
	address(near, "br", "10.9.0.1/24")
	address(near, "br", "fd00:9::1/64")
	address(far, "there", "10.9.0.2/24")
	address(far, "there", "fd00:9::2/64")
	for _, gw := range []string{"10.9.0.1", "fd00:9::1"} {
		via := netip.MustParseAddr(gw)
		all := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
		if via.Is6() {
			all = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		}
		if err := far.AddRoute(Route{Prefix: all, Device: "there", Via: via}); err != nil {
			t.Fatal(err)
		}
		greet(t, a, b, gw)
	}
	nowhere := netip.MustParsePrefix("10.9.9.0/24")
	if err := far.AddRoute(Route{Prefix: nowhere}); err != nil {
		t.Fatal(err)
	}
	if err := dialIn(b, "10.9.9.1:1"); !errors.Is(err, syscall.EHOSTUNREACH) {
		t.Errorf("dialling what is unreachable: %v", err)
	}
	for range 2 {
		if err := far.DeleteRoute(nowhere); err != nil {
			t.Fatal(err)
		}
	}
	if err := near.Up("none"); err == nil || !strings.Contains(err.Error(), "setting up none in namespace "+a) {
		t.Errorf("setting up what is not there: %v", err)
	}
}

func openNet(t *testing.T, namespace string) *Net {
	t.Helper()
	n, err := OpenNet(namespace)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Close)
	return n
}

func greet(t *testing.T, server, client, address string) {
	t.Helper()
	var l net.Listener
	err := In(server, func() (err error) {
		l, err = net.Listen("tcp", net.JoinHostPort(address, "0"))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := dialIn(client, l.Addr().String()); err != nil {
		t.Errorf("dialling %s: %v", l.Addr(), err)
	}
}

func dialIn(namespace, address string) error {
	return In(namespace, func() error {
		c, err := net.DialTimeout("tcp", address, 5*time.Second)
		if err != nil {
			return err
		}
		return c.Close()
	})
}
