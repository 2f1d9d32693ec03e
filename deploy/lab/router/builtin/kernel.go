package builtin

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"tombolo.io/tombolo/deploy/lab/router"
)

// kernel is the main routing table of the namespace that this process is in.
// Only routes that carry the router's protocol number are touched.
type kernel struct {
	h *netlink.Handle
}

func openKernel() (*kernel, error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("opening netlink: %w", err)
	}
	return &kernel{h}, nil
}

func (k *kernel) close() { k.h.Close() }

// routes returns the router's routes and their next hops, sorted.
func (k *kernel) routes() (map[netip.Prefix][]netip.Addr, error) {
	all, err := k.h.RouteListFiltered(netlink.FAMILY_ALL,
		&netlink.Route{Protocol: router.ProtocolBuiltin}, netlink.RT_FILTER_PROTOCOL)
	if err != nil {
		return nil, fmt.Errorf("listing the router's routes: %w", err)
	}
	out := map[netip.Prefix][]netip.Addr{}
	for i := range all {
		r := router.FromKernel(&all[i])
		out[r.Prefix] = append(out[r.Prefix], r.NextHops...)
		slices.SortFunc(out[r.Prefix], netip.Addr.Compare)
	}
	return out, nil
}

// replace sets the next hops of a prefix, in one step.
func (k *kernel) replace(p netip.Prefix, hops []netip.Addr) error {
	r := route(p)
	if len(hops) == 1 {
		r.Gw = net.IP(hops[0].AsSlice())
	} else {
		for _, h := range hops {
			r.MultiPath = append(r.MultiPath, &netlink.NexthopInfo{Gw: net.IP(h.AsSlice())})
		}
	}
	if err := k.h.RouteReplace(r); err != nil {
		return fmt.Errorf("replacing route %s: %w", p, err)
	}
	return nil
}

// remove deletes a prefix; one that is not there is no error.
func (k *kernel) remove(p netip.Prefix) error {
	if err := k.h.RouteDel(route(p)); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("deleting route %s: %w", p, err)
	}
	return nil
}

func route(p netip.Prefix) *netlink.Route {
	return &netlink.Route{
		Dst:      &net.IPNet{IP: net.IP(p.Addr().AsSlice()), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())},
		Protocol: router.ProtocolBuiltin,
		Table:    unix.RT_TABLE_MAIN,
	}
}
