package sandbox

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Net is the network of one namespace, open for changes.
type Net struct {
	name string
	ns   netns.NsHandle
	nl   *netlink.Handle
}

// OpenNet opens the network of a namespace; the caller closes it.
func OpenNet(namespace string) (*Net, error) {
	ns, err := netns.GetFromPath(namespacePath(namespace))
	if err != nil {
		return nil, fmt.Errorf("opening namespace %s: %w", namespace, err)
	}
	nl, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		ns.Close()
		return nil, fmt.Errorf("opening netlink in namespace %s: %w", namespace, err)
	}
	return &Net{name: namespace, ns: ns, nl: nl}, nil
}

// Close releases the handles.
func (n *Net) Close() {
	n.nl.Close()
	n.ns.Close()
}

// Sysctl sets kernel parameters of the namespace, "net.ipv4.ip_forward=1".
func (n *Net) Sysctl(settings ...string) error {
	return In(n.name, func() error {
		for _, s := range settings {
			key, value, _ := strings.Cut(s, "=")
			path := "/proc/sys/" + strings.ReplaceAll(key, ".", "/")
			if err := os.WriteFile(path, []byte(value), 0); err != nil {
				return fmt.Errorf("setting %s in namespace %s: %w", s, n.name, err)
			}
		}
		return nil
	})
}

// Up sets a device up.
func (n *Net) Up(device string) error {
	link, err := n.nl.LinkByName(device)
	if err == nil {
		err = n.nl.LinkSetUp(link)
	}
	return n.failed(err, "setting up", device)
}

// Delete removes a device, and with it its peer and its routes; one that is not
// there is no error.
func (n *Net) Delete(device string) error {
	link, err := n.nl.LinkByName(device)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return nil
	}
	if err == nil {
		err = n.nl.LinkDel(link)
	}
	return n.failed(err, "removing", device)
}

// Bridge makes a bridge and sets it up.
func (n *Net) Bridge(name string) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	// Snooping would keep neighbour discovery from ports it has not heard of.
	snooping := false
	err := n.nl.LinkAdd(&netlink.Bridge{LinkAttrs: attrs, MulticastSnooping: &snooping})
	if err != nil {
		return n.failed(err, "making bridge", name)
	}
	return n.Up(name)
}

// Wire makes a pair of devices, one here and its peer there. Both stay down.
func (n *Net) Wire(device string, there *Net, peer string) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = device
	veth := netlink.NewVeth(attrs)
	veth.PeerName, veth.PeerNamespace = peer, netlink.NsFd(there.ns)
	return n.failed(n.nl.LinkAdd(veth), "making wire", device)
}

// Enslave makes a device a port of a bridge.
func (n *Net) Enslave(device, bridge string) error {
	link, err := n.nl.LinkByName(device)
	if err != nil {
		return n.failed(err, "finding", device)
	}
	master, err := n.nl.LinkByName(bridge)
	if err == nil {
		err = n.nl.LinkSetMaster(link, master)
	}
	return n.failed(err, "joining to bridge "+bridge, device)
}

// Address gives a device an address, usable at once: nobody else has it, so
// duplicate address detection would only cost its second.
func (n *Net) Address(device string, p netip.Prefix) error {
	link, err := n.nl.LinkByName(device)
	if err != nil {
		return n.failed(err, "finding", device)
	}
	addr := &netlink.Addr{IPNet: ipNet(p)}
	if p.Addr().Is6() {
		addr.Flags = unix.IFA_F_NODAD
	}
	return n.failed(n.nl.AddrAdd(link, addr), "adding "+p.String()+" to", device)
}

// Route is a route to add.
type Route struct {
	Prefix netip.Prefix
	// Device is empty for an unreachable route.
	Device string
	// Via and Source may be invalid.
	Via, Source netip.Addr
	OnLink      bool
	Metric      int
}

// AddRoute adds a route.
func (n *Net) AddRoute(r Route) error {
	route := netlink.Route{Dst: ipNet(r.Prefix), Priority: r.Metric}
	if r.Device == "" {
		route.Type = unix.RTN_UNREACHABLE
	} else {
		link, err := n.nl.LinkByName(r.Device)
		if err != nil {
			return n.failed(err, "finding", r.Device)
		}
		route.LinkIndex = link.Attrs().Index
		if !r.Via.IsValid() && r.Prefix.Addr().Is4() {
			route.Scope = netlink.SCOPE_LINK
		}
	}
	if r.Via.IsValid() {
		route.Gw = r.Via.AsSlice()
	}
	if r.Source.IsValid() {
		route.Src = r.Source.AsSlice()
	}
	if r.OnLink {
		route.Flags = int(netlink.FLAG_ONLINK)
	}
	return n.failed(n.nl.RouteAdd(&route), "adding route "+r.Prefix.String()+" by", r.Device)
}

// DeleteRoute removes the routes to a prefix; none is no error.
func (n *Net) DeleteRoute(p netip.Prefix) error {
	err := n.nl.RouteDel(&netlink.Route{Dst: ipNet(p)})
	if errors.Is(err, syscall.ESRCH) {
		return nil
	}
	return n.failed(err, "deleting route", p.String())
}

func (n *Net) failed(err error, doing, what string) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %s in namespace %s: %w", doing, what, n.name, err)
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
