package router

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// ProtocolBuiltin marks the built-in router's routes in the kernel, as it does
// FRR's.
const ProtocolBuiltin = unix.RTPROT_BGP

// Route is a route that a routing daemon put into the kernel.
type Route struct {
	Prefix netip.Prefix
	// NextHops are sorted.
	NextHops []netip.Addr
}

// ours says whether a routing daemon made a route: BGP's number (FRR and the
// built-in router) or BIRD's.
func ours(r *netlink.Route) bool {
	return r.Protocol == unix.RTPROT_BGP || r.Protocol == unix.RTPROT_BIRD
}

// Routes returns what the routing daemons put into the main table of a network
// namespace, sorted by prefix.
func Routes(namespace string) ([]Route, error) {
	ns, err := netns.GetFromName(namespace)
	if err != nil {
		return nil, fmt.Errorf("opening network namespace %q: %w", namespace, err)
	}
	defer ns.Close()
	h, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("opening netlink in %q: %w", namespace, err)
	}
	defer h.Close()
	all, err := h.RouteList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("listing routes of %q: %w", namespace, err)
	}
	byPrefix := map[netip.Prefix][]netip.Addr{}
	for _, r := range all {
		if ours(&r) {
			k := FromKernel(&r)
			byPrefix[k.Prefix] = append(byPrefix[k.Prefix], k.NextHops...)
		}
	}
	out := make([]Route, 0, len(byPrefix))
	for p, hops := range byPrefix {
		slices.SortFunc(hops, netip.Addr.Compare)
		out = append(out, Route{p, hops})
	}
	slices.SortFunc(out, func(a, b Route) int {
		if c := a.Prefix.Addr().Compare(b.Prefix.Addr()); c != 0 {
			return c
		}
		return a.Prefix.Bits() - b.Prefix.Bits()
	})
	return out, nil
}

// Change is one message of the kernel about a route of a routing daemon.
type Change struct {
	Route
	// Deleted is set when the route was deleted; the kernel says so too when an
	// IPv6 route only lost one of its next hops, which Route then holds.
	Deleted bool
}

// ErrMissed says that watching ended by itself, usually because the kernel told
// more than was read.
var ErrMissed = errors.New("changes of routes were missed")

// Watch calls do for every change of a routing daemon's routes in a network
// namespace, from when it returns until ctx ends. lost is called at most once,
// with an error that is ErrMissed. Both run on one goroutine.
func Watch(ctx context.Context, namespace string, do func(Change), lost func(error)) error {
	ns, err := netns.GetFromName(namespace)
	if err != nil {
		return fmt.Errorf("opening network namespace %q: %w", namespace, err)
	}
	defer ns.Close()
	updates := make(chan netlink.RouteUpdate, 1024)
	var failed error
	err = netlink.RouteSubscribeWithOptions(updates, ctx.Done(), netlink.RouteSubscribeOptions{
		Namespace: &ns, ReceiveBufferSize: 8 << 20, ReceiveBufferForceSize: true,
		ErrorCallback: func(err error) { failed = err }, // called before updates is closed
	})
	if err != nil {
		return fmt.Errorf("watching routes of %q: %w", namespace, err)
	}
	go func() {
		for u := range updates {
			if ours(&u.Route) {
				do(Change{FromKernel(&u.Route), u.Type == unix.RTM_DELROUTE})
			}
		}
		if ctx.Err() != nil {
			return
		}
		lost(fmt.Errorf("%w: %w", ErrMissed, failed))
	}()
	return nil
}

// FromKernel takes prefix and next hops out of a route of the kernel's. An IPv6
// route with several next hops may come as several.
func FromKernel(r *netlink.Route) Route { return Route{prefix(r), nextHops(r)} }

func prefix(r *netlink.Route) netip.Prefix {
	if r.Dst == nil {
		if r.Family == unix.AF_INET {
			return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
		}
		return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	bits, _ := r.Dst.Mask.Size()
	return netip.PrefixFrom(addr(r.Dst.IP), bits)
}

func nextHops(r *netlink.Route) []netip.Addr {
	if r.Gw != nil && len(r.MultiPath) == 0 {
		return []netip.Addr{addr(r.Gw)}
	}
	var out []netip.Addr
	for _, n := range r.MultiPath {
		out = append(out, addr(n.Gw))
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return out
}

func addr(ip net.IP) netip.Addr {
	a, _ := netip.AddrFromSlice(ip)
	return a.Unmap()
}
