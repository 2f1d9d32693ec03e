package demo

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"tombolo.io/tombolo/deploy/lab/objects"
	"tombolo.io/tombolo/deploy/lab/plan"
	"tombolo.io/tombolo/deploy/lab/router"
)

// web is a LoadBalancer service that only the client's cluster has; n tells
// several apart.
func (d *Demo) web(n uint8) objects.Service {
	return objects.Service{Name: fmt.Sprintf("web%d", n), Addresses: d.here.ServiceCIDR.Addr(90 + n), LoadBalancer: d.here.LoadBalancerCIDR.Addr(n)}
}

// routes looks at the kernels of all routers while a LoadBalancer service comes,
// loses its last ready endpoint, and gets them back.
func routes(ctx context.Context, d *Demo) (err error) {
	service := d.web(1)
	addresses := hosts(service.LoadBalancer)
	defer func() { err = errors.Join(err, d.withdraw(ctx, service)) }()
	if err := d.routed(ctx, "ready", service, addresses, nil); err != nil {
		return err
	}
	if err := d.advertised(ctx, service); err != nil { // by every node
		return err
	}
	if err := d.table(append(d.podCIDRs(), addresses...)); err != nil {
		return err
	}
	service.AllNotReady = true
	if err := d.routed(ctx, "no endpoint ready", service, nil, addresses); err != nil {
		return err
	}
	service.AllNotReady = false
	return d.routed(ctx, "ready again", service, addresses, nil)
}

// routed applies a service and waits until the kernels of all routers have, and
// have not, what they should: always the prefixes of all pods.
func (d *Demo) routed(ctx context.Context, state string, service objects.Service, want, unwanted []netip.Prefix) error {
	cause, err := d.apply(ctx, d.here, service)
	if err != nil {
		return err
	}
	for _, c := range d.Lab.Clusters {
		if err := d.Lab.AwaitRoutes(ctx, c.Router.Name, append(d.podCIDRs(), want...), unwanted); err != nil {
			return fmt.Errorf("%s: %w", state, err)
		}
	}
	did := "in the kernel of every router"
	if len(want) == 0 {
		did = "in that of none"
	}
	d.say("%s: %v and %v %s after %s", state, service.LoadBalancer.IPv4, service.LoadBalancer.IPv6, did, millis(time.Since(cause)))
	return nil
}

// table prints what the kernel of each router has to these prefixes.
func (d *Demo) table(prefixes []netip.Prefix) error {
	t := tabwriter.NewWriter(d.Out, 0, 8, 2, ' ', 0)
	row := "   PREFIX"
	hops := make([]map[netip.Prefix]string, len(d.Lab.Clusters))
	for i, c := range d.Lab.Clusters {
		row += "\t" + strings.ToUpper(c.Router.Name) + " VIA"
		all, err := router.Routes(d.Lab.Namespace(c.Router.Name))
		if err != nil {
			return err
		}
		hops[i] = map[netip.Prefix]string{}
		for _, r := range all {
			hops[i][r.Prefix] = strings.Trim(fmt.Sprint(r.NextHops), "[]")
		}
	}
	fmt.Fprintln(t, row)
	for _, p := range prefixes {
		row := "   " + p.String()
		for i := range hops {
			row += "\t" + hops[i][p]
		}
		fmt.Fprintln(t, row)
	}
	return t.Flush()
}

// podCIDRs are the prefixes of the pods of every node.
func (d *Demo) podCIDRs() []netip.Prefix {
	var out []netip.Prefix
	for _, c := range d.Lab.Clusters {
		for _, n := range c.Nodes {
			out = append(out, n.PodCIDR.List()...)
		}
	}
	return out
}

// withdraw deletes a LoadBalancer service and its slices, and waits until no router has a
// route to it: the next step may watch for routes that leave.
func (d *Demo) withdraw(ctx context.Context, service objects.Service) error {
	if err := d.Lab.Unserve(d.here.Name, service); err != nil {
		return err
	}
	for _, c := range d.Lab.Clusters {
		if err := d.Lab.AwaitRoutes(ctx, c.Router.Name, nil, hosts(service.LoadBalancer)); err != nil {
			return err
		}
	}
	return nil
}

func hosts(a plan.Addrs) []netip.Prefix {
	return []netip.Prefix{netip.PrefixFrom(a.IPv4, 32), netip.PrefixFrom(a.IPv6, 128)}
}

// awaitHops returns when a router has a route by each of these next hops.
func (d *Demo) awaitHops(ctx context.Context, routerName string, p netip.Prefix, hops []netip.Addr) error {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		all, err := router.Routes(d.Lab.Namespace(routerName))
		if err != nil {
			return err
		}
		var have []netip.Addr
		for _, r := range all {
			if r.Prefix == p {
				have = r.NextHops
			}
		}
		if slices.Equal(have, hops) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("expected %s to have a route to %v by %v, saw %v (%w)", routerName, p, hops, have, context.Cause(ctx))
		case <-tick.C:
		}
	}
}
