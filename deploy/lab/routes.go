package lab

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"tombolo.io/tombolo/deploy/lab/plan"
	"tombolo.io/tombolo/deploy/lab/router"
)

// RoutesOf is what a router must have learned when the lab is up: the pods of
// every node, and the nodes of the other clusters.
func (l *Lab) RoutesOf(c plan.Cluster) []netip.Prefix {
	var out []netip.Prefix
	for _, other := range l.Clusters {
		if other.Name != c.Name {
			out = append(out, other.NodeCIDR.List()...)
		}
		for _, n := range other.Nodes {
			out = append(out, n.PodCIDR.List()...)
		}
	}
	return out
}

// awaitRoutes returns when the kernel of every router has these routes.
func (l *Lab) awaitRoutes(ctx context.Context) error {
	for _, c := range l.Clusters {
		if err := l.AwaitRoutes(ctx, c.Router.Name, l.RoutesOf(c), nil); err != nil {
			return err
		}
	}
	return nil
}

// AwaitRoutes returns when a routing daemon has put all of the routes of want
// into the kernel of a router, and has none of those of unwanted there.
func (l *Lab) AwaitRoutes(ctx context.Context, routerName string, want, unwanted []netip.Prefix) error {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		have, err := router.Routes(l.Namespace(routerName))
		if err != nil {
			return err
		}
		lacking, extra := compare(have, want, unwanted)
		if len(lacking)+len(extra) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s lacks routes to %v, has routes to %v that it should not (%w)", routerName, lacking, extra, context.Cause(ctx))
		case <-tick.C:
		}
	}
}

// compare says which prefixes of want are not there, and which of unwanted are.
func compare(have []router.Route, want, unwanted []netip.Prefix) (lacking, extra []netip.Prefix) {
	has := func(p netip.Prefix) bool {
		return slices.ContainsFunc(have, func(r router.Route) bool { return r.Prefix == p })
	}
	for _, p := range want {
		if !has(p) {
			lacking = append(lacking, p)
		}
	}
	for _, p := range unwanted {
		if has(p) {
			extra = append(extra, p)
		}
	}
	return lacking, extra
}
