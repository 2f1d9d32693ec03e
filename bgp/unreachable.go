package bgp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// routeProtocol marks the routes that a speaker put into the kernel, as
// `ip route` shows them; below 256 and none of those that the kernel's
// rtnetlink.h or FRR use.
const routeProtocol netlink.RouteProtocol = 178

// unreachable is the set of addresses that this node advertises and for which
// it holds an unreachable route. A packet that nothing on the node takes is
// then answered with an ICMP error; by way of the default route it would go
// back to the router that sent it, and round again.
type unreachable struct {
	table *netlink.Handle
	held  map[netip.Prefix]bool
	// unwanted says since when a held one is advertised no more.
	unwanted map[netip.Prefix]time.Time
}

// openUnreachable reads which routes a speaker before this one left.
func openUnreachable() (*unreachable, error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("opening netlink: %w", err)
	}
	u := &unreachable{table: h, held: map[netip.Prefix]bool{}, unwanted: map[netip.Prefix]time.Time{}}
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		filter := &netlink.Route{Protocol: routeProtocol, Type: unix.RTN_UNREACHABLE}
		routes, err := h.RouteListFiltered(family, filter, netlink.RT_FILTER_PROTOCOL|netlink.RT_FILTER_TYPE)
		if err != nil {
			h.Close()
			return nil, fmt.Errorf("listing unreachable routes: %w", err)
		}
		for _, r := range routes {
			if p, ok := prefixOf(r.Dst); ok {
				u.held[p] = true
			}
		}
	}
	return u, nil
}

// close lets go of netlink and leaves the routes.
func (u *unreachable) close() { u.table.Close() }

// hold adds routes for all prefixes that have none yet.
func (u *unreachable) hold(prefixes map[netip.Prefix]bool) error {
	var errs []error
	for p := range prefixes {
		if u.held[p] {
			continue
		}
		if err := u.table.RouteReplace(unreachableRoute(p)); err != nil {
			errs = append(errs, fmt.Errorf("adding the unreachable route %s: %w", p, err))
			continue
		}
		u.held[p] = true
	}
	return errors.Join(errs...)
}

// release removes the routes of all prefixes but these, each when it has been
// unwanted for so long. It returns when the next one is due, zero if none is.
func (u *unreachable) release(keep map[netip.Prefix]bool, now time.Time, linger time.Duration) (next time.Time, err error) {
	var errs []error
	for p := range u.held {
		due := u.due(p, keep[p], now, linger)
		if !due.IsZero() && !due.After(now) {
			err := u.table.RouteDel(unreachableRoute(p))
			if err == nil || errors.Is(err, unix.ESRCH) {
				delete(u.held, p)
				delete(u.unwanted, p)
				continue
			}
			errs = append(errs, fmt.Errorf("removing the unreachable route %s: %w", p, err))
			due = now.Add(linger)
		}
		if next.IsZero() || !due.IsZero() && due.Before(next) {
			next = due
		}
	}
	return next, errors.Join(errs...)
}

// due returns when a route is to go, zero while it is wanted.
func (u *unreachable) due(p netip.Prefix, wanted bool, now time.Time, linger time.Duration) time.Time {
	if wanted {
		delete(u.unwanted, p)
		return time.Time{}
	}
	since, known := u.unwanted[p]
	if !known {
		since = now
		u.unwanted[p] = now
	}
	return since.Add(linger)
}

// unreachableRoute is the route of a prefix, of the greatest metric, so that
// any route that somebody else has for the same address goes before it.
func unreachableRoute(p netip.Prefix) *netlink.Route {
	return &netlink.Route{
		Dst:  &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())},
		Type: unix.RTN_UNREACHABLE, Protocol: routeProtocol, Priority: 1<<31 - 1,
	}
}

func prefixOf(n *net.IPNet) (netip.Prefix, bool) {
	if n == nil {
		return netip.Prefix{}, false
	}
	a, ok := netip.AddrFromSlice(n.IP)
	ones, _ := n.Mask.Size()
	return netip.PrefixFrom(a.Unmap(), ones), ok
}
