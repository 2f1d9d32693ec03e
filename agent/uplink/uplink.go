package uplink

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Device is a network device of this node.
type Device struct {
	Name     string
	Loopback bool
	Up       bool
	// Addresses are those that it carries.
	Addresses []netip.Addr
	// Default is set when a default route leads through it.
	Default bool
}

// None is the only configured name of those who are to attach nowhere.
const None = "none"

// Devices returns on which devices to attach: those that are configured, or else the
// uplinks of a node with these addresses, and of those before who still exist.
func Devices(configured []string, own []netip.Addr, before []string) ([]string, error) {
	switch {
	case slices.Equal(configured, []string{None}):
		return nil, nil
	case len(configured) > 0:
		return configured, nil
	}
	found, err := Survey()
	if err != nil {
		return nil, err
	}
	if names := Keep(Choose(found, own), before, found); len(names) > 0 {
		return names, nil
	}
	return nil, ErrNone
}

// ErrNone says that there is no uplink.
var ErrNone = errors.New("no device has an address of this node or a default route")

// Choose returns the names of the devices that are uplinks, sorted: those that
// a default route leads through, and those that carry an address of the node's
// own. lo is none: where it carries them, the routes count.
func Choose(devices []Device, own []netip.Addr) []string {
	var names []string
	for _, d := range devices {
		carries := slices.ContainsFunc(d.Addresses, func(a netip.Addr) bool { return slices.Contains(own, a) })
		if d.Up && !d.Loopback && (d.Default || carries) {
			names = append(names, d.Name)
		}
	}
	slices.Sort(names)
	return names
}

// Keep returns the devices that are chosen, and those that were before and still
// exist, sorted: a default route that is gone for a moment makes no other uplink.
func Keep(chosen, before []string, existing []Device) []string {
	out := slices.Clone(chosen)
	for _, name := range before {
		if slices.ContainsFunc(existing, func(d Device) bool { return d.Name == name }) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Survey returns the devices that there are.
func Survey() ([]Device, error) {
	links, err := netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("listing devices: %w", err)
	}
	addresses, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("listing addresses: %w", err)
	}
	defaults, err := defaultDevices()
	if err != nil {
		return nil, fmt.Errorf("listing default routes: %w", err)
	}
	var out []Device
	for _, l := range links {
		attrs := l.Attrs()
		d := Device{
			Name:     attrs.Name,
			Loopback: attrs.RawFlags&unix.IFF_LOOPBACK != 0,
			Up:       attrs.RawFlags&unix.IFF_UP != 0,
			Default:  defaults[attrs.Index],
		}
		for _, a := range addresses {
			if ip, ok := netip.AddrFromSlice(a.IP); ok && a.LinkIndex == attrs.Index {
				d.Addresses = append(d.Addresses, ip.Unmap())
			}
		}
		out = append(out, d)
	}
	return out, nil
}

// defaultDevices returns the devices of the default routes of the main table,
// each path of one with several.
func defaultDevices() (map[int]bool, error) {
	found := map[int]bool{}
	take := func(r netlink.Route) bool {
		if r.Type != unix.RTN_UNICAST || r.Dst != nil && r.Dst.String() != "0.0.0.0/0" && r.Dst.String() != "::/0" {
			return true
		}
		if len(r.MultiPath) == 0 {
			found[r.LinkIndex] = true
		}
		for _, path := range r.MultiPath {
			found[path.LinkIndex] = true
		}
		return true
	}
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		if err := netlink.RouteListFilteredIter(family, &netlink.Route{}, 0, take); err != nil {
			return nil, err
		}
	}
	return found, nil
}
